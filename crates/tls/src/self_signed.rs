//! Certificates for trying out: signed by their own key, believed by nobody who is not told to.
//!
//! They are written here, in two dozen lines of DER, since a library for it would bring more
//! crates than the whole of TLS.

use std::net::IpAddr;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

use crate::der::{sequence, tag, value};
use crate::time;

/// A certificate and its key, both as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct SelfSigned {
    /// The certificate.
    pub cert: String,
    /// The private key, PKCS#8.
    pub key: String,
}

impl std::fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SelfSigned").field("cert", &self.cert).finish_non_exhaustive()
    }
}

/// The machine gives no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoChance;

mod object {
    pub(super) const CURVE: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    pub(super) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    pub(super) const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    pub(super) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
    pub(super) const ALTERNATIVE_NAMES: &[u8] = &[0x55, 29, 17];
    pub(super) const EXTENDED_USE: &[u8] = &[0x55, 29, 37];
    pub(super) const ACME_IDENTIFIER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 31];
    pub(super) const FOR_SERVERS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
}

/// Makes a key on P-256 and a certificate for it that is for `names`, host names and addresses,
/// from `from` to `until` (seconds since 1970). The first name is its common name.
///
/// # Errors
/// Without random numbers.
pub fn self_signed(names: &[String], from: i64, until: i64) -> Result<SelfSigned, NoChance> {
    make(names, &[], from, until)
}

/// The same for one host, with what an authority wants to see in it (RFC 8737, section 3).
///
/// # Errors
/// Without random numbers.
#[cfg_attr(not(feature = "acme"), allow(dead_code, reason = "nobody orders"))]
pub(crate) fn challenge(
    name: &str,
    digest: &[u8; 32],
    from: i64,
    until: i64,
) -> Result<SelfSigned, NoChance> {
    let shown = value(tag::OCTET_STRING, &[digest]);
    let extension = sequence(&[
        &value(tag::OBJECT, &[object::ACME_IDENTIFIER]),
        &value(tag::BOOLEAN, &[&[0xff]]),
        &value(tag::OCTET_STRING, &[&shown]),
    ]);
    make(&[name.to_owned()], &extension, from, until)
}

/// With `extension` behind those that are usual.
fn make(names: &[String], extension: &[u8], from: i64, until: i64) -> Result<SelfSigned, NoChance> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| NoChance)?;
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| NoChance)?;
    // Positive, and without a leading zero.
    serial[0] = serial[0] & 0x7f | 0x40;
    let object = |id: &[u8]| value(tag::OBJECT, &[id]);
    let algorithm = sequence(&[&object(object::ECDSA_SHA256)]);
    let name = name(names.first().map_or("replug", String::as_str));
    let key = sequence(&[
        &sequence(&[&object(object::CURVE), &object(object::P256)]),
        &value(tag::BIT_STRING, &[&[0], pair.public_key().as_ref()]),
    ]);
    let body = sequence(&[
        &value(tag::explicit(0), &[&value(tag::INTEGER, &[&[2]])]),
        &value(tag::INTEGER, &[&serial]),
        &algorithm,
        &name,
        &sequence(&[&time::der(from), &time::der(until)]),
        &name,
        &key,
        &value(tag::explicit(3), &[&extensions(names, extension)]),
    ]);
    let signature = pair.sign(&SystemRandom::new(), &body).map_err(|_| NoChance)?;
    let signature = value(tag::BIT_STRING, &[&[0], signature.as_ref()]);
    let cert = sequence(&[&body, &algorithm, &signature]);
    let key = pair.to_pkcs8v1().map_err(|_| NoChance)?;
    Ok(SelfSigned { cert: pem("CERTIFICATE", &cert), key: pem("PRIVATE KEY", key.as_ref()) })
}

/// A distinguished name that is a common name and nothing else.
fn name(common: &str) -> Vec<u8> {
    // RFC 5280 allows no more.
    let end = (0..=common.len().min(64)).rev().find(|end| common.is_char_boundary(*end));
    let common = &common[..end.unwrap_or_default()];
    let common = value(tag::UTF8_STRING, &[common.as_bytes()]);
    let part = sequence(&[&value(tag::OBJECT, &[object::COMMON_NAME]), &common]);
    sequence(&[&value(tag::SET, &[&part])])
}

fn extensions(names: &[String], more: &[u8]) -> Vec<u8> {
    let names: Vec<_> = names.iter().map(|name| alternative(name)).collect();
    let names: Vec<_> = names.iter().map(Vec::as_slice).collect();
    let uses = sequence(&[&value(tag::OBJECT, &[object::FOR_SERVERS])]);
    let extension = |id: &[u8], content: &[u8]| {
        sequence(&[&value(tag::OBJECT, &[id]), &value(tag::OCTET_STRING, &[content])])
    };
    sequence(&[
        &extension(object::ALTERNATIVE_NAMES, &sequence(&names)),
        &extension(object::EXTENDED_USE, &uses),
        more,
    ])
}

fn alternative(name: &str) -> Vec<u8> {
    match name.parse() {
        Ok(IpAddr::V4(address)) => value(tag::implicit(7), &[&address.octets()]),
        Ok(IpAddr::V6(address)) => value(tag::implicit(7), &[&address.octets()]),
        Err(_) => value(tag::implicit(2), &[name.as_bytes()]),
    }
}

/// DER as PEM (RFC 7468).
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    const LINE: usize = 64;
    let digits = base64(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = digits.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(LINE));
        text += line;
        text.push('\n');
        rest = behind;
    }
    text + &format!("-----END {label}-----\n")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place > three.len() { '=' } else { digit.into() });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DAY, NOW, openssl};
    use crate::x509::{Facts, KeyKind};
    use rig::Scratch;

    fn made(names: &[&str]) -> (SelfSigned, Facts) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = self_signed(&names, NOW - DAY, NOW + 40_000 * DAY).expect("random numbers");
        let facts = crate::read_certificates(made.cert.as_bytes()).expect("a certificate");
        (made, facts[0].clone())
    }

    #[test]
    fn it_says_what_was_wanted() {
        let (_, facts) = made(&["www.example.com", "*.b.example", "10.0.0.1", "::1"]);
        let names: Vec<_> = facts.names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["www.example.com", "*.b.example", "10.0.0.1", "::1"]);
        assert_eq!(facts.common_name.as_deref(), Some("www.example.com"));
        assert_eq!((facts.not_before, facts.not_after), (NOW - DAY, NOW + 40_000 * DAY));
        assert_eq!(facts.key, KeyKind::Curve("ECDSA P-256"));
        let long = "l".repeat(70);
        assert_eq!(made(&[&long]).1.common_name.map(|name| name.len()), Some(64));
    }

    #[test]
    fn openssl_believes_it_and_its_key() {
        let scratch = Scratch::new();
        let (made, _) = made(&["localhost"]);
        let (cert, key) = (scratch.join("cert.pem"), scratch.join("key.pem"));
        std::fs::write(&cert, &made.cert).expect("a file");
        std::fs::write(&key, &made.key).expect("a file");
        let words = ["verify", "-x509_strict", "-purpose", "sslserver"];
        openssl(&["pkey", "-check", "-noout", "-in", &key]);
        openssl(&[&words[..], &["-check_ss_sig", "-CAfile", &cert, &cert]].concat());
        assert!(!format!("{made:?}").contains("PRIVATE"));
    }

    #[test]
    fn base64_of_all_lengths() {
        for (bytes, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
    }
}
