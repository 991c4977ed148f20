//! The first message of a PostgreSQL client (PostgreSQL manual, "Message Formats"): the start of a
//! session with its user and database, or a request for encryption, which is answered with one
//! byte before anything else is said.
//!
//! ```text
//! LENGTH(4) 00 03 00 00 "user" 0 "alice" 0 "database" 0 "shop" 0 0
//! 00 00 00 08 04 d2 16 2f     SSLRequest: S, and the client goes on with TLS; N, in plain text
//! 00 00 00 08 04 d2 16 30     GSSENCRequest: G or N
//! ```

use crate::{Parse, Verdict};

/// Longest first message, in bytes, as the server has it.
pub const FIRST_BYTES_MAX: usize = 10_000;

/// A request for TLS.
pub const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The answer that goes on with TLS.
pub const TLS_ACCEPTED: u8 = b'S';

/// The answer to a request for encryption that goes on without.
pub const REFUSED: u8 = b'N';

/// The first message of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First<'a> {
    /// It begins a session.
    Startup(Startup<'a>),
    /// It asks for TLS.
    TlsRequest,
    /// It asks for encryption by GSSAPI.
    GssRequest,
    /// It ends a query of another session.
    Cancel,
}

/// What a session begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Startup<'a>(&'a [u8]);

impl<'a> Startup<'a> {
    /// Names and values, in their order.
    pub fn parameters(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut words = self.0.split(|byte| *byte == 0);
        std::iter::from_fn(move || {
            let name = words.next().filter(|name| !name.is_empty())?;
            Some((name, words.next()?))
        })
    }

    /// Who wants to begin it.
    pub fn user(self) -> Option<&'a [u8]> {
        self.parameter(b"user")
    }

    /// The database it is for: that of the user's name, unless another is told.
    pub fn database(self) -> Option<&'a [u8]> {
        self.parameter(b"database").or_else(|| self.user())
    }

    fn parameter(self, name: &[u8]) -> Option<&'a [u8]> {
        let value = self.parameters().find(|(known, _)| *known == name)?.1;
        (!value.is_empty()).then_some(value)
    }
}

/// Why bytes are no such message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foreign {
    /// A length of less than 8 bytes, or more than [`FIRST_BYTES_MAX`].
    Length,
    /// Another version of the protocol than 3, and no request.
    Version,
    /// Names and values that do not end where the message does.
    Parameters,
}

/// Reads the first message from its first byte.
pub fn read_first(bytes: &[u8]) -> Parse<First<'_>, Foreign> {
    let length = match head(bytes) {
        Ok(Some(length)) => length,
        Ok(None) => return Parse::Partial,
        Err(why) => return Parse::Foreign(why),
    };
    let Some(code) = bytes.get(4..8) else { return Parse::Partial };
    let value = match u32::from_be_bytes([code[0], code[1], code[2], code[3]]) {
        80_877_103 if length == 8 => First::TlsRequest,
        80_877_104 if length == 8 => First::GssRequest,
        80_877_102 if bytes.len() < length => return Parse::Partial,
        80_877_102 => First::Cancel,
        code if code >> 16 != 3 => return Parse::Foreign(Foreign::Version),
        _ => {
            let Some(body) = bytes.get(8..length) else { return Parse::Partial };
            match body.strip_suffix(&[0]) {
                Some([]) => First::Startup(Startup(&[])),
                Some(body) if body.ends_with(&[0]) => First::Startup(Startup(body)),
                _ => return Parse::Foreign(Foreign::Parameters),
            }
        }
    };
    Parse::Whole { value, length }
}

/// Whether bytes begin such a message: known after eight.
pub(crate) fn begins(bytes: &[u8]) -> Verdict {
    match read_first(bytes) {
        Parse::Foreign(Foreign::Parameters) | Parse::Whole { .. } => Verdict::Yes,
        Parse::Partial if bytes.len() >= 8 => Verdict::Yes,
        Parse::Partial => Verdict::Maybe,
        Parse::Foreign(_) => Verdict::No,
    }
}

fn head(bytes: &[u8]) -> Result<Option<usize>, Foreign> {
    // What is known of the length already may be too much.
    let mut known = [0; 4];
    for (to, from) in known.iter_mut().zip(bytes) {
        *to = *from;
    }
    let length = usize::try_from(u32::from_be_bytes(known)).unwrap_or(usize::MAX);
    match (bytes.len(), length) {
        (_, length) if length > FIRST_BYTES_MAX => Err(Foreign::Length),
        (0..4, _) => Ok(None),
        (_, 0..8) => Err(Foreign::Length),
        (_, length) => Ok(Some(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(code: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(8 + body.len()).expect("short enough");
        [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let text =
            |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"-")).into_owned();
        let shown = match read_first(bytes) {
            Parse::Whole { value: First::Startup(start), .. } => {
                format!("{} {}", text(start.user()), text(start.database()))
            }
            Parse::Whole { value, length } => format!("{value:?} {length}"),
            Parse::Partial => "partial".to_owned(),
            Parse::Foreign(why) => format!("{why:?}"),
        };
        assert_eq!(shown, expected, "{bytes:?}");
    }

    const THREE: u32 = 3 << 16;

    #[test]
    fn firsts() {
        check(&TLS_REQUEST, "TlsRequest 8");
        check(&message(80_877_104, b""), "GssRequest 8");
        check(&message(80_877_102, &[0; 8]), "Cancel 16");
        check(&message(THREE, b"user\0alice\0database\0shop\0\0"), "alice shop");
        check(&message(THREE + 2, b"database\0shop\0x\0\0user\0bob\0\0"), "bob shop");
        check(&message(THREE, b"user\0alice\0\0"), "alice alice");
        check(&message(THREE, b"\0"), "- -");
        check(&message(THREE, b"user\0\0\0"), "- -");
    }

    #[test]
    fn strangers() {
        check(&message(2 << 16, b"\0"), "Version");
        check(&message(80_877_103, b"x"), "Version");
        check(&message(THREE, b""), "Parameters");
        check(&message(THREE, b"user\0alice"), "Parameters");
        check(&[0, 0, 0, 7], "Length");
        check(&[0, 0, 0x28], "Length");
        check(&[1], "Length");
        check(b"GET / HTTP/1.1\r\n", "Length");
    }

    proptest! {
        #[test]
        fn pieces_make_the_whole(values in prop::collection::vec("[a-z]{1,9}", 1..9)) {
            let mut body = Vec::new();
            values.iter().for_each(|value| body.extend(format!("user\0{value}\0").bytes()));
            body.push(0);
            let bytes = [message(THREE, &body), b"behind".to_vec()].concat();
            let whole = 8 + body.len();
            for end in 0..whole {
                prop_assert_eq!(read_first(&bytes[..end]), Parse::Partial);
                let expected = if end < 8 { Verdict::Maybe } else { Verdict::Yes };
                prop_assert_eq!(begins(&bytes[..end]), expected);
            }
            let Parse::Whole { value: First::Startup(start), length } = read_first(&bytes) else {
                return Err(TestCaseError::fail("not whole"));
            };
            prop_assert_eq!((length, start.user()), (whole, Some(values[0].as_bytes())));
        }

        #[test]
        fn any_bytes_are_read_and_never_taken_back(
            head in prop::sample::select(vec![&b""[..], &[0, 0, 0], &[0, 0, 0, 9, 0, 3], &[0, 0, 0, 8, 4, 210]]),
            rest in prop::collection::vec(prop::sample::select(vec![0u8, 1, 3, 8, 22, 47, 97]), 0..30),
            more in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut bytes = [head, &rest].concat();
            let before = format!("{:?}", read_first(&bytes));
            bytes.extend(more);
            let after = format!("{:?}", read_first(&bytes));
            prop_assert!(before == "Partial" || before == after, "{before} became {after}");
        }
    }
}
