//! What Okta Verify does behind a middlebox.

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::proxy::{Does, alert_of};
use super::*;
use crate::simulation::{
    CallName, CallResult, Caller, ClientProfile, EnrollOutcome, Enrollment, Fault, PacDirective, ProxyAutoConfig,
    RefusalCause,
};

const WRITE_EXCEPTION: &str = "Extensions.WriteException: An error occurred when getting the organization status. Exception: An error occurred while sending the request.: The underlying connection was closed: Could not establish trust relationship for the SSL/TLS secure channel.: The remote certificate is invalid according to the validation procedure.";
const PIN_MISMATCH: &str = "[CertificatePinningValidator.ValidateConnection]: Certificate domain .okta.com did not match pinned keys/certs, validation failed.";

async fn enroll(world: &World) -> Enrollment {
    world.okta_verify().enroll(&url("https://acme.okta.com"), &world.workstation).await
}

fn cause(enrollment: &Enrollment) -> Option<RefusalCause> {
    match &enrollment.failed()?.result {
        CallResult::Refused { refusal } => Some(refusal.cause),
        _ => None,
    }
}

#[tokio::test]
async fn tunnelled_it_enrolls() {
    let world = World::of(vec![acme()]).await;
    let enrollment = enroll(&world).await;
    assert_eq!(enrollment.outcome, EnrollOutcome::Enrolled, "{enrollment:#?}");
    assert_eq!((enrollment.shown, enrollment.log.len()), (None, 0));
    let names: Vec<_> = enrollment.calls.iter().map(|call| call.name).collect();
    assert_eq!(
        names,
        [
            CallName::OrganizationStatus,
            CallName::SignIn,
            CallName::SignInForm,
            CallName::SignInCallback,
            CallName::Token,
            CallName::Authenticators,
            CallName::Enroll,
        ]
    );
    for call in &enrollment.calls {
        assert_eq!(call.pinned, call.by == Caller::App, "{call:?}");
        assert_eq!(call.certificate.as_ref().is_some_and(|seen| seen.matched), call.pinned, "{call:?}");
    }
    let ids = enrollment.ids.unwrap();
    assert!(ids.enrollment.starts_with("pfd") && ids.device.starts_with("guo") && ids.user.starts_with("00u"));
    assert_eq!(ids.methods.len(), 3);
    // The loopback callback does not pass the proxy, and each of the others names program and device.
    let heads = world.proxy.heads();
    assert_eq!(heads.len(), 6);
    assert!(heads.iter().all(|head| head.contains("\r\nMiddlebox-Device: desk-1\r\n")));
    assert_eq!(heads.iter().filter(|head| head.contains("User-Agent: OktaVerify/")).count(), 4);
}

#[tokio::test]
async fn a_sign_in_url_without_tls_is_not_called() {
    let world = World::of(vec![acme()]).await;
    let enrollment = world.okta_verify().enroll(&url("http://acme.okta.com"), &world.workstation).await;
    assert_eq!((enrollment.outcome, enrollment.calls.len()), (EnrollOutcome::Error, 0));
    assert_eq!(enrollment.failed_call, Some(CallName::OrganizationStatus));
    assert!(enrollment.log[0].ends_with("the sign-in URL has to begin with https://"), "{:?}", enrollment.log);
}

#[tokio::test]
async fn forged_by_an_unknown_ca_it_refuses_with_the_article_s_texts() {
    let mut world = World::of(vec![acme()]).await;
    world.proxy.set("acme.okta.com", Does::Forge);
    let enrollment = enroll(&world).await;
    assert_eq!(enrollment.outcome, EnrollOutcome::Refused);
    assert_eq!(enrollment.shown.as_deref(), Some("The sign-in URL is not secure"));
    assert_eq!(enrollment.log, [WRITE_EXCEPTION]);
    assert_eq!(cause(&enrollment), Some(RefusalCause::UntrustedCa));
    assert_eq!(world.proxy.next_refusal().await, "received fatal alert: UnknownCA");
    let call = enrollment.failed().unwrap();
    assert_eq!(call.certificate.as_ref().unwrap().issuer, "Test Inspection CA");
    assert!(!call.certificate.as_ref().unwrap().chain_ok);
    let json = serde_json::to_value(&enrollment).unwrap();
    assert_eq!(json["outcome"], "refused");
    assert_eq!(json["failed_call"], "organization-status");
    assert_eq!(json["calls"][0]["result"]["refusal"]["alert"], 48);
}

#[tokio::test]
async fn forged_by_a_trusted_ca_it_refuses_by_the_pin_while_the_browser_works() {
    let mut world = World::of(vec![acme()]).await;
    world.proxy.set("acme.okta.com", Does::Forge);
    world.trust_inspection();
    let enrollment = enroll(&world).await;
    assert_eq!(enrollment.outcome, EnrollOutcome::Refused);
    assert_eq!(enrollment.shown.as_deref(), Some("The sign-in URL is not secure"));
    assert_eq!(enrollment.log, [WRITE_EXCEPTION, PIN_MISMATCH]);
    assert_eq!(cause(&enrollment), Some(RefusalCause::PinMismatch));
    let seen = enrollment.failed().unwrap().certificate.clone().unwrap();
    assert!(seen.chain_ok && !seen.matched);
    assert!(seen.expected_pins.contains(&world.internet.pin(&host("acme.okta.com")).unwrap()));
    assert!(!seen.expected_pins.contains(&seen.facts.pin));
    assert_eq!(world.proxy.next_refusal().await, "received fatal alert: CertificateUnknown");

    let visit = world.workstation.browse(&url("https://acme.okta.com/")).await;
    assert_eq!((visit.status, visit.error), (Some(200), None));
    assert_eq!(visit.certificate.unwrap().issuer, "Test Inspection CA");
}

#[tokio::test]
async fn a_late_client_closes_politely_and_logs_the_same() {
    let mut world = World::of(vec![acme()]).await;
    world.proxy.set("acme.okta.com", Does::Forge);
    world.trust_inspection();
    let profile = ClientProfile { late: true, ..ClientProfile::default() };
    let client = OktaVerify::new(PinTable::simulated(&world.internet), profile);
    let enrollment = client.enroll(&url("https://acme.okta.com"), &world.workstation).await;
    assert_eq!(enrollment.log, [WRITE_EXCEPTION, PIN_MISMATCH]);
    let CallResult::Refused { refusal } = &enrollment.failed().unwrap().result else { panic!("{enrollment:?}") };
    assert_eq!(refusal.alert, None);
    assert_eq!(world.proxy.next_refusal().await, "close_notify");
}

#[tokio::test]
async fn an_enroll_link_on_a_forged_host_is_a_generic_error() {
    let mut world = World::of(vec![acme()]).await;
    world.trust_inspection();
    world.proxy.set("acme.mtls.okta.com", Does::Forge);
    let organization = world.internet.organization(&host("acme.okta.com")).unwrap();
    organization.set_enroll_link(Some(url("https://acme.mtls.okta.com/idp/authenticators"))).unwrap();
    let enrollment = enroll(&world).await;
    assert_eq!(enrollment.outcome, EnrollOutcome::Refused);
    assert_eq!(enrollment.failed_call, Some(CallName::Enroll));
    assert_eq!(enrollment.shown.as_deref(), Some("Generic enrollment error"));
    assert_eq!(enrollment.log[1], PIN_MISMATCH);

    world.proxy.set("acme.mtls.okta.com", Does::Tunnel);
    assert_eq!(enroll(&world).await.outcome, EnrollOutcome::Enrolled);
    let organization = world.internet.organization(&host("acme.okta.com")).unwrap();
    organization.set_enroll_link(None).unwrap();
    assert_eq!(enroll(&world).await.outcome, EnrollOutcome::Enrolled);
}

#[tokio::test]
async fn one_cell_enrolls_at_another_organization_s_host() {
    let other = origin(&["other.oktapreview.com"], App::OktaOrg);
    let link = Some(url("https://other.oktapreview.com/enroll/here"));
    let world = World::of(vec![OriginSpec { enroll_link: link, ..acme() }, other]).await;
    let enrollment = enroll(&world).await;
    assert_eq!(enrollment.outcome, EnrollOutcome::Enrolled, "{:?}", enrollment.failed());
    assert_eq!(enrollment.calls.last().unwrap().host, Some(host("other.oktapreview.com")));
}

#[tokio::test]
async fn a_custom_domain_leads_to_the_canonical_host_unless_switched_off() {
    let spec = OriginSpec { custom_domain: Some(host("login.acme.example")), ..acme() };
    let mut world = World::of(vec![spec]).await;
    world.trust_inspection();
    world.proxy.set("acme.okta.com", Does::Forge);
    let typed = url("https://login.acme.example");
    let enrollment = world.okta_verify().enroll(&typed, &world.workstation).await;
    assert_eq!(enrollment.failed_call, Some(CallName::CanonicalOrganization));
    assert_eq!(enrollment.shown.as_deref(), Some("The sign-in URL is not secure"));
    assert_eq!(enrollment.log, [WRITE_EXCEPTION, PIN_MISMATCH]);
    assert!(!enrollment.calls[0].pinned && enrollment.calls[1].pinned);

    let profile = ClientProfile { follow_organization_link: false, ..ClientProfile::default() };
    let client = OktaVerify::new(PinTable::simulated(&world.internet), profile);
    let enrollment = client.enroll(&typed, &world.workstation).await;
    assert_eq!(enrollment.outcome, EnrollOutcome::Enrolled, "{:?}", enrollment.failed());

    world.proxy.set("acme.okta.com", Does::Tunnel);
    let enrollment = world.okta_verify().enroll(&typed, &world.workstation).await;
    assert_eq!(enrollment.outcome, EnrollOutcome::Enrolled, "{:?}", enrollment.failed());
    let body = world.workstation.browse(&url("https://acme.okta.com/.well-known/okta-organization")).await.body;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["_links"]["organization"]["href"], "https://acme.okta.com");
    assert_eq!(body["_links"]["alternate"]["href"], "https://login.acme.example");
}

#[tokio::test]
async fn a_407_is_answered_by_whoever_has_credentials() {
    let mut world = World::of(vec![acme()]).await;
    world.proxy.demand("Basic dTpw");
    let enrollment = enroll(&world).await;
    assert_eq!(enrollment.outcome, EnrollOutcome::Error);
    assert!(enrollment.log[0].ends_with("(407) Proxy Authentication Required."), "{:?}", enrollment.log);
    let destination = "acme.okta.com:443".parse().unwrap();
    let refused = world.workstation.open(&destination, "test").await.unwrap_err();
    assert_eq!(refused, Fault::ProxyAuthentication { tried: false });

    world.workstation.set_credentials(Some(("u".into(), "p".into())));
    assert_eq!(enroll(&world).await.outcome, EnrollOutcome::Enrolled);
    let profile = ClientProfile { answer_proxy_challenge: false, ..ClientProfile::default() };
    let mute = OktaVerify::new(PinTable::simulated(&world.internet), profile);
    let enrollment = mute.enroll(&url("https://acme.okta.com"), &world.workstation).await;
    assert_eq!(enrollment.outcome, EnrollOutcome::Error);

    world.workstation.set_credentials(Some(("u".into(), "wrong".into())));
    let refused = world.workstation.open(&destination, "test").await.unwrap_err();
    assert_eq!(refused, Fault::ProxyAuthentication { tried: true });
}

#[tokio::test]
async fn what_the_proxy_answers_instead_is_told() {
    let mut world = World::of(vec![acme()]).await;
    world.proxy.set("acme.okta.com", Does::Forbid);
    let Err(Fault::Proxy(answer)) = world.workstation.open(&"acme.okta.com:443".parse().unwrap(), "test").await else {
        panic!("a block was not told");
    };
    assert_eq!((answer.status, answer.body.as_str()), (403, "blocked"));
    assert_eq!(answer.proxy_status.as_deref(), Some("test; error=http_request_denied"));
    let enrollment = enroll(&world).await;
    assert_eq!(enrollment.outcome, EnrollOutcome::Error);
    assert_eq!(enrollment.shown.as_deref(), Some("Generic enrollment error"));
    world.proxy.set("acme.okta.com", Does::BadGateway);
    assert!(enroll(&world).await.log[0].ends_with("(502) Bad Gateway."));

    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    world.workstation.set_proxy(ProxySetting::On(unused));
    assert!(enroll(&world).await.log[0].ends_with("Unable to connect to the remote server"));
    let visit = world.workstation.browse(&url("https://acme.okta.com/")).await;
    assert!(matches!(visit.error, Some(Fault::ProxyUnreachable { .. })), "{:?}", visit.error);
}

#[tokio::test]
async fn each_certificate_is_refused_for_its_own_reason() {
    for (kind, expected) in [
        (CertificateKind::Expired, RefusalCause::Expired),
        (CertificateKind::NotYetValid, RefusalCause::NotYetValid),
        (CertificateKind::WrongHost, RefusalCause::WrongHost),
        (CertificateKind::SelfSigned, RefusalCause::UntrustedCa),
        (CertificateKind::Untrusted, RefusalCause::UntrustedCa),
    ] {
        let world = World::direct(vec![with_certificate(kind)]).await;
        let enrollment = enroll(&world).await;
        assert_eq!(cause(&enrollment), Some(expected), "{kind:?}");
        assert_eq!(enrollment.log, [WRITE_EXCEPTION], "{kind:?}");
        let visit = world.workstation.browse(&url("https://acme.okta.com/")).await;
        let Some(Fault::Refused(refusal)) = visit.error else { panic!("{kind:?}: {:?}", visit.error) };
        assert_eq!((refusal.cause, refusal.alert), (expected, Some(alert_of(expected))), "{kind:?}");
    }
}

#[tokio::test]
async fn a_bad_chain_with_a_wrong_name_is_alert_46_of_the_application_alone() {
    let mut world = World::direct(vec![with_certificate(CertificateKind::Untrusted)]).await;
    let overrides = world.internet.overrides();
    let address = overrides.lookup(&"acme.okta.com:443".parse().unwrap()).unwrap()[0];
    let mut elsewhere = crate::net::Overrides::new();
    elsewhere.point("login.example:443".parse().unwrap(), address);
    world.workstation.set_overrides(elsewhere);
    let typed = url("https://login.example");
    let enrollment = world.okta_verify().enroll(&typed, &world.workstation).await;
    let CallResult::Refused { refusal } = &enrollment.failed().unwrap().result else { panic!("{enrollment:?}") };
    assert_eq!((refusal.cause, refusal.alert), (RefusalCause::UntrustedCa, Some(46)));
    let Some(Fault::Refused(refusal)) = world.workstation.browse(&typed).await.error else { panic!("not refused") };
    assert_eq!((refusal.cause, refusal.alert), (RefusalCause::UntrustedCa, Some(48)));
}

/// What stands between two texts.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split_once(before).unwrap().1.split_once(after).unwrap().0
}

/// Signs in by hand and asks for a token with this verifier; the challenge is that of 43 times `v`.
async fn token(world: &World, verifier: &str) -> String {
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, "v".repeat(43).as_bytes()));
    let page = format!(
        "https://acme.okta.com/oauth2/v1/authorize?client_id=a&response_type=code&state=s\
         &redirect_uri=http://127.0.0.1:1/&code_challenge={challenge}&code_challenge_method=S256"
    );
    let page = world.workstation.browse(&url(&page)).await.body;
    let body = format!("stateToken={}", between(&page, "name=\"stateToken\" value=\"", "\""));
    let answer = world.post("/login/sign-in", FORM, &body).await;
    let code = between(&answer, "http://127.0.0.1:1/?code=", "&state=s");
    let body = format!(
        "grant_type=authorization_code&code={code}&client_id=a&redirect_uri=http://127.0.0.1:1/&code_verifier={verifier}"
    );
    let answer = world.post("/oauth2/v1/token", FORM, &body).await;
    let again = world.post("/oauth2/v1/token", FORM, &body).await;
    assert!(again.contains("\"error\":\"invalid_grant\""), "a code is good once: {again}");
    answer
}

#[tokio::test]
async fn the_organization_checks_what_it_is_sent() {
    let world = World::direct(vec![acme()]).await;
    let answer = world.post("/idp/authenticators", "", "{}").await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("\"errorCode\":\"E0000011\""), "{answer}");
    let answer = world.post("/idp/authenticators", "Authorization: Bearer nobody-s\r\n", "{}").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");

    let answer = token(&world, &"w".repeat(43)).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"error\":\"invalid_grant\""), "{answer}");
    let answer = token(&world, &"v".repeat(43)).await;
    let authorization = format!("Authorization: Bearer {}\r\n", between(&answer, "\"access_token\":\"", "\""));
    let answer = world.post("/idp/authenticators", &authorization, "{}").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"errorCode\":\"E0000158\""), "{answer}");
    assert!(answer.contains("device.displayName: The field cannot be left blank"), "{answer}");
    let answer = world.post("/elsewhere", &authorization, "{}").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn a_separate_process_pins_single_hosts() {
    let mut world = World::of(vec![acme()]).await;
    let text: Vec<_> = world.internet.origins().iter().map(|(host, pin)| format!("{host}={pin}")).collect();
    let client = OktaVerify::new(text.join(" ").parse().unwrap(), ClientProfile::default());
    let enrollment = client.enroll(&url("https://acme.okta.com"), &world.workstation).await;
    assert_eq!(enrollment.outcome, EnrollOutcome::Enrolled);
    world.proxy.set("acme.okta.com", Does::Forge);
    world.trust_inspection();
    let enrollment = client.enroll(&url("https://acme.okta.com"), &world.workstation).await;
    assert_eq!(enrollment.log, [WRITE_EXCEPTION, PIN_MISMATCH]);
}

struct Script(fn(&str) -> Vec<PacDirective>);

impl ProxyAutoConfig for Script {
    fn find_proxy(&self, url: &Url, host: &str) -> Vec<PacDirective> {
        assert!(url.scheme() == "http" || (url.path() == "/" && url.query().is_none()), "{url}");
        (self.0)(host)
    }
}

#[tokio::test]
async fn a_pac_script_decides_also_for_loopback() {
    let mut world = World::direct(vec![acme()]).await;
    let dead = PacDirective::parse_list("PROXY 127.0.0.1:1");
    assert_eq!(dead.len(), 1);
    world.workstation.set_proxy(ProxySetting::Pac(Arc::new(Script(|_| {
        PacDirective::parse_list("SOCKS 127.0.0.1:1; PROXY 127.0.0.1:1; DIRECT")
    }))));
    assert_eq!(enroll(&world).await.outcome, EnrollOutcome::Enrolled);
    world.workstation.set_proxy(ProxySetting::Pac(Arc::new(Script(|host| {
        PacDirective::parse_list(if host == "127.0.0.1" { "PROXY 127.0.0.1:1" } else { "DIRECT" })
    }))));
    let enrollment = enroll(&world).await;
    assert_eq!(enrollment.failed_call, Some(CallName::SignInCallback));
    assert_eq!(enrollment.outcome, EnrollOutcome::Error);
}
