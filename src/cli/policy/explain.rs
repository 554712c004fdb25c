//! `middlebox policy explain`: what is decided about a host, by which entry, and why not by the others.

use std::io::{self, Write};

use super::super::error::CliError;
use super::super::exit;
use super::super::words::Format;
use super::list::ListArgs;
use super::text::{Paint, confidence, item, labelled, place, print};
use crate::policy::{Action, AskedSni, Question, QuestionError, Rehearsed};

/// So many entries that do not decide are shown without --all; all that come near are.
const FAR: usize = 3;

/// Explain what is decided about hosts, by which entry, and why not by the others
///
/// Each host is asked about as the host of a CONNECT that its ClientHello names too. What the product compares beyond
/// that is taken to be as it is in the common case: the certificate is for that host alone, the address is unknown.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Hosts: `acme.okta.com`, `acme.okta.com:8443`, `192.0.2.1`, `[2001:db8::1]:443`
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<String>,

    #[command(flatten)]
    list: ListArgs,

    /// The server name of the ClientHello, where it is not the host; `none` for a client that sends none
    #[arg(long, value_name = "NAME|none", help_heading = "Connection")]
    sni: Option<String>,

    /// The port of hosts that are written without one [default: 443]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Connection")]
    port: Option<u16>,

    /// The address that the hosts have, for products that compare addresses
    #[arg(long, value_name = "ADDRESS", help_heading = "Connection")]
    ip: Option<std::net::IpAddr>,

    /// A name of the origin's certificate, for products that compare those; repeatable, the common name first
    #[arg(long = "certificate", value_name = "NAME", help_heading = "Connection")]
    certificates: Vec<String>,

    /// The client's own address, for entries that are for some clients only
    #[arg(long, value_name = "ADDRESS", help_heading = "Connection")]
    client: Option<std::net::IpAddr>,

    /// Show every entry that does not decide, and not only those that come near
    #[arg(long, help_heading = "Output")]
    all: bool,

    /// How the result is written to standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  The same entry, as two lists of one product read it:
    middlebox policy explain acme.mtls.okta.com --pattern '*.okta.com' --dialect pan-os-exclusion
    middlebox policy explain acme.mtls.okta.com --pattern '*.okta.com' --dialect pan-os-url
  A list, for a client that sends no server name:
    middlebox policy explain acme.okta.com --policy bypass.txt --dialect zscaler --sni none";

pub(super) fn run(args: &Args) -> Result<u8, CliError> {
    let questions: Vec<Question> = args.hosts.iter().map(|host| args.question(host)).collect::<Result<_, _>>()?;
    let reading = args.list.listed()?.reading();
    let answers: Vec<Rehearsed> = questions.iter().map(|question| reading.rehearse(question)).collect();
    print(args.format, &answers, |to| {
        for (at, answer) in answers.iter().enumerate() {
            if at > 0 {
                writeln!(to)?;
            }
            write(answer, &questions[at], args.all, to)?;
        }
        write_rejected(&answers[0], to)
    })?;
    Ok(exit::AS_EXPECTED)
}

impl Args {
    fn question(&self, host: &str) -> Result<Question, CliError> {
        let question: Question = host.parse().map_err(|error| mistaken(&error))?;
        let written_port = question.port != 443 || host.ends_with(":443");
        let port = self.port.filter(|_| !written_port).unwrap_or(question.port);
        let sni = match self.sni.as_deref() {
            None => AskedSni::Host,
            Some(name) => name.parse().map_err(|error| mistaken(&error))?,
        };
        let certificate = self.certificates.clone();
        Ok(Question { port, sni, address: self.ip, certificate, client: self.client, ..question })
    }
}

/// The mistake, with what to do about it.
pub(super) fn mistaken(error: &QuestionError) -> CliError {
    let wrong = CliError::usage(format!("`{}` {}", error.typed, error.problem));
    match &error.mend {
        Some(mend) => wrong.with_help(mend),
        None => wrong,
    }
}

fn write(answer: &Rehearsed, question: &Question, all: bool, to: &mut dyn Write) -> io::Result<()> {
    let Paint { strong, faint, warn, .. } = Paint::default();
    let style = Paint::of(answer.decision);
    writeln!(to, "{strong}{question}{strong:#}  {style}{}{style:#}  ({})", answer.decision, answer.dialect)?;
    match &answer.entry {
        Some(entry) => writeln!(to, "  entry        {strong}{}{strong:#}{}", entry.text, place(entry.line))?,
        None => writeln!(to, "  entry        none")?,
    }
    labelled("because", &reason(answer), to)?;
    labelled("confidence", &confidence(answer.confidence, answer.standing), to)?;
    for assumption in &answer.assumptions {
        let text = format!("{warn}assumed{warn:#}  {}", assumption.assumed);
        writeln!(to, "               {text}")?;
    }
    let shown: Vec<_> = {
        let mut far = 0;
        let near_or_few = |near: bool| {
            near || all || {
                far += 1;
                far <= FAR
            }
        };
        let mut near_or_few = near_or_few;
        answer.others.iter().filter(|other| near_or_few(other.near)).collect()
    };
    for (at, other) in shown.iter().enumerate() {
        let label = if at == 0 { "others" } else { "" };
        let action = if other.action == Action::Bypass { String::new() } else { format!("{} ", other.action) };
        let head = format!("{action}{}{}", other.text, place(other.line));
        labelled(label, &format!("{head}: {}", other.reason), to)?;
        for assumption in &other.assumptions {
            labelled("", &format!("  {assumption}"), to)?;
        }
    }
    let left = answer.others.len() - shown.len();
    match left {
        0 => Ok(()),
        1 => writeln!(to, "               {faint}and 1 that does not match; --all shows it{faint:#}"),
        left => writeln!(to, "               {faint}and {left} that do not match; --all shows them{faint:#}"),
    }
}

/// The reason without the assumptions, which have lines of their own.
fn reason(answer: &Rehearsed) -> String {
    let mut text = answer.why.to_string();
    for assumption in &answer.assumptions {
        text = text.replace(&format!("; {assumption}"), "");
    }
    text
}

fn write_rejected(answer: &Rehearsed, to: &mut dyn Write) -> io::Result<()> {
    let Paint { bad, .. } = Paint::default();
    if answer.rejected.is_empty() {
        return Ok(());
    }
    writeln!(to, "\n{bad}refused by {}{bad:#}", answer.dialect)?;
    for rejected in answer.rejected.iter() {
        let advice = rejected.standing.advice().map(|advice| format!(" ({advice})")).unwrap_or_default();
        let mend = rejected.mend.as_ref().map(|mend| format!("; {mend}")).unwrap_or_default();
        let text = format!("{}{}: {}{advice}{mend}", rejected.text, place(rejected.line), rejected.reason);
        item(&text, to)?;
    }
    Ok(())
}
