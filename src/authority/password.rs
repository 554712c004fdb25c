//! Encrypted private keys: PKCS #8 (RFC 5958) under PBES2 (RFC 8018) with PBKDF2 and AES in CBC mode, which is what
//! `openssl genpkey -aes256` and `openssl pkcs8 -topk8` write.
//!
//! Both primitives are those of the TLS provider. The crates that read more (scrypt, Triple DES) bring some 25 others.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::num::NonZeroU32;
use std::path::Path;

use aws_lc_rs::cipher::{AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::error::CaError;
use crate::net::der::{self, Element, Elements, tag};

/// The longest password that is read.
const MAX_BYTES: u64 = 4096;

/// More rounds than anybody asks for; keeps a made-up file from spending hours.
const MAX_ROUNDS: u32 = 100_000_000;

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 12];
/// `id-hmacWith…` is this with one octet more; SHA-1, the default, is 7.
const HMAC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2];
/// AES (NIST) is this with one octet more.
const AES: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1];

/// The password of an encrypted key. Its memory is overwritten when it goes, and it does not show in logs.
#[derive(Clone)]
pub struct Password(Zeroizing<Vec<u8>>);

/// Why a key could not be decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undecrypted {
    /// The file is not what it says that it is.
    Malformed,
    /// The encryption is one that is not read here.
    Unknown(&'static str),
    /// The password does not fit, or the bytes are damaged.
    WrongPassword,
}

impl Password {
    /// The first line of a file, without its end, as `openssl -passin file:` takes it.
    ///
    /// # Errors
    /// The file cannot be read, or its first line is empty or longer than 4,096 bytes.
    pub fn read(path: &Path) -> Result<Self, CaError> {
        let line = File::open(path).and_then(|file| {
            // With the room reserved, no half-read copy stays behind.
            let mut line = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_BYTES).unwrap_or(4096) + 1));
            file.take(MAX_BYTES + 1).read_to_end(&mut line)?;
            if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                line.truncate(end);
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
            }
            match line.len() {
                0 => Err(io::Error::other("its first line is empty; it has to be the password")),
                length if length as u64 > MAX_BYTES => Err(io::Error::other("its first line is too long")),
                _ => Ok(line),
            }
        });
        line.map(Self).map_err(|error| CaError::Read { path: path.to_owned(), reason: error.to_string() })
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text.into_bytes()))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// Whether a file holds an encrypted PKCS #8 key.
pub(super) fn is_encrypted(pem: &[u8]) -> bool {
    pem.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
}

/// Decrypts the first encrypted PKCS #8 key of a file.
pub(super) fn decrypt(pem: &[u8], password: &Password) -> Result<Zeroizing<Vec<u8>>, Undecrypted> {
    let der = section(pem).ok_or(Undecrypted::Malformed)?;
    let malformed = Undecrypted::Malformed;
    // EncryptedPrivateKeyInfo ::= SEQUENCE { encryptionAlgorithm, encryptedData OCTET STRING }
    let (algorithm, data) = pair(&der, tag::SEQUENCE).ok_or(malformed)?;
    let (scheme, parameters) = identifier(algorithm).ok_or(malformed)?;
    if scheme != PBES2 {
        return Err(Undecrypted::Unknown("it is not PBES2"));
    }
    // PBES2-params ::= SEQUENCE { keyDerivationFunc, encryptionScheme }
    let (derivation, encryption) = pair(parameters.ok_or(malformed)?.raw, tag::SEQUENCE).ok_or(malformed)?;
    let (cipher, iv) = identifier(encryption).ok_or(malformed)?;
    let algorithm = match cipher.strip_prefix(AES) {
        Some([2]) => &AES_128,
        Some([22]) => &AES_192,
        Some([42]) => &AES_256,
        _ => return Err(Undecrypted::Unknown("its cipher is not AES in CBC mode")),
    };
    let length = match cipher.last() {
        Some(2) => 16,
        Some(22) => 24,
        _ => 32,
    };
    let iv: [u8; 16] = iv.and_then(|iv| iv.content.try_into().ok()).ok_or(malformed)?;
    let key = derive(derivation, password, length)?;
    let key = UnboundCipherKey::new(algorithm, &key).and_then(PaddedBlockDecryptingKey::cbc_pkcs7);
    let mut plain = Zeroizing::new(data.content.to_vec());
    let context = DecryptionContext::Iv128(FixedLength::from(&iv));
    let decrypted = key.and_then(|key| key.decrypt(&mut plain, context).map(|plain| plain.len()));
    let length = decrypted.map_err(|_| Undecrypted::WrongPassword)?;
    plain.truncate(length);
    // One wrong password in 256 leaves something that looks padded.
    match Elements(&plain).next() {
        Some(element) if element.tag == tag::SEQUENCE && element.raw.len() == plain.len() => Ok(plain),
        _ => Err(Undecrypted::WrongPassword),
    }
}

/// PBKDF2-params ::= SEQUENCE { salt OCTET STRING, iterationCount INTEGER, keyLength INTEGER OPTIONAL, prf DEFAULT }
fn derive(function: Element<'_>, password: &Password, length: usize) -> Result<Zeroizing<Vec<u8>>, Undecrypted> {
    let malformed = Undecrypted::Malformed;
    let (name, parameters) = identifier(function).ok_or(malformed)?;
    if name != PBKDF2 {
        return Err(Undecrypted::Unknown("its key is not derived with PBKDF2"));
    }
    let mut parameters = Elements(parameters.ok_or(malformed)?.content);
    let salt = parameters.next().filter(|salt| salt.tag == tag::OCTET_STRING).ok_or(malformed)?;
    let rounds = parameters.next().filter(|rounds| rounds.tag == tag::INTEGER).ok_or(malformed)?;
    let rounds = rounds
        .content
        .iter()
        .try_fold(0_u32, |sum, octet| sum.checked_mul(256).and_then(|sum| sum.checked_add(u32::from(*octet))));
    let rounds = rounds.filter(|rounds| *rounds <= MAX_ROUNDS).and_then(NonZeroU32::new);
    let rounds = rounds.ok_or(Undecrypted::Unknown("its number of rounds is out of range"))?;
    let hash = parameters.find(|parameter| parameter.tag == tag::SEQUENCE);
    let hash = match hash.map(|hash| identifier(hash).and_then(|(name, _)| name.strip_prefix(HMAC))) {
        None | Some(Some([7])) => pbkdf2::PBKDF2_HMAC_SHA1,
        Some(Some([9])) => pbkdf2::PBKDF2_HMAC_SHA256,
        Some(Some([10])) => pbkdf2::PBKDF2_HMAC_SHA384,
        Some(Some([11])) => pbkdf2::PBKDF2_HMAC_SHA512,
        Some(_) => return Err(Undecrypted::Unknown("its hash is not SHA-1, SHA-256, SHA-384 or SHA-512")),
    };
    let mut key = Zeroizing::new(vec![0; length]);
    pbkdf2::derive(hash, rounds, salt.content, &password.0, &mut key);
    Ok(key)
}

/// AlgorithmIdentifier ::= SEQUENCE { algorithm OBJECT IDENTIFIER, parameters ANY OPTIONAL }
fn identifier(element: Element<'_>) -> Option<(&[u8], Option<Element<'_>>)> {
    let mut parts = der::inside(tag::SEQUENCE, element.raw)?;
    let name = parts.next().filter(|name| name.tag == tag::OID)?;
    Some((name.content, parts.next()))
}

/// The first two elements inside the one that the bytes begin with.
fn pair(bytes: &[u8], outer: u8) -> Option<(Element<'_>, Element<'_>)> {
    let mut parts = der::inside(outer, bytes)?;
    parts.next().zip(parts.next())
}

/// The first section of the kind in PEM (RFC 7468).
fn section(pem: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(pem);
    let (inside, _) = text.split_once(BEGIN)?.1.split_once(END)?;
    let base64: String = inside.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    BASE64_STANDARD.decode(base64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_and_does_not_show() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        for (content, expected) in [("s3 cret\r\nrest", "s3 cret"), ("one", "one"), ("\n", ""), ("", "")] {
            std::fs::write(&path, content).unwrap();
            match Password::read(&path) {
                Ok(password) => {
                    assert_eq!(*password.0, expected.as_bytes());
                    assert_eq!(format!("{password:?}"), "Password(hidden)");
                }
                Err(error) => assert!(expected.is_empty() && error.to_string().contains("is empty"), "{error}"),
            }
        }
        std::fs::write(&path, "x".repeat(5000)).unwrap();
        assert!(Password::read(&path).unwrap_err().to_string().contains("too long"));
    }

    proptest::proptest! {
        #[test]
        fn damaged_keys_are_refused_without_a_panic(bytes: Vec<u8>) {
            let pem = format!("{BEGIN}\n{}\n{END}\n", BASE64_STANDARD.encode(bytes));
            proptest::prop_assert!(decrypt(pem.as_bytes(), &Password::from("x".to_owned())).is_err());
        }
    }
}
