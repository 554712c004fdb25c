//! How products look at a connection: which name, at which moment. What several of them share is written here once.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::net::Host;
use crate::policy::Policy;
use crate::policy::decision::{Asked, Need, Sni, SubjectKind, Subjects};
use crate::policy::pattern::Side;
use crate::policy::standing::{Assumption, Standing};
use crate::policy::view::{Answer, Named, Target, View};

/// How a product spells the names that it compares. Case never counts; how well that is known differs.
pub(super) struct Spelling {
    pub(super) case: (Side, Standing),
    pub(super) dot: Dot,
    /// How well it is known that names are compared in their ASCII form.
    pub(super) unicode: Standing,
    /// Whether a literal address is compared with patterns for names too, as the text that it is.
    pub(super) address_is_text: bool,
}

/// What becomes of a trailing dot.
#[derive(Clone, Copy)]
pub(super) enum Dot {
    /// It is part of the name.
    Counts(Standing),
    DropsAll,
    DropsOne,
}

impl Spelling {
    /// A product of which nothing is known about case, trailing dots and other scripts.
    pub(super) const UNKNOWN: Self = Self {
        case: (Side::Both, Standing::NotEstablished),
        dot: Dot::Counts(Standing::NotEstablished),
        unicode: Standing::NotEstablished,
        address_is_text: true,
    };

    /// A matcher whose source says it all.
    pub(super) const TEXT: Self = Self {
        case: (Side::Both, Standing::Established),
        dot: Dot::Counts(Standing::Established),
        unicode: Standing::Established,
        address_is_text: true,
    };

    /// Puts a name into the view: as its subject where it has none yet, else as a further one.
    pub(super) fn add<'a>(&self, view: &mut View<'a>, kind: SubjectKind, text: &'a str) {
        let address = literal(text);
        let target = match address {
            Some(address) if !self.address_is_text => Target::Address(address),
            _ => Target::Name(self.normal(view, text)),
        };
        let named = Named { kind, text: Cow::Borrowed(text), target };
        // Only what the client dials is an address; a name that looks like one is a claim.
        if let (Some(address), SubjectKind::ConnectHost) = (address, kind) {
            view.address = Some(Named { target: Target::Address(address), ..named.clone() });
        }
        if view.subject.is_none() {
            view.subject = Some(named);
        } else if view.subject.as_ref().is_some_and(|subject| subject.target != named.target) {
            view.also.push(named);
        }
    }

    fn normal<'a>(&self, view: &mut View<'a>, text: &'a str) -> Cow<'a, str> {
        let mut doubt = |side, standing, assumed: &'static str| {
            if standing > Standing::Established {
                let doubt = (side, Assumption::new(standing, assumed));
                if !view.doubts.contains(&doubt) {
                    view.doubts.push(doubt);
                }
            }
        };
        let mut name = Cow::Borrowed(text);
        if !name.is_ascii() {
            doubt(Side::Both, self.unicode, "names are compared in their ASCII (punycode) form");
            let ascii = (self.unicode > Standing::Established).then(|| idna::domain_to_ascii(text).ok()).flatten();
            name = Cow::Owned(ascii.unwrap_or_else(|| text.to_lowercase()));
        }
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            doubt(self.case.0, self.case.1, "case does not count");
            name = Cow::Owned(name.to_ascii_lowercase());
        }
        if !name.ends_with('.') {
            return name;
        }
        let kept = match self.dot {
            Dot::Counts(standing) => {
                doubt(Side::Both, standing, "a trailing dot is part of the name");
                return name;
            }
            Dot::DropsAll => name.trim_end_matches('.').len(),
            Dot::DropsOne => name.len() - 1,
        };
        match name {
            Cow::Borrowed(name) => Cow::Borrowed(&name[..kept]),
            Cow::Owned(mut name) => {
                name.truncate(kept);
                Cow::Owned(name)
            }
        }
    }
}

/// The address that a host is written as.
pub(super) fn literal(text: &str) -> Option<IpAddr> {
    let plausible = text.bytes().last().is_some_and(|last| last.is_ascii_hexdigit() || last == b']');
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    plausible.then(|| bare.parse::<IpAddr>().ok()).flatten().map(|address| address.to_canonical())
}

/// A view with no name in it yet; the original destination of a transparent connection is its address.
pub(super) fn blank<'a>(subjects: &Subjects<'a>) -> View<'a> {
    View { port: subjects.port, client: subjects.client, ..View::default() }
}

/// Puts the address that was found or dialled into the view, unless it could not be had.
pub(super) fn add_address(view: &mut View<'_>, subjects: &Subjects<'_>) {
    if view.address.is_none() {
        view.address = subjects.address.filter(|address| !address.is_unspecified()).map(|address| {
            let address = address.to_canonical();
            Named { kind: SubjectKind::Address, text: address.to_string().into(), target: Target::Address(address) }
        });
    }
}

pub(super) fn decided<'a>(policy: &Policy, view: View<'a>) -> Answer<'a> {
    Answer { asked: Asked::Decided(view.decide(policy)), view }
}

pub(super) fn needs(need: Need, view: View<'_>) -> Answer<'_> {
    Answer { asked: Asked::Needs(need), view }
}

/// The host that the client asked for; without one, where the proxy is not an explicit one, the SNI. `None` where that
/// is still to be read.
pub(super) fn requested<'a>(subjects: &Subjects<'a>, spelling: &Spelling) -> Option<View<'a>> {
    let mut view = blank(subjects);
    match (subjects.connect_host, subjects.sni) {
        (Some(host), _) => spelling.add(&mut view, SubjectKind::ConnectHost, host),
        (None, Sni::NotYet) => return None,
        (None, Sni::Name(name)) => spelling.add(&mut view, SubjectKind::Sni, name),
        (None, Sni::Absent | Sni::NotTls) => {}
    }
    add_address(&mut view, subjects);
    Some(view)
}

/// The requested host alone.
pub(super) fn requested_host<'a>(policy: &Policy, subjects: &Subjects<'a>, spelling: &Spelling) -> Answer<'a> {
    match requested(subjects, spelling) {
        Some(view) => decided(policy, view),
        None => needs(Need::Hello, blank(subjects)),
    }
}

/// The SNI alone; without one nothing is compared.
pub(super) fn sni_alone<'a>(policy: &Policy, subjects: &Subjects<'a>, spelling: &Spelling) -> Answer<'a> {
    let mut view = blank(subjects);
    match subjects.sni {
        Sni::NotYet => return needs(Need::Hello, view),
        Sni::Name(name) => spelling.add(&mut view, SubjectKind::Sni, name),
        Sni::Absent | Sni::NotTls => {}
    }
    decided(policy, view)
}

/// The SNI, and without one the common name of the origin's certificate.
pub(super) fn sni_else_common_name<'a>(policy: &Policy, subjects: &Subjects<'a>, spelling: &Spelling) -> Answer<'a> {
    let mut view = blank(subjects);
    match (subjects.sni, subjects.certificate) {
        (Sni::NotYet, _) => return needs(Need::Hello, view),
        (Sni::Name(name), _) => spelling.add(&mut view, SubjectKind::Sni, name),
        (Sni::NotTls, _) => {}
        (Sni::Absent, None) => return needs(Need::OriginCertificate, view),
        (Sni::Absent, Some(names)) => add_common_name(&mut view, names, spelling),
    }
    decided(policy, view)
}

/// Puts the common name of a certificate into the view. It is compared as the text that it is, wildcard and all, and
/// whether that is so is not established for any product that comes here.
pub(super) fn add_common_name<'a>(view: &mut View<'a>, names: &'a [String], spelling: &Spelling) {
    let Some(name) = names.first() else { return };
    spelling.add(view, SubjectKind::Certificate, name);
    if name.starts_with("*.") {
        let assumed = "the wildcard of a certificate's name is compared as text";
        view.doubts.push((Side::Both, Assumption::new(Standing::NotEstablished, assumed)));
    }
}

/// Whether a name of a certificate is this one, or covers it with a wildcard for its first label (RFC 6125, 6.4.3).
pub(super) fn certifies(certified: &str, name: &str) -> bool {
    let name = name.trim_end_matches('.');
    certified.eq_ignore_ascii_case(name)
        || certified
            .strip_prefix("*.")
            .is_some_and(|base| name.split_once('.').is_some_and(|(_, parent)| parent.eq_ignore_ascii_case(base)))
}

/// Whether the host is a name and no literal address.
pub(super) fn is_name(host: &str) -> bool {
    literal(host).is_none() && Host::parse(host).is_ok_and(|host| host.name().is_some())
}
