//! One run of a script: in an engine and on a thread of its own.
//!
//! The engine is QuickJS-ng, by way of `rquickjs` (both MIT). It was chosen over `boa_engine`, which is Rust throughout,
//! because it can be bounded: it counts memory, checks its stack, and asks a handler of ours whether to go on, inside
//! regular expressions too, where boa counts loop iterations and calls alone; and because it is small: 5 crates more
//! instead of about 150, and 1.2 MB of binary instead of 8. Its bindings ship with it for the usual platforms, so that
//! building it takes a C compiler and nothing else.
//!
//! The handler is asked at loops, calls and steps of a regular expression, and not inside the few native functions that
//! can be slow on enormous texts (`indexOf` of one in another). Therefore the caller does not wait for the thread, but
//! for its answer, and gives it up a moment after its time. Look-ups are handed to the caller's thread, so that the
//! [`PacDns`] need not outlive the call.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rquickjs::context::EvalOptions;
use rquickjs::{Context, Ctx, Exception, Function, Object, Runtime, Value};

use super::dns::{self, PacDns};
use super::error::{PacError, PacLimit};
use super::script::{Evaluation, PacClock, PacLimits};
use crate::source::{Document, PlaceError, did_you_mean};

/// The functions of the PAC format.
const FUNCTIONS: &str = include_str!("functions.js");
/// The name under which the engine knows the script; it stands in the stacks of exceptions.
const FILE: &str = "proxy.pac";
/// The stack of the thread, of which the engine's part is the smaller one.
const THREAD_STACK: usize = 2 << 20;
const MAX_ENGINE_STACK: usize = 512 << 10;
/// Several times what an engine takes that has run nothing yet.
const MIN_MEMORY: usize = 1 << 20;
/// How long the engine gets to stop by itself.
const GRACE: Duration = Duration::from_millis(50);
const MAX_ALERTS: usize = 64;
const MAX_ALERT: usize = 1024;

/// A run of a script.
pub(super) struct Job {
    pub(super) document: Document,
    /// The question; without one, the script is only run from its top.
    pub(super) call: Option<Call>,
    pub(super) limits: PacLimits,
    pub(super) clock: PacClock,
}

/// The two arguments of `FindProxyForURL`.
pub(super) struct Call {
    pub(super) url: String,
    pub(super) host: String,
}

/// What the engine's thread says to the caller's.
enum Said {
    Resolve(String),
    Own,
    Done(Result<Evaluation, PacError>),
}

/// The engine's end of the line to the caller.
struct Line {
    said: Sender<Said>,
    answers: Receiver<String>,
}

impl Line {
    /// Asks; a caller that has given up answers nothing.
    fn ask(&self, question: Said) -> String {
        match self.said.send(question) {
            Ok(()) => self.answers.recv().unwrap_or_default(),
            Err(_) => String::new(),
        }
    }
}

impl Job {
    /// Runs to the end, or until the time is up; then the thread comes along that has not ended.
    pub(super) fn run(self, dns: &dyn PacDns) -> (Result<Evaluation, PacError>, Option<JoinHandle<()>>) {
        let (said, listen) = channel();
        let (answer, answers) = channel();
        let start = Instant::now();
        let time = self.limits.time;
        let work = move || {
            let line = Rc::new(Line { said: said.clone(), answers });
            let outcome = self.evaluate(start, &line);
            // A caller that has given up does not listen any more.
            let _ = said.send(Said::Done(outcome));
        };
        let thread = thread::Builder::new().name("pac".to_owned()).stack_size(THREAD_STACK).spawn(work);
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => return (Err(PacError::Engine(error.to_string())), None),
        };
        let end = start + time + GRACE;
        loop {
            let list = match listen.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Said::Done(outcome)) => return (outcome, None),
                Ok(Said::Resolve(host)) => dns::join(&dns::resolve(dns, &host)),
                Ok(Said::Own) => dns::join(&dns.own_addresses()),
                Err(RecvTimeoutError::Timeout) => return (Err(PacError::Limit(PacLimit::Time(time))), Some(thread)),
                Err(RecvTimeoutError::Disconnected) => {
                    return (Err(PacError::Engine("its thread ended early".to_owned())), None);
                }
            };
            // A thread that has ended asks nothing; the next message says how it did.
            let _ = answer.send(list);
        }
    }

    fn evaluate(&self, start: Instant, line: &Rc<Line>) -> Result<Evaluation, PacError> {
        let runtime = Runtime::new().map_err(|error| no_engine(&error))?;
        runtime.set_max_stack_size(self.limits.stack.clamp(1, MAX_ENGINE_STACK));
        let late = Rc::new(Cell::new(false));
        let (time, is_late) = (self.limits.time, Rc::clone(&late));
        runtime.set_interrupt_handler(Some(Box::new(move || {
            is_late.set(start.elapsed() >= time);
            is_late.get()
        })));
        let context = Context::full(&runtime).map_err(|error| no_engine(&error))?;
        let alerts = Rc::default();
        context.with(|ctx| {
            let run = Run { job: self, ctx: &ctx, late: &late };
            run.install(line, &alerts).map_err(|error| run.explain(&error))
        })?;
        // Not before: QuickJS survives running out of memory in a script, and aborts where it happens while a context
        // is being made.
        runtime.set_memory_limit(self.limits.memory.max(MIN_MEMORY));
        let result = context.with(|ctx| Run { job: self, ctx: &ctx, late: &late }.script())?;
        Ok(Evaluation { result, alerts: alerts.take() })
    }
}

fn no_engine(error: &rquickjs::Error) -> PacError {
    PacError::Engine(error.to_string())
}

/// A run inside its context.
struct Run<'a, 'js> {
    job: &'a Job,
    ctx: &'a Ctx<'js>,
    late: &'a Cell<bool>,
}

impl<'js> Run<'_, 'js> {
    /// Gives the script the functions of the PAC format.
    fn install(&self, line: &Rc<Line>, alerts: &Rc<RefCell<Vec<String>>>) -> rquickjs::Result<()> {
        let ctx = self.ctx;
        let native = Object::new(ctx.clone())?;
        let (ask, ask_own, alerts) = (Rc::clone(line), Rc::clone(line), Rc::clone(alerts));
        native.set("resolve", Function::new(ctx.clone(), move |host: String| ask.ask(Said::Resolve(host)))?)?;
        native.set("own", Function::new(ctx.clone(), move || ask_own.ask(Said::Own))?)?;
        native.set(
            "inNetwork",
            Function::new(ctx.clone(), |address: String, range: String| dns::in_network(&address, &range))?,
        )?;
        native.set("sort", Function::new(ctx.clone(), |list: String| dns::sort(&list))?)?;
        let alert = move |text: String| {
            let mut alerts = alerts.borrow_mut();
            if alerts.len() < MAX_ALERTS {
                alerts.push(text.chars().take(MAX_ALERT).collect());
            }
        };
        native.set("alert", Function::new(ctx.clone(), alert)?)?;
        let (now, offset) = self.job.clock.fixed();
        native.set("fixedNow", or_null(ctx, now))?;
        native.set("fixedOffset", or_null(ctx, offset.map(f64::from)))?;
        ctx.eval::<Function, _>(FUNCTIONS)?.call((native,))
    }

    /// Runs the script, and asks it the question if there is one.
    fn script(&self) -> Result<String, PacError> {
        let mut options = EvalOptions::default();
        options.strict = false;
        options.filename = Some(FILE.to_owned());
        let text = self.job.document.text();
        self.ctx.eval_with_options::<Value, _>(text, options).map_err(|error| self.explain(&error))?;
        let globals = self.ctx.globals();
        let Ok(Some(function)) = globals.get::<_, Option<Function>>("FindProxyForURL") else {
            return Err(self.missing(&globals));
        };
        let Some(Call { url, host }) = &self.job.call else { return Ok(String::new()) };
        let answer: Value = function.call((url, host)).map_err(|error| self.explain(&error))?;
        let Some(answer) = answer.as_string() else {
            return Err(PacError::Returned { kind: answer.type_name().to_owned() });
        };
        let answer = answer.to_string().map_err(|error| self.explain(&error))?;
        if answer.len() > self.job.limits.result {
            return Err(PacError::Limit(PacLimit::Result(self.job.limits.result)));
        }
        Ok(answer)
    }

    fn missing(&self, globals: &Object<'js>) -> PacError {
        let near = |name: &&str| globals.get::<_, Value>(*name).is_ok_and(|value| value.is_function());
        let names = ["FindProxyForURLEx", "FindProxyForUrl", "findProxyForURL", "findProxyForUrl", "FindProxyForURl"];
        let found = names.iter().find(|name| near(name)).map(ToString::to_string);
        PacError::Missing { name: self.job.document.name().to_owned(), found }
    }

    /// What went wrong, out of what the engine says and the exception that it holds.
    fn explain(&self, error: &rquickjs::Error) -> PacError {
        let explained = self.explain_in_time(error);
        // Reading the exception may run the script again, as its `toString`.
        if self.late.get() { PacError::Limit(PacLimit::Time(self.job.limits.time)) } else { explained }
    }

    fn explain_in_time(&self, error: &rquickjs::Error) -> PacError {
        let limits = self.job.limits;
        match error {
            rquickjs::Error::Exception => {}
            rquickjs::Error::Allocation => return PacError::Limit(PacLimit::Memory(limits.memory)),
            rquickjs::Error::Utf8(_) => return PacError::Returned { kind: "half a character".to_owned() },
            other => return no_engine(other),
        }
        let thrown = self.ctx.catch();
        // Without memory for the exception either, the engine throws null.
        if thrown.is_null() {
            return PacError::Limit(PacLimit::Memory(limits.memory));
        }
        let Some(exception) = thrown.as_object().cloned().and_then(Exception::from_object) else {
            let text = thrown.get::<rquickjs::Coerced<String>>().map_or_else(|_| "an object".to_owned(), |text| text.0);
            return PacError::Uncaught(text.chars().take(MAX_ALERT).collect());
        };
        let name = exception.as_object().get::<_, String>("name").unwrap_or_else(|_| "Error".to_owned());
        let message: String = exception.message().unwrap_or_default().chars().take(MAX_ALERT).collect();
        match (&*name, &*message) {
            ("InternalError", "out of memory") => return PacError::Limit(PacLimit::Memory(limits.memory)),
            ("RangeError" | "InternalError", "Maximum call stack size exceeded") => {
                return PacError::Limit(PacLimit::Stack(limits.stack));
            }
            _ => {}
        }
        let place = exception.stack().as_deref().and_then(place);
        match (place, &*name) {
            (Some(place), "SyntaxError") => {
                self.at(place, format!("syntax error: {message}"), Some(self.mend_syntax().to_owned()))
            }
            (Some(place), _) => self.at(place, format!("uncaught {name}: {message}"), mend_name(&message)),
            (None, _) => PacError::Uncaught(format!("{name}: {message}")),
        }
    }

    /// An error at a line and a column, both from 1; the engine counts columns in bytes.
    fn at(&self, (line, column): (usize, usize), message: String, help: Option<String>) -> PacError {
        let document = &self.job.document;
        let before: usize = document.text().split_inclusive('\n').take(line - 1).map(str::len).sum();
        let text = document.line(line);
        let mut within = (column - 1).min(text.len());
        while !text.is_char_boundary(within) {
            within -= 1;
        }
        let start = before + within;
        let length = text[within..].chars().next().map_or(0, char::len_utf8);
        let error: PlaceError = document.error(start..start + length, message, help);
        error.into()
    }

    fn mend_syntax(&self) -> &'static str {
        let is_page = self.job.document.text().trim_start().starts_with('<');
        if is_page {
            return "this is a web page and not a script; check the address that it was fetched from";
        }
        "look for a bracket, quote or operator that is missing here or just before"
    }
}

fn or_null<'js>(ctx: &Ctx<'js>, number: Option<f64>) -> Value<'js> {
    number.map_or_else(|| Value::new_null(ctx.clone()), |number| Value::new_number(ctx.clone(), number))
}

/// Line and column, both from 1, of the innermost frame of a stack that lies in the script:
/// `    at FindProxyForURL (proxy.pac:3:13)`.
fn place(stack: &str) -> Option<(usize, usize)> {
    stack.lines().find_map(|frame| {
        let (_, place) = frame.rsplit_once(FILE)?;
        let mut numbers = place.trim_start_matches(':').trim_end_matches(')').split(':').map(str::parse::<usize>);
        let (line, column) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some((line.max(1), column.max(1)))
    })
}

/// The function that a misspelt one was meant to be: `'shExpMach' is not defined`.
fn mend_name(message: &str) -> Option<String> {
    let typed = message.strip_suffix(" is not defined")?.trim_matches('\'');
    let known = FUNCTIONS.lines().filter_map(|line| line.trim().strip_suffix(',')).filter(|name| {
        let mut letters = name.chars();
        letters.next().is_some_and(char::is_alphabetic) && letters.all(|c| c.is_alphanumeric() || c == '_')
    });
    did_you_mean(typed, known).map(|name| format!("did you mean `{name}`?"))
}
