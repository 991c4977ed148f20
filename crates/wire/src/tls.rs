//! The ClientHello of TLS (RFC 8446 section 4.1.2) and of the versions before it: whom the client
//! wants to talk to, and in what. It is read, not checked: whether a handshake can come of it is
//! for the server to say.
//!
//! ```text
//! record     16 03 01 LENGTH(2)     one of several, at any cut
//!   message  01 LENGTH(3)
//!     version(2) random(32) session(<=32) suites compressions extensions
//!       0  server_name         the host, for `sni`
//!       16 application_layer_protocol_negotiation
//!       43 supported_versions
//! ```
//!
//! With Encrypted Client Hello this is the outer one, with the name that its client means to show.

use std::borrow::Cow;
use std::fmt;

use crate::Parse;

/// Longest ClientHello, in bytes, without the heads of its records. Those with post-quantum keys
/// have some 2 KiB.
pub const HELLO_BYTES_MAX: usize = 64 * 1024;

/// Longest record of plain text, in bytes, without its head.
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Longest host name, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// What a client says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The host it wants: visible characters of ASCII in lower case, without a dot at the end.
    pub server_name: Option<Box<str>>,
    /// The protocols it would speak within, by its preference.
    pub alpn: Vec<Box<[u8]>>,
    /// The newest version that it offers.
    pub newest: Version,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// SSL 3.0, long broken.
    Ssl30,
    /// TLS 1.0.
    Tls10,
    /// TLS 1.1.
    Tls11,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Version {
    fn of(code: u16) -> Option<Self> {
        Some(match code {
            0x0300 => Self::Ssl30,
            0x0301 => Self::Tls10,
            0x0302 => Self::Tls11,
            0x0303 => Self::Tls12,
            0x0304 => Self::Tls13,
            _ => return None,
        })
    }

    /// `1.3`; `ssl3` for the one before TLS.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ssl30 => "ssl3",
            Self::Tls10 => "1.0",
            Self::Tls11 => "1.1",
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// As [`Version::as_str`].
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why bytes are no ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foreign {
    /// They are no records of a handshake.
    NotTls,
    /// The first message is another one.
    NotHello,
    /// A length within it leads beyond its end.
    Length,
    /// Something is there twice that may be there once.
    Twice,
    /// The host is no name.
    Name,
    /// More than [`HELLO_BYTES_MAX`].
    TooLong,
}

/// Reads a ClientHello from the first byte of its first record.
///
/// Its `length` is that of the records it takes, up to its own last byte.
pub fn read_client_hello(bytes: &[u8]) -> Parse<ClientHello, Foreign> {
    match message(bytes) {
        Ok(Some((message, length))) => match hello(&message) {
            Ok(value) => Parse::Whole { value, length },
            Err(why) => Parse::Foreign(why),
        },
        Ok(None) => Parse::Partial,
        Err(why) => Parse::Foreign(why),
    }
}

/// Whether bytes begin a ClientHello: known after the first six.
pub(crate) fn begins(bytes: &[u8]) -> crate::Verdict {
    use crate::Verdict;
    let head = |at: usize, legal: fn(u8) -> bool| bytes.get(at).is_none_or(|byte| legal(*byte));
    let is_sound = head(0, |byte| byte == 0x16)
        && head(1, |byte| byte == 3)
        && head(2, |byte| byte <= 4)
        && head(5, |byte| byte == 1);
    match (is_sound, bytes.len()) {
        (true, 6..) if record_length(bytes).is_ok() => Verdict::Yes,
        (true, 0..6) => Verdict::Maybe,
        _ => Verdict::No,
    }
}

/// The length of the record whose head `bytes` begins with; `None`: its head is not whole.
fn record_length(bytes: &[u8]) -> Result<Option<usize>, Foreign> {
    let expected: [fn(u8) -> bool; 3] = [|byte| byte == 0x16, |byte| byte == 3, |byte| byte <= 4];
    if !expected.iter().zip(bytes).all(|(legal, byte)| legal(*byte)) {
        return Err(Foreign::NotTls);
    }
    let Some(length) = bytes.get(3..5) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    match length {
        1..=RECORD_BYTES_MAX => Ok(Some(length)),
        _ => Err(Foreign::NotTls),
    }
}

/// The body of a message, and where it ends.
type Message<'a> = (Cow<'a, [u8]>, usize);

/// The body of the first message, out of as many records as it takes, and where it ends.
fn message(bytes: &[u8]) -> Result<Option<Message<'_>>, Foreign> {
    const HEAD: usize = 5;
    let mut pieces: Vec<&[u8]> = Vec::new();
    let (mut at, mut have) = (0, 0);
    // The head of the message may itself be cut.
    let mut head = [0; 4];
    loop {
        let Some(length) = record_length(&bytes[at..])? else { return Ok(None) };
        let rest = &bytes[at + HEAD..];
        let piece = &rest[..length.min(rest.len())];
        for (to, from) in head.iter_mut().skip(have).zip(piece) {
            *to = *from;
        }
        have += piece.len();
        if have > 0 && head[0] != 1 {
            return Err(Foreign::NotHello);
        }
        pieces.push(piece);
        let total =
            4 + usize::from(head[1]) * 65_536 + usize::from(u16::from_be_bytes([head[2], head[3]]));
        if have >= 4 && total > HELLO_BYTES_MAX {
            return Err(Foreign::TooLong);
        }
        if have >= 4 && have >= total {
            let end = at + HEAD + piece.len() - (have - total);
            let message = match pieces.as_slice() {
                [one] => Cow::Borrowed(&one[4..total]),
                pieces => {
                    let mut joined = pieces.concat();
                    joined.truncate(total);
                    joined.drain(..4);
                    Cow::Owned(joined)
                }
            };
            return Ok(Some((message, end)));
        }
        if piece.len() < length {
            return Ok(None);
        }
        at += HEAD + length;
    }
}

fn hello(message: &[u8]) -> Result<ClientHello, Foreign> {
    let mut rest = Cursor(message);
    let legacy = rest.number()?;
    rest.take(32)?;
    rest.short()?;
    rest.long()?;
    rest.short()?;
    let legacy = Version::of(legacy.min(0x0303)).ok_or(Foreign::NotHello)?;
    let mut hello = ClientHello { server_name: None, alpn: Vec::new(), newest: legacy };
    if rest.0.is_empty() {
        return Ok(hello);
    }
    let mut extensions = Cursor(rest.long()?);
    let mut seen = [false; 3];
    while !extensions.0.is_empty() {
        let (kind, body) = (extensions.number()?, Cursor(extensions.long()?));
        let place = match kind {
            0 => 0,
            16 => 1,
            43 => 2,
            _ => continue,
        };
        if std::mem::replace(&mut seen[place], true) {
            return Err(Foreign::Twice);
        }
        match kind {
            0 => hello.server_name = server_name(body)?,
            16 => hello.alpn = alpn(body)?,
            _ => hello.newest = newest(body)?.unwrap_or(hello.newest),
        }
    }
    Ok(hello)
}

fn server_name(mut body: Cursor<'_>) -> Result<Option<Box<str>>, Foreign> {
    let mut names = Cursor(body.long()?);
    let mut found = None;
    while !names.0.is_empty() {
        let kind = names.take(1)?[0];
        let name = names.long()?;
        if kind != 0 {
            continue;
        }
        let is_name = name.iter().all(u8::is_ascii_graphic) && name.len() <= NAME_BYTES_MAX;
        let name = name.strip_suffix(b".").unwrap_or(name);
        if name.is_empty() || !is_name {
            return Err(Foreign::Name);
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if found.replace(name.into()).is_some() {
            return Err(Foreign::Twice);
        }
    }
    Ok(found)
}

fn alpn(mut body: Cursor<'_>) -> Result<Vec<Box<[u8]>>, Foreign> {
    let mut list = Cursor(body.long()?);
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        protocols.push(list.short()?.into());
    }
    Ok(protocols)
}

/// Those that are not known are there to be passed over (RFC 8701).
fn newest(mut body: Cursor<'_>) -> Result<Option<Version>, Foreign> {
    let versions = body.short()?;
    let codes = versions.chunks_exact(2).map(|code| u16::from_be_bytes([code[0], code[1]]));
    Ok(codes.filter_map(Version::of).max())
}

/// What is left of a message.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Foreign> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Foreign::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u16, Foreign> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// What stands behind its length in one byte.
    fn short(&mut self) -> Result<&'a [u8], Foreign> {
        let length = self.take(1)?[0];
        self.take(length.into())
    }

    /// What stands behind its length in two bytes.
    fn long(&mut self) -> Result<&'a [u8], Foreign> {
        let length = self.number()?;
        self.take(length.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;
    use proptest::prelude::*;

    fn long(body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("short enough");
        [&length.to_be_bytes()[..], body].concat()
    }

    fn short(body: &[u8]) -> Vec<u8> {
        let length = u8::try_from(body.len()).expect("short enough");
        [&[length][..], body].concat()
    }

    fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
        [kind.to_be_bytes().to_vec(), long(body)].concat()
    }

    fn sni(name: &str) -> Vec<u8> {
        extension(0, &long(&[&[0][..], &long(name.as_bytes())].concat()))
    }

    /// A message of these extensions, without records.
    fn message(extensions: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend(short(&[1; 32]));
        body.extend(long(&[0x13, 1, 0x13, 2]));
        body.extend(short(&[0]));
        body.extend(long(&extensions.concat()));
        let length = u32::try_from(body.len()).expect("short enough");
        [&[1][..], &length.to_be_bytes()[1..], &body].concat()
    }

    /// The same in records of at most `size` bytes.
    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let record = |piece: &[u8]| [vec![0x16, 3, 1], long(piece)].concat();
        message.chunks(size).flat_map(record).collect()
    }

    fn usual() -> Vec<Vec<u8>> {
        vec![
            extension(0x0a0a, &[]),
            sni("WWW.Example.com."),
            extension(16, &long(&[short(b"h2"), short(b"http/1.1")].concat())),
            extension(43, &short(&[0x1a, 0x1a, 3, 4, 3, 3])),
        ]
    }

    fn expected() -> ClientHello {
        ClientHello {
            server_name: Some("www.example.com".into()),
            alpn: vec![b"h2"[..].into(), b"http/1.1"[..].into()],
            newest: Version::Tls13,
        }
    }

    #[test]
    fn a_hello_is_read_however_it_is_cut_into_records() {
        for size in [1, 2, 3, 4, 5, 40, 16 * 1024] {
            let mut bytes = records(&message(&usual()), size);
            let whole = bytes.len();
            bytes.extend(b"behind");
            for end in 0..whole {
                assert_eq!(read_client_hello(&bytes[..end]), Parse::Partial, "{end} by {size}");
                let is_certain = if end < 6 { Verdict::Maybe } else { Verdict::Yes };
                assert_eq!(begins(&bytes[..end]), is_certain, "{end}");
            }
            let whole = Parse::Whole { value: expected(), length: whole };
            assert_eq!(read_client_hello(&bytes), whole, "by {size}");
        }
    }

    #[track_caller]
    fn check(extensions: &[Vec<u8>], expected: &str) {
        let shown = match read_client_hello(&records(&message(extensions), 9_000)) {
            Parse::Whole { value: ClientHello { server_name, alpn, newest }, .. } => {
                format!("{} {} {newest}", server_name.as_deref().unwrap_or("-"), alpn.len())
            }
            Parse::Partial => "partial".to_owned(),
            Parse::Foreign(why) => format!("{why:?}"),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn extensions() {
        check(&[], "- 0 1.2");
        check(&[sni("a.example")], "a.example 0 1.2");
        check(&[extension(43, &short(&[3, 1, 3, 2]))], "- 0 1.1");
        check(&[extension(43, &short(&[0x7a, 0x7a]))], "- 0 1.2");
        check(&[extension(16, &long(&[]))], "- 0 1.2");
        check(&[extension(0, &long(&[]))], "- 0 1.2");
        check(&[extension(21, &[0; 8_000]), sni("a")], "a 0 1.2");
    }

    #[test]
    fn strangers() {
        check(&[sni("a"), sni("a")], "Twice");
        check(&[sni("")], "Name");
        check(&[sni(".")], "Name");
        check(&[sni("a\0.example")], "Name");
        check(&[sni("ä.example")], "Name");
        check(&[sni(&"a".repeat(256))], "Name");
        check(&[extension(0, &[0, 9, 0])], "Length");
        check(&[extension(16, &[0, 2, 9, 9])], "Length");
        check(&[vec![0, 0, 0xff]], "Length");
        let foreign = |bytes: &[u8], why| {
            assert_eq!(read_client_hello(bytes), Parse::Foreign(why), "{bytes:?}");
            assert_eq!(begins(bytes), Verdict::No, "{bytes:?}");
        };
        foreign(b"GET / HTTP/1.1\r\n", Foreign::NotTls);
        foreign(&[0x16, 2], Foreign::NotTls);
        foreign(&[0x16, 3, 5], Foreign::NotTls);
        foreign(&[0x16, 3, 1, 0, 0, 1], Foreign::NotTls);
        foreign(&[0x16, 3, 1, 0x40, 1, 1], Foreign::NotTls);
        foreign(&[0x16, 3, 1, 0, 1, 2], Foreign::NotHello);
        let long = [0x16, 3, 1, 0, 4, 1, 1, 0, 0];
        assert_eq!(read_client_hello(&long), Parse::Foreign(Foreign::TooLong));
        // The second record is none.
        let mut bytes = records(&message(&usual()), 40);
        bytes[45] = 0x17;
        assert_eq!(read_client_hello(&bytes), Parse::Foreign(Foreign::NotTls));
    }

    proptest! {
        /// What has been told once stays true when more comes, whatever is broken in it.
        #[test]
        fn any_bytes_are_read_and_never_taken_back(
            size in 1usize..300,
            broken in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = records(&message(&usual()), size);
            for (at, byte) in broken {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let before = read_client_hello(&bytes[..cut.index(bytes.len())]);
            let after = read_client_hello(&bytes);
            prop_assert!(before == Parse::Partial || before == after, "{before:?}, {after:?}");
            if let Parse::Whole { length, .. } = after {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
