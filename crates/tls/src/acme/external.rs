//! The key of an account that an authority knows already: Base64 as URLs have it (RFC 4648, section
//! 5), with or without `=` at its end.

use std::fmt;

/// A key of HMAC. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ExternalKey(Vec<u8>);

impl ExternalKey {
    /// Reads it. `None`: it is not Base64 of anything.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |end| end + 1);
        let (text, padding) = text.split_at(end);
        if text.is_empty() || text.len() % 4 == 1 || padding.len() > 2 {
            return None;
        }
        let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
        for four in text.chunks(4) {
            let mut bits = 0;
            for digit in four {
                bits = bits << 6 | digit_value(*digit)?;
            }
            bits <<= 6 * (4 - four.len());
            let [_, three @ ..] = bits.to_be_bytes();
            bytes.extend(&three[..four.len() - 1]);
        }
        Some(Self(bytes))
    }

    /// The key.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ExternalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExternalKey(..)")
    }
}

fn digit_value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'-' | b'+' => 62,
        b'_' | b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read() {
        for (text, expected) in [
            ("Zg", Some(&b"f"[..])),
            ("Zg==", Some(b"f")),
            ("Zm8=\n", Some(b"fo")),
            ("Zm9v", Some(b"foo")),
            ("Zm9vYmFy", Some(b"foobar")),
            ("-_-_", Some(&[0xfb, 0xff, 0xbf])),
            ("+/+/", Some(&[0xfb, 0xff, 0xbf])),
            ("", None),
            ("=", None),
            ("Z", None),
            ("Zm9vY", None),
            ("Zm 9", None),
            ("Zg===", None),
        ] {
            let read = ExternalKey::read(text.as_bytes());
            assert_eq!(read.as_ref().map(|key| &*key.0), expected, "{text}");
            assert!(!format!("{read:?}").contains("102"));
        }
    }
}
