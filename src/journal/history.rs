//! What the same client did before: one connection often cannot tell a pin from an untrusted CA, a second one can.

use std::collections::HashMap;

use super::Signature;

/// What makes two connections the same client's: its device where it names one, else its TLS stack and User-Agent from
/// one address. Another trust store in the same process has another stack, so the address alone is never enough.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// The device that the client named.
    Device(String),
    /// Address, JA4 and User-Agent.
    Stack(std::net::IpAddr, String, Option<String>),
}

/// What one client did with our certificates, under one CA.
#[derive(Clone, Debug, Default)]
pub struct History {
    accepted: HashMap<String, u64>,
    refused: HashMap<String, (Signature, u64)>,
    trusts_inspection_ca: Option<bool>,
}

/// Hosts remembered per client and kind.
const MAX_HOSTS: usize = 256;

impl History {
    /// The client sent application data over our certificate for `host` on connection `id`.
    pub fn accepted(&mut self, host: &str, id: u64) {
        // What it refused before is out of date: it may have been given the CA since.
        self.refused.remove(host);
        if self.accepted.len() < MAX_HOSTS || self.accepted.contains_key(host) {
            self.accepted.insert(host.to_owned(), id);
        }
    }

    /// The client refused our certificate for `host` on connection `id`.
    pub fn refused(&mut self, host: &str, signature: Signature, id: u64) {
        self.accepted.remove(host);
        if self.refused.len() < MAX_HOSTS || self.refused.contains_key(host) {
            self.refused.insert(host.to_owned(), (signature, id));
        }
    }

    /// What is known of the device's trust store from its owner: a lab that put the inspection CA into it, or took
    /// it out, says so. What was refused or accepted under the other trust is forgotten, but for alerts seen, which
    /// tell how this client speaks.
    pub fn set_trusts_inspection_ca(&mut self, trusts: Option<bool>) {
        if self.trusts_inspection_ca != trusts {
            self.trusts_inspection_ca = trusts;
            self.accepted.clear();
            self.refused.retain(|_, (signature, _)| matches!(signature, Signature::Alert { number: 48, .. }));
        }
    }

    /// A sentence why the inspection CA cannot be what this client objects to, if something says so.
    #[must_use]
    pub fn refutes_untrusted_ca(&self, host: &str, now: Signature, by_inspection_ca: bool) -> Option<String> {
        if !by_inspection_ca {
            return None;
        }
        if self.trusts_inspection_ca == Some(true) {
            return Some("the trust store of this client's device holds the inspection CA".to_owned());
        }
        if let Some((other, id)) = self.accepted.iter().filter(|(other, _)| *other != host).max_by_key(|(_, id)| **id) {
            return Some(format!("the same client accepted the same CA for {other} (connection {id})"));
        }
        let knows_48 = |(signature, _): &&(Signature, u64)| matches!(signature, Signature::Alert { number: 48, .. });
        match (now, self.refused.values().find(knows_48)) {
            (Signature::Alert { number: 42 | 46, .. }, Some((_, id))) if self.trusts_inspection_ca != Some(false) => {
                Some(format!("the same client says an unknown CA with alert 48 (connection {id}); this is another"))
            }
            _ => None,
        }
    }

    /// A sentence why the inspection CA is most likely what this client objects to, if something says so.
    #[must_use]
    pub fn suggests_untrusted_ca(&self, host: &str) -> Option<String> {
        if self.trusts_inspection_ca == Some(false) {
            return Some("the trust store of this client's device does not hold the inspection CA".to_owned());
        }
        if !self.accepted.is_empty() {
            return None;
        }
        let mut others: Vec<_> = self.refused.keys().filter(|other| *other != host).map(String::as_str).collect();
        others.sort_unstable();
        match others[..] {
            [] => None,
            [one] => Some(format!("the same client refused the same CA for {one} too, and accepted it nowhere")),
            [one, ..] => Some(format!(
                "the same client refused the same CA for {one} and {} more, and accepted it nowhere",
                others.len() - 1
            )),
        }
    }
}
