//! `middlebox policy check`: does a list let products through, and what else is the matter with it?

use std::io::{self, Write};
use std::path::PathBuf;

use super::super::error::CliError;
use super::super::exit;
use super::super::words::Format;
use super::explain::mistaken;
use super::list::ListArgs;
use super::text::{Paint, item, labelled, place, print};
use crate::policy::{
    Checked, Customer, HostChecked, HostVerdict, Needs, Product, ProductError, Severity, Standing, check, check_reading,
};
use crate::report::{junit_of_check, write_whole};

/// Check whether a list lets products through, what breaks, and what mends it
///
/// A product pack says which hosts a product needs and which of them it pins. Those that come with the program are
/// apple, chrome-os, crowdstrike, delivery-optimization, dropbox, intune, microsoft-store, okta, signal and zoom; one of
/// your own is named by its path.
///
/// Ends with 0 where nothing breaks and the product takes every entry, else with 1.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    list: ListArgs,

    /// A product that has to work: the name of a pack, or a file; repeatable
    #[arg(long = "product", required = true, value_name = "NAME|FILE", help_heading = "Product")]
    products: Vec<String>,

    /// Your organization's own address, such as acme.okta.com
    #[arg(long, value_name = "HOST", help_heading = "Product")]
    org: Option<String>,

    /// Your organization's custom domain, such as login.acme.example
    #[arg(long, value_name = "HOST", help_heading = "Product")]
    custom_domain: Option<String>,

    /// Fail on warnings, too: entries that are dead, over-broad or in the wrong order, and what was only assumed
    #[arg(long, help_heading = "Product")]
    strict: bool,

    /// How the result is written to standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    format: Format,

    /// Write the result to this file as JUnit XML, too: a test case for each connection
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    junit: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  Okta's own advice, pasted into the exclusion list of PAN-OS:
    middlebox policy check --pattern '*.okta.com' --dialect pan-os-exclusion --product okta
  In CI, for two products:
    middlebox policy check --policy bypass.txt --dialect zscaler --product okta --product zoom --junit check.xml";

pub(super) fn run(args: &Args) -> Result<u8, CliError> {
    let products: Vec<Product> =
        args.products.iter().map(|name| Product::load(name)).collect::<Result<_, _>>().map_err(told)?;
    let customer = Customer { org: args.org.clone(), custom_domain: args.custom_domain.clone() };
    let list = args.list.listed()?;
    let name = list.name.clone();
    let checked = if list.has_script() {
        check_reading(&list.reading(), &products, &customer)
    } else {
        check(&list.entries, list.dialect, list.default, &list.unread, &products, &customer)
    };
    let checked = checked.map_err(told)?;
    let fails = !checked.passed || (args.strict && !strictly(&checked));
    let guessed_org = args.org.is_none() && products.iter().any(Product::has_organizations);
    print(args.format, &checked, |to| write(&checked, guessed_org, fails, to))?;
    if let Some(path) = &args.junit {
        write_whole(path, junit_of_check(&checked, &name, args.strict)?.as_bytes())?;
    }
    Ok(if fails { exit::EXPECTATION_FAILED } else { exit::AS_EXPECTED })
}

fn told(error: ProductError) -> CliError {
    match error {
        ProductError::Document(error) => error.into(),
        ProductError::Host(error) => mistaken(&error),
        error => {
            let help = error.help().unwrap_or_default().to_owned();
            CliError::usage(error.to_string()).with_help(help)
        }
    }
}

/// Whether there is no warning, and nothing was only assumed.
fn strictly(checked: &Checked) -> bool {
    let sure = |host: &HostChecked| host.needs != Needs::Bypass || host.standing != Standing::NotEstablished;
    checked.findings.iter().all(|finding| finding.severity == Severity::Note) && checked.hosts.iter().all(sure)
}

fn write(checked: &Checked, guessed_org: bool, fails: bool, to: &mut dyn Write) -> io::Result<()> {
    let Paint { strong, faint, good, bad, warn } = Paint::default();
    writeln!(to, "{strong}{}{strong:#}, read as {}", checked.products.join(", "), checked.dialect)?;
    if guessed_org {
        writeln!(to, "{faint}no --org was given: an example stands for your organization{faint:#}")?;
    }
    writeln!(to)?;
    let name = |host: &HostChecked| match host.port {
        443 => host.host.clone(),
        port => format!("{}:{port}", host.host),
    };
    let width = checked.hosts.iter().map(|host| name(host).chars().count()).max().unwrap_or_default();
    for host in &checked.hosts {
        let (style, mark) = match host.verdict {
            HostVerdict::Works => (good, "ok"),
            HostVerdict::Advice => (warn, "advice"),
            HostVerdict::Breaks => (bad, "BREAKS"),
        };
        let by = match &host.entry {
            Some(entry) => format!("by {}{}", entry.text, place(entry.line)),
            None => "by default".to_owned(),
        };
        let pinned = if host.pinned.is_some() { "pinned" } else { "" };
        let doubt = if host.standing == Standing::NotEstablished { " ?" } else { "" };
        write!(to, "  {style}{mark:<6}{style:#}  {:width$}  {pinned:<6}  {:<7}", name(host), host.decision)?;
        writeln!(to, " {faint}{by}{faint:#}{warn}{doubt}{warn:#}")?;
        if let Some(breaks) = &host.breaks {
            labelled("", breaks, to)?;
        }
    }
    write_assumed(checked, to)?;
    heading("half right", checked.half_right.is_empty(), to)?;
    for half in &checked.half_right {
        labelled(half.id, &format!("{}: {}", half.what, half.why), to)?;
    }
    heading("entries", checked.findings.is_empty(), to)?;
    for finding in &checked.findings {
        let entry = if finding.text.is_empty() {
            String::new()
        } else {
            format!("`{}`{}: ", finding.text, place(finding.line))
        };
        let mend = finding.mend.as_ref().map(|mend| format!("; {mend}")).unwrap_or_default();
        item(&format!("{}: {entry}{}{mend}", finding.kind, finding.message), to)?;
    }
    if let Some(mend) = &checked.mend {
        heading("to mend", false, to)?;
        for edit in &mend.edits {
            item(&edit.to_string(), to)?;
        }
        if let Some(advice) = mend.standing.advice() {
            item(&format!("how the product reads that is {advice}"), to)?;
        }
    }
    let broken = checked.hosts.iter().filter(|host| host.verdict == HostVerdict::Breaks).count();
    let of = checked.hosts.len();
    writeln!(to)?;
    match (fails, broken) {
        (false, _) => writeln!(to, "{good}passes{good:#}: nothing breaks in {of} connections"),
        (true, 0) => writeln!(to, "{bad}fails{bad:#}: nothing breaks in {of} connections, but the list has mistakes"),
        (true, broken) => writeln!(to, "{bad}fails{bad:#}: {broken} of {of} connections break"),
    }
}

/// What the answers behind a question mark rest on, each thing once.
fn write_assumed(checked: &Checked, to: &mut dyn Write) -> io::Result<()> {
    let Paint { warn, .. } = Paint::default();
    let mut told = Vec::new();
    let open = checked.hosts.iter().flat_map(|host| &host.assumptions);
    for assumption in open.filter(|assumption| assumption.standing == Standing::NotEstablished) {
        if !told.contains(&assumption) {
            told.push(assumption);
        }
    }
    if !told.is_empty() {
        writeln!(to, "\n{warn}?{warn:#} not established: test it on your appliance; assumed here:")?;
    }
    told.into_iter().try_for_each(|assumption| item(&assumption.assumed, to))
}

fn heading(text: &str, is_empty: bool, to: &mut dyn Write) -> io::Result<()> {
    let Paint { strong, .. } = Paint::default();
    if is_empty { Ok(()) } else { writeln!(to, "\n{strong}{text}{strong:#}") }
}
