//! HTTP/1.x requests (RFC 9112) as clients send them: where a head ends and what it says, and where
//! its body ends. HTTP/0.9, a line without a version, is read as well.
//!
//! ```text
//! POST /a?b HTTP/1.1          request line: method, target, version
//! Host: www.example.com       fields
//! Transfer-Encoding: chunked
//!                             an empty line; the body from here on
//! ```
//!
//! Whoever forwards a request must see it end where the next reader does; otherwise part of a body
//! passes for a request (request smuggling). So what two readers might take differently is
//! [`Foreign`], never repaired: two lengths, a length beside a coding, a coding that does not end in
//! one `chunked`, folded lines, a blank before a colon, two hosts, control characters, and a CR that
//! is no part of a line end. Lines of a head may end in LF alone, as old clients end them; in a
//! chunked body they may not.

mod body;
mod head;

use std::fmt;

pub use body::{BodyReader, CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};
pub use head::{Fields, HEAD_BYTES_MAX, METHOD_BYTES_MAX, Request, Version, read_request};

/// How the body of a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// After so many bytes; a request without a body has none.
    Length(u64),
    /// After the last of its chunks, and the trailer behind it.
    Chunked,
}

/// Why bytes are no request, or none that can be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foreign {
    /// They do not begin as a request does.
    NotHttp,
    /// A version other than 0.9, 1.0 and 1.1.
    Version,
    /// A request line of other than two or three words, with one blank between them.
    Line,
    /// A control character, or a CR that is no part of a line end.
    Control,
    /// A field without a name, or without a colon right behind it.
    Field,
    /// A field that goes on in the next line.
    Folded,
    /// More than one host, or one that is no host.
    Host,
    /// A length that is no number, or more than one.
    Length,
    /// A coding of the body that does not end in `chunked`, or that HTTP/1.0 does not have.
    Coding,
    /// A length and a coding.
    LengthAndCoding,
    /// A chunk that does not begin with its size, or end where that says.
    Chunk,
    /// More bytes than [`HEAD_BYTES_MAX`] and its like allow.
    TooLong,
}

/// For people: `a length and a coding`.
impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHttp => "not an HTTP request",
            Self::Version => "another version of HTTP",
            Self::Line => "a wrong request line",
            Self::Control => "a control character",
            Self::Field => "a wrong header field",
            Self::Folded => "a folded header field",
            Self::Host => "more than one host, or a wrong one",
            Self::Length => "a wrong length",
            Self::Coding => "a transfer coding that does not end in chunked",
            Self::LengthAndCoding => "a length beside a transfer coding",
            Self::Chunk => "a wrong chunk",
            Self::TooLong => "a header that is too long",
        })
    }
}

/// Whether a byte may stand in a method or the name of a field (RFC 9110 section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a byte may stand in the value of a field.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}
