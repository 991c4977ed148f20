//! Bytes as words of a command line: read and shown with the same escapes.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Most bytes of a client: what listeners look at.
const BYTES_MAX: u64 = 64 * 1024;

/// Bytes that were written with escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

/// Reads `GET / HTTP/1.1\r\n`.
pub(super) fn unescape(text: &str) -> Result<Bytes, String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                let value = value.and_then(|value| u8::try_from(value).ok());
                value.ok_or("two digits stand behind \\x, as in \\xff")?
            }
            _ => return Err("behind \\ stands one of r n t 0 \\ or x with two digits".to_owned()),
        });
    }
    match bytes.len() as u64 > BYTES_MAX {
        true => Err(format!("at most {BYTES_MAX} bytes of a client are looked at")),
        false => Ok(Bytes(bytes)),
    }
}

/// What stands in a file, or comes from standard input.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = BYTES_MAX + 1;
    match path == Path::new("-") {
        true => io::stdin().lock().take(limit).read_to_end(&mut bytes)?,
        false => File::open(path)?.take(limit).read_to_end(&mut bytes)?,
    };
    match bytes.len() as u64 > BYTES_MAX {
        true => {
            Err(io::Error::other(format!("more than the {BYTES_MAX} bytes that are looked at")))
        }
        false => Ok(bytes),
    }
}

/// Text as it is, all else as [`unescape`] reads it.
pub(super) fn shown(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\r' => shown += "\\r",
                '\n' => shown += "\\n",
                '\t' => shown += "\\t",
                '\\' => shown += "\\\\",
                c if c.is_control() => {
                    let mut buffer = [0; 4];
                    c.encode_utf8(&mut buffer).bytes().for_each(|byte| push(&mut shown, byte));
                }
                c => shown.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| push(&mut shown, *byte));
    }
    shown
}

fn push(shown: &mut String, byte: u8) {
    *shown += &format!("\\x{byte:02x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        let all: Vec<u8> = (0..=255).collect();
        for bytes in [&all[..], b"a\\b", "gr\u{fc}n \u{85}".as_bytes(), b""] {
            assert_eq!(unescape(&shown(bytes)), Ok(Bytes(bytes.to_owned())));
        }
        assert_eq!(shown(b"GET /\r\n\0\xff"), r"GET /\r\n\x00\xff");
        assert_eq!(unescape(r"\0\x0A"), Ok(Bytes(vec![0, 10])));
    }

    #[test]
    fn wrong_escapes() {
        for text in [r"\", r"\q", r"\x", r"\xf", r"\xfg", &"a".repeat(65_537)] {
            assert!(unescape(text).is_err(), "{text}");
        }
    }
}
