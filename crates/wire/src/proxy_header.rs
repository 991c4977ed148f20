//! The header of the PROXY protocol (versions 1 and 2), by which a proxy tells whose connection it
//! hands on: before the first byte of a stream, and in the first datagram of a flow.
//!
//! ```text
//! PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 CR LF        version 1: one line, at most 107 bytes
//! signature (12), version and command, family, length      version 2: 16 bytes, then addresses,
//!                                                           then TLVs (type, length, value)
//! ```
//!
//! Nothing is guessed: what is not exactly a header is [`Foreign`], and says how. Two things are
//! taken leniently, as the specification allows: behind `LOCAL` anything may stand, and behind an
//! unknown family anything that is no list of TLVs.

mod crc32c;
#[cfg(test)]
mod tests;
mod tlv;
mod v1;
mod v2;

use std::net::SocketAddr;

use crate::{Parse, Verdict, begins_with};
pub use tlv::{Kind, Ssl, Tlv, TlvBuffer, Tlvs, TooLong, ssl_value};
pub use v1::write as write_v1;
pub use v2::{Checksum, write as write_v2};

/// Longest header of version 1, its line end included, in bytes.
pub const V1_BYTES_MAX: usize = 107;

/// Longest header of version 2, in bytes.
pub const V2_BYTES_MAX: usize = v2::HEAD_BYTES + u16::MAX as usize;

/// Longest name of a unix socket in a header, in bytes.
pub const UNIX_BYTES_MAX: usize = 108;

/// Longest unique id that there may be, in bytes.
pub const UNIQUE_ID_BYTES_MAX: usize = 128;

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// How it was written.
    pub version: Version,
    /// Whose connection it is.
    pub subject: Subject<'a>,
    /// What else is told of it; nothing in version 1, and behind `LOCAL`.
    pub tlvs: Tlvs<'a>,
}

/// How a header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// As a line of text.
    V1,
    /// In binary.
    V2,
}

/// Whose connection a header speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The sender's own (`LOCAL`): a health check, say.
    Local,
    /// Somebody's of whom no address is told (`UNKNOWN`, `UNSPEC`).
    Unknown,
    /// That of a client with an address.
    Ip {
        /// What it is carried by; version 1 has streams only.
        transport: Transport,
        /// Where it comes from.
        client: SocketAddr,
        /// Where it has connected to.
        server: SocketAddr,
    },
    /// That of a client of a unix socket.
    Unix {
        /// What it is carried by.
        transport: Transport,
        /// The name of the client's socket without what fills it up: often empty.
        client: &'a [u8],
        /// The name of the socket it has connected to.
        server: &'a [u8],
    },
}

/// What a connection is carried by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A stream.
    Stream,
    /// Datagrams.
    Datagram,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foreign {
    /// They begin with neither signature.
    NotProxy,
    /// A line of version 1 that is not as it has to be.
    Line,
    /// A line of version 1 that does not end within [`V1_BYTES_MAX`].
    TooLong,
    /// The signature of version 2, and another version.
    Version,
    /// Neither `LOCAL` nor `PROXY`.
    Command,
    /// A family, or a transport, that there is not.
    Family,
    /// Shorter than the addresses of its family.
    Addresses,
    /// A TLV reaches beyond the header, or is not as its type has to be.
    Tlv,
    /// The checksum is another one.
    Checksum,
}

impl Foreign {
    /// The fault in words, for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotProxy => "no PROXY header",
            Self::Line => "malformed line",
            Self::TooLong => "no line end within 107 bytes",
            Self::Version => "unknown version",
            Self::Command => "unknown command",
            Self::Family => "unknown family",
            Self::Addresses => "addresses cut short",
            Self::Tlv => "malformed TLV",
            Self::Checksum => "wrong checksum",
        }
    }
}

/// Reads a header from its first byte.
pub fn read(bytes: &[u8]) -> Parse<Header<'_>, Foreign> {
    match begins_with(bytes, v2::SIGNATURE) {
        Verdict::Yes => v2::read(bytes),
        Verdict::Maybe => Parse::Partial,
        Verdict::No => v1::read(bytes),
    }
}

/// Whether `bytes`, all that has come so far, begin a header.
pub fn begins(bytes: &[u8]) -> Verdict {
    [v2::SIGNATURE, v1::TCP4, v1::TCP6, v1::UNKNOWN]
        .iter()
        .map(|known| begins_with(bytes, known))
        .fold(Verdict::No, Verdict::or)
}
