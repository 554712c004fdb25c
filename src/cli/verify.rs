//! `middlebox verify`: is the path from this machine to a host inspected?

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;

use super::client_environment::ProxyEnvironment;
use super::error::CliError;
use super::exit;
use super::logging::LogArgs;
use super::words::Format;
use crate::net::{Destination, Dialer, Overrides, Parent, ParentTls, Pin, ResolveEntry, Routes, Way};
use crate::verify::{Trust, Unseen, Verdict, Verifier};

/// Say whether the path from this machine to a host is inspected, by which product, and whether pins hold
///
/// One TLS handshake for each host, along the way that clients of this machine take: through the proxy of HTTPS_PROXY
/// (or ALL_PROXY) but for hosts in NO_PROXY, else directly; no request is sent. A proxy that is set in the settings of
/// the desktop or by a PAC file is not looked up: give it with --proxy.
///
/// Ends with 0 where no host is inspected and all pins hold, with 1 where one is inspected or a pin is broken, with 3
/// where a host cannot be reached.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The hosts: `acme.okta.com`, or with a port `acme.okta.com:8443`
    #[arg(value_name = "HOST", required = true, value_parser = destination)]
    hosts: Vec<Destination>,

    /// Go through this proxy, whatever the environment says; or `direct`
    #[arg(long, value_name = "URL", value_parser = way, help_heading = "Way")]
    proxy: Option<Way>,

    /// Reach HOST:PORT at this address, as curl's --resolve; repeatable
    #[arg(long, value_name = "HOST:PORT:ADDR", help_heading = "Way")]
    resolve: Vec<ResolveEntry>,

    /// Give up on a host after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600), help_heading = "Way")]
    timeout: u64,

    /// The key that each host has to show, `sha256/…`; repeatable, one of them suffices
    ///
    /// Without it, hosts below okta.com and oktapreview.com are compared with the keys that Okta publishes.
    #[arg(long, value_name = "PIN", help_heading = "Trust")]
    pin: Vec<Pin>,

    /// Trust the roots in this PEM file as well as the system's and Mozilla's
    #[arg(long, value_name = "FILE", help_heading = "Trust")]
    ca_file: Option<PathBuf>,

    /// How the result is written to standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    format: Format,

    #[command(flatten)]
    log: LogArgs,
}

const EXAMPLES: &str = "\
Examples:
    middlebox verify acme.okta.com
    middlebox verify --proxy http://proxy.corp.example:8080 acme.okta.com login.example.com";

pub(super) async fn verify(args: Args) -> Result<u8, CliError> {
    args.log.begin("warn")?;
    let given = args.ca_file.as_deref().map(roots).transpose()?.unwrap_or_else(RootCertStore::empty);
    let mut overrides = Overrides::new();
    args.resolve.into_iter().for_each(|entry| overrides.insert(entry));
    let routes = match args.proxy {
        Some(way) => Routes::new(move |_| way.clone(), ParentTls::new(given.clone(), true, None)),
        None => {
            let environment = ProxyEnvironment::read(|name| std::env::var_os(name))?;
            Routes::new(move |to| environment.way(&to.host), ParentTls::new(given.clone(), true, None))
        }
    };
    let dialer = Dialer::new(Arc::new(overrides), Duration::from_secs(args.timeout)).with_routes(routes);
    let verifier = Verifier::new(dialer, given).map_err(|error| CliError::usage(error.to_string()))?;
    let verifier = verifier.with_pins(args.pin);

    let mut told = Vec::new();
    for host in &args.hosts {
        told.push((host, verifier.verify(host).await));
    }
    let mut out = anstream::stdout().lock();
    match args.format {
        Format::Json => write_json(&told, &mut out)?,
        Format::Text if args.log.quiet => {}
        Format::Text => write_text(&told, &mut out)?,
    }
    out.flush()?;
    Ok(code(&told))
}

type Told<'a> = (&'a Destination, Result<Verdict, Unseen>);

/// What was found goes before what could not be looked at.
fn code(told: &[Told<'_>]) -> u8 {
    let found = |verdict: &Verdict| verdict.inspected || verdict.pins.as_ref().is_some_and(|pins| !pins.hold);
    if told.iter().any(|(_, verdict)| verdict.as_ref().is_ok_and(found)) {
        exit::EXPECTATION_FAILED
    } else if told.iter().any(|(_, verdict)| verdict.is_err()) {
        exit::ENVIRONMENT
    } else {
        exit::AS_EXPECTED
    }
}

fn destination(text: &str) -> Result<Destination, String> {
    let host = text.strip_prefix("https://").map_or(text, |rest| rest.trim_end_matches('/'));
    Destination::parse_or(host, 443).map_err(|error| format!("{error}; write a host such as `acme.okta.com`"))
}

fn way(text: &str) -> Result<Way, String> {
    if text == "direct" {
        return Ok(Way::Direct);
    }
    let parent: Result<Parent, _> = if text.contains("://") { text.parse() } else { format!("http://{text}").parse() };
    parent.map(|parent| Way::Parent(Arc::new(parent))).map_err(|error| error.to_string())
}

fn roots(path: &Path) -> Result<RootCertStore, CliError> {
    let wrong = |reason: &dyn std::fmt::Display| {
        let help = "--ca-file takes a PEM file with at least one certificate";
        CliError::usage(format!("{} cannot be used: {reason}", path.display())).with_help(help)
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
        roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() { Err(wrong(&"it holds no certificate")) } else { Ok(roots) }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a> {
    Seen(&'a Verdict),
    Unseen { host: String, port: u16, error: String },
}

fn write_json(told: &[Told<'_>], to: &mut dyn Write) -> Result<(), CliError> {
    let entries = told.iter().map(|(destination, verdict)| match verdict {
        Ok(verdict) => Entry::Seen(verdict),
        Err(error) => {
            Entry::Unseen { host: destination.host.to_string(), port: destination.port, error: error.to_string() }
        }
    });
    let text = serde_json::to_string_pretty(&serde_json::json!({ "hosts": entries.collect::<Vec<_>>() }))
        .expect("a verdict has a JSON form");
    Ok(writeln!(to, "{text}")?)
}

fn write_text(told: &[Told<'_>], to: &mut dyn Write) -> io::Result<()> {
    for (at, (destination, verdict)) in told.iter().enumerate() {
        if at > 0 {
            writeln!(to)?;
        }
        match verdict {
            Ok(verdict) => write_verdict(verdict, to)?,
            Err(error) => {
                let bad = AnsiColor::Red.on_default().bold();
                writeln!(to, "{}: {bad}not seen{bad:#}", name(destination))?;
                writeln!(to, "  {error}")?;
            }
        }
    }
    Ok(())
}

fn name(destination: &Destination) -> String {
    if destination.port == 443 { destination.host.to_string() } else { destination.to_string() }
}

fn write_verdict(verdict: &Verdict, to: &mut dyn Write) -> io::Result<()> {
    let good = AnsiColor::Green.on_default().bold();
    let bad = AnsiColor::Red.on_default().bold();
    let strong = Style::new().bold();
    let (style, word) = if verdict.inspected { (bad, "inspected") } else { (good, "not inspected") };
    let by = match (&verdict.product, verdict.inspected) {
        (Some(product), true) => format!(" by {}", product.product),
        _ => String::new(),
    };
    let host = name(&Destination::new(verdict.host.clone(), verdict.port));
    writeln!(to, "{strong}{host}{strong:#}: {style}{word}{style:#}{by} ({} confidence)", verdict.confidence)?;
    let line = |to: &mut dyn Write, what: &str, said: &str| writeln!(to, "  {what:<12} {said}");
    line(
        to,
        "way",
        &match &verdict.by {
            Way::Direct => "direct".to_owned(),
            Way::Parent(parent) => format!("through {parent}"),
        },
    )?;
    for (at, why) in verdict.evidence.iter().enumerate() {
        line(to, if at == 0 { "because" } else { "" }, why)?;
    }
    if let Some(leaf) = verdict.chain.first() {
        line(to, "issuer", &leaf.issuer)?;
    }
    line(
        to,
        "trusted",
        &match &verdict.trust {
            Trust::PublicRoots => "yes, by a public root".to_owned(),
            Trust::SystemRoots => "yes, by a root in this system's store alone".to_owned(),
            Trust::GivenRoots => "by the given file alone".to_owned(),
            Trust::Nobody(why) => format!("no: {why}"),
        },
    )?;
    match &verdict.pins {
        Some(pins) => {
            let hold = if pins.hold { "hold" } else { "broken" };
            line(to, "pins", &format!("{hold} ({})", pins.source))?;
        }
        None => line(to, "pins", "none are known; --pin gives one")?,
    }
    line(
        to,
        "TLS",
        &match verdict.version {
            "TLS 1.3" => "1.3".to_owned(),
            _ => "1.2, though 1.3 was offered".to_owned(),
        },
    )?;
    line(
        to,
        "HTTP/2",
        match verdict.alpn.as_deref() {
            Some("h2") => "yes",
            _ => "no, though it was offered",
        },
    )?;
    line(to, "client cert", if verdict.asks_for_client_certificate { "is asked for" } else { "is not asked for" })
}
