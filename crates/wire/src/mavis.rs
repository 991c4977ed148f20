//! The protocol of MAVIS "external" programs: a question by lines, and an answer by lines.
//!
//! ```text
//! 0 PRIV_TCPRELAY          6 ACK
//! 3 1700000000             21 17
//! 14 192.0.2.7             =0
//! 21 17
//! =
//! ```
//!
//! Each line is the number of an attribute, a blank and its value, in ascending order; a line that
//! begins with `=` ends the whole, and in an answer a code stands behind it. A line feed within a
//! value is sent as a carriage return. Programs send a question back with their result added, so an
//! answer may hold anything that the question held, and more.

use crate::Parse;

/// Longest answer up to the end of its last line, in bytes. Programs send a few hundred.
pub const REPLY_BYTES_MAX: usize = 16 * 1024;

/// The number of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attribute(pub u8);

impl Attribute {
    /// What kind of question it is: [`TYPE_RELAY`] for ours.
    pub const TYPE: Self = Self(0);
    /// When the client came, in seconds since 1970.
    pub const TIMESTAMP: Self = Self(3);
    /// The name of a user, where there is one.
    pub const USER: Self = Self(4);
    /// What was decided: `ACK`, `NAK`, `ERR` or `NFD`.
    pub const RESULT: Self = Self(6);
    /// The address of the client.
    pub const CLIENT: Self = Self(14);
    /// A comment for logs.
    pub const COMMENT: Self = Self(17);
    /// What tells questions apart; an answer repeats it unchanged.
    pub const SERIAL: Self = Self(21);
    /// The address that the client came to.
    pub const SERVER: Self = Self(25);
    /// The realm of the listener.
    pub const REALM: Self = Self(27);
    /// A text for the user.
    pub const MESSAGE: Self = Self(32);
    /// The subject of the client's certificate, where there is one.
    pub const CERTIFICATE_SUBJECT: Self = Self(44);
}

/// The type of questions about clients of a relay.
pub const TYPE_RELAY: &str = "PRIV_TCPRELAY";

/// The code of an answer that is final.
pub const FINAL: u8 = 0;

/// The code of a program that leaves the decision to another.
pub const PASS_ON: u8 = 16;

/// Appends a question with these attributes.
///
/// They must stand in ascending order, each once.
pub fn write_request(out: &mut Vec<u8>, attributes: &[(Attribute, &str)]) {
    debug_assert!(attributes.is_sorted_by(|one, next| one.0 < next.0), "in ascending order");
    for (Attribute(number), value) in attributes {
        out.extend_from_slice(number.to_string().as_bytes());
        out.push(b' ');
        out.extend(value.bytes().map(|byte| if byte == b'\n' { b'\r' } else { byte }));
        out.push(b'\n');
    }
    out.extend_from_slice(b"=\n");
}

/// What a program answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The code of its last line: [`FINAL`], [`PASS_ON`] or another.
    pub code: u8,
    /// All lines but the last, each of them sound.
    lines: &'a [u8],
}

impl<'a> Reply<'a> {
    /// The value of an attribute, as it came; the last one, if it is there several times.
    pub fn get(&self, wanted: Attribute) -> Option<&'a [u8]> {
        let lines = self.lines.rsplit(|byte| *byte == b'\n');
        let mut there = lines.filter_map(attribute).filter(|(number, _)| *number == wanted);
        there.next().map(|(_, value)| value)
    }
}

/// Why bytes are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A line is neither an attribute nor the end.
    NoAttribute,
    /// There is no code behind `=`.
    NoCode,
    /// No end within [`REPLY_BYTES_MAX`].
    TooLong,
}

/// Reads an answer from its first byte.
pub fn read_reply(bytes: &[u8]) -> Parse<Reply<'_>, Foreign> {
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            // What cannot become a good line is not waited for.
            return match begins_well(rest) {
                true => unfinished(bytes),
                false => Parse::Foreign(Foreign::NoAttribute),
            };
        };
        let line = &rest[..end];
        let length = at + end + 1;
        if length > REPLY_BYTES_MAX {
            return Parse::Foreign(Foreign::TooLong);
        }
        if let Some(code) = line.strip_prefix(b"=") {
            return match number(code) {
                Some(code) => Parse::Whole { value: Reply { code, lines: &bytes[..at] }, length },
                None => Parse::Foreign(Foreign::NoCode),
            };
        }
        if attribute(line).is_none() {
            return Parse::Foreign(Foreign::NoAttribute);
        }
        at = length;
    }
    unfinished(bytes)
}

fn unfinished<'a>(bytes: &[u8]) -> Parse<Reply<'a>, Foreign> {
    match bytes.len() < REPLY_BYTES_MAX {
        true => Parse::Partial,
        false => Parse::Foreign(Foreign::TooLong),
    }
}

/// Whether a line that has not ended may still be a good one.
fn begins_well(line: &[u8]) -> bool {
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match line.get(digits) {
        Some(b'=') => digits == 0,
        Some(b' ') => number(&line[..digits]).is_some(),
        Some(_) => false,
        None => digits == 0 || number(line).is_some(),
    }
}

/// `14 192.0.2.7`; a value may be empty.
fn attribute(line: &[u8]) -> Option<(Attribute, &[u8])> {
    let blank = line.iter().position(|byte| *byte == b' ')?;
    Some((Attribute(number(&line[..blank])?), &line[blank + 1..]))
}

/// One to three digits, at most 255.
fn number(digits: &[u8]) -> Option<u8> {
    let legal = (1..=3).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let value = digits.iter().fold(0_u16, |value, digit| {
        value.saturating_mul(10).saturating_add(u16::from(digit.wrapping_sub(b'0')))
    });
    u8::try_from(value).ok().filter(|_| legal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests() {
        let mut out = Vec::new();
        let attributes = [
            (Attribute::TYPE, TYPE_RELAY),
            (Attribute::CLIENT, "192.0.2.7"),
            (Attribute::SERIAL, "17"),
            (Attribute::REALM, "two\nlines"),
        ];
        write_request(&mut out, &attributes);
        assert_eq!(out, b"0 PRIV_TCPRELAY\n14 192.0.2.7\n21 17\n27 two\rlines\n=\n");
    }

    /// Shows what was read as `CODE RESULT SERIAL|what follows`.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match read_reply(text.as_bytes()) {
            Parse::Whole { value, length } => {
                let text_of = |attribute| {
                    value.get(attribute).map_or_else(|| "-".into(), String::from_utf8_lossy)
                };
                let (result, serial) = (text_of(Attribute::RESULT), text_of(Attribute::SERIAL));
                format!("{} {result} {serial}|{}", value.code, &text[length..])
            }
            Parse::Partial => "partial".to_owned(),
            Parse::Foreign(why) => format!("{why:?}"),
        };
        assert_eq!(shown, expected, "{text:?}");
    }

    #[test]
    fn answers() {
        check("6 ACK\n21 17\n=0\n", "0 ACK 17|");
        check("0 X\n6 NAK\n17 \n21 9\n=0\n6 ACK", "0 NAK 9|6 ACK");
        check("=16\n", "16 - -|");
        check("6 ACK\n6 NAK\n=0\n", "0 NAK -|");
        check("6 \n255 x\n=255\n", "255  -|");
    }

    #[test]
    fn beginnings() {
        check("", "partial");
        check("6", "partial");
        check("6 ACK", "partial");
        check("6 ACK\n", "partial");
        check("6 ACK\n=", "partial");
        check("6 ACK\n=0", "partial");
    }

    #[test]
    fn strangers() {
        check("Traceback", "NoAttribute");
        check("6 ACK\n\n", "NoAttribute");
        check("6\n", "NoAttribute");
        check("256 x", "NoAttribute");
        check("1000", "NoAttribute");
        check("6=", "NoAttribute");
        check("=\n", "NoCode");
        check("=256\n", "NoCode");
        check("= 0\n", "NoCode");
        let long = format!("32 {}", "x".repeat(REPLY_BYTES_MAX));
        check(&long, "TooLong");
        check(&format!("{long}\n=0\n"), "TooLong");
    }

    proptest! {
        /// What is written is read again, and is partial wherever it is cut.
        #[test]
        fn pieces_make_the_whole(
            values in prop::collection::btree_map(any::<u8>(), "[ -~\r]{0,20}", 0..12),
            code in any::<u8>(),
            early in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let attributes: Vec<_> =
                values.iter().map(|(number, value)| (Attribute(*number), value.as_str())).collect();
            let mut bytes = Vec::new();
            write_request(&mut bytes, &attributes);
            // An answer has a code where a question ends.
            bytes.truncate(bytes.len() - 1);
            bytes.extend(format!("{code}\n").bytes());
            let whole = bytes.len();
            for end in 0..whole {
                prop_assert_eq!(read_reply(&bytes[..end]), Parse::Partial);
            }
            bytes.extend(early);
            let Parse::Whole { value, length } = read_reply(&bytes) else {
                panic!("a whole answer");
            };
            prop_assert_eq!((value.code, length), (code, whole));
            for (attribute, text) in attributes {
                prop_assert_eq!(value.get(attribute), Some(text.as_bytes()));
            }
        }

        /// What has been told once stays true when more comes.
        #[test]
        fn any_bytes_are_read_and_never_taken_back(
            text in "([0-9]{0,4}[ =]?[A-Z0-9 ]{0,5}\n){0,4}[0-9=]{0,3}[ A-Z]{0,3}",
            more in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut bytes = text.into_bytes();
            let before = format!("{:?}", read_reply(&bytes));
            let was_partial = read_reply(&bytes) == Parse::Partial;
            bytes.extend(more);
            let after = format!("{:?}", read_reply(&bytes));
            prop_assert!(was_partial || after == before, "{before} became {after}");
        }
    }
}
