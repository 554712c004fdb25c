//! Whether a certificate has been revoked, asked as Windows asks: where the certificate says, over plain HTTP, by OCSP
//! first and then for the CRL, with the proxy setting of services.
//!
//! A certificate that names no place has nothing to ask after and passes, which is an assumption: what Okta Verify does
//! about one is not published. Nothing is cached, so that each call says what it depends on.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::{CertificateError, Error};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use url::Url;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_OCSP;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::fetch::{Account, Attempt, Client, Order, Stack, fetch};
use super::{Refusal, RefusalCause, Workstation};
use crate::simulation::ocsp::{CertId, CertStatus};

/// What the system's certificate library calls itself.
const USER_AGENT: &str = "Microsoft-CryptoAPI/10.0 (simulated by middlebox)";

/// A chain that was validated, and the name that it was validated for.
pub(super) struct Chain {
    pub(super) leaf: CertificateDer<'static>,
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    pub(super) name: ServerName<'static>,
}

/// Asks until somebody answers; nobody, or an answer that the certificate is revoked, is a refusal.
pub(super) async fn check(workstation: &Workstation, chain: &Chain) -> Result<(), Refusal> {
    let places = Places::of(&chain.leaf);
    let mut reasons = Vec::new();
    for url in &places.ocsp {
        match by_ocsp(workstation, chain, url).await {
            Ok(CertStatus::Good) => return Ok(()),
            Ok(CertStatus::Revoked) => return Err(revoked()),
            Err(reason) => reasons.push(format!("{url}: {reason}")),
        }
    }
    for url in &places.crl {
        match by_crl(workstation, chain, url).await {
            Ok(CertStatus::Good) => return Ok(()),
            Ok(CertStatus::Revoked) => return Err(revoked()),
            Err(reason) => reasons.push(format!("{url}: {reason}")),
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let detail = format!("its revocation status is unknown ({})", reasons.join("; "));
    Err(Refusal { cause: RefusalCause::RevocationUnknown, alert: None, detail })
}

fn revoked() -> Refusal {
    Refusal { cause: RefusalCause::Policy, alert: None, detail: "it has been revoked".to_owned() }
}

/// Where a certificate says that it can be asked after.
#[derive(Debug, Default)]
struct Places {
    ocsp: Vec<Url>,
    crl: Vec<Url>,
}

impl Places {
    fn of(leaf: &CertificateDer<'_>) -> Self {
        let mut places = Self::default();
        let Ok((_, leaf)) = X509Certificate::from_der(leaf) else { return places };
        for extension in leaf.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::AuthorityInfoAccess(access) => {
                    let ocsp = access.accessdescs.iter();
                    let ocsp = ocsp.filter(|one| one.access_method == OID_PKIX_ACCESS_DESCRIPTOR_OCSP);
                    places.ocsp.extend(ocsp.filter_map(|one| http(&one.access_location)));
                }
                ParsedExtension::CRLDistributionPoints(points) => {
                    let names = points.points.iter().filter_map(|point| match &point.distribution_point {
                        Some(DistributionPointName::FullName(names)) => Some(names),
                        _ => None,
                    });
                    places.crl.extend(names.flatten().filter_map(http));
                }
                _ => {}
            }
        }
        places
    }
}

fn http(name: &GeneralName<'_>) -> Option<Url> {
    let GeneralName::URI(uri) = name else { return None };
    Url::parse(uri).ok().filter(|url| url.scheme() == "http")
}

async fn by_ocsp(workstation: &Workstation, chain: &Chain, url: &Url) -> Result<CertStatus, String> {
    let issuer = chain.intermediates.first().ok_or("the issuer was not sent")?;
    let id = CertId::of(&chain.leaf, issuer).ok_or("the certificate does not parse")?;
    let order = Order {
        method: Method::POST,
        url: url.clone(),
        headers: vec![(CONTENT_TYPE, HeaderValue::from_static("application/ocsp-request"))],
        body: Bytes::from(id.request()),
    };
    let answer = ask(workstation, &order).await?;
    id.status(&answer, issuer).map_err(str::to_owned)
}

async fn by_crl(workstation: &Workstation, chain: &Chain, url: &Url) -> Result<CertStatus, String> {
    let list = ask(workstation, &Order::get(url.clone())).await?;
    let list = CertificateRevocationListDer::from(list.to_vec());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let judge = WebPkiServerVerifier::builder_with_provider(Arc::clone(&workstation.roots), provider)
        .with_crls([list])
        .only_check_end_entity_revocation()
        .enforce_revocation_expiration()
        .build()
        .map_err(|error| error.to_string())?;
    let verdict = judge.verify_server_cert(&chain.leaf, &chain.intermediates, &chain.name, &[], UnixTime::now());
    match verdict {
        Ok(_) => Ok(CertStatus::Good),
        Err(Error::InvalidCertificate(CertificateError::Revoked)) => Ok(CertStatus::Revoked),
        Err(error) => Err(error.to_string()),
    }
}

async fn ask(workstation: &Workstation, order: &Order) -> Result<Bytes, String> {
    let Attempt { result, .. } = plainly(workstation, order).await;
    let answer = result.map_err(|fault| fault.to_string())?;
    match answer.status {
        200 => Ok(answer.body),
        status => Err(format!("the answer has status {status}")),
    }
}

/// A call of its own within a call, which is why its type is named.
fn plainly<'a>(workstation: &'a Workstation, order: &'a Order) -> Pin<Box<dyn Future<Output = Attempt> + Send + 'a>> {
    const CLIENT: Client<'static> = Client {
        user_agent: USER_AGENT,
        stack: Stack::DotNet,
        account: Account::Service,
        pinned: None,
        sni: None,
        late: false,
        checks_revocation: false,
        answer_challenge: false,
    };
    Box::pin(async move { fetch(workstation, &CLIENT, order).await })
}
