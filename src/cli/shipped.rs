//! Scenarios by name or path: those that come with the program, and files.

use std::path::Path;

use super::error::CliError;
use crate::scenario::Scenario;
use crate::source::{Document, DocumentError, did_you_mean};

/// The scenarios that come with the program, by the names of their files.
const SHIPPED: &[(&str, &str)] = &[
    ("h01-exact-domain", include_str!("../../scenarios/h01-exact-domain.toml")),
    ("h02-one-label", include_str!("../../scenarios/h02-one-label.toml")),
    ("h03-preview-domain", include_str!("../../scenarios/h03-preview-domain.toml")),
    ("h04-custom-domain-only", include_str!("../../scenarios/h04-custom-domain-only.toml")),
    ("h05-custom-domain-forgotten", include_str!("../../scenarios/h05-custom-domain-forgotten.toml")),
    ("h06-rule-below-inspect-all", include_str!("../../scenarios/h06-rule-below-inspect-all.toml")),
    ("h07-bypass-by-address", include_str!("../../scenarios/h07-bypass-by-address.toml")),
    ("h08-range-in-url-list", include_str!("../../scenarios/h08-range-in-url-list.toml")),
    ("h09-decided-before-the-sni", include_str!("../../scenarios/h09-decided-before-the-sni.toml")),
    ("h10-another-sni", include_str!("../../scenarios/h10-another-sni.toml")),
    ("h11-certificate-name", include_str!("../../scenarios/h11-certificate-name.toml")),
    ("h12-direct-is-not-bypassed", include_str!("../../scenarios/h12-direct-is-not-bypassed.toml")),
    ("h13-localhost-to-the-proxy", include_str!("../../scenarios/h13-localhost-to-the-proxy.toml")),
    ("h14-proxy-authentication", include_str!("../../scenarios/h14-proxy-authentication.toml")),
    ("h15-two-proxy-settings", include_str!("../../scenarios/h15-two-proxy-settings.toml")),
    ("h16-revocation-blocked", include_str!("../../scenarios/h16-revocation-blocked.toml")),
    ("h17-root-installed", include_str!("../../scenarios/h17-root-installed.toml")),
    ("h19-user-not-identified", include_str!("../../scenarios/h19-user-not-identified.toml")),
    ("h22-cdn-forgotten", include_str!("../../scenarios/h22-cdn-forgotten.toml")),
    ("h24-another-path", include_str!("../../scenarios/h24-another-path.toml")),
    ("h27-url-in-squid-list", include_str!("../../scenarios/h27-url-in-squid-list.toml")),
    ("h27-url-in-zscaler-list", include_str!("../../scenarios/h27-url-in-zscaler-list.toml")),
    ("h28-old-connection", include_str!("../../scenarios/h28-old-connection.toml")),
    ("okta-verify-beside-curl", include_str!("../../scenarios/okta-verify-beside-curl.toml")),
    ("okta-verify-enrollment", include_str!("../../scenarios/okta-verify-enrollment.toml")),
];

/// The one that tells the whole story.
const SAMPLE: &str = "okta-verify-enrollment";

/// The names of the scenarios that come with the program.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// Finds and reads a scenario: by name among the shipped ones, else as a file. `others` are words that would have been
/// taken as well, for guessing at what was meant.
pub(super) fn scenario(typed: &str, others: &[&'static str]) -> Result<Scenario, CliError> {
    let document = match SHIPPED.iter().find(|(name, _)| *name == typed) {
        Some((name, text)) => Document::new(format!("scenarios/{name}.toml"), *text),
        None => file(typed, others)?,
    };
    Scenario::parse(&document).map_err(|place| DocumentError::from(place).into())
}

fn file(typed: &str, others: &[&'static str]) -> Result<Document, CliError> {
    let path = Path::new(typed);
    if path.is_dir() {
        let all = path.join("*.toml");
        let help = format!("name the scenario files in it: `{}`", all.display());
        return Err(CliError::usage(format!("{typed} is a folder")).with_help(help));
    }
    let has_form_of_path = path.components().count() > 1 || path.extension().is_some();
    if path.exists() {
        return Ok(Document::read(path)?);
    }
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(typed);
    let known = names().chain(others.iter().copied());
    let help = match did_you_mean(stem, known) {
        Some(name) if has_form_of_path => format!("`{name}` comes with the program: leave out folder and ending"),
        Some(name) => format!("did you mean `{name}`?"),
        None if has_form_of_path => {
            format!("check the path, or name one that comes with the program, such as `{SAMPLE}`")
        }
        None => format!("give the path of a file, or one of {}", names().collect::<Vec<_>>().join(", ")),
    };
    let message =
        if has_form_of_path { format!("there is no file {typed}") } else { format!("there is no scenario `{typed}`") };
    Err(CliError::usage(message).with_help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_of_the_folder_is_shipped_and_reads() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).unwrap();
        let paths = folder.map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        files.sort();
        assert_eq!(files, names().collect::<Vec<_>>());
        for name in names() {
            scenario(name, &[]).unwrap();
        }
    }
}
