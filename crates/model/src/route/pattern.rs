//! What names, paths, header fields and first bytes may be like.

use std::fmt;
use std::ops::Range;

/// Longest host name, in bytes, without a dot at its end.
const NAME_BYTES_MAX: usize = 253;

/// Longest text or prefix, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternFault {
    /// Where, in bytes of the text.
    pub at: Range<usize>,
    /// What is wrong there, in a few words.
    pub what: &'static str,
    /// What to write instead.
    pub help: &'static str,
}

fn fault(at: Range<usize>, what: &'static str, help: &'static str) -> PatternFault {
    PatternFault { at, what, help }
}

/// Hosts: one, all below a name, or any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NamePattern {
    /// Any host, as long as one is named: `*`.
    Any,
    /// This one, in lower case.
    Exact(String),
    /// All below this one, at any depth, and not itself: `*.example.com`.
    Below(String),
}

impl NamePattern {
    /// Reads `www.example.com`, `*.example.com`, `*`, or an address.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        const STAR: &str = "write `*.example.com` for all names below one, `*` for any";
        if text == "*" {
            return Ok(Self::Any);
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let start = text.len() - name.len();
        if let Some(star) = name.find('*') {
            return Err(fault(start + star..start + star + 1, "a `*` in a name", STAR));
        }
        let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        if let (false, Ok(address)) = (below, bare.parse::<std::net::IpAddr>()) {
            return Ok(Self::Exact(address.to_string()));
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        if let Some(colon) = name.find(':') {
            let at = start + colon..text.len();
            return Err(fault(at, "a port", "leave the port out: names are compared without"));
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if let Some((at, c)) = name.char_indices().find(|(_, c)| !legal(*c)) {
            let help = match c.is_ascii() {
                true => "a host is written as `www.example.com`",
                false => "write the name as clients send it, as `xn--...`",
            };
            return Err(fault(start + at..start + at + c.len_utf8(), "not of a host", help));
        }
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.split('.').any(str::is_empty) {
            return Err(fault(
                0..text.len(),
                "not a host",
                "a host is written as `www.example.com`",
            ));
        }
        let name = name.to_ascii_lowercase();
        Ok(if below { Self::Below(name) } else { Self::Exact(name) })
    }

    /// Whether every host that `other` matches is one of these.
    pub fn covers(&self, other: &Self) -> bool {
        let is_below = |name: &str, parent: &str| {
            name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
        };
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Exact(one), Self::Exact(other)) => one == other,
            (Self::Below(parent), Self::Exact(name)) => is_below(name, parent),
            (Self::Below(parent), Self::Below(name)) => name == parent || is_below(name, parent),
            (_, Self::Any) | (Self::Exact(_), Self::Below(_)) => false,
        }
    }

    /// All patterns that cover this one, the narrowest first.
    pub fn wider(&self) -> impl Iterator<Item = Self> {
        let name = match self {
            Self::Any => "",
            Self::Exact(name) | Self::Below(name) => name.as_str(),
        };
        let parents = std::iter::successors(Some(name), |name| Some(name.split_once('.')?.1));
        let skipped = match self {
            Self::Exact(_) => 1,
            Self::Any | Self::Below(_) => 0,
        };
        let parents = parents.skip(skipped).filter(|name| !name.is_empty());
        let itself = matches!(self, Self::Exact(_)).then(|| self.clone());
        itself
            .into_iter()
            .chain(parents.map(|name| Self::Below(name.to_owned())))
            .chain([Self::Any])
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

/// Texts: one, or all that begin with one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TextPattern {
    /// This one.
    Exact(String),
    /// All that begin so: `/api/*`.
    Begin(String),
}

impl TextPattern {
    /// Reads `/a` or `/a/*`.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        const STAR: &str = "a `*` stands at the end; for anything else there is `regex`";
        let (is_begin, plain) = match text.strip_suffix('*') {
            Some(plain) => (true, plain),
            None => (false, text),
        };
        if let Some(star) = plain.find('*') {
            return Err(fault(star..star + 1, "a `*` before the end", STAR));
        }
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            let what = if text.is_empty() { "empty" } else { "too long" };
            return Err(fault(0..text.len(), what, "write `/a` for one, `/a/*` for all below it"));
        }
        let plain = plain.to_owned();
        Ok(if is_begin { Self::Begin(plain) } else { Self::Exact(plain) })
    }

    /// Whether `text` is one of these.
    pub fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => text == exact.as_bytes(),
            Self::Begin(begin) => text.starts_with(begin.as_bytes()),
        }
    }

    /// Whether every text that `other` matches is one of these.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(one), Self::Exact(other)) => one == other,
            (Self::Exact(_), Self::Begin(_)) => false,
            (Self::Begin(begin), Self::Exact(other) | Self::Begin(other)) => {
                other.starts_with(begin.as_str())
            }
        }
    }
}

impl fmt::Display for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Begin(text) => write!(f, "{text}*"),
        }
    }
}

/// A field of an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderPattern {
    /// Its name, in lower case.
    pub name: String,
    /// Its value; `None`: any.
    pub value: Option<TextPattern>,
}

impl HeaderPattern {
    /// Reads `Upgrade` or `Upgrade: websocket`.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        const HELP: &str = "write `Upgrade`, or `Upgrade: websocket` for one of this value";
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        if let Some((at, c)) = name.char_indices().find(|(_, c)| !is_token(*c)) {
            return Err(fault(at..at + c.len_utf8(), "not of a field's name", HELP));
        }
        if name.is_empty() || text.len() > TEXT_BYTES_MAX {
            return Err(fault(0..text.len(), "not a field", HELP));
        }
        let value = value.map(|value| {
            let start = text.len() - value.trim_start().len();
            TextPattern::parse(value.trim()).map_err(|fault| {
                let Range { start: from, end } = fault.at;
                PatternFault { at: start + from..start + end, help: HELP, ..fault }
            })
        });
        Ok(Self { name: name.to_ascii_lowercase(), value: value.transpose()? })
    }

    /// Whether every field that `other` matches is one of these.
    pub fn covers(&self, other: &Self) -> bool {
        self.name == other.name
            && match (&self.value, &other.value) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(one), Some(other)) => one.covers(other),
            }
    }
}

impl fmt::Display for HeaderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.value.iter().try_for_each(|value| write!(f, ": {value}"))
    }
}

/// Whether a character may stand in a method or the name of a field.
pub fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// First bytes: one or more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prefix(Box<[u8]>);

impl Prefix {
    const HEX: &str = "hex:";

    /// Reads bytes as text, or as `hex:16 03 01`.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        const HELP: &str = "write two digits for each byte: `hex:16 03 01`";
        let whole = 0..text.len();
        let Some(digits) = text.strip_prefix(Self::HEX) else {
            return Self::new(text.as_bytes()).ok_or_else(|| {
                let what = if text.is_empty() { "empty" } else { "too long" };
                fault(whole, what, "write one to 4096 bytes")
            });
        };
        let mut bytes = Vec::new();
        let mut half: Option<(usize, u32)> = None;
        for (at, c) in digits.char_indices() {
            let at = Self::HEX.len() + at;
            match (c.to_digit(16), half.take()) {
                (Some(digit), None) => half = Some((at, digit)),
                (Some(low), Some((_, high))) => {
                    bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                }
                (None, None) if c == ' ' => {}
                (None, Some((at, _))) if c == ' ' => {
                    return Err(fault(at..at + 1, "half a byte", HELP));
                }
                (None, _) => return Err(fault(at..at + c.len_utf8(), "not a hex digit", HELP)),
            }
        }
        if let Some((at, _)) = half {
            return Err(fault(at..at + 1, "half a byte", HELP));
        }
        Self::new(&bytes).ok_or_else(|| fault(whole, "no bytes, or too many", HELP))
    }

    /// These bytes, if there are 1 to [`TEXT_BYTES_MAX`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=TEXT_BYTES_MAX).contains(&bytes.len()).then(|| Self(bytes.into()))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printable = |byte: &u8| matches!(byte, b' '..=b'~');
        match std::str::from_utf8(&self.0) {
            Ok(text) if self.0.iter().all(printable) && !text.starts_with(Self::HEX) => {
                f.write_str(text)
            }
            _ => {
                f.write_str(Self::HEX)?;
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: fmt::Display>(read: Result<T, PatternFault>, text: &str, expected: &str) {
        let shown = match read {
            Ok(read) => read.to_string(),
            Err(fault) => format!("{:?}: {}", &text[fault.at], fault.what),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn names() {
        let check = |text: &str, expected| check(NamePattern::parse(text), text, expected);
        check("WWW.Example.com.", "www.example.com");
        check("*.a_b.example", "*.a_b.example");
        check("*", "*");
        check("10.0.0.1", "10.0.0.1");
        check("[2001:DB8::1]", "2001:db8::1");
        check("a.*.example", "\"*\": a `*` in a name");
        check("*example", "\"*\": a `*` in a name");
        check("example.com:443", "\":443\": a port");
        check("bücher.example", "\"ü\": not of a host");
        check("a/b", "\"/\": not of a host");
        check("", "\"\": not a host");
        check("a..b", "\"a..b\": not a host");
        check("*.", "\"*.\": not a host");
    }

    #[test]
    fn names_cover_names() {
        let name = |text: &str| NamePattern::parse(text).expect("a legal pattern");
        for (wide, narrow, expected) in [
            ("*", "a.b", true),
            ("*", "*.b", true),
            ("*.b", "a.b", true),
            ("*.b", "x.a.b", true),
            ("*.b", "b", false),
            ("*.b", "ab", false),
            ("*.b", "*.b", true),
            ("*.b", "*.a.b", true),
            ("*.a.b", "*.b", false),
            ("a.b", "a.b", true),
            ("a.b", "*", false),
        ] {
            assert_eq!(name(wide).covers(&name(narrow)), expected, "{wide} {narrow}");
            let found = name(narrow).wider().any(|wider| wider == name(wide));
            assert_eq!(found, expected, "{narrow} is in {wide}");
        }
    }

    #[test]
    fn texts_and_fields() {
        check(TextPattern::parse("/a*"), "/a*", "/a*");
        check(TextPattern::parse("/a*b"), "/a*b", "\"*\": a `*` before the end");
        check(TextPattern::parse(""), "", "\"\": empty");
        let field = |text: &str, expected| check(HeaderPattern::parse(text), text, expected);
        field("Upgrade", "upgrade");
        field("Upgrade:  websocket ", "upgrade: websocket");
        field("User-Agent: curl/*", "user-agent: curl/*");
        field("a b", "\" \": not of a field's name");
        field(": b", "\": b\": not a field");
        field("a: b*c", "\"*\": a `*` before the end");
    }

    #[test]
    fn first_bytes() {
        let check = |text: &str, expected| check(Prefix::parse(text), text, expected);
        check("SSH-", "SSH-");
        check("hex:53 5348 2D", "SSH-");
        check("hex:1603", "hex:1603");
        check("ä", "hex:c3a4");
        check("hex:6865783a", "hex:6865783a");
        check("hex:160", "\"0\": half a byte");
        check("hex:1 6", "\"1\": half a byte");
        check("hex:1g", "\"g\": not a hex digit");
        check("hex:", "\"hex:\": no bytes, or too many");
        check("", "\"\": empty");
    }
}
