//! The first message of an MQTT client, versions 3.1 to 5: who it is.
//!
//! ```text
//! 10 LENGTH(1-4) "MQTT" LEVEL FLAGS KEEPALIVE(2)
//!    [5: PROPERTIES] CLIENT
//!    [will: [5: PROPERTIES] TOPIC MESSAGE] [USER] [PASSWORD]
//! ```
//!
//! Texts and messages stand behind their lengths in two bytes, properties behind one of up to four
//! bytes with seven bits each.

use crate::Parse;

/// Longest message that is read, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What a client begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version.
    pub version: Version,
    /// What it calls itself; may be empty.
    pub client: &'a [u8],
    /// As whom it comes.
    pub user: Option<&'a [u8]>,
}

/// A version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// 3.1
    V31,
    /// 3.1.1
    V311,
    /// 5.0
    V5,
}

/// As people write it.
impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V31 => "3.1",
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        })
    }
}

/// Why bytes are no such message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foreign {
    /// Another message, or another protocol.
    Kind,
    /// Another version.
    Version,
    /// A length that leads beyond the end of the message, or that is written wrongly.
    Length,
    /// More than [`MESSAGE_BYTES_MAX`].
    TooLong,
}

/// Reads the message from its first byte. What is wrong within it is told when all of it has come.
pub fn read_connect(bytes: &[u8]) -> Parse<Connect<'_>, Foreign> {
    match bytes {
        [] => return Parse::Partial,
        [0x10, ..] => {}
        _ => return Parse::Foreign(Foreign::Kind),
    }
    let (length, head) = match number(&bytes[1..]) {
        Ok(Some((length, count))) => (length, 1 + count),
        Ok(None) => return Parse::Partial,
        Err(why) => return Parse::Foreign(why),
    };
    if length > MESSAGE_BYTES_MAX {
        return Parse::Foreign(Foreign::TooLong);
    }
    let Some(message) = bytes.get(head..head + length) else { return Parse::Partial };
    match read(message) {
        Ok(value) => Parse::Whole { value, length: head + length },
        Err(why) => Parse::Foreign(why),
    }
}

fn read(message: &[u8]) -> Result<Connect<'_>, Foreign> {
    const WILL: u8 = 0x04;
    const USER: u8 = 0x80;
    let mut rest = Cursor(message);
    let name = rest.text()?;
    let version = match (name, rest.byte()?) {
        (b"MQIsdp", 3) => Version::V31,
        (b"MQTT", 4) => Version::V311,
        (b"MQTT", 5) => Version::V5,
        (b"MQTT" | b"MQIsdp", _) => return Err(Foreign::Version),
        _ => return Err(Foreign::Kind),
    };
    let flags = rest.byte()?;
    rest.take(2)?;
    if version == Version::V5 {
        rest.properties()?;
    }
    let client = rest.text()?;
    if flags & WILL != 0 {
        if version == Version::V5 {
            rest.properties()?;
        }
        rest.text()?;
        rest.text()?;
    }
    let user = (flags & USER != 0).then(|| rest.text()).transpose()?;
    Ok(Connect { version, client, user })
}

/// A number of seven bits a byte, and how many bytes it takes; `None`: it has only begun.
fn number(bytes: &[u8]) -> Result<Option<(usize, usize)>, Foreign> {
    const BYTES_MAX: usize = 4;
    let mut number = 0;
    for (at, byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((number, at + 1)));
        }
    }
    match bytes.len() < BYTES_MAX {
        true => Ok(None),
        false => Err(Foreign::Length),
    }
}

/// What is left of a message.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Foreign> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Foreign::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Foreign> {
        Ok(self.take(1)?[0])
    }

    fn text(&mut self) -> Result<&'a [u8], Foreign> {
        let length = self.take(2)?;
        self.take(usize::from(u16::from_be_bytes([length[0], length[1]])))
    }

    fn properties(&mut self) -> Result<(), Foreign> {
        let (length, count) = number(self.0)?.ok_or(Foreign::Length)?;
        self.take(count + length).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).expect("it is short");
        [&length.to_be_bytes()[..], text.as_bytes()].concat()
    }

    fn message(body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x10];
        let mut length = body.len();
        while length > 127 {
            bytes.push(u8::try_from(length % 128).expect("below 128") | 0x80);
            length /= 128;
        }
        bytes.push(u8::try_from(length).expect("below 128"));
        bytes.extend(body);
        bytes
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let shown = match read_connect(bytes) {
            Parse::Whole { value: Connect { version, client, user }, length } => {
                let user = user.map_or_else(|| "-".to_owned(), text);
                assert_eq!(length, bytes.len());
                format!("{version} {} {user}", text(client))
            }
            Parse::Partial => "partial".to_owned(),
            Parse::Foreign(why) => format!("{why:?}"),
        };
        assert_eq!(shown, expected, "{bytes:?}");
    }

    #[test]
    fn clients() {
        let plain = [&text("MQTT")[..], &[4, 2, 0, 60], &text("me")].concat();
        check(&message(&plain), "3.1.1 me -");
        let old = [&text("MQIsdp")[..], &[3, 2, 0, 60], &text("")].concat();
        check(&message(&old), "3.1  -");
        let all = [&text("MQTT")[..], &[5, 0xc6, 0, 60, 2, 0x21, 0], &text("me"), &[1, 9]];
        let all = [&all.concat()[..], &text("bye"), &text("x"), &text("al"), &text("pw")].concat();
        check(&message(&all), "5 me al");
        let long = "x".repeat(200);
        let long = [&text("MQTT")[..], &[4, 0x80, 0, 60], &text(&long), &text("al")].concat();
        check(&message(&long), &format!("3.1.1 {} al", "x".repeat(200)));
    }

    #[test]
    fn strangers() {
        check(b"GET", "Kind");
        check(&message(&[&text("HTTP")[..], &[4]].concat()), "Kind");
        check(&message(&[&text("MQTT")[..], &[6]].concat()), "Version");
        check(&message(&[&text("MQTT")[..], &[4, 2, 0, 60, 0, 9]].concat()), "Length");
        check(&message(&[&text("MQTT")[..], &[5, 2, 0, 60, 0x80]].concat()), "Length");
        check(&[0x10, 0x80, 0x80, 0x80, 0x80], "Length");
        check(&[0x10, 0x81, 0x80, 4], "TooLong");
        check(&[0x10, 0x80, 0x80], "partial");
    }

    proptest! {
        #[test]
        fn pieces_make_the_whole(client in "[a-z]{0,200}", user in "[a-z]{0,9}", will: bool) {
            let flags = 0x80 | if will { 4 } else { 0 };
            let mut body = [&text("MQTT")[..], &[5, flags, 0, 60, 0], &text(&client)].concat();
            if will {
                body.extend([&[0][..], &text("bye"), &text("")].concat());
            }
            body.extend(text(&user));
            let bytes = message(&body);
            for end in 0..bytes.len() {
                prop_assert_eq!(read_connect(&bytes[..end]), Parse::Partial);
            }
            let value = Connect {
                version: Version::V5,
                client: client.as_bytes(),
                user: Some(user.as_bytes()),
            };
            prop_assert_eq!(read_connect(&bytes), Parse::Whole { value, length: bytes.len() });
        }

        #[test]
        fn any_bytes_are_read_and_never_taken_back(
            head in prop::sample::select(vec![&b""[..], &[0x10], b"\x10\x0c\0\x04MQTT\x04\x80\0\0"]),
            rest in prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 4, 77, 128]), 0..20),
            more in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut bytes = [head, &rest].concat();
            let before = format!("{:?}", read_connect(&bytes));
            bytes.extend(more);
            let after = format!("{:?}", read_connect(&bytes));
            prop_assert!(before == "Partial" || before == after, "{before} became {after}");
        }
    }
}
