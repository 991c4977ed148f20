//! HTTP `CONNECT` (RFC 9110 section 9.3.6): asking a proxy for a connection, and its answer.
//!
//! ```text
//! CONNECT www.example.com:443 HTTP/1.1      HTTP/1.1 200 Connection established
//! Host: www.example.com:443                 (fields, of no interest)
//!                                           (an empty line; bytes of the target from here on)
//! ```
//!
//! The answer is read as leniently as proxies write it: versions 1.0 and 1.1, lines that end in
//! CR LF or LF alone, no reason phrase, and a line of blanks for the empty one.

use crate::line::Lines;
use crate::{Parse, basic};

/// Longest answer up to its empty line, in bytes. Proxies send a few hundred.
pub const RESPONSE_BYTES_MAX: usize = 16 * 1024;

/// Which fields a request has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fields<'a> {
    /// `Host`, as HTTP/1.1 wants it.
    #[default]
    Host,
    /// The same, and who asks: user name and password.
    SignedIn(&'a str, &'a str),
    /// None at all: the request line and the empty line.
    Bare,
}

/// Appends a request for a connection to `target`, which is `host:port` or `[v6]:port`.
///
/// A line end within `target` would end the request line: the caller vouches that there is none.
pub fn write_request(out: &mut Vec<u8>, target: &str, fields: Fields<'_>) {
    debug_assert!(!target.contains(['\r', '\n']), "a target is one word");
    out.extend_from_slice(b"CONNECT ");
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if fields != Fields::Bare {
        out.extend_from_slice(b"Host: ");
        out.extend_from_slice(target.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if let Fields::SignedIn(user, password) = fields {
        out.extend_from_slice(b"Proxy-Authorization: ");
        basic::write(out, user, password);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// What a proxy answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The status: see [`Response::opens`].
    pub status: u16,
    /// The reason phrase as it came: any bytes but line ends, often none.
    pub reason: &'a [u8],
}

impl Response<'_> {
    /// Whether the way is open: that is what every status of success says.
    pub fn opens(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why bytes are no answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// They do not begin with `HTTP/`.
    NotHttp,
    /// Their first line has no status.
    NoStatus,
    /// No empty line within [`RESPONSE_BYTES_MAX`].
    TooLong,
}

/// Reads an answer from its first byte.
///
/// One that refuses is whole with its first line: nothing behind that matters, and a proxy that
/// refuses may well not send the rest. Its `length` is that of the line.
pub fn read_response(bytes: &[u8]) -> Parse<Response<'_>, Foreign> {
    const BEGIN: &[u8] = b"HTTP/";

    let begun = bytes.len().min(BEGIN.len());
    if bytes[..begun] != BEGIN[..begun] {
        return Parse::Foreign(Foreign::NotHttp);
    }
    let mut lines = Lines { bytes, at: 0 };
    let Some(first) = lines.next() else {
        return unfinished(bytes);
    };
    let Some(response) = status_line(first) else {
        return Parse::Foreign(Foreign::NoStatus);
    };
    if !response.opens() {
        return Parse::Whole { value: response, length: lines.at };
    }
    while let Some(line) = lines.next() {
        if line.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return match lines.at <= RESPONSE_BYTES_MAX {
                true => Parse::Whole { value: response, length: lines.at },
                false => Parse::Foreign(Foreign::TooLong),
            };
        }
    }
    unfinished(bytes)
}

fn unfinished<'a>(bytes: &[u8]) -> Parse<Response<'a>, Foreign> {
    match bytes.len() < RESPONSE_BYTES_MAX {
        true => Parse::Partial,
        false => Parse::Foreign(Foreign::TooLong),
    }
}

/// `HTTP/1.1 200 Connection established`.
fn status_line(line: &[u8]) -> Option<Response<'_>> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let rest = line[space..].trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (status, reason) = rest.split_at(digits);
    if digits != 3 || !(reason.is_empty() || reason[0].is_ascii_whitespace()) {
        return None;
    }
    let status = status.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    Some(Response { status, reason: reason.trim_ascii() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests() {
        let mut out = Vec::new();
        write_request(&mut out, "www.example.com:443", Fields::Bare);
        assert_eq!(out, b"CONNECT www.example.com:443 HTTP/1.1\r\n\r\n");
        out.clear();
        write_request(&mut out, "[::1]:443", Fields::Host);
        assert_eq!(out, b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n");
        out.clear();
        write_request(&mut out, "a:1", Fields::SignedIn("u", "p"));
        let expected =
            b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nProxy-Authorization: Basic dTpw\r\n\r\n";
        assert_eq!(out, expected);
    }

    /// Shows what was read as `STATUS REASON|what follows`.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match read_response(text.as_bytes()) {
            Parse::Whole { value, length } => {
                let reason = String::from_utf8_lossy(value.reason);
                format!("{} {reason}|{}", value.status, &text[length..])
            }
            Parse::Partial => "partial".to_owned(),
            Parse::Foreign(why) => format!("{why:?}"),
        };
        assert_eq!(shown, expected, "{text:?}");
    }

    #[test]
    fn answers() {
        check("HTTP/1.1 200 Connection established\r\n\r\n", "200 Connection established|");
        check("HTTP/1.0 200 OK\r\nVia: a\r\nX: b\r\n\r\nSSH-2.0", "200 OK|SSH-2.0");
        check("HTTP/1.1 200\r\n\r\n", "200 |");
        check("HTTP/1.1 200 \n \t\nbytes\n\n", "200 |bytes\n\n");
        check("HTTP/1.1 403 Forbidden by policy\r\n", "403 Forbidden by policy|");
        check("HTTP/1.1 407\r\nProxy-Authenticate: Basic", "407 |Proxy-Authenticate: Basic");
        check("HTTP/1.1 204 No Content\r\n\r\nb", "204 No Content|b");
        check("HTTP/1.1 304 Not Modified\r\n\r\n", "304 Not Modified|\r\n");
    }

    #[test]
    fn beginnings() {
        check("", "partial");
        check("HTT", "partial");
        check("HTTP/1.1 200 OK", "partial");
        check("HTTP/1.1 200 OK\r\n", "partial");
        check("HTTP/1.1 200 OK\r\nVia: a\r\n\r", "partial");
    }

    #[test]
    fn strangers() {
        check("SSH-2.0-OpenSSH\r\n", "NotHttp");
        check("HTTx", "NotHttp");
        check("HTTP/1.1\r\n", "NoStatus");
        check("HTTP/1.1 OK\r\n", "NoStatus");
        check("HTTP/1.1 20 OK\r\n", "NoStatus");
        check("HTTP/1.1 2000 OK\r\n", "NoStatus");
        check("HTTP/1.1 200OK\r\n", "NoStatus");
        let fields = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(RESPONSE_BYTES_MAX));
        check(&fields, "TooLong");
        check(&format!("{fields}\r\n\r\n"), "TooLong");
        check(&format!("HTTP/{}", "1".repeat(RESPONSE_BYTES_MAX)), "TooLong");
    }

    proptest! {
        /// However an answer is cut into pieces, it is partial up to where it is whole.
        #[test]
        fn pieces_make_the_whole(
            reason in "[a-z ]{0,20}",
            fields in prop::collection::vec("[A-Z][a-z]{0,8}: [a-z]{1,20}", 0..4),
            early in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = format!("HTTP/1.1 200 {reason}\r\n").into_bytes();
            fields.iter().for_each(|field| bytes.extend(format!("{field}\r\n").bytes()));
            bytes.extend_from_slice(b"\r\n");
            let whole = bytes.len();
            bytes.extend(&early);
            for end in 0..whole {
                prop_assert_eq!(read_response(&bytes[..end]), Parse::Partial);
            }
            let value = Response { status: 200, reason: reason.trim().as_bytes() };
            prop_assert_eq!(read_response(&bytes), Parse::Whole { value, length: whole });
        }

        /// What has been told once stays true when more comes.
        #[test]
        fn any_bytes_are_read_and_never_taken_back(
            text in "(HTTP/1\\.[01] )?[0-9]{0,4}[ A-Z\r\n:]{0,30}",
            more in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut bytes = text.into_bytes();
            let before = format!("{:?}", read_response(&bytes));
            let was_partial = read_response(&bytes) == Parse::Partial;
            bytes.extend(more);
            let after = format!("{:?}", read_response(&bytes));
            prop_assert!(was_partial || after == before, "{before} became {after}");
        }
    }
}
