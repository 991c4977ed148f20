//! The line by which an SSH client says what it is (RFC 4253 section 4.2).
//!
//! ```text
//! SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3 CR LF
//! ```

use crate::{Parse, Verdict, begins_with};

/// Longest line, in bytes, with its end.
pub const LINE_BYTES_MAX: usize = 255;

const BEGIN: &[u8] = b"SSH-";

/// What a client says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identification<'a> {
    /// The version of the protocol, as `2.0`: one or more visible characters of ASCII.
    pub version: &'a [u8],
    /// The program, as `OpenSSH_9.2p1`: visible characters of ASCII.
    pub software: &'a [u8],
}

/// The bytes are no such line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Foreign;

/// Reads the line from its first byte. Old clients end it in LF alone.
pub fn read_identification(bytes: &[u8]) -> Parse<Identification<'_>, Foreign> {
    match begins_with(bytes, BEGIN) {
        Verdict::No => return Parse::Foreign(Foreign),
        Verdict::Maybe => return Parse::Partial,
        Verdict::Yes => {}
    }
    let line = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let end = line.iter().position(|byte| matches!(byte, b'\r' | b'\n' | 0));
    let Some(end) = end else {
        return match line.len() < LINE_BYTES_MAX {
            true => Parse::Partial,
            false => Parse::Foreign(Foreign),
        };
    };
    let length = match line[end..] {
        [b'\n', ..] => end + 1,
        [b'\r', b'\n', ..] => end + 2,
        [b'\r'] if line.len() < LINE_BYTES_MAX => return Parse::Partial,
        _ => return Parse::Foreign(Foreign),
    };
    let words = &line[BEGIN.len()..end];
    // Behind a blank there are comments, which may hold anything.
    let words = words.split(|byte| *byte == b' ').next().unwrap_or_default();
    let dash = words.iter().position(|byte| *byte == b'-');
    match dash {
        Some(dash) if dash > 0 && words.iter().all(u8::is_ascii_graphic) => {
            let value = Identification { version: &words[..dash], software: &words[dash + 1..] };
            Parse::Whole { value, length }
        }
        _ => Parse::Foreign(Foreign),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(bytes: &str, expected: &str) {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let shown = match read_identification(bytes.as_bytes()) {
            Parse::Whole { value, length } => {
                format!("{} {} {length}", text(value.version), text(value.software))
            }
            Parse::Partial => "partial".to_owned(),
            Parse::Foreign(Foreign) => "foreign".to_owned(),
        };
        assert_eq!(shown, expected, "{bytes:?}");
    }

    #[test]
    fn lines() {
        check("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\nmore", "2.0 OpenSSH_9.2p1 32");
        check("SSH-1.99-a-b\n", "1.99 a-b 13");
        check("SSH-2.0-\r\n", "2.0  10");
        check(&format!("SSH-2.0-{}\r\n", "a".repeat(245)), &format!("2.0 {} 255", "a".repeat(245)));
    }

    #[test]
    fn strangers() {
        check("ssh", "foreign");
        check("SSH-2.0\r\n", "foreign");
        check("SSH--a\r\n", "foreign");
        check("SSH-2.0-a\rb", "foreign");
        check("SSH-2.0-a\0", "foreign");
        check("SSH-2.0-\u{e9}\n", "foreign");
        check(&format!("SSH-2.0-{}", "a".repeat(247)), "foreign");
        check(&format!("SSH-2.0-{}", "a".repeat(246)), "partial");
    }

    proptest! {
        #[test]
        fn pieces_make_the_whole(software in "[!-~&&[^ ]]{0,40}", end in "\r?\n") {
            let line = format!("SSH-2.0-{software}{end}");
            for cut in 0..line.len() {
                prop_assert_eq!(read_identification(&line.as_bytes()[..cut]), Parse::Partial);
            }
            let value = Identification { version: b"2.0", software: software.as_bytes() };
            let expected = Parse::Whole { value, length: line.len() };
            prop_assert_eq!(read_identification(line.as_bytes()), expected);
        }

        #[test]
        fn any_bytes_are_read_and_never_taken_back(
            head in "SSH-?[12.]{0,3}-?",
            rest in prop::collection::vec(prop::sample::select(b"a- \r\n\0\xff".to_vec()), 0..12),
            more in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut bytes = [head.as_bytes(), &rest].concat();
            let before = format!("{:?}", read_identification(&bytes));
            bytes.extend(more);
            let after = format!("{:?}", read_identification(&bytes));
            prop_assert!(before == "Partial" || before == after, "{before} became {after}");
        }
    }
}
