//! What a header of version 2 tells beside addresses: a list of types, lengths and values.

use super::{Foreign, UNIQUE_ID_BYTES_MAX};

/// What comes before each value: its type and its length.
const HEAD_BYTES: usize = 3;

/// Bytes of a checksum.
pub(super) const CRC32C_BYTES: usize = 4;

/// What comes before what is told of TLS: who has shown what, and whether it was verified.
const SSL_HEAD_BYTES: usize = 5;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(pub u8);

impl Kind {
    /// The protocol that was agreed on within TLS.
    pub const ALPN: Self = Self(0x01);
    /// The host that the client has asked for: in TLS, its server name.
    pub const AUTHORITY: Self = Self(0x02);
    /// A checksum of the header.
    pub const CRC32C: Self = Self(0x03);
    /// Nothing: filling.
    pub const NOOP: Self = Self(0x04);
    /// What the connection is called everywhere, at most [`UNIQUE_ID_BYTES_MAX`] bytes.
    pub const UNIQUE_ID: Self = Self(0x05);
    /// What is told of TLS: an [`Ssl`].
    pub const SSL: Self = Self(0x20);
    /// Within [`Kind::SSL`]: the version, `TLSv1.3`.
    pub const SSL_VERSION: Self = Self(0x21);
    /// Within [`Kind::SSL`]: the common name in the client's certificate.
    pub const SSL_CN: Self = Self(0x22);
    /// Within [`Kind::SSL`]: the cipher, `ECDHE-RSA-AES128-GCM-SHA256`.
    pub const SSL_CIPHER: Self = Self(0x23);
    /// Within [`Kind::SSL`]: the algorithm of the certificate's signature, `SHA256`.
    pub const SSL_SIG_ALG: Self = Self(0x24);
    /// Within [`Kind::SSL`]: the algorithm of its key, `RSA2048`.
    pub const SSL_KEY_ALG: Self = Self(0x25);
    /// The name of the network namespace.
    pub const NETNS: Self = Self(0x30);
    /// The first type that everybody may use for themselves.
    pub const CUSTOM_MIN: Self = Self(0xe0);
    /// The last one.
    pub const CUSTOM_MAX: Self = Self(0xef);
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// What it is; a type that is not known is kept.
    pub kind: Kind,
    /// The value, as it came.
    pub value: &'a [u8],
}

/// A list of values, each within it and as its type has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tlvs<'a>(&'a [u8]);

impl<'a> Tlvs<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Foreign> {
        let sound = |kind: Kind, value: &[u8]| match kind {
            Kind::CRC32C => value.len() == CRC32C_BYTES,
            Kind::UNIQUE_ID => value.len() <= UNIQUE_ID_BYTES_MAX,
            Kind::SSL => {
                value.get(SSL_HEAD_BYTES..).is_some_and(|rest| are_whole(rest, |_, _| true))
            }
            _ => true,
        };
        if are_whole(bytes, sound) { Ok(Self(bytes)) } else { Err(Foreign::Tlv) }
    }

    /// All of them, in their order.
    pub fn iter(self) -> impl Iterator<Item = Tlv<'a>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (tlv, after) = first(rest)?;
            rest = after;
            Some(tlv)
        })
    }

    /// The first value of a kind.
    pub fn get(self, kind: Kind) -> Option<&'a [u8]> {
        self.iter().find(|tlv| tlv.kind == kind).map(|tlv| tlv.value)
    }

    /// What is told of TLS.
    pub fn ssl(self) -> Option<Ssl<'a>> {
        let (head, fields) = self.get(Kind::SSL)?.split_first_chunk::<SSL_HEAD_BYTES>()?;
        let [client, verify @ ..] = *head;
        Some(Ssl { client, verify: u32::from_be_bytes(verify), fields: Self(fields) })
    }
}

/// What a header tells of TLS between the client and its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ssl<'a> {
    /// Bits of what the client has shown: see the constants.
    pub client: u8,
    /// 0: the client has shown a certificate, and it was good.
    pub verify: u32,
    /// The kinds that are within [`Kind::SSL`].
    pub fields: Tlvs<'a>,
}

impl Ssl<'_> {
    /// The client has connected by TLS.
    pub const CLIENT_SSL: u8 = 0x01;
    /// It has shown a certificate in this connection.
    pub const CLIENT_CERT_CONN: u8 = 0x02;
    /// It has shown a certificate in this session of TLS, at least once.
    pub const CLIENT_CERT_SESS: u8 = 0x04;
}

/// Whether `bytes` are a list of values, all of which are sound.
fn are_whole(bytes: &[u8], sound: impl Fn(Kind, &[u8]) -> bool) -> bool {
    let mut rest = bytes;
    while let Some((tlv, after)) = first(rest) {
        if !sound(tlv.kind, tlv.value) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// The first value, and what is behind it; `None` where there is none, or not all of it.
fn first(bytes: &[u8]) -> Option<(Tlv<'_>, &[u8])> {
    let (&[kind, high, low], rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let (value, after) = rest.split_at_checked(u16::from_be_bytes([high, low]).into())?;
    Some((Tlv { kind: Kind(kind), value }, after))
}

/// There is no room: neither a value nor all of them may be longer than 65,535 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Values to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlvBuffer(Vec<u8>);

impl TlvBuffer {
    /// Adds one.
    ///
    /// # Errors
    /// When there is no room for it; nothing is added then.
    pub fn push(&mut self, kind: Kind, value: &[u8]) -> Result<(), TooLong> {
        let length = u16::try_from(value.len()).map_err(|_| TooLong)?;
        if self.0.len() + HEAD_BYTES + value.len() > u16::MAX.into() {
            return Err(TooLong);
        }
        self.0.push(kind.0);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
        Ok(())
    }

    /// Adds what there is to tell of TLS.
    ///
    /// # Errors
    /// As for [`TlvBuffer::push`].
    pub fn push_ssl(&mut self, client: u8, verify: u32, fields: &Self) -> Result<(), TooLong> {
        self.push(Kind::SSL, &ssl_value(client, verify, fields))
    }

    /// As they stand in a header.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The value of a [`Kind::SSL`], of which [`Ssl`] says what is in it.
pub fn ssl_value(client: u8, verify: u32, fields: &TlvBuffer) -> Vec<u8> {
    [&[client][..], &verify.to_be_bytes(), fields.as_bytes()].concat()
}
