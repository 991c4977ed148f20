//! RESP2, the protocol of Redis: commands as clients write them, replies as servers do.
//!
//! ```text
//! *2 CR LF $3 CR LF GET CR LF $1 CR LF k CR LF     a command: an array of strings
//! +OK    -ERR text    :42                          lines
//! $5 CR LF hello CR LF     $-1                     a string, and none
//! *2 CR LF ... ...         *-1                     an array of values, and none
//! ```

use crate::Parse;

/// Longest value, in bytes, with all that is within it.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// Most values within one, at whatever depth.
pub const VALUES_MAX: usize = 4_096;

/// How deep arrays may lie in each other.
pub const DEPTH_MAX: usize = 8;

/// Longest line that holds a number, in bytes: a sign and the digits of 64 bits.
const NUMBER_BYTES_MAX: usize = 20;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A word of the server's, as `OK`.
    Simple(&'a [u8]),
    /// What went wrong: a word in capitals, then a text.
    Error(&'a [u8]),
    /// A number.
    Integer(i64),
    /// Any bytes.
    Bulk(&'a [u8]),
    /// Several values.
    Array(Vec<Self>),
    /// There is none.
    Null,
}

/// Why bytes are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foreign {
    /// They begin with none of `+-:$*`.
    Kind,
    /// A number that is none.
    Number,
    /// A line or a string that does not end in CR LF.
    End,
    /// More than [`VALUE_BYTES_MAX`] bytes.
    TooLong,
    /// More than [`VALUES_MAX`] values.
    TooMany,
    /// More than [`DEPTH_MAX`] arrays in each other.
    TooDeep,
}

/// For people: `an array that is too deep`.
impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kind => "not a reply of Redis",
            Self::Number => "a wrong number",
            Self::End => "a value that does not end where it should",
            Self::TooLong => "a value of more than 1 MiB",
            Self::TooMany => "more than 4,096 values",
            Self::TooDeep => "arrays more than 8 deep",
        })
    }
}

/// Reads a value from its first byte.
pub fn read_value(bytes: &[u8]) -> Parse<Value<'_>, Foreign> {
    let is_cut = bytes.len() >= VALUE_BYTES_MAX;
    let bytes = &bytes[..bytes.len().min(VALUE_BYTES_MAX)];
    let mut reader = Reader { bytes, at: 0, values: 0 };
    match reader.value(0) {
        Ok(value) => Parse::Whole { value, length: reader.at },
        Err(Stop::Foreign(why)) => Parse::Foreign(why),
        Err(Stop::Partial) if is_cut => Parse::Foreign(Foreign::TooLong),
        Err(Stop::Partial) => Parse::Partial,
    }
}

/// Appends a command of these words, its name first.
pub fn write_command<'a>(words: impl ExactSizeIterator<Item = &'a [u8]>, to: &mut Vec<u8>) {
    to.extend(format!("*{}\r\n", words.len()).bytes());
    for word in words {
        to.extend(format!("${}\r\n", word.len()).bytes());
        to.extend(word);
        to.extend(b"\r\n");
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    values: usize,
}

/// Why there is no value yet.
enum Stop {
    Partial,
    Foreign(Foreign),
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Stop> {
        self.values += 1;
        let kind = *self.bytes.get(self.at).ok_or(Stop::Partial)?;
        self.at += 1;
        match kind {
            b'+' => Ok(Value::Simple(self.line()?)),
            b'-' => Ok(Value::Error(self.line()?)),
            b':' => Ok(Value::Integer(self.number()?)),
            b'$' => match self.length(VALUE_BYTES_MAX, Foreign::TooLong)? {
                Some(length) => Ok(Value::Bulk(self.bulk(length)?)),
                None => Ok(Value::Null),
            },
            b'*' => {
                let left = VALUES_MAX.saturating_sub(self.values);
                let Some(count) = self.length(left, Foreign::TooMany)? else {
                    return Ok(Value::Null);
                };
                if depth == DEPTH_MAX {
                    return Err(Stop::Foreign(Foreign::TooDeep));
                }
                // Not reserved: what is announced need not come.
                let mut values = Vec::new();
                for _ in 0..count {
                    if self.values >= VALUES_MAX {
                        return Err(Stop::Foreign(Foreign::TooMany));
                    }
                    values.push(self.value(depth + 1)?);
                }
                Ok(Value::Array(values))
            }
            _ => Err(Stop::Foreign(Foreign::Kind)),
        }
    }

    /// Up to CR LF.
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let end = end.ok_or(Stop::Partial)?;
        match rest[end..] {
            [b'\r'] => Err(Stop::Partial),
            [b'\r', b'\n', ..] => {
                self.at += end + 2;
                Ok(&rest[..end])
            }
            _ => Err(Stop::Foreign(Foreign::End)),
        }
    }

    fn number(&mut self) -> Result<i64, Stop> {
        let rest = &self.bytes[self.at..];
        let (sign, digits) = match rest {
            [b'-' | b'+', digits @ ..] => (1, digits),
            digits => (0, digits),
        };
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let is_over = digits.len() > count;
        // Told at once: a line of another kind may be long in coming.
        if sign + count > NUMBER_BYTES_MAX || is_over && (count == 0 || digits[count] != b'\r') {
            return Err(Stop::Foreign(Foreign::Number));
        }
        let text = self.line()?;
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        number.ok_or(Stop::Foreign(Foreign::Number))
    }

    /// `None` for -1.
    fn length(&mut self, most: usize, over: Foreign) -> Result<Option<usize>, Stop> {
        match self.number()? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) if length <= most => Ok(Some(length)),
                Ok(_) => Err(Stop::Foreign(over)),
                Err(_) => Err(Stop::Foreign(Foreign::Number)),
            },
        }
    }

    fn bulk(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        // No use in waiting for it.
        if self.at + length > VALUE_BYTES_MAX {
            return Err(Stop::Foreign(Foreign::TooLong));
        }
        let rest = &self.bytes[self.at..];
        match rest.get(length..).unwrap_or_default() {
            [] | [b'\r'] => Err(Stop::Partial),
            [b'\r', b'\n', ..] => {
                self.at += length + 2;
                Ok(&rest[..length])
            }
            _ => Err(Stop::Foreign(Foreign::End)),
        }
    }
}

/// The words of a command, if `value` is one: an array of strings, not empty.
pub fn command<'a>(value: &Value<'a>) -> Option<Vec<&'a [u8]>> {
    let Value::Array(values) = value else { return None };
    let words = values.iter().map(|value| match value {
        Value::Bulk(word) => Some(*word),
        _ => None,
    });
    words.collect::<Option<Vec<_>>>().filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(bytes: &str, expected: &str) {
        assert_eq!(shown(&read_value(bytes.as_bytes())), expected, "{bytes:?}");
    }

    fn shown(parse: &Parse<Value<'_>, Foreign>) -> String {
        fn words(value: &Value<'_>) -> String {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            match value {
                Value::Simple(word) => format!("+{}", text(word)),
                Value::Error(why) => format!("-{}", text(why)),
                Value::Integer(number) => number.to_string(),
                Value::Bulk(bytes) => format!("{:?}", text(bytes)),
                Value::Array(all) => {
                    format!("[{}]", all.iter().map(words).collect::<Vec<_>>().join(" "))
                }
                Value::Null => "null".to_owned(),
            }
        }
        match parse {
            Parse::Whole { value, length } => format!("{} {length}", words(value)),
            Parse::Partial => "partial".to_owned(),
            Parse::Foreign(why) => format!("{why:?}"),
        }
    }

    #[test]
    fn values() {
        check("+OK\r\nmore", "+OK 5");
        check("-ERR no such thing\r\n", "-ERR no such thing 20");
        check(":-42\r\n", "-42 6");
        check("$0\r\n\r\n", "\"\" 6");
        check("$2\r\n\r\n\r\n", "\"\\r\\n\" 8");
        check("$-1\r\n", "null 5");
        check("*-1\r\n", "null 5");
        check("*0\r\n", "[] 4");
        check("*2\r\n*1\r\n:1\r\n$1\r\na\r\n", "[[1] \"a\"] 19");
        check(":-9223372036854775808\r\n", "-9223372036854775808 23");
    }

    #[test]
    fn strangers() {
        check("x", "Kind");
        check("HTTP/1.1 400 Bad Request\r\n", "Kind");
        check(":1a", "Number");
        check(":\r\n", "Number");
        check("$-2\r\n", "Number");
        check(":9223372036854775808\r\n", "Number");
        check(":000000000000000000001", "Number");
        check("+a\nb", "End");
        check("+a\rb", "End");
        check("$1\r\nab", "End");
        check("$1048577\r\n", "TooLong");
        check("*4096\r\n", "TooMany");
        check(&"*1\r\n".repeat(9), "TooDeep");
        check(&format!("*1\r\n*4094\r\n{}*9\r\n", ":1\r\n".repeat(4_093)), "TooMany");
        check(&format!("+{}", "a".repeat(VALUE_BYTES_MAX - 1)), "TooLong");
        check(&format!("+{}", "a".repeat(VALUE_BYTES_MAX - 2)), "partial");
    }

    #[test]
    fn commands() {
        let mut bytes = Vec::new();
        write_command([&b"SET"[..], b"k", b"a\r\nb"].into_iter(), &mut bytes);
        assert_eq!(bytes, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n");
        let Parse::Whole { value, .. } = read_value(&bytes) else { panic!("it is whole") };
        assert_eq!(command(&value), Some(vec![&b"SET"[..], b"k", b"a\r\nb"]));
        assert_eq!(command(&Value::Array(vec![])), None);
        assert_eq!(command(&Value::Array(vec![Value::Null])), None);
        assert_eq!(command(&Value::Bulk(b"PING")), None);
    }

    fn written(value: &Value<'_>, to: &mut Vec<u8>) {
        match value {
            Value::Simple(word) => to.extend([b"+", *word, b"\r\n"].concat()),
            Value::Error(why) => to.extend([b"-", *why, b"\r\n"].concat()),
            Value::Integer(number) => to.extend(format!(":{number}\r\n").bytes()),
            Value::Bulk(bytes) => {
                to.extend(format!("${}\r\n", bytes.len()).bytes());
                to.extend([*bytes, b"\r\n"].concat());
            }
            Value::Array(all) => {
                to.extend(format!("*{}\r\n", all.len()).bytes());
                all.iter().for_each(|value| written(value, to));
            }
            Value::Null => to.extend(b"$-1\r\n"),
        }
    }

    fn any_value() -> impl Strategy<Value = Value<'static>> {
        let leaf = prop_oneof![
            prop::sample::select(vec![&b""[..], b"OK", b"a b"]).prop_map(Value::Simple),
            prop::sample::select(vec![&b"ERR no"[..], b""]).prop_map(Value::Error),
            any::<i64>().prop_map(Value::Integer),
            prop::sample::select(vec![&b""[..], b"\r\n", b"\0\xff", b"$1\r\n"])
                .prop_map(Value::Bulk),
            Just(Value::Null),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop::collection::vec(inner, 0..4).prop_map(Value::Array)
        })
    }

    proptest! {
        #[test]
        fn pieces_make_the_whole(value in any_value(), behind in "[+$*:a]{0,3}") {
            let mut bytes = Vec::new();
            written(&value, &mut bytes);
            let length = bytes.len();
            for end in 0..length {
                prop_assert_eq!(read_value(&bytes[..end]), Parse::Partial, "{} bytes", end);
            }
            bytes.extend(behind.bytes());
            prop_assert_eq!(read_value(&bytes), Parse::Whole { value, length });
        }

        #[test]
        fn any_bytes_are_read_and_never_taken_back(
            bytes in "[+:$*-]?[0-9]{0,3}(\r?\n?[+:$*-]?[0-9a]{0,2}){0,6}",
            more in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let before = shown(&read_value(bytes.as_bytes()));
            let after = shown(&read_value(&[bytes.as_bytes(), &more].concat()));
            prop_assert!(before == "partial" || before == after, "{before} became {after}");
        }
    }
}
