//! `middlebox enroll`: the simulated Okta Verify, through the proxy and trust that its environment names.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use url::Url;

use super::client_environment::ClientEnvironment;
use super::error::CliError;
use super::exit;
use super::logging::LogArgs;
use super::pins::PinArgs;
use super::words::Format;
use crate::simulation::internet::OKTA_ZONES;
use crate::simulation::{
    Call, CallName, CallResult, Caller, ClientProfile, EnrollOutcome, Enrollment, OktaVerify, RefusalCause,
};

/// Enroll with the simulated Okta Verify, as a pinned client of this machine
///
/// The proxy is that of HTTPS_PROXY (or ALL_PROXY), but for hosts in NO_PROXY; the trusted roots are those in the file
/// SSL_CERT_FILE, else the system's. The chain is checked first, then the pins.
///
/// Ends with 0 where the device is enrolled, with 1 where it is not.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The sign-in URL of the organization, such as https://acme.okta.com
    #[arg(value_name = "URL", value_parser = sign_in_url)]
    url: Url,

    #[command(flatten)]
    pins: PinArgs,

    /// Compare the pins after the handshake, and end with close_notify instead of an alert, as some clients do
    #[arg(long)]
    late: bool,

    /// How the result is written to standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    format: Format,

    #[command(flatten)]
    log: LogArgs,
}

const EXAMPLES: &str = "\
Example, beside `middlebox up --simulate --ready-file ready.json`, with the exports that it prints:
    middlebox enroll https://acme.okta.com --pins-from ready.json";

pub(super) async fn enroll(args: Args) -> Result<u8, CliError> {
    args.log.begin("warn")?;
    let pins = args.pins.table()?;
    if pins.is_empty() {
        tracing::warn!("nothing is pinned, so inspection will not be noticed; give --pins-from or --pin");
    }
    let environment = ClientEnvironment::read(|name| std::env::var_os(name))?;
    let proxy = environment.proxy();
    let workstation = environment.workstation("middlebox enroll")?;
    let profile = ClientProfile { late: args.late, ..ClientProfile::default() };
    let enrollment = OktaVerify::new(pins, profile).enroll(&args.url, &workstation).await;

    let told = Told {
        url: args.url.as_str(),
        proxy: proxy.as_deref(),
        mends: mends(&enrollment, proxy.is_some()),
        enrollment,
    };
    let mut out = anstream::stdout().lock();
    match args.format {
        Format::Json => told.write_json(&mut out)?,
        Format::Text if args.log.quiet => {}
        Format::Text => told.write_text(&mut out)?,
    }
    out.flush()?;
    Ok(match told.enrollment.outcome {
        EnrollOutcome::Enrolled => exit::AS_EXPECTED,
        EnrollOutcome::Refused | EnrollOutcome::Error => exit::EXPECTATION_FAILED,
    })
}

/// A URL, or a host as people type it into the real client.
fn sign_in_url(text: &str) -> Result<Url, String> {
    let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    match Url::parse(&url) {
        Ok(url) if url.scheme() == "https" && url.has_host() => Ok(url),
        Ok(url) if url.scheme() == "http" => Err("a sign-in URL begins with `https://`".to_owned()),
        Ok(_) => Err("write a URL such as `https://acme.okta.com`".to_owned()),
        Err(error) => Err(format!("{error}; write a URL such as `https://acme.okta.com`")),
    }
}

/// What is told of an enrollment.
#[derive(Serialize)]
struct Told<'a> {
    url: &'a str,
    proxy: Option<&'a str>,
    enrollment: Enrollment,
    mends: Vec<String>,
}

impl Told<'_> {
    fn write_json(&self, to: &mut dyn Write) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(self).expect("an enrollment has a JSON form");
        Ok(writeln!(to, "{text}")?)
    }

    fn write_text(&self, to: &mut dyn Write) -> io::Result<()> {
        let good = AnsiColor::Green.on_default().bold();
        let bad = AnsiColor::Red.on_default().bold();
        let strong = Style::new().bold();
        let (style, word) = match self.enrollment.outcome {
            EnrollOutcome::Enrolled => (good, "enrolled"),
            EnrollOutcome::Refused => (bad, "refused"),
            EnrollOutcome::Error => (bad, "error"),
        };
        let way = self.proxy.map_or_else(|| "without a proxy".to_owned(), |proxy| format!("through {proxy}"));
        writeln!(to, "{strong}Okta Verify (simulated){strong:#} at {}, {way}: {style}{word}{style:#}", self.url)?;
        for (at, call) in self.enrollment.calls.iter().enumerate() {
            write_call(at + 1, call, to)?;
        }
        if let Some(shown) = &self.enrollment.shown {
            writeln!(to, "\n{strong}The user sees{strong:#}\n  {shown}")?;
        }
        if !self.enrollment.log.is_empty() {
            writeln!(to, "\n{strong}The event log says{strong:#}")?;
            for line in &self.enrollment.log {
                writeln!(to, "  {line}")?;
            }
        }
        if let Some(ids) = &self.enrollment.ids {
            writeln!(
                to,
                "\n{strong}Enrolled{strong:#} as {} on device {} of user {}",
                ids.enrollment, ids.device, ids.user
            )?;
        }
        if !self.mends.is_empty() {
            writeln!(to, "\n{strong}What to do{strong:#}")?;
            for mend in &self.mends {
                writeln!(to, "  {mend}")?;
            }
        }
        Ok(())
    }
}

fn write_call(number: usize, call: &Call, to: &mut dyn Write) -> io::Result<()> {
    let by = if call.by == Caller::Browser { " (browser)" } else { "" };
    writeln!(to, "{number:>3}. {}{by}: {} {}", words_of(call.name), call.method, call.url)?;
    match &call.result {
        CallResult::Ok { status } => writeln!(to, "     answered {status}")?,
        CallResult::Refused { refusal } => {
            let alert = refusal.alert.map_or_else(
                || "by closing after the handshake".to_owned(),
                |alert| format!("with alert {alert} {}", crate::journal::alert_name(alert)),
            );
            writeln!(to, "     refused {alert}: {}", words_of_refusal(refusal.cause))?;
        }
        CallResult::Failed { reason, .. } => writeln!(to, "     failed: {reason}")?,
    }
    let Some(seen) = &call.certificate else { return Ok(()) };
    let verdict = match (seen.chain_ok, call.pinned, seen.matched) {
        (false, _, _) => "not trusted",
        (true, false, _) => "trusted, not pinned",
        (true, true, true) => "trusted, the pin matches",
        (true, true, false) => "trusted, the pin does not match",
    };
    writeln!(to, "     certificate of {}, {} ({verdict})", seen.issuer, seen.facts.pin)
}

fn words_of_refusal(cause: RefusalCause) -> &'static str {
    match cause {
        RefusalCause::UntrustedCa => "its CA is not among the trusted roots",
        RefusalCause::WrongHost => "it does not name the host",
        RefusalCause::Expired => "its validity is over",
        RefusalCause::NotYetValid => "its validity has not begun",
        RefusalCause::PinMismatch => "its key is none of those pinned",
        RefusalCause::RevocationUnknown => "nobody could be asked whether it has been revoked",
        RefusalCause::Policy => "it breaks a rule for certificates",
    }
}

fn words_of(name: CallName) -> &'static str {
    match name {
        CallName::OrganizationStatus => "organization status",
        CallName::CanonicalOrganization => "organization status at its own domain",
        CallName::SignIn => "sign-in page",
        CallName::SignInScript => "script of the sign-in page",
        CallName::SignInForm => "sign-in",
        CallName::SignInCallback => "back to the application",
        CallName::Token => "token",
        CallName::Authenticators => "authenticators",
        CallName::Enroll => "enrollment",
    }
}

/// What would mend the failure, most likely first.
fn mends(enrollment: &Enrollment, by_proxy: bool) -> Vec<String> {
    let Some(call) = enrollment.failed() else { return Vec::new() };
    let host = call.host.as_ref().map(ToString::to_string).unwrap_or_default();
    let issuer = call.certificate.as_ref().map(|seen| seen.issuer.as_str()).unwrap_or_default();
    let pattern = bypass_pattern(&host);
    let exclude = format!(
        "exclude {pattern} from inspection: `middlebox bypass add \"{pattern}\"`, or on the appliance in question"
    );
    let CallResult::Refused { refusal } = &call.result else {
        return vec![if by_proxy {
            format!("see what the middlebox says of {host}: its log, or `middlebox bypass list`")
        } else {
            "no proxy was used: set HTTPS_PROXY to that of the middlebox".to_owned()
        }];
    };
    match refusal.cause {
        RefusalCause::PinMismatch => {
            vec![exclude, format!("no trust in {issuer} mends this: the client compares the key itself with its pins")]
        }
        RefusalCause::UntrustedCa if call.pinned => {
            vec![exclude, format!("were {issuer} trusted (SSL_CERT_FILE), the pins would refuse it next")]
        }
        RefusalCause::UntrustedCa => {
            vec![format!("let this client trust {issuer}: name a file with its root in SSL_CERT_FILE"), exclude]
        }
        RefusalCause::Expired | RefusalCause::NotYetValid => {
            vec!["compare the clocks of this machine and of who made the certificate".to_owned(), exclude]
        }
        RefusalCause::RevocationUnknown => {
            vec![format!("let those hosts through, over plain HTTP on port 80: {}", refusal.detail)]
        }
        RefusalCause::WrongHost | RefusalCause::Policy => vec![exclude],
    }
}

/// The pattern that covers a host and its siblings: the domain of Okta's that it is in, else the host alone.
fn bypass_pattern(host: &str) -> String {
    let zone = OKTA_ZONES.iter().find(|zone| host.ends_with(&format!(".{zone}")));
    zone.map_or_else(|| host.to_owned(), |zone| format!("*.{zone}"))
}
