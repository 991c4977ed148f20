//! TLS towards the backends of a pool: how it is known who they are, and who they think we are.
//!
//! What is in the files is not known here; the paths are as they are found from where replug runs.

use std::fmt;
use std::net::IpAddr;

use crate::address;
use crate::source::Spanned;
use crate::starttls::StartTls;
use crate::tls::{CertificateFiles, MinVersion};

/// Backends are spoken to in TLS, which begins here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendTls {
    /// How it is known who they are.
    pub verify: Verify,
    /// Who they are; `None`: each is the host that it is configured as.
    pub name: Option<Spanned<ServerName>>,
    /// Who we are, to backends that ask; `None`: nobody.
    pub certificate: Option<CertificateFiles>,
    /// Protocols that may be spoken within, by preference; empty: it is not talked about.
    pub alpn: Vec<String>,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
    /// What is said in the clear before; `None`: nothing.
    pub starttls: Option<StartTls>,
}

/// How it is known who a backend is. Each but [`Verify::None`] also has it prove that it has the
/// private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verify {
    /// An authority says so, for the name that it has to have.
    Full {
        /// A file with the authorities that are believed, in PEM; `None`: those of this machine.
        ca: Option<Spanned<String>>,
        /// If there are any, its public key has to be one of these as well.
        pins: Vec<Pin>,
        /// Files with lists of what authorities have revoked, in PEM or DER.
        revoked: Vec<Spanned<String>>,
    },
    /// An authority of our own knows it, under whatever name.
    Authority {
        /// A file with the authorities that are believed, in PEM.
        ca: Spanned<String>,
        /// As in [`Verify::Full`].
        pins: Vec<Pin>,
        /// As in [`Verify::Full`].
        revoked: Vec<Spanned<String>>,
    },
    /// Its public key is one of these, at least one; whatever else its certificate says.
    Pins(Vec<Pin>),
    /// It is not known.
    None,
}

impl Default for Verify {
    fn default() -> Self {
        Self::Full { ca: None, pins: Vec::new(), revoked: Vec::new() }
    }
}

impl Verify {
    /// Public keys that can be named.
    pub const PINS_MAX: usize = 16;

    /// Those that are.
    pub fn pins(&self) -> &[Pin] {
        match self {
            Self::Full { pins, .. } | Self::Authority { pins, .. } | Self::Pins(pins) => pins,
            Self::None => &[],
        }
    }

    /// The file with authorities, if there is one.
    pub fn ca(&self) -> Option<&Spanned<String>> {
        match self {
            Self::Full { ca, .. } => ca.as_ref(),
            Self::Authority { ca, .. } => Some(ca),
            Self::Pins(_) | Self::None => None,
        }
    }

    /// The files with lists of revoked certificates.
    pub fn revoked(&self) -> &[Spanned<String>] {
        match self {
            Self::Full { revoked, .. } | Self::Authority { revoked, .. } => revoked,
            Self::Pins(_) | Self::None => &[],
        }
    }

    /// All files that it names.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut Spanned<String>> {
        let (ca, revoked) = match self {
            Self::Full { ca, revoked, .. } => (ca.as_mut(), &mut revoked[..]),
            Self::Authority { ca, revoked, .. } => (Some(ca), &mut revoked[..]),
            Self::Pins(_) | Self::None => (None, &mut [][..]),
        };
        ca.into_iter().chain(revoked)
    }

    /// How much is verified.
    pub fn extent(&self) -> VerifyExtent {
        match self {
            Self::Full { .. } => VerifyExtent::Full,
            Self::Authority { .. } => VerifyExtent::Authority,
            Self::Pins(_) => VerifyExtent::Pins,
            Self::None => VerifyExtent::None,
        }
    }
}

/// How much of what a backend says it is is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyExtent {
    /// [`Verify::Full`].
    #[default]
    Full,
    /// [`Verify::Authority`].
    Authority,
    /// [`Verify::Pins`].
    Pins,
    /// [`Verify::None`].
    None,
}

impl VerifyExtent {
    /// All of them, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 4] =
        [("full", Self::Full), ("ca", Self::Authority), ("pin", Self::Pins), ("none", Self::None)];
}

/// Who a server is: what its certificate has to be for, and what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerName {
    /// A host name.
    Host(String),
    /// An address, which servers are not told.
    Ip(IpAddr),
}

impl ServerName {
    /// Reads a host name or an address without a port.
    ///
    /// # Errors
    /// The fault of the text.
    pub fn parse(text: &str) -> Result<Self, address::Fault> {
        match text.parse() {
            Ok(address) => Ok(Self::Ip(address)),
            Err(_) => address::host(text).map(Self::Host),
        }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// A public key, by its SHA-256 (RFC 7469, 2.4): of the `SubjectPublicKeyInfo` of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

impl Pin {
    /// What stands before the digest.
    pub const PREFIX: &str = "sha256/";

    /// A pin, from the digest itself.
    pub fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Reads `sha256/` and the digest in Base64; `sha256//`, as curl has it, is the same.
    pub fn parse(text: &str) -> Option<Self> {
        const CHARACTERS: usize = 44;

        let digest = text.strip_prefix(Self::PREFIX)?;
        let digest = match digest.strip_prefix('/') {
            Some(digest) if digest.len() == CHARACTERS => digest,
            _ => digest,
        };
        let sextets = digest.strip_suffix('=').filter(|_| digest.len() == CHARACTERS)?;
        let mut bytes = [0; 33];
        for (four, three) in sextets.as_bytes().chunks(4).zip(bytes.chunks_mut(3)) {
            let mut bits = 0;
            for at in 0..4 {
                let value = match four.get(at) {
                    None => 0,
                    Some(letter) => ALPHABET.iter().position(|known| known == letter)?,
                };
                bits = bits << 6 | u32::try_from(value).unwrap_or_default();
            }
            three.copy_from_slice(&bits.to_be_bytes()[1..]);
        }
        // The last letter has two bits that say nothing.
        let (digest, rest) = bytes.split_at(32);
        let digest = digest.try_into().expect("it was split there");
        (rest == [0]).then_some(Self(digest))
    }

    /// The digest.
    pub fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::PREFIX)?;
        for three in self.0.chunks(3) {
            let mut bits = [0; 4];
            bits[1..=three.len()].copy_from_slice(three);
            let bits = u32::from_be_bytes(bits);
            for at in 0..4 {
                let letter = match at <= three.len() {
                    true => ALPHABET[(bits >> (18 - 6 * at)) as usize & 63],
                    false => b'=',
                };
                write!(f, "{}", char::from(letter))?;
            }
        }
        Ok(())
    }
}

/// Base64 (RFC 4648, 4).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pins() {
        // `printf '' | openssl dgst -sha256 -binary | base64`
        let nothing = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let pin = Pin::parse(nothing).expect("a pin");
        assert_eq!(pin.digest()[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert_eq!(pin.digest()[28..], [0x78, 0x52, 0xb8, 0x55]);
        assert_eq!(pin.to_string(), nothing);
        assert_eq!(Pin::parse(&nothing.replace('/', "//").replace("+//", "+/")), Some(pin));
        for bad in [
            "",
            "sha256/",
            "sha1/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=",
            "sha256/47DEQpj8HBSa-_TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF==",
        ] {
            assert_eq!(Pin::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn server_names() {
        for (text, expected) in [
            ("db.example", Some("db.example")),
            ("db.example.", Some("db.example")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("::1", Some("::1")),
            ("db.example:5432", None),
            ("*.example", None),
            ("[::1]", None),
            ("10.0.0.256", None),
            ("", None),
        ] {
            let read = ServerName::parse(text).ok().map(|name| name.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn pins_are_read_as_they_are_written(digest in any::<[u8; 32]>()) {
            let pin = Pin::new(digest);
            prop_assert_eq!(Pin::parse(&pin.to_string()), Some(pin));
        }
    }
}
