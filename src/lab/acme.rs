//! The organization that is simulated where nothing else is asked for.

use crate::net::Host;
use crate::simulation::{App, OriginSpec};

/// The origins of the simulated Acme: an Okta organization under its production, sandbox and custom domains, an
/// intranet page, and a host that echoes.
#[must_use]
pub fn acme() -> Vec<OriginSpec> {
    let host = |text: &str| Host::parse(text).expect("a literal host name");
    let hosts = ["acme.okta.com", "acme.mtls.okta.com", "acme.oktapreview.com"].map(host).to_vec();
    let mut organization = OriginSpec::new(hosts, App::OktaOrg);
    organization.custom_domain = Some(host("login.acme.example"));
    vec![
        organization,
        OriginSpec::new(vec![host("intranet.acme.example")], App::Static),
        OriginSpec::new(vec![host("echo.acme.example")], App::Echo),
    ]
}
