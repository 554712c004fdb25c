//! The app `revocation`: whether a certificate of the simulated CA is still good, by OCSP (RFC 6960, appendix A) and as
//! a CRL (RFC 5280, 5), over plain HTTP as everywhere.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use super::public_ca::PublicCa;
use super::reply::{self, ReplyBody};
use crate::simulation::ocsp;

/// The largest question.
const REQUEST_BYTES: usize = 16 << 10;

/// Where the CRL is.
pub(super) const CRL_PATH: &str = "/simulated-public.crl";

pub(super) async fn answer(ca: &Arc<PublicCa>, request: Request<Incoming>) -> Response<ReplyBody> {
    match *request.method() {
        Method::GET | Method::HEAD if request.uri().path() == CRL_PATH => match ca.crl() {
            Ok(crl) => typed("application/pkix-crl", crl),
            Err(error) => failed(&error),
        },
        Method::POST => match Limited::new(request.into_body(), REQUEST_BYTES).collect().await {
            Ok(body) => status(ca, &body.to_bytes()),
            Err(_) => reply::text(StatusCode::PAYLOAD_TOO_LARGE, "this is no OCSP request\n"),
        },
        Method::GET | Method::HEAD => reply::text(StatusCode::NOT_FOUND, "OCSP is asked with POST here\n"),
        _ => reply::method_not_allowed("GET, HEAD, POST"),
    }
}

fn status(ca: &PublicCa, request: &[u8]) -> Response<ReplyBody> {
    let Some(asked) = ocsp::CertId::asked(request) else {
        return reply::text(StatusCode::BAD_REQUEST, "this is no OCSP request\n");
    };
    match ca.status(&asked) {
        Ok(answer) => typed("application/ocsp-response", answer),
        Err(error) => failed(&error),
    }
}

fn typed(kind: &'static str, bytes: Vec<u8>) -> Response<ReplyBody> {
    let mut response = Response::new(reply::full(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn failed(error: &rcgen::Error) -> Response<ReplyBody> {
    tracing::error!(%error, "the simulated CA cannot say whether a certificate is good");
    reply::text(StatusCode::INTERNAL_SERVER_ERROR, "the simulated CA failed\n")
}
