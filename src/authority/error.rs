//! What keeps an inspection CA from being made or used, and what to do about it.

use std::path::PathBuf;

use thiserror::Error;

use super::sign::SignError;
use crate::net::CertificateError;

/// The inspection CA could not be made or used.
#[derive(Clone, Debug, Error)]
pub enum CaError {
    /// A file could not be read.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The state folder or the file in it could not be written.
    #[error("cannot write {path}: {reason}; choose another folder with --state-dir")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Others than its owner can read the private key.
    #[error(
        "others can read the private key in {path} (mode {mode:04o}); run `chmod 600 {path}`, or `middlebox ca renew` if they may have read it"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others than its owner can put files of their own into the state folder.
    #[error(
        "others can write to the folder {path} (mode {mode:04o}), and so put a CA of their own there; run `chmod go-w {path}`, or choose another with --state-dir"
    )]
    OpenFolder {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The stored CA is not whole.
    #[error(
        "the inspection CA in {path} is damaged: {reason}; run `middlebox ca renew`, then let clients trust the new one"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In what way.
        reason: String,
    },
    /// The stored CA is not what its profile describes.
    #[error(
        "the inspection CA in {path} was made by another version of its profile; run `middlebox ca renew`, then let clients trust the new one"
    )]
    OtherProfile {
        /// The file.
        path: PathBuf,
    },
    /// The stored CA has other name constraints than were asked for.
    #[error(
        "the inspection CA in {path} is permitted to sign for {has}, not for {asked}; leave --permit out, or run `middlebox ca renew` with it"
    )]
    OtherConstraints {
        /// The file.
        path: PathBuf,
        /// What it is permitted.
        has: String,
        /// What was asked for.
        asked: String,
    },
    /// Its time is over, or has not come.
    #[error("the CA in {path} is valid from {from} to {to}, not now; {mend}")]
    NotNow {
        /// The file.
        path: PathBuf,
        /// Start, RFC 3339.
        from: String,
        /// End, RFC 3339.
        to: String,
        /// What to do.
        mend: &'static str,
    },
    /// No certificate in PEM form.
    #[error("no certificate in {path}; it has to hold PEM, with a line `-----BEGIN CERTIFICATE-----`")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate that does not parse.
    #[error("the certificate in {path} does not parse: {reason}")]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// In what way.
        reason: String,
    },
    /// No private key in PEM form.
    #[error("no private key in {path}; it has to hold PEM, with a line `-----BEGIN PRIVATE KEY-----`")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The private key needs a pass phrase.
    #[error(
        "the private key in {path} is encrypted; give its password with --ca-key-password-file, or decrypt it with `openssl pkey -in {path} -out FILE`"
    )]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// The password is not that of the private key.
    #[error("the password does not open the private key in {path}; give the one that it was encrypted with")]
    WrongPassword {
        /// The file.
        path: PathBuf,
    },
    /// The private key is encrypted in a way that is not read here.
    #[error(
        "the private key in {path} is encrypted in a way that is not read here: {reason}; write it anew with `openssl pkcs8 -topk8 -v2 aes-256-cbc -in {path} -out FILE`"
    )]
    UnknownEncryption {
        /// The file.
        path: PathBuf,
        /// In what way.
        reason: &'static str,
    },
    /// A private key of a kind that cannot sign here.
    #[error(
        "the private key in {path} cannot be used: {reason}; give EC (P-256 to P-521), RSA (2048 bits or more) or Ed25519"
    )]
    BadKey {
        /// The file.
        path: PathBuf,
        /// In what way.
        reason: String,
    },
    /// Certificate and key are of two pairs.
    #[error("the private key in {key} does not belong to the certificate in {certificate}")]
    KeyMismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate is not that of a CA.
    #[error(
        "the certificate in {path} is not a CA's (its basicConstraints do not say CA:TRUE); give the CA that is to sign"
    )]
    NotCa {
        /// The file.
        path: PathBuf,
    },
    /// The CA may not sign certificates.
    #[error("the CA in {path} may not sign certificates (its keyUsage lacks keyCertSign); give one that may")]
    MayNotSign {
        /// The file.
        path: PathBuf,
    },
    /// A certificate could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A certificate just signed does not parse, which is our mistake.
    #[error("the CA's own certificate is malformed, please report this: {0}")]
    Facts(#[from] CertificateError),
}
