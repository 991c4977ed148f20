//! The body of a request: where it ends.
//!
//! A body is passed on as it comes and not held, so its reader keeps how far it is, other than the
//! readers of heads.

use super::{Body, Foreign, is_text};
use crate::Parse;

/// Longest line before a chunk, in bytes, without its end: the size, and what extends it.
pub const CHUNK_LINE_BYTES_MAX: u16 = 4 * 1024;

/// Longest trailer, in bytes, without its empty line.
pub const TRAILER_BYTES_MAX: u16 = 32 * 1024;

/// Digits of the greatest size of a chunk.
const SIZE_DIGITS_MAX: u8 = 16;

/// How far a body has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyReader(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes are left.
    Length(u64),
    /// Within the size of a chunk.
    Size {
        size: u64,
        digits: u8,
    },
    /// Behind the size, up to the end of its line.
    Extension {
        size: u64,
        room: u16,
    },
    /// At the LF behind the size.
    SizeLf {
        size: u64,
    },
    /// So many bytes of the chunk are left.
    Data(u64),
    /// At the line end behind a chunk.
    DataCr,
    DataLf,
    /// Behind the last chunk, at the beginning of a line.
    Trailer {
        room: u16,
    },
    /// Within a line there.
    TrailerLine {
        room: u16,
    },
    TrailerLf {
        room: u16,
    },
    /// At the last LF.
    LastLf,
    Ended,
}

impl BodyReader {
    /// At the first byte of such a body.
    pub fn new(body: Body) -> Self {
        Self(match body {
            Body::Length(0) => State::Ended,
            Body::Length(length) => State::Length(length),
            Body::Chunked => State::Size { size: 0, digits: 0 },
        })
    }

    /// Whether it has been read to its end.
    pub fn has_ended(self) -> bool {
        self.0 == State::Ended
    }

    /// Reads what comes next. [`Parse::Partial`]: all of it belongs to the body.
    pub fn read(&mut self, bytes: &[u8]) -> Parse<(), Foreign> {
        let mut at = 0;
        loop {
            if self.has_ended() {
                return Parse::Whole { value: (), length: at };
            }
            let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else {
                return Parse::Partial;
            };
            match self.step(rest) {
                Ok(length) => at += length,
                Err(why) => return Parse::Foreign(why),
            }
        }
    }

    /// Goes on by at least one byte of `rest`, which is not empty; says by how many.
    fn step(&mut self, rest: &[u8]) -> Result<usize, Foreign> {
        if let State::Length(left) | State::Data(left) = self.0 {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let left = left - length as u64;
            self.0 = match (self.0, left) {
                (State::Length(_), 0) => State::Ended,
                (State::Length(_), left) => State::Length(left),
                (_, 0) => State::DataCr,
                (_, left) => State::Data(left),
            };
            return Ok(length);
        }
        self.0 = self.0.next(rest[0])?;
        Ok(1)
    }
}

impl State {
    /// Behind `byte`, for states that look at each byte.
    fn next(self, byte: u8) -> Result<Self, Foreign> {
        Ok(match (self, byte) {
            (Self::Size { size, digits }, byte) if byte.is_ascii_hexdigit() => {
                if digits == SIZE_DIGITS_MAX {
                    return Err(Foreign::Chunk);
                }
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Self::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { digits: 0, .. }, _) => return Err(Foreign::Chunk),
            (Self::Size { size, .. } | Self::Extension { size, .. }, b'\r') => {
                Self::SizeLf { size }
            }
            (Self::Size { size, .. }, b';' | b' ' | b'\t') => {
                Self::Extension { size, room: CHUNK_LINE_BYTES_MAX }
            }
            (Self::Extension { size, room }, byte) if is_text(byte) => {
                Self::Extension { size, room: room.checked_sub(1).ok_or(Foreign::TooLong)? }
            }
            (Self::SizeLf { size: 0 }, b'\n') => Self::Trailer { room: TRAILER_BYTES_MAX },
            (Self::SizeLf { size }, b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size { size: 0, digits: 0 },
            (Self::Trailer { .. }, b'\r') => Self::LastLf,
            (Self::Trailer { .. }, b' ' | b'\t') => return Err(Foreign::Folded),
            (Self::TrailerLine { room }, b'\r') => Self::TrailerLf { room },
            (Self::Trailer { room } | Self::TrailerLine { room }, byte) if is_text(byte) => {
                Self::TrailerLine { room: room.checked_sub(1).ok_or(Foreign::TooLong)? }
            }
            (Self::Trailer { .. } | Self::TrailerLine { .. }, _) => return Err(Foreign::Control),
            (Self::TrailerLf { room }, b'\n') => Self::Trailer { room },
            (Self::LastLf, b'\n') => Self::Ended,
            _ => return Err(Foreign::Chunk),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads `text` in pieces of `size` bytes, and shows what is behind the body.
    fn shown(body: Body, text: &[u8], size: usize) -> String {
        let mut reader = BodyReader::new(body);
        let mut at = 0;
        loop {
            let piece = &text[at..text.len().min(at + size)];
            match reader.read(piece) {
                Parse::Whole { length, .. } => {
                    return format!("|{}", String::from_utf8_lossy(&text[at + length..]));
                }
                Parse::Partial if piece.is_empty() => return "partial".to_owned(),
                Parse::Partial => at += piece.len(),
                Parse::Foreign(why) => return format!("{why:?}"),
            }
        }
    }

    #[track_caller]
    fn check(body: Body, text: &str, expected: &str) {
        for size in [1, 2, 3, 7, usize::MAX / 2] {
            assert_eq!(shown(body, text.as_bytes(), size), expected, "{text:?} by {size}");
        }
    }

    #[test]
    fn lengths() {
        check(Body::Length(0), "next", "|next");
        check(Body::Length(3), "abcnext", "|next");
        check(Body::Length(3), "ab", "partial");
        check(Body::Length(u64::MAX), "ab", "partial");
    }

    #[test]
    fn chunks() {
        let good = [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "000A;x=\"y\"\r\n0\r\n\r\n56789\r\n0 ;z\r\nTrailer: a\r\nB: c\r\n\r\n",
        ];
        for text in good {
            check(Body::Chunked, &format!("{text}GET /"), "|GET /");
            check(Body::Chunked, &text[..text.len() - 1], "partial");
        }
    }

    #[test]
    fn strangers() {
        for (text, why) in [
            ("\r\n", "Chunk"),
            (";\r\n", "Chunk"),
            ("-1\r\n", "Chunk"),
            ("0x1\r\n", "Chunk"),
            ("3\nabc", "Chunk"),
            ("3;a\nabc", "Chunk"),
            ("3\rabc", "Chunk"),
            ("3\r\nabcd", "Chunk"),
            ("3\r\nabc\n", "Chunk"),
            ("00000000000000001\r\n", "Chunk"),
            ("0\r\nA: b\n", "Control"),
            ("0\r\nA: b\r\r\n", "Chunk"),
            ("0\r\n B: c\r\n", "Folded"),
            ("0\r\n\n", "Control"),
        ] {
            check(Body::Chunked, text, why);
        }
        let long = format!("1;{}", "x".repeat(CHUNK_LINE_BYTES_MAX.into()));
        check(Body::Chunked, &long, "partial");
        check(Body::Chunked, &format!("{long}x"), "TooLong");
        let long = format!("0\r\n{}", "x\r\n".repeat(TRAILER_BYTES_MAX.into()));
        check(Body::Chunked, &long, "partial");
        check(Body::Chunked, &format!("{long}x"), "TooLong");
    }

    proptest! {
        /// However it is cut, a body ends where it ends.
        #[test]
        fn pieces_make_the_whole(
            chunks in prop::collection::vec("[a-f0-9\r\n]{1,40}", 0..6),
            behind in "[ -~]{0,20}",
            size in 1_usize..50,
        ) {
            let mut text = String::new();
            chunks.iter().for_each(|data| text += &format!("{:x}\r\n{data}\r\n", data.len()));
            text += "0\r\n\r\n";
            text += &behind;
            prop_assert_eq!(shown(Body::Chunked, text.as_bytes(), size), format!("|{behind}"));
        }

        /// Any bytes come out the same in one piece as in many.
        #[test]
        fn any_bytes_come_to_the_same(text in "[0-9a-c;\r\n: ]{0,40}", size in 1_usize..9) {
            let (many, one) = (
                shown(Body::Chunked, text.as_bytes(), size),
                shown(Body::Chunked, text.as_bytes(), text.len().max(1)),
            );
            prop_assert_eq!(many, one);
        }
    }
}
