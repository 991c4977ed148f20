//! What a certificate says of its owner (RFC 5280).
//!
//! Whether it can be believed is decided elsewhere, by rustls; here it is only read: to find the
//! certificate that a client asks for, to tell when it ends, and to say whom a client has proven
//! to be. Certificates of clients come here after they were verified, and never before.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::der::{Reader, Value, tag};
use crate::time;

/// Names that one certificate may have here; more are left out.
const NAMES_MAX: usize = 1_000;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The common name of its subject.
    pub common_name: Option<String>,
    /// The common name of its issuer.
    pub issuer: Option<String>,
    /// Whom it is for: host names in lower case, addresses, mail addresses, URIs.
    pub names: Vec<Name>,
    /// From when it is valid, in seconds since 1970-01-01 UTC.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// Its public key.
    pub key: KeyKind,
    pub(crate) subject_der: Vec<u8>,
    pub(crate) issuer_der: Vec<u8>,
}

/// An alternative name of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A host, or `*.` and a domain; in lower case.
    Host(String),
    /// An address.
    Address(IpAddr),
    /// A mail address.
    Mail(String),
    /// A URI, as SPIFFE has them.
    Uri(String),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(text) | Self::Mail(text) | Self::Uri(text) => f.write_str(text),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Kinds of public keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with so many bits.
    Rsa(usize),
    /// On an elliptic curve of this name.
    Curve(&'static str),
    /// Something else.
    Other,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Curve(name) => f.write_str(name),
            Self::Other => f.write_str("not known"),
        }
    }
}

mod object {
    pub(super) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
    pub(super) const ALTERNATIVE_NAMES: &[u8] = &[0x55, 29, 17];
    pub(super) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1];
    pub(super) const CURVE: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    pub(super) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    pub(super) const CURVES: [(&[u8], &str); 3] = [
        (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], "ECDSA P-256"),
        (&[0x2b, 0x81, 4, 0, 34], "ECDSA P-384"),
        (&[0x2b, 0x81, 4, 0, 35], "ECDSA P-521"),
    ];
}

impl Facts {
    /// Reads a certificate; `None` if it is none.
    pub fn read(der: &[u8]) -> Option<Self> {
        let mut body = Reader::new(der).sequence()?.sequence()?;
        body.content(tag::explicit(0));
        body.content(tag::INTEGER)?;
        body.sequence()?;
        let issuer = body.content(tag::SEQUENCE)?;
        let mut validity = body.sequence()?;
        let (not_before, not_after) = (moment(&mut validity)?, moment(&mut validity)?);
        let subject = body.content(tag::SEQUENCE)?;
        let key = key_kind(body.sequence()?)?;
        body.content(tag::implicit(1));
        body.content(tag::implicit(2));
        let names = match body.content(tag::explicit(3)) {
            Some(extensions) => names(Reader::new(extensions).sequence()?),
            None => Vec::new(),
        };
        Some(Self {
            common_name: common_name(subject),
            issuer: common_name(issuer),
            names,
            not_before,
            not_after,
            key,
            subject_der: subject.to_vec(),
            issuer_der: issuer.to_vec(),
        })
    }

    /// The hosts that it is for: its alternative names, or for want of those its common name.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let common = self.common_name.as_deref().filter(|_| self.names.is_empty());
        let hosts = self.names.iter().filter_map(|name| match name {
            Name::Host(host) => Some(host.as_str()),
            _ => None,
        });
        hosts.chain(common)
    }
}

fn moment(validity: &mut Reader<'_>) -> Option<i64> {
    let value = validity.next()?;
    match value.tag {
        tag::UTC_TIME | tag::GENERALIZED_TIME => time::read(value.content),
        _ => None,
    }
}

/// The last common name of a distinguished name.
fn common_name(name: &[u8]) -> Option<String> {
    let parts = Reader::new(name).flat_map(|set| Reader::new(set.content));
    let common = parts.filter_map(|part| {
        let mut part = Reader::new(part.content);
        (part.content(tag::OBJECT)? == object::COMMON_NAME).then(|| part.next())?
    });
    common.last().map(|value| String::from_utf8_lossy(value.content).into_owned())
}

fn key_kind(mut info: Reader<'_>) -> Option<KeyKind> {
    let mut algorithm = info.sequence()?;
    let kind = algorithm.content(tag::OBJECT)?;
    let bits = info.content(tag::BIT_STRING)?;
    if kind == object::RSA {
        let modulus = Reader::new(bits.get(1..)?).sequence()?.content(tag::INTEGER)?;
        let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
        let zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        return Some(KeyKind::Rsa(modulus.len() * 8 - zeros));
    }
    if kind == object::CURVE {
        let curve = algorithm.content(tag::OBJECT)?;
        let known = object::CURVES.iter().find(|(id, _)| *id == curve);
        return Some(known.map_or(KeyKind::Other, |(_, name)| KeyKind::Curve(name)));
    }
    Some(if kind == object::ED25519 { KeyKind::Curve("Ed25519") } else { KeyKind::Other })
}

/// The alternative names among the extensions.
fn names(extensions: Reader<'_>) -> Vec<Name> {
    let found = extensions.filter_map(|extension| {
        let mut extension = Reader::new(extension.content);
        let is_it = extension.content(tag::OBJECT)? == object::ALTERNATIVE_NAMES;
        extension.content(tag::BOOLEAN);
        Reader::new(extension.content(tag::OCTET_STRING).filter(|_| is_it)?).sequence()
    });
    found.flatten().filter_map(name).take(NAMES_MAX).collect()
}

fn name(value: Value<'_>) -> Option<Name> {
    const MAIL: u8 = tag::implicit(1);
    const HOST: u8 = tag::implicit(2);
    const URI: u8 = tag::implicit(6);
    const ADDRESS: u8 = tag::implicit(7);
    let text = || str::from_utf8(value.content).ok().filter(|text| text.is_ascii());
    match value.tag {
        MAIL => text().map(|text| Name::Mail(text.to_owned())),
        HOST => text().map(|text| Name::Host(text.to_ascii_lowercase())),
        URI => text().map(|text| Name::Uri(text.to_owned())),
        ADDRESS => match value.content.len() {
            4 => <[u8; 4]>::try_from(value.content).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
            16 => {
                <[u8; 16]>::try_from(value.content).ok().map(|bytes| Ipv6Addr::from(bytes).into())
            }
            _ => None,
        }
        .map(Name::Address),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::openssl;
    use rig::Scratch;

    fn made_by_openssl(key: &[&str]) -> Facts {
        let scratch = Scratch::new();
        let (cert, private) = (scratch.join("cert.pem"), scratch.join("key.pem"));
        let mut words = vec!["req", "-x509", "-nodes", "-days", "30", "-keyout", &private];
        words.extend(["-out", &cert, "-subj", "/O=Some \u{e9} place/CN=Peter", "-utf8"]);
        words.extend([
            "-addext",
            "subjectAltName=DNS:A.example,DNS:*.b.example,IP:10.0.0.1,IP:2001:db8::1,\
             email:p@a.example,URI:spiffe://a/b",
        ]);
        words.extend(key);
        openssl(&words);
        let pem = std::fs::read(&cert).expect("openssl wrote it");
        crate::read_certificates(&pem).expect("a certificate").remove(0)
    }

    #[test]
    fn certificates_of_openssl() {
        let facts = made_by_openssl(&["-newkey", "rsa:2048"]);
        assert_eq!(facts.key, KeyKind::Rsa(2_048));
        assert_eq!(facts.common_name.as_deref(), Some("Peter"));
        assert_eq!(facts.issuer.as_deref(), Some("Peter"));
        assert_eq!(facts.not_after - facts.not_before, 30 * 86_400);
        let names: Vec<_> = facts.names.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            ["a.example", "*.b.example", "10.0.0.1", "2001:db8::1", "p@a.example", "spiffe://a/b"]
        );
        assert_eq!(facts.hosts().collect::<Vec<_>>(), ["a.example", "*.b.example"]);
        for (words, expected) in [
            (&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"][..], "ECDSA P-384"),
            (&["-newkey", "ed25519"], "Ed25519"),
        ] {
            assert_eq!(made_by_openssl(words).key.to_string(), expected);
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_read_without_harm() {
        let made = crate::self_signed(&["a.example".to_owned()], 0, 86_400).expect("chance");
        let facts = crate::read_certificates(made.cert.as_bytes()).expect("a certificate");
        assert_eq!(facts[0].not_after, 86_400);
        let der = crate::identity::der_of(made.cert.as_bytes());
        for cut in 0..der.len() {
            assert_eq!(Facts::read(&der[..cut]), None, "cut at {cut}");
        }
        for at in 0..der.len() {
            for change in [1, 0x80, 0xff] {
                let mut other = der.clone();
                other[at] ^= change;
                let _ = Facts::read(&other);
            }
        }
    }
}
