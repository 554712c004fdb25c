//! Entries for a dialect: what to write so that a product covers these hosts.

use super::Cell;
use super::dialects::Dialect;
use super::matrix::read;
use super::standing::Standing;

/// How products write one host, a domain with or without what lies below it, and names of a certain depth.
const FORMS: [&str; 6] = ["", ".", "*.", "^.", "*.*.", "*.*.*."];

impl Dialect {
    /// An entry about `base` that covers all these hosts, and how well that is known: the best known form first, of
    /// those the narrowest. `base` is one of the hosts, or a domain above them.
    #[must_use]
    pub fn entry_for(self, base: &str, hosts: &[&str]) -> Option<(String, Standing)> {
        let under = format!("a.{base}");
        // What the entry would cover in vain: the names below a host that is meant alone, a domain above its hosts.
        let needless = match (hosts.contains(&base), hosts.iter().all(|host| *host == base)) {
            (true, true) => Some(under.as_str()),
            (true, false) => None,
            (false, _) => Some(base),
        };
        let forms = FORMS.iter().enumerate().filter_map(|(at, form)| {
            let entry = format!("{form}{base}");
            let standings = hosts.iter().map(|host| self.reach(&entry, host)).collect::<Option<Vec<_>>>()?;
            let standing = standings.into_iter().max()?;
            let wide = needless.is_some_and(|needless| self.reach(&entry, needless).is_some());
            Some(((standing, wide, at), entry))
        });
        let ((standing, ..), entry) = forms.min_by_key(|(rank, _)| *rank)?;
        Some((entry, standing))
    }

    /// Whether an entry covers a host that is CONNECT host, SNI and certificate name at once, on port 443, and how well
    /// that is known; what is assumed where nothing is known counts.
    #[must_use]
    pub fn reach(self, entry: &str, host: &str) -> Option<Standing> {
        match read(self, entry, host, 443) {
            Cell::Match(standing) => Some(standing),
            Cell::NotEstablished { assumed: true } => Some(Standing::NotEstablished),
            Cell::NotEstablished { assumed: false } | Cell::NoMatch(_) | Cell::Rejected { .. } => None,
        }
    }

    /// An entry about `base` that is known to cover all these hosts.
    pub(super) fn entry_that_covers(self, base: &str, hosts: &[&str]) -> Option<String> {
        self.entry_for(base, hosts).filter(|(_, standing)| *standing == Standing::Established).map(|(entry, _)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(dialect: &str, base: &str, hosts: &[&str]) -> Option<String> {
        dialect.parse::<Dialect>().unwrap().entry_for(base, hosts).map(|(entry, _)| entry)
    }

    #[test]
    fn a_domain_is_written_as_the_product_writes_it_without_its_apex_where_that_can_be_said() {
        let below = |dialect: &str| entry(dialect, "okta.com", &["acme.okta.com"]).unwrap_or_default();
        for (dialect, written) in [
            ("middlebox", "*.okta.com"),
            ("zscaler", ".okta.com"),
            ("pan-os-exclusion", "*.okta.com"),
            ("squid-server-name", ".okta.com"),
            ("no-proxy-curl", "okta.com"),
            ("no-proxy-go", ".okta.com"),
            ("forcepoint", "*.okta.com"),
            ("cloudflare-host", ""),
        ] {
            assert_eq!(below(dialect), written, "{dialect}");
        }
        assert_eq!(entry("pan-os-exclusion", "okta.com", &["acme.okta.com", "acme.mtls.okta.com"]), None);
        assert_eq!(entry("middlebox", "okta.com", &["okta.com", "acme.okta.com"]).unwrap(), ".okta.com");
    }

    #[test]
    fn every_dialect_can_say_one_host() {
        for dialect in Dialect::all() {
            let (entry, _) = dialect.entry_for("login.acme.example", &["login.acme.example"]).unwrap();
            let expected = if dialect.name().starts_with("check-point") { "." } else { "" };
            assert_eq!(entry, format!("{expected}login.acme.example"), "{dialect}");
        }
    }

    #[test]
    fn what_is_only_assumed_says_so() {
        let (_, standing) = "forcepoint".parse::<Dialect>().unwrap().entry_for("a.example", &["a.example"]).unwrap();
        assert_eq!(standing, Standing::NotEstablished);
    }
}
