//! Proxy auto-configuration: PAC scripts, evaluated by a real JavaScript engine.
//!
//! A PAC script defines `FindProxyForURL(url, host)` and answers with text such as `PROXY proxy.example:8080; DIRECT`
//! (Netscape, "Navigator Proxy Auto-Config File Format", 1996; today MDN, "Proxy Auto-Configuration (PAC) file";
//! Chrome, `net/docs/proxy.md`). All functions of that format are here, with the semantics that browsers kept, and
//! Microsoft's additions for IPv6 (WinHTTP, "IPv6 Extensions to Navigator Auto-Config File Format"). Names resolve by
//! what the caller's [`PacDns`] says, and by nothing else; no script reaches the network or a file.
//!
//! ```
//! use middlebox::net::Overrides;
//! use middlebox::pac::PacScript;
//!
//! let text = r#"function FindProxyForURL(url, host) {
//!     return dnsDomainIs(host, ".okta.com") ? "DIRECT" : "PROXY proxy.example:8080";
//! }"#;
//! let script = PacScript::compile("proxy.pac", text)?;
//! let found = script.find_proxy(&"https://acme.okta.com/".parse()?, "acme.okta.com", &Overrides::new())?;
//! assert_eq!(found, "DIRECT");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod dns;
mod engine;
mod error;
mod script;
#[cfg(test)]
mod tests;

pub use dns::PacDns;
pub use error::{PacError, PacLimit};
pub use script::{Evaluation, PacClock, PacLimits, PacScript, host_for_pac, url_for_pac};
