//! Why a decision came out as it did: every rule with its verdict.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Policy;
use super::condition::{Network, Ports};
use super::decision::{Asked, Subject, Subjects};
use super::dialects::Dialect;
use super::matcher::{self, Matcher};
use super::pattern::Pattern;
use super::rule::{Rule, RuleId, RuleView};
use super::standing::{Assumption, Standing};
use super::view::{Bearing, Target, View};

/// A decision with what each rule had to say about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What was decided, or what is missing for it.
    pub asked: Asked,
    /// The rules in their order.
    pub rules: Vec<Explained>,
}

/// One rule and how it stands to the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The rule.
    pub rule: RuleView,
    /// How it stands.
    pub verdict: Verdict,
    /// How well that is known.
    pub standing: Standing,
    /// What was assumed where it is not established.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<Assumption>,
}

impl Explanation {
    /// The rules as a person looks for them: what decides, then what nearly did, then the rest as written.
    #[must_use]
    pub fn nearest_first(&self) -> Vec<&Explained> {
        let mut rules: Vec<&Explained> = self.rules.iter().collect();
        rules.sort_by_key(|explained| explained.distance());
        rules
    }
}

impl Explained {
    /// Whether it decides, or comes near: it matches and comes too late, has another condition, or is a name away.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.distance() < 8
    }

    /// How far it is from deciding.
    pub(super) fn distance(&self) -> u8 {
        match &self.verdict {
            Verdict::Decides(_) => 0,
            Verdict::Later { .. } => 1,
            Verdict::NotBoth { .. } => 2,
            Verdict::OtherPort { .. } => 3,
            Verdict::OtherClient(_) => 4,
            Verdict::Disabled => 5,
            Verdict::OtherName { hint: Some(_), .. } => 6,
            Verdict::OtherName { .. } if self.standing != Standing::Established => 7,
            Verdict::OtherName { .. } => 8,
        }
    }
}

/// How one rule stands to a connection. Shown and serialised as a phrase that follows "rule r1".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It matches and decides; where the decision waits for the ClientHello, so far.
    Decides(Option<Subject>),
    /// It would match, but is switched off.
    Disabled,
    /// It matches, but an earlier rule decides.
    Later {
        /// The rule that decides.
        decided_by: RuleId,
    },
    /// It is a bypass that matches the SNI, but not the CONNECT host.
    NotBoth {
        /// What it matches.
        matches: Subject,
        /// What it would have to match as well.
        unmatched: Subject,
    },
    /// It is for other clients.
    OtherClient(Vec<Network>),
    /// Its pattern matches something else.
    OtherName {
        /// What it was compared with; none where an address rule meets a connection without one.
        subject: Option<Subject>,
        /// Why a pattern that looks as if it matched does not.
        hint: Option<String>,
    },
    /// It is for other ports.
    OtherPort {
        /// The port of the pattern.
        pattern: Option<u16>,
        /// The ports of the rule.
        ports: Vec<Ports>,
    },
}

impl Policy {
    /// Decides as [`Self::decide`] does and says for each rule why it decides or does not. Takes time proportional
    /// to the number of rules.
    #[must_use]
    pub fn explain(&self, subjects: &Subjects<'_>) -> Explanation {
        let answer = self.dialect().ask(self, subjects);
        let view = answer.view;
        let decided = view.decide(self).rule.map(|rule| rule.id);
        let explained = |rule: &Rule| {
            let bearing = view.bearing(rule);
            let mut assumptions = view.assumptions(rule, bearing);
            if matches!(bearing, Bearing::Applies | Bearing::OtherName) {
                assumptions.extend(view.own_assumptions(bearing == Bearing::Applies).cloned());
            }
            let standing = assumptions.iter().map(|assumption| assumption.standing).max().unwrap_or_default();
            Explained {
                rule: rule.view(),
                verdict: verdict(self.dialect(), rule, &view, decided.as_ref()),
                standing,
                assumptions,
            }
        };
        let rules = self.rules().iter().map(|rule| explained(rule)).collect();
        Explanation { asked: answer.asked, rules }
    }
}

fn verdict(dialect: Dialect, rule: &Rule, view: &View<'_>, decided: Option<&RuleId>) -> Verdict {
    let named = view.subject_of(rule);
    let subject = named.map(super::view::Named::subject);
    match (view.bearing(rule), subject, &view.other) {
        (Bearing::Applies, subject, _) => match decided {
            Some(id) if *id != rule.id => Verdict::Later { decided_by: id.clone() },
            _ => Verdict::Decides(subject),
        },
        (Bearing::NotBoth, Some(matches), Some(other)) => Verdict::NotBoth { matches, unmatched: other.subject() },
        (Bearing::Disabled, ..) => Verdict::Disabled,
        (Bearing::OtherClient, ..) => Verdict::OtherClient(rule.clients().to_vec()),
        (Bearing::OtherPort, ..) => Verdict::OtherPort { pattern: rule.pattern.port(), ports: rule.ports().to_vec() },
        (Bearing::OtherName | Bearing::NotBoth, subject, _) => {
            let hint = named.and_then(|named| match &named.target {
                Target::Name(name) => near_miss(dialect, &rule.pattern, name),
                Target::Address(_) | Target::Wildcard(_) => None,
            });
            Verdict::OtherName { subject, hint }
        }
    }
}

/// What people expect of a pattern by habit from other products, and what it does here.
fn near_miss(dialect: Dialect, pattern: &Pattern, name: &str) -> Option<String> {
    let is_below = |host: &str| matcher::is_below(name, host);
    let mended = |what: String, mend: Option<String>| match mend {
        Some(mend) => format!("{what}; {mend}"),
        None => what,
    };
    match &pattern.matcher {
        Matcher::Below(host) if **host == *name => {
            let under = format!("a.{host}");
            let mend = dialect.entry_that_covers(host, &[host, &under]).map(|found| format!("`{found}` covers both"));
            Some(mended(format!("it covers the names below {host} and not {host} itself"), mend))
        }
        Matcher::Exact(host) if is_below(host) => {
            let mend = dialect.entry_that_covers(host, &[host, name]);
            let mend = mend.map(|found| format!("`{found}` covers the names below as well"));
            Some(mended(format!("it covers {host} alone"), mend))
        }
        Matcher::Deeper { name: host, fewest, most } if **host == *name || is_below(host) => {
            let reach = match (fewest, most) {
                (0, most) => format!("it reaches {most} labels below {host}"),
                (1, 1) => format!("it covers exactly one label below {host}"),
                (fewest, most) if fewest == most => format!("it covers exactly {fewest} labels below {host}"),
                (fewest, most) => format!("it covers {fewest} to {most} labels below {host}"),
            };
            let mend = dialect.entry_that_covers(host, &[name]).map(|found| format!("`{found}` covers this one"));
            Some(mended(reach, mend))
        }
        _ => None,
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decides(Some(subject)) => write!(f, "matches the {subject} and decides"),
            Self::Decides(None) => f.write_str("matches every connection and decides"),
            Self::Disabled => f.write_str("would match, but is disabled"),
            Self::Later { decided_by } => write!(f, "matches, but rule {decided_by} comes before it"),
            Self::NotBoth { matches, unmatched } => {
                write!(f, "matches the {matches}, but not the {unmatched}; a bypass needs both")
            }
            Self::OtherClient(networks) => write!(f, "is for clients in {}", list(networks)),
            Self::OtherName { subject: Some(subject), hint: None } => write!(f, "does not match the {subject}"),
            Self::OtherName { subject: Some(subject), hint: Some(hint) } => {
                write!(f, "does not match the {subject}: {hint}")
            }
            Self::OtherName { subject: None, .. } => f.write_str("matches addresses, and the connection is for a name"),
            Self::OtherPort { pattern: Some(port), ports } if ports.is_empty() => write!(f, "is for port {port}"),
            Self::OtherPort { pattern: Some(port), ports } => {
                write!(f, "is for port {port}, and for ports {}", list(ports))
            }
            Self::OtherPort { pattern: None, ports } => write!(f, "is for ports {}", list(ports)),
        }
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Change, PolicyConfig, PolicyStore, RuleSpec, Selector, Sni};
    use super::*;

    #[test]
    fn each_rule_says_why_it_does_or_does_not() {
        let mut ports = RuleSpec::new("a.okta.com", Action::Block);
        ports.ports = vec!["8000-8999".parse().unwrap()];
        let mut clients = RuleSpec::new("a.okta.com", Action::Block);
        clients.clients = vec!["10.0.0.0/8".parse().unwrap()];
        let bypass = |pattern: &str| RuleSpec::new(pattern, Action::Bypass);
        let inspect = |pattern: &str| RuleSpec::new(pattern, Action::Inspect);
        let command_line = vec![
            bypass("*.a.okta.com"),
            bypass("okta.com"),
            bypass("a.okta.com:8443"),
            ports,
            clients,
            inspect("10.0.0.0/8"),
            bypass("a.okta.com"),
            inspect(".okta.com"),
            inspect("*"),
            bypass("*.okta.com"),
        ];
        let store = PolicyStore::new(PolicyConfig { command_line, ..PolicyConfig::default() }).unwrap();
        store.change(Change::Disable(Selector::new("r9")), None).unwrap();
        let subjects = Subjects {
            connect_host: Some("x.example"),
            port: 443,
            sni: Sni::Name("a.okta.com"),
            address: None,
            certificate: None,
            client: None,
        };
        let explanation = store.current().explain(&subjects);
        let lines: Vec<_> = explanation.rules.iter().map(|line| format!("{} {}", line.rule.id, line.verdict)).collect();
        assert_eq!(
            lines,
            [
                "r1 does not match the SNI a.okta.com: it covers the names below a.okta.com and not a.okta.com itself; \
                 `.a.okta.com` covers both",
                "r2 does not match the SNI a.okta.com: it covers okta.com alone; `.okta.com` covers the names below as \
                 well",
                "r3 is for port 8443",
                "r4 is for ports 8000-8999",
                "r5 is for clients in 10.0.0.0/8",
                "r6 matches addresses, and the connection is for a name",
                "r7 matches the SNI a.okta.com, but not the CONNECT host x.example; a bypass needs both",
                "r8 matches the SNI a.okta.com and decides",
                "r9 would match, but is disabled",
                "r10 matches the SNI a.okta.com, but not the CONNECT host x.example; a bypass needs both",
            ]
        );
        assert_eq!(explanation.asked, store.decide(&subjects));
        let earlier =
            store.current().explain(&Subjects { sni: Sni::NotYet, connect_host: Some("a.okta.com"), ..subjects });
        assert_eq!(serde_json::to_value(&earlier.asked).unwrap(), serde_json::json!({"needs": "hello"}));
        assert_eq!(earlier.rules[6].verdict.to_string(), "matches the CONNECT host a.okta.com and decides");
        assert_eq!(earlier.rules[7].verdict.to_string(), "matches, but rule r7 comes before it");
    }
}
