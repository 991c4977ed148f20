//! The head of a request: its line and its fields, up to the empty line.

use super::{Body, Foreign, is_text, is_token};
use crate::Parse;
use crate::line::Lines;

/// Longest head, in bytes, with its empty line and any empty lines before it.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Longest method, in bytes. The longest that is registered has 17.
pub const METHOD_BYTES_MAX: usize = 32;

/// What a request says before its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// `GET`: 1 to [`METHOD_BYTES_MAX`] characters of a token.
    pub method: &'a [u8],
    /// `/a?b`, `http://host/a`, `host:443` or `*`: one or more bytes without blanks and controls.
    pub target: &'a [u8],
    /// Where the target begins, in bytes from the first one that was read.
    pub target_at: usize,
    /// Where the request line begins: empty lines may stand before it, which mean nothing.
    pub begin: usize,
    /// The version; [`Version::Http09`] if none is told.
    pub version: Version,
    /// The value of `Host`, as it came; never empty.
    pub host: Option<&'a [u8]>,
    /// How its body ends.
    pub body: Body,
    fields: &'a [u8],
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// A line alone: `GET /a`.
    Http09,
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl<'a> Request<'a> {
    /// All fields, in their order: name, and value without the blanks around it.
    pub fn fields(&self) -> Fields<'a> {
        Fields(Lines { bytes: self.fields, at: 0 })
    }

    /// The value of the first field called `name`, in whatever case.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        let mut fields = self.fields();
        fields
            .find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }
}

/// The fields of a request; see [`Request::fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a>(Lines<'a>);

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // They were read before, so all are sound up to the empty line.
        let line = self.0.next()?;
        field(line).ok()
    }
}

/// Reads the head of a request from its first byte.
///
/// Its body follows at the length told. What is wrong is told as soon as the line is whole in which
/// it stands; whether bytes look like a request at all, with the first of them.
pub fn read_request(bytes: &[u8]) -> Parse<Request<'_>, Foreign> {
    let is_cut = bytes.len() >= HEAD_BYTES_MAX;
    let bytes = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    match read(bytes) {
        Ok(Some((value, length))) => Parse::Whole { value, length },
        Ok(None) if is_cut => Parse::Foreign(Foreign::TooLong),
        Ok(None) => Parse::Partial,
        Err(why) => Parse::Foreign(why),
    }
}

fn read(bytes: &[u8]) -> Result<Option<(Request<'_>, usize)>, Foreign> {
    let mut lines = Lines { bytes, at: 0 };
    let (begin, first) = loop {
        let begin = lines.at;
        match lines.next() {
            Some([]) => {}
            Some(line) => break (begin, line),
            None => {
                let rest = &bytes[begin..];
                let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
                return request_line(rest, Ended::NotYet).map(|_| None);
            }
        }
    };
    let Some((method, target, version)) = request_line(first, Ended::Here)? else {
        return Ok(None);
    };
    let target_at = begin + method.len() + 1;
    let mut request = Request {
        method,
        target,
        target_at,
        begin,
        version,
        host: None,
        body: Body::Length(0),
        fields: &[],
    };
    if version == Version::Http09 {
        return Ok(Some((request, lines.at)));
    }
    let fields_at = lines.at;
    let mut framing = Framing::default();
    loop {
        let end = lines.at;
        let Some(line) = lines.next() else { return Ok(None) };
        if line.is_empty() {
            request.fields = &bytes[fields_at..end];
            request.body = framing.body(version)?;
            request.host = framing.host.filter(|host| !host.is_empty());
            return Ok(Some((request, lines.at)));
        }
        let (name, value) = field(line)?;
        framing.note(name, value)?;
    }
}

/// Whether the end of a line has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Here,
    NotYet,
}

type Line<'a> = (&'a [u8], &'a [u8], Version);

/// `GET /a HTTP/1.1`, or what has come of it.
fn request_line(line: &[u8], ended: Ended) -> Result<Option<Line<'_>>, Foreign> {
    let length = line.iter().take_while(|byte| is_token(**byte)).count();
    let (method, rest) = line.split_at(length);
    if length > METHOD_BYTES_MAX || (length == 0 && !rest.is_empty()) {
        return Err(Foreign::NotHttp);
    }
    let rest = match (rest, ended) {
        ([], Ended::NotYet) => return Ok(None),
        ([b' ', rest @ ..], _) => rest,
        _ => return Err(Foreign::NotHttp),
    };
    let length = rest.iter().take_while(|byte| **byte > b' ' && **byte != 0x7f).count();
    let (target, rest) = rest.split_at(length);
    let version = match (rest, ended) {
        ([], Ended::NotYet) => return Ok(None),
        // Of this version there is nothing but GET, so a line of two other words is of another
        // protocol.
        ([], Ended::Here) if method == b"GET" && length > 0 => Version::Http09,
        ([], Ended::Here) => return Err(Foreign::NotHttp),
        ([b' ', rest @ ..], _) if length > 0 => match (version(rest)?, ended) {
            (Some(version), Ended::Here) => version,
            (None, Ended::Here) => return Err(Foreign::Version),
            (_, Ended::NotYet) => return Ok(None),
        },
        ([b' ', ..], _) => return Err(Foreign::Line),
        _ => return Err(Foreign::Control),
    };
    Ok(Some((method, target, version)))
}

/// `HTTP/1.1`; `None`: it has only begun.
fn version(text: &[u8]) -> Result<Option<Version>, Foreign> {
    const NAME: &[u8] = b"HTTP/";
    let begun = text.len().min(NAME.len());
    if text[..begun] != NAME[..begun] {
        return Err(Foreign::Line);
    }
    match text.get(NAME.len()..).unwrap_or_default() {
        [] | [b'1'] | [b'1', b'.'] => Ok(None),
        [b'1', b'.', b'0'] => Ok(Some(Version::Http10)),
        [b'1', b'.', b'1'] => Ok(Some(Version::Http11)),
        [b'1', b'.', b'0' | b'1', ..] => Err(Foreign::Line),
        _ => Err(Foreign::Version),
    }
}

/// `Host: www.example.com`.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Foreign> {
    if matches!(line[0], b' ' | b'\t') {
        return Err(Foreign::Folded);
    }
    let length = line.iter().take_while(|byte| is_token(**byte)).count();
    let (name, rest) = line.split_at(length);
    let value = match rest {
        [b':', value @ ..] if length > 0 => value,
        [byte, ..] if !is_text(*byte) => return Err(Foreign::Control),
        _ => return Err(Foreign::Field),
    };
    match value.iter().all(|byte| is_text(*byte)) {
        true => Ok((name, value.trim_ascii())),
        false => Err(Foreign::Control),
    }
}

/// The fields that say whose a request is, and where its body ends.
#[derive(Default)]
struct Framing<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    is_coded: bool,
}

impl<'a> Framing<'a> {
    fn note(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Foreign> {
        if name.eq_ignore_ascii_case(b"host") {
            if self.host.is_some() || !value.iter().all(|byte| may_be_of_host(*byte)) {
                return Err(Foreign::Host);
            }
            self.host = Some(value);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            if self.length.is_some() || !digits || number.is_none() {
                return Err(Foreign::Length);
            }
            self.length = number;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.is_coded || !ends_in_one_chunked(value) {
                return Err(Foreign::Coding);
            }
            self.is_coded = true;
        }
        Ok(())
    }

    fn body(&self, version: Version) -> Result<Body, Foreign> {
        match (self.length, self.is_coded) {
            (Some(_), true) => Err(Foreign::LengthAndCoding),
            (None, true) if version < Version::Http11 => Err(Foreign::Coding),
            (None, true) => Ok(Body::Chunked),
            (length, false) => Ok(Body::Length(length.unwrap_or(0))),
        }
    }
}

/// Whether a byte may stand in `host` or `host:port`: what would end the host of a URL may not.
fn may_be_of_host(byte: u8) -> bool {
    byte > b' ' && byte < 0x7f && !b"/?#@\\\"<>^`{|}".contains(&byte)
}

/// `chunked`, `gzip, chunked`.
fn ends_in_one_chunked(value: &[u8]) -> bool {
    let is_chunked = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
    let mut codings = value.split(|byte| *byte == b',').rev();
    codings.next().is_some_and(is_chunked) && !codings.any(is_chunked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Shows what was read as `METHOD TARGET VERSION host body|what follows`.
    fn shown(bytes: &[u8]) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match read_request(bytes) {
            Parse::Whole { value, length } => {
                let Request { method, target, target_at, version, host, body, .. } = value;
                assert_eq!(&bytes[target_at..target_at + target.len()], target);
                let host = text(host.unwrap_or(b"-"));
                let (method, target, rest) = (text(method), text(target), text(&bytes[length..]));
                format!("{method} {target} {version:?} {host} {body:?}|{rest}")
            }
            Parse::Partial => "partial".to_owned(),
            Parse::Foreign(why) => format!("{why:?}"),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(shown(text.as_bytes()), expected, "{text:?}");
    }

    /// The same of a request with these `fields`.
    #[track_caller]
    fn check_fields(fields: &str, expected: &str) {
        check(&format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n"), expected);
    }

    #[test]
    fn requests() {
        check("GET /a HTTP/1.1\r\nHost: b\r\n\r\nrest", "GET /a Http11 b Length(0)|rest");
        check("GET http://b/a HTTP/1.0\n\n", "GET http://b/a Http10 - Length(0)|");
        check("OPTIONS * HTTP/1.1\r\nhOST:\t b:81 \t\r\n\r\n", "OPTIONS * Http11 b:81 Length(0)|");
        check(
            "CONNECT [::1]:443 HTTP/1.1\r\n\r\n\x16",
            "CONNECT [::1]:443 Http11 - Length(0)|\x16",
        );
        check("\r\n\nGET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / Http11 - Length(0)|");
        check("GET /a\r\nGET /b\r\n", "GET /a Http09 - Length(0)|GET /b\r\n");
        check("M-SEARCH /ä HTTP/1.1\n\n", "M-SEARCH /ä Http11 - Length(0)|");
    }

    #[test]
    fn bodies() {
        check_fields("Content-Length: 12", "POST / Http11 - Length(12)|");
        check_fields("content-length:0012", "POST / Http11 - Length(12)|");
        check_fields("Transfer-Encoding: Chunked", "POST / Http11 - Chunked|");
        check_fields("Transfer-Encoding: gzip , chunked", "POST / Http11 - Chunked|");
    }

    #[test]
    fn what_two_readers_might_take_differently() {
        check_fields("Content-Length: 1\r\nContent-Length: 1", "Length");
        check_fields("Content-Length: 1\r\nContent-Length: 2", "Length");
        check_fields("Content-Length: 1, 1", "Length");
        check_fields("Content-Length: +1", "Length");
        check_fields("Content-Length: 1 2", "Length");
        check_fields("Content-Length: 0x1", "Length");
        check_fields("Content-Length:", "Length");
        check_fields("Content-Length: 18446744073709551616", "Length");
        check_fields("Content-Length: 1\r\nTransfer-Encoding: chunked", "LengthAndCoding");
        check_fields("Transfer-Encoding: chunked\r\nContent-Length: 1", "LengthAndCoding");
        check_fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Coding");
        check_fields("Transfer-Encoding: chunked, gzip", "Coding");
        check_fields("Transfer-Encoding: chunked, chunked", "Coding");
        check_fields("Transfer-Encoding: xchunked", "Coding");
        check_fields("Transfer-Encoding: chunked;a=b", "Coding");
        check_fields("Transfer-Encoding:", "Coding");
        check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "Coding");
        check_fields("Transfer-Encoding : chunked", "Field");
        check_fields("Transfer-Encoding\r\n : chunked", "Field");
        check_fields("A: b\r\n c", "Folded");
        check_fields(" A: b", "Folded");
        check_fields(": b", "Field");
        check_fields("A", "Field");
        check_fields("A\x00: b", "Control");
        check_fields("A: b\rTransfer-Encoding: chunked", "Control");
        check_fields("A: b\x00", "Control");
        check_fields("A: b\r", "Control");
        check_fields("Host: a\r\nHost: a", "Host");
        check_fields("Host: a b", "Host");
        check_fields("Host: a/b", "Host");
        check_fields("Host: user@a", "Host");
    }

    #[test]
    fn beginnings() {
        for text in ["", "\r", "\r\n", "G", "GET", "GET ", "GET /", "GET / ", "GET / HTTP/1.1"] {
            check(text, "partial");
        }
        for text in ["GET / HTTP/1.1\r", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nA: b\r\n\r"] {
            check(text, "partial");
        }
    }

    #[test]
    fn strangers() {
        check("\x16\x03\x01", "NotHttp");
        check("\0", "NotHttp");
        check("SSH-2.0-OpenSSH_9.2p1\r\n", "NotHttp");
        check("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "NotHttp");
        check("EHLO a\r\n", "NotHttp");
        check("QUIT\r\n", "NotHttp");
        check("GET \r\n", "NotHttp");
        check("abcdefghijklmnopqrstuvwxyzabcdefg", "NotHttp");
        check("PRI * HTTP/2.0\r\n", "Version");
        check("GET / HTTP/1.2\r\n", "Version");
        check("GET / HTTP/1.\r\n", "Version");
        check("GET / HTTP/1.10\r\n", "Line");
        check("GET / HTTP/1.1 \r\n", "Line");
        check("GET  / HTTP/1.1\r\n", "Line");
        check("GET /a b HTTP/1.1\r\n", "Line");
        check("GET / http/1.1\r\n", "Line");
        check("GET /\ta HTTP/1.1\r\n", "Control");
        check("GET /\rHost: a\r\n", "Control");
        let long = format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(HEAD_BYTES_MAX));
        check(&long, "TooLong");
        check(&format!("{long}\r\n\r\n"), "TooLong");
        check(&format!("GET /{}", "x".repeat(HEAD_BYTES_MAX)), "TooLong");
        check(&"\r\n".repeat(HEAD_BYTES_MAX), "TooLong");
    }

    #[test]
    fn fields_are_found_by_name() {
        let bytes = b"GET / HTTP/1.1\r\nReferer: a\r\nx-y:\r\nREFERER:  b \r\n\r\n";
        let Parse::Whole { value, .. } = read_request(bytes) else { panic!("it is whole") };
        assert_eq!(value.field("referer"), Some(&b"a"[..]));
        assert_eq!(value.field("X-Y"), Some(&b""[..]));
        assert_eq!(value.field("X"), None);
        let names: Vec<_> = value.fields().map(|(name, _)| name.to_ascii_lowercase()).collect();
        assert_eq!(names, [&b"referer"[..], b"x-y", b"referer"]);
    }

    proptest! {
        /// However a request is cut into pieces, it is partial up to where it is whole.
        #[test]
        fn pieces_make_the_whole(
            target in "[a-z/?:]{1,20}",
            fields in prop::collection::vec("[A-Z][a-z]{0,8}: [a-z ]{0,20}", 0..4),
            end in "\r?\n",
            behind in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = format!("GET {target} HTTP/1.1{end}").into_bytes();
            fields.iter().for_each(|field| bytes.extend(format!("{field}{end}").bytes()));
            bytes.extend(end.bytes());
            let whole = bytes.len();
            bytes.extend(&behind);
            for cut in 0..whole {
                prop_assert_eq!(read_request(&bytes[..cut]), Parse::Partial);
            }
            let Parse::Whole { value, length } = read_request(&bytes) else {
                return Err(TestCaseError::fail("not whole"));
            };
            prop_assert_eq!((length, value.target), (whole, target.as_bytes()));
            prop_assert_eq!(value.fields().count(), fields.len());
        }

        /// What has been told once stays true when more comes.
        #[test]
        fn any_bytes_are_read_and_never_taken_back(
            text in "((GET|PUT) )?(/a )?(HTTP/1\\.[012])?[ A-Za-z0-9:\r\n\t\\x00]{0,30}(\r\n){0,2}",
            more in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut bytes = text.into_bytes();
            let before = format!("{:?}", read_request(&bytes));
            let was_partial = read_request(&bytes) == Parse::Partial;
            bytes.extend(more);
            let after = format!("{:?}", read_request(&bytes));
            prop_assert!(was_partial || after == before, "{before} became {after}");
        }
    }
}
