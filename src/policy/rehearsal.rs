//! One question, answered in full: what is decided, by which entry, why not by the others, and how sure that is.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use super::decision::{Asked, Decision, MatchedRule, Subject, Why};
use super::dialects::Dialect;
use super::explain::{Explained, Explanation};
use super::question::{AskedSni, Question};
use super::reading::{Reading, Rejected};
use super::rule::{RuleId, optional_text, shared_text};
use super::standing::{Assumption, Standing};
use super::{Action, Policy};

/// The answer to one question. Serialised, it is what `policy explain --format json` prints for one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rehearsed {
    /// The host, as it was asked about.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The SNI, where it is not the host: a name, or `none`.
    pub sni: AskedSni,
    /// The address that the host was said to have.
    pub address: Option<IpAddr>,
    /// The names that the origin's certificate was said to have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate: Vec<String>,
    /// How the list was read.
    pub dialect: Dialect,
    /// What is done with the connection.
    pub decision: Action,
    /// The reason, as a sentence.
    pub why: Why,
    /// What was compared with the entries.
    pub subject: Option<Subject>,
    /// The entry that decides; none where the default does.
    pub entry: Option<Deciding>,
    /// How sure the answer is.
    pub confidence: Confidence,
    /// How well it is known that the product decides like this.
    pub standing: Standing,
    /// What to tell a person about that; nothing where it is established.
    pub advice: Option<&'static str>,
    /// What was assumed where the product's reading is not established.
    pub assumptions: Vec<Assumption>,
    /// The entries that do not decide, those that nearly did first, each with its reason.
    pub others: Vec<Other>,
    /// The entries that the product refuses.
    #[serde(serialize_with = "shared_list")]
    pub rejected: Arc<[Rejected]>,
}

/// The entry behind a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deciding {
    /// The entry, as written.
    #[serde(serialize_with = "shared_text")]
    pub text: Arc<str>,
    /// Its line in its file, from 1.
    pub line: Option<usize>,
    /// Its id.
    pub id: RuleId,
    /// Its note.
    #[serde(serialize_with = "optional_text")]
    pub note: Option<Arc<str>>,
}

/// An entry that does not decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Other {
    /// The entry, as written.
    #[serde(serialize_with = "shared_text")]
    pub text: Arc<str>,
    /// Its line in its file, from 1.
    pub line: Option<usize>,
    /// Its id.
    pub id: RuleId,
    /// What it asks for.
    pub action: Action,
    /// Why it does not decide, as a phrase that follows the entry.
    pub reason: String,
    /// Whether it comes near: it matches and comes too late, is for another port, or is a name away.
    pub near: bool,
    /// How well that is known.
    pub standing: Standing,
    /// What was assumed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<Assumption>,
}

/// How sure an answer about a product is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The product's documentation or source says so.
    High,
    /// Samples or third parties say so, or it follows from what is documented.
    Medium,
    /// Nothing that is known says so.
    Low,
}

impl From<Standing> for Confidence {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Established => Self::High,
            Standing::Observed | Standing::Secondary | Standing::Inferred => Self::Medium,
            Standing::NotEstablished => Self::Low,
        }
    }
}

impl Confidence {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

fn shared_list<S: serde::Serializer>(list: &Arc<[Rejected]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.iter())
}

impl Reading {
    /// Answers one question offline, as [`Policy::answer`] does, with the entries that the product refuses.
    #[must_use]
    pub fn rehearse(&self, question: &Question) -> Rehearsed {
        Rehearsed { rejected: self.rejected.as_slice().into(), ..self.policy.answer(question) }
    }
}

impl Policy {
    /// Answers one question offline, as [`Self::rehearse`] does, with every entry's part in it. Takes time proportional
    /// to the number of entries.
    #[must_use]
    pub fn answer(&self, question: &Question) -> Rehearsed {
        let Explanation { asked, rules } = self.rehearse_explained(&question.subjects());
        let decision = match asked {
            Asked::Decided(decision) => decision,
            Asked::Needs(_) => Decision::by_default(self.default_action(), None, self.epoch()),
        };
        let assumptions = decision.assumptions().to_vec();
        let Decision { action, rule, subject, why, standing, .. } = decision;
        let deciding = rule.as_ref().map(|rule| rule.id.clone());
        let mut explained: Vec<&Explained> =
            rules.iter().filter(|explained| Some(&explained.rule.id) != deciding.as_ref()).collect();
        explained.sort_by_key(|explained| explained.distance());
        Rehearsed {
            host: question.host.clone(),
            port: question.port,
            sni: question.sni.clone(),
            address: question.address,
            certificate: question.certificate.clone(),
            dialect: self.dialect(),
            decision: action,
            why,
            subject,
            entry: rule.map(Deciding::of),
            confidence: standing.into(),
            standing,
            advice: standing.advice(),
            assumptions,
            others: explained.into_iter().map(Other::of).collect(),
            rejected: Arc::new([]),
        }
    }
}

impl Deciding {
    pub(super) fn of(rule: MatchedRule) -> Self {
        Self { text: rule.pattern, line: rule.line, id: rule.id, note: rule.note }
    }
}

impl Other {
    fn of(explained: &Explained) -> Self {
        let Explained { rule, verdict, standing, assumptions } = explained;
        Self {
            text: rule.pattern.clone(),
            line: rule.line,
            id: rule.id.clone(),
            action: rule.action,
            reason: verdict.to_string(),
            near: explained.is_near(),
            standing: *standing,
            assumptions: assumptions.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::formats::Entry;
    use super::*;

    fn reading(dialect: &str, list: &[&str]) -> Reading {
        let list = (1..).zip(list).map(|(line, entry)| Entry::typed(*entry, Action::Bypass).on_line(line));
        Reading::of(dialect.parse().unwrap(), None, list)
    }

    fn rehearse(dialect: &str, list: &[&str], host: &str) -> Rehearsed {
        reading(dialect, list).rehearse(&host.parse().unwrap())
    }

    #[test]
    fn the_answer_names_the_entry_and_the_near_misses_come_first() {
        let list = ["a.example", "https://x/", "*.okta.com", "*.*.okta.com"];
        let answer = rehearse("pan-os-exclusion", &list, "acme.mtls.okta.com");
        assert_eq!(answer.decision, Action::Bypass);
        let entry = answer.entry.as_ref().unwrap();
        assert_eq!((&*entry.text, entry.line), ("*.*.okta.com", Some(4)));
        assert_eq!(answer.others.iter().map(|other| &*other.text).collect::<Vec<_>>(), ["*.okta.com", "a.example"]);
        assert_eq!(answer.others.iter().map(|other| other.near).collect::<Vec<_>>(), [true, false]);
        assert!(answer.others[0].reason.contains("exactly one label below okta.com"), "{}", answer.others[0].reason);
        assert_eq!((answer.rejected.len(), answer.rejected[0].line), (1, Some(2)));
        assert_eq!((answer.confidence, answer.advice), (Confidence::High, None));
    }

    #[test]
    fn a_guess_says_that_it_is_one_and_what_was_assumed() {
        let answer = rehearse("zscaler", &[".okta.com"], "a.b.c.d.e.okta.com");
        assert_eq!((answer.decision, answer.confidence), (Action::Bypass, Confidence::Low));
        assert_eq!(answer.advice, Some("not established: test it on your appliance"));
        assert_eq!(answer.assumptions[0].assumed, "the fifth level counts");
    }

    #[test]
    fn a_default_that_nobody_chose_is_as_sure_as_what_is_known_of_it() {
        let answer = rehearse("pan-os-exclusion", &["*.okta.com"], "a.example");
        assert_eq!((answer.decision, answer.confidence), (Action::Inspect, Confidence::Low));
        let own = Reading::of("pan-os-exclusion".parse().unwrap(), Some(Action::Inspect), [] as [Entry; 0]);
        let answer = own.rehearse(&"a.example".parse().unwrap());
        assert_eq!((answer.decision, answer.confidence), (Action::Inspect, Confidence::High));
    }

    #[test]
    fn the_answer_in_json_has_what_scripts_ask_for() {
        let answer = rehearse("middlebox", &["*.okta.com"], "okta.com:8443");
        let json = serde_json::to_value(&answer).unwrap();
        assert_eq!(json["host"], "okta.com");
        assert_eq!(json["port"], 8443);
        assert_eq!(json["decision"], "inspect");
        assert!(json["entry"].is_null() && json["sni"].is_null());
        assert_eq!(json["rejected"], serde_json::json!([]));
        assert_eq!(json["confidence"], "high");
        assert_eq!(json["others"][0]["text"], "*.okta.com");
    }
}
