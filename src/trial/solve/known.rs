//! What vendors ask to exclude, from the product packs that come with the program.

use super::generalise::Known;
use crate::policy::{Dialect, Needs, Product};

/// What the vendors of the shipped product packs ask to exclude, pack by pack.
///
/// Names that are a customer's own alone (`{custom}`) are known to nobody beforehand, and a `*` within a label
/// (`lfoup01-*.cloudsink.net`) is no pattern of the native dialect: such hosts are written by themselves.
#[must_use]
pub fn known() -> Vec<Known> {
    let packs = Product::names().filter_map(|name| Product::load(name).ok());
    packs.flat_map(|product| of_product(&product)).collect()
}

fn of_product(product: &Product) -> Vec<Known> {
    let zones = product.org.as_ref().map(|org| org.zones.as_slice()).unwrap_or_default();
    let mut known = Vec::new();
    for host in product.hosts.iter().filter(|host| host.needs != Needs::Reach) {
        let asks = host.asks.as_deref().unwrap_or("exclude it from inspection");
        let reason = format!("{} asks: {asks}", product.vendor.as_deref().unwrap_or(&product.title));
        let mut names = vec![host.name.clone()];
        if host.name.contains("{zone}") {
            let here = zones.iter().filter(|zone| host.zones.is_empty() || host.zones.contains(zone));
            names = here.map(|zone| host.name.replace("{zone}", zone)).collect();
        }
        let patterns = names.iter().filter(|name| !name.contains('{')).filter_map(|name| {
            let pattern = Dialect::MIDDLEBOX.parse(name).ok()?;
            Some(Known { reason: reason.clone(), pattern })
        });
        known.extend(patterns);
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_packs_give_patterns_in_every_zone() {
        let known = known();
        let by = |pattern: &str| known.iter().find(|known| known.pattern.to_string() == pattern);
        let okta = by("*.okta.com").unwrap();
        assert_eq!(okta.reason, "Okta asks: exclude the organization's default domains from inspection");
        assert!(by("*.oktapreview.com").is_some() && by("*.push.apple.com").is_some());
        assert!(known.iter().all(|known| !known.pattern.to_string().contains('{')));
        assert!(by("ocsp.digicert.com").is_none(), "what is only reached needs no exclusion");
    }
}
