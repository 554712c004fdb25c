//! How to point a client at a running middlebox: lines that work as they are pasted.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use anstyle::Style;

use super::address::DEFAULT_CONTROL;
use super::ready::Ready;
use crate::lab::RunningLab;
use crate::net::Host;
use crate::policy::{Action, Asked, Sni, Subjects};
use crate::simulation::Internet;

/// A host that everybody can reach, for where nothing is simulated.
const PUBLIC: &str = "www.okta.com";

/// What is printed once a middlebox serves.
pub(super) struct Guide<'a> {
    pub(super) lab: &'a RunningLab,
    pub(super) ready: &'a Ready,
    /// Whether the proxy demands a password.
    pub(super) password: bool,
}

const HEAD: Style = Style::new().bold();

impl Guide<'_> {
    pub(super) fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        self.facts(to)?;
        self.hosts(to)?;
        self.curl(to)?;
        self.environment(to)?;
        self.browser(to)?;
        writeln!(to, "\nReady; Ctrl-C stops it.")
    }

    fn facts(&self, to: &mut dyn Write) -> io::Result<()> {
        let Ready { proxy, control, ca, .. } = self.ready;
        let policy = self.lab.policy().current();
        let authority = self.lab.authority();
        writeln!(to, "middlebox {} inspects TLS at {proxy}\n", env!("CARGO_PKG_VERSION"))?;
        writeln!(to, "  proxy    http://{proxy}")?;
        match control {
            Some(control) => writeln!(to, "  control  http://{control}/ (dashboard and API)")?,
            None => writeln!(to, "  control  off")?,
        }
        writeln!(to, "  CA       {}", ca.display())?;
        writeln!(
            to,
            "           {}, until {}",
            authority.ca().facts().subject,
            day(&authority.ca().facts().not_after)
        )?;
        let permitted: Vec<_> = authority.ca().permitted().map(ToString::to_string).collect();
        if !permitted.is_empty() {
            writeln!(to, "           signs for {} alone; other hosts are bypassed", permitted.join(", "))?;
        }
        writeln!(to, "  profile  {} ({})", authority.profile().name(), authority.profile().title())?;
        let rules = match policy.rules().len() {
            0 => "no rules".to_owned(),
            1 => "1 rule".to_owned(),
            count => format!("{count} rules"),
        };
        let file = self.lab.policy().file().map(|file| format!(", file {}", file.display())).unwrap_or_default();
        writeln!(to, "  policy   {rules}, else {} (dialect {}){file}", policy.default_action(), policy.dialect().name())
    }

    fn hosts(&self, to: &mut dyn Write) -> io::Result<()> {
        let Some(internet) = self.lab.internet() else { return Ok(()) };
        writeln!(
            to,
            "\n{HEAD}Simulated hosts{HEAD:#}, what is done with them now, and the pins of their genuine certificates"
        )?;
        let origins = internet.origins();
        let width = origins.iter().map(|(host, _)| host.to_string().len()).max().unwrap_or(0);
        for (host, pin) in origins {
            let name = host.to_string();
            writeln!(to, "  {name:<width$}  {:<7}  {pin}", self.action(&host).map_or("depends", Action::as_str))?;
        }
        if let Some(public) = &self.ready.public_ca {
            writeln!(to, "  Their CA: {}", public.display())?;
        }
        Ok(())
    }

    fn curl(&self, to: &mut dyn Write) -> io::Result<()> {
        let origins = self.lab.internet().map(Internet::origins).unwrap_or_default();
        let inspected = origins.iter().find(|(host, _)| self.action(host) == Some(Action::Inspect));
        let simulated = inspected.or(origins.first());
        let host =
            simulated.map_or_else(|| Host::parse(PUBLIC).expect("a literal host name"), |(host, _)| host.clone());
        let organization = self.lab.internet().and_then(|internet| internet.organization(&host));
        let path = if organization.is_some() { "/.well-known/okta-organization" } else { "/" };
        let user = if self.password { " --proxy-user NAME:PASSWORD" } else { "" };
        // With every root in one file the same line works however the host is decided.
        let bundle = Quoted::path(&self.lab.files().bundle().map_err(io::Error::other)?);
        let (shows, pinned, trust) = match self.action(&host) {
            Some(Action::Bypass) => (
                "bypassed: it sees the genuine certificate",
                "it accepts, and would end with code 90 behind inspection",
                bundle.clone(),
            ),
            Some(Action::Block) => ("blocked: it is refused", "it is refused as well", bundle.clone()),
            Some(Action::Inspect) | None => (
                "inspected: it trusts the CA, and takes the forged certificate",
                "it ends with code 90, and works once the host is bypassed",
                Quoted::path(&self.ready.ca),
            ),
        };
        let pin = match simulated {
            Some((_, pin)) => pin.base64(),
            None => format!(
                "$(openssl s_client -connect {host}:443 -servername {host} </dev/null 2>/dev/null | openssl x509 -pubkey \
                 -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64)"
            ),
        };
        let start = format!("curl --proxy http://{}{user}", self.ready.proxy);
        writeln!(to, "\n{HEAD}With curl{HEAD:#}; {host} is {shows}")?;
        writeln!(to, "  {start} --cacert {trust} https://{host}{path}")?;
        writeln!(to, "Pinned to the genuine key, {pinned}")?;
        writeln!(to, "  {start} --cacert {bundle} --pinnedpubkey \"sha256//{pin}\" https://{host}{path}")?;
        if let Some(control) = self.ready.control {
            let at = if control == DEFAULT_CONTROL { String::new() } else { format!(" --control http://{control}") };
            writeln!(to, "  middlebox bypass add{at} \"{host}\"")?;
        }
        Ok(())
    }

    fn environment(&self, to: &mut dyn Write) -> io::Result<()> {
        let proxy = if self.password {
            format!("http://NAME:PASSWORD@{}", self.ready.proxy)
        } else {
            format!("http://{}", self.ready.proxy)
        };
        let bundle = self.lab.files().bundle().map_err(io::Error::other)?.display().to_string();
        let extra = self.ready.ca.display().to_string();
        writeln!(to, "\n{HEAD}Environment{HEAD:#} of other programs; the file holds these CAs and the system's")?;
        let variables = [
            (["HTTPS_PROXY", "HTTP_PROXY"].as_slice(), &proxy),
            (["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"].as_slice(), &bundle),
            (["NODE_EXTRA_CA_CERTS"].as_slice(), &extra),
        ];
        for (names, value) in variables {
            if cfg!(windows) {
                for name in names {
                    writeln!(to, "  $env:{name} = \"{value}\"")?;
                }
            } else {
                let set: Vec<_> = names.iter().map(|name| format!("{name}={}", Quoted(value.clone()))).collect();
                writeln!(to, "  export {}", set.join(" "))?;
            }
        }
        Ok(())
    }

    fn browser(&self, to: &mut dyn Write) -> io::Result<()> {
        let proxy = self.ready.proxy;
        writeln!(to, "\n{HEAD}A browser or device{HEAD:#}")?;
        writeln!(to, "  Set its HTTP and HTTPS proxy to {}, port {},", proxy.ip(), proxy.port())?;
        writeln!(
            to,
            "  and import the CA into its trusted root certificates. Trust no CA for longer than the test takes."
        )
    }

    /// What is done with a host now, as far as its name says it.
    fn action(&self, host: &Host) -> Option<Action> {
        let name = host.to_string();
        let subjects = Subjects {
            connect_host: Some(&name),
            port: 443,
            sni: Sni::Name(&name),
            address: None,
            certificate: None,
            client: None,
        };
        match self.lab.policy().decide(&subjects) {
            // What the CA may not sign for is bypassed.
            Asked::Decided(decision) if decision.action == Action::Inspect => {
                Some(if self.lab.authority().ca().permits(host) { Action::Inspect } else { Action::Bypass })
            }
            Asked::Decided(decision) => Some(decision.action),
            Asked::Needs(_) => None,
        }
    }
}

/// The date of an RFC 3339 time.
pub(super) fn day(time: &str) -> &str {
    time.split('T').next().unwrap_or(time)
}

/// A word of a shell's command line; double quotes mean the same to all shells.
#[derive(Clone)]
struct Quoted(String);

impl Quoted {
    fn path(path: &Path) -> Self {
        Self(path.display().to_string())
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/\\:._-+@%=".contains(c);
        if self.0.chars().all(plain) { f.write_str(&self.0) } else { write!(f, "\"{}\"", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_would_take_apart_is_quoted() {
        assert_eq!(Quoted("/tmp/a-b/ca.pem".into()).to_string(), "/tmp/a-b/ca.pem");
        assert_eq!(
            Quoted("/Users/ann/Library/Application Support/ca.crt".into()).to_string().chars().next(),
            Some('"')
        );
    }
}
