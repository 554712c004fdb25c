//! Domains that one owner has: what may stand behind a wildcard, and what may not.

/// The domain directly above a name, where that still belongs to one owner: never a public suffix such as `co.uk` or
/// `cloudfront.net`, under which strangers have their names (publicsuffix.org).
pub(super) fn parent(name: &str) -> Option<&str> {
    let registered = psl::domain_str(name)?;
    let (_, parent) = name.split_once('.')?;
    (parent.len() >= registered.len()).then_some(parent)
}

/// Every domain above a name that belongs to one owner, the nearest first.
pub(super) fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(name), |name| parent(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_suffix_is_nobodys_parent() {
        assert_eq!(parents("a.b.example.co.uk").collect::<Vec<_>>(), ["b.example.co.uk", "example.co.uk"]);
        assert_eq!(parent("example.co.uk"), None);
        assert_eq!(parent("d111.cloudfront.net"), None);
        assert_eq!(parent("login.acme.example"), Some("acme.example"));
        assert_eq!(parent("acme.example"), None);
        assert_eq!(parent("localhost"), None);
    }
}
