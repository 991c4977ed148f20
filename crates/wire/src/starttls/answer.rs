//! Clients that begin in the clear, and are to ask for TLS.
//!
//! They are answered as a server would that can do nothing else: what they ask for before TLS is
//! refused with the words that their protocol has for that. So whatever was said in the clear is
//! over when TLS begins, and the server behind us is met with a client that has said nothing yet.
//!
//! A PostgreSQL client may begin with TLS at once (`sslnegotiation=direct`), and may cancel a query
//! in the clear: it has nothing to tell that somebody between could use but once.

use super::{Opening, word};
use crate::Parse;
use crate::line::Lines;
use crate::postgres::{self, First, REFUSED, TLS_ACCEPTED};

/// Longest line of a client, in bytes (RFC 5321, 4.5.3.1.4, and room for extensions).
pub const LINE_BYTES_MAX: usize = 1024;

/// The first byte of TLS: the type of a record of its handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// Lines that a client may send before it asks for TLS.
pub const LINES_MAX: u32 = 32;

/// A client that is to ask for TLS.
#[derive(Clone, Debug)]
pub struct Answer {
    opening: Opening,
    /// Lines and requests so far.
    count: u32,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This is to be said now.
    Say(Vec<u8>),
    /// This is to be said now, if it is anything, and TLS begins.
    Tls(Vec<u8>),
    /// What follows, nothing of which was read, is meant for the server as it is.
    Plain,
    /// This is to be said now, and the end.
    End(Vec<u8>),
}

/// Why there is no TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foreign {
    /// What came is not of this protocol, or longer than it may be.
    Malformed,
    /// There was more of it than a client needs.
    TooMuch,
    /// Something stands behind the request for TLS, where the client has to wait for us.
    OutOfTurn,
}

impl Answer {
    /// With what has to be said before anything is read.
    pub fn new(opening: Opening) -> (Self, &'static [u8]) {
        let greeting: &[u8] = match opening {
            Opening::Smtp => b"220 replug ESMTP\r\n",
            Opening::Imap => b"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] replug\r\n",
            Opening::Pop3 => b"+OK replug\r\n",
            Opening::Postgres => b"",
        };
        (Self { opening, count: 0 }, greeting)
    }

    /// Reads what a client has sent and was not read before.
    pub fn read(&mut self, bytes: &[u8]) -> Parse<Next, Foreign> {
        let (value, length) = match self.opening {
            Opening::Postgres => match postgres(bytes) {
                Parse::Whole { value, length } => (value, length),
                other => return other,
            },
            _ => {
                let mut lines = Lines { bytes, at: 0 };
                match lines.next() {
                    Some(line) if line.len() <= LINE_BYTES_MAX => (self.line(line), lines.at),
                    None if bytes.len() <= LINE_BYTES_MAX => return Parse::Partial,
                    _ => return Parse::Foreign(Foreign::Malformed),
                }
            }
        };
        self.count += 1;
        match value {
            // TLS that has begun was read in no part.
            Next::Tls(_) if 0 < length && length < bytes.len() => {
                Parse::Foreign(Foreign::OutOfTurn)
            }
            Next::Say(_) if self.count >= LINES_MAX => Parse::Foreign(Foreign::TooMuch),
            value => Parse::Whole { value, length },
        }
    }

    fn line(&self, line: &[u8]) -> Next {
        match self.opening {
            Opening::Imap => imap(line),
            Opening::Pop3 => pop3(line),
            Opening::Smtp | Opening::Postgres => smtp(line),
        }
    }
}

fn is(word: &[u8], known: &str) -> bool {
    word.eq_ignore_ascii_case(known.as_bytes())
}

fn say(text: &str) -> Next {
    Next::Say(text.into())
}

fn smtp(line: &[u8]) -> Next {
    let (verb, rest) = word(line);
    match verb {
        verb if is(verb, "STARTTLS") && rest.is_empty() => {
            Next::Tls(b"220 2.0.0 begin TLS\r\n".to_vec())
        }
        verb if is(verb, "STARTTLS") => say("501 5.5.4 it takes no parameters\r\n"),
        verb if is(verb, "EHLO") => say("250-replug\r\n250 STARTTLS\r\n"),
        verb if is(verb, "HELO") => say("250 replug\r\n"),
        verb if is(verb, "NOOP") || is(verb, "RSET") => say("250 2.0.0 so be it\r\n"),
        verb if is(verb, "QUIT") => Next::End(b"221 2.0.0 bye\r\n".to_vec()),
        _ => say("530 5.7.0 Must issue a STARTTLS command first\r\n"),
    }
}

fn imap(line: &[u8]) -> Next {
    const ABILITIES: &str = "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n";

    let (tag, rest) = word(line);
    let (verb, rest) = word(rest);
    // What is repeated has to be a tag, and no more than that.
    let Ok(tag) = std::str::from_utf8(tag) else { return say("* BAD no tag\r\n") };
    let is_tag = tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    if tag.is_empty() || tag.len() > 64 || !is_tag {
        return say("* BAD no tag\r\n");
    }
    match verb {
        verb if is(verb, "STARTTLS") && rest.is_empty() => {
            Next::Tls(format!("{tag} OK begin TLS\r\n").into_bytes())
        }
        verb if is(verb, "CAPABILITY") => say(&format!("{ABILITIES}{tag} OK done\r\n")),
        verb if is(verb, "NOOP") => say(&format!("{tag} OK done\r\n")),
        verb if is(verb, "LOGOUT") => {
            Next::End(format!("* BYE replug\r\n{tag} OK done\r\n").into_bytes())
        }
        _ => say(&format!("{tag} NO [PRIVACYREQUIRED] begin TLS first\r\n")),
    }
}

fn pop3(line: &[u8]) -> Next {
    let (verb, rest) = word(line);
    match verb {
        verb if is(verb, "STLS") && rest.is_empty() => Next::Tls(b"+OK begin TLS\r\n".to_vec()),
        verb if is(verb, "CAPA") => say("+OK\r\nSTLS\r\n.\r\n"),
        verb if is(verb, "QUIT") => Next::End(b"+OK bye\r\n".to_vec()),
        _ => say("-ERR begin TLS first\r\n"),
    }
}

fn postgres(bytes: &[u8]) -> Parse<Next, Foreign> {
    if bytes.first() == Some(&HANDSHAKE) {
        return Parse::Whole { value: Next::Tls(Vec::new()), length: 0 };
    }
    match postgres::read_first(bytes) {
        Parse::Whole { value: First::TlsRequest, length } => {
            Parse::Whole { value: Next::Tls(vec![TLS_ACCEPTED]), length }
        }
        Parse::Whole { value: First::GssRequest, length } => {
            Parse::Whole { value: Next::Say(vec![REFUSED]), length }
        }
        Parse::Whole { value: First::Cancel, .. } => Parse::Whole { value: Next::Plain, length: 0 },
        Parse::Whole { value: First::Startup(_), length } => {
            Parse::Whole { value: Next::End(refusal()), length }
        }
        Parse::Partial => Parse::Partial,
        Parse::Foreign(_) => Parse::Foreign(Foreign::Malformed),
    }
}

/// What a PostgreSQL server says to one that may not come in the clear (its manual, "Error and
/// Notice Message Fields").
fn refusal() -> Vec<u8> {
    const FIELDS: &[u8] = b"SFATAL\0VFATAL\0C28000\0Mthis server takes TLS only; \
        use sslmode=require or better\0\0";

    let length = u32::try_from(4 + FIELDS.len()).expect("it is short");
    [&b"E"[..], &length.to_be_bytes(), FIELDS].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Plays all that a client sends, byte by byte and at once, and gives what it is told.
    fn play(opening: Opening, bytes: &[u8]) -> Vec<String> {
        let told = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let (mut answer, _) = Answer::new(opening);
            let (mut held, mut told) = (Vec::new(), Vec::new());
            for piece in pieces {
                held.extend(piece);
                loop {
                    match answer.read(&held) {
                        Parse::Whole { value, length } => {
                            held.drain(..length);
                            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                            let end = match value {
                                Next::Say(say) => {
                                    told.push(text(&say));
                                    continue;
                                }
                                Next::End(say) => text(&say) + "END",
                                Next::Tls(say) => text(&say) + "TLS",
                                Next::Plain => "PLAIN".to_owned(),
                            };
                            told.push(end);
                            return told;
                        }
                        Parse::Partial => break,
                        Parse::Foreign(why) => {
                            told.push(format!("{why:?}"));
                            return told;
                        }
                    }
                }
            }
            told
        };
        let whole = told(&mut std::iter::once(bytes));
        // One that sends behind its request for TLS is only found out if that is there.
        if whole.last().is_none_or(|last| last != "OutOfTurn") {
            assert_eq!(told(&mut bytes.chunks(1)), whole, "{bytes:?}");
        }
        whole
    }

    #[track_caller]
    fn check(opening: Opening, text: &str, expected: &[&str]) {
        assert_eq!(play(opening, text.as_bytes()), expected, "{text:?}");
    }

    const FIRST: &str = "530 5.7.0 Must issue a STARTTLS command first\r\n";

    #[test]
    fn smtp_clients() {
        let features = "250-replug\r\n250 STARTTLS\r\n";
        let begin = "220 2.0.0 begin TLS\r\nTLS";
        check(Opening::Smtp, "EHLO me\r\nSTARTTLS\r\n", &[features, begin]);
        check(Opening::Smtp, "helo me\nstarttls \n", &["250 replug\r\n", begin]);
        check(Opening::Smtp, "MAIL FROM:<a@b>\r\n", &[FIRST]);
        check(Opening::Smtp, "AUTH PLAIN xx\r\nDATA\r\n", &[FIRST, FIRST]);
        check(Opening::Smtp, "STARTTLS now\r\n", &["501 5.5.4 it takes no parameters\r\n"]);
        check(Opening::Smtp, "QUIT\r\nSTARTTLS\r\n", &["221 2.0.0 bye\r\nEND"]);
        check(Opening::Smtp, "STARTTLS\r\nMAIL FROM:<a@b>\r\n", &["OutOfTurn"]);
        check(Opening::Smtp, "STARTTLS\r\n\x16", &["OutOfTurn"]);
        check(Opening::Smtp, &"x".repeat(LINE_BYTES_MAX + 1), &["Malformed"]);
        assert_eq!(play(Opening::Smtp, "NOOP\n".repeat(99).as_bytes()).len(), LINES_MAX as usize);
    }

    #[test]
    fn imap_clients() {
        let abilities = "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na1 OK done\r\n";
        check(
            Opening::Imap,
            "a1 CAPABILITY\r\na.2 starttls\r\n",
            &[abilities, "a.2 OK begin TLS\r\nTLS"],
        );
        let refused = "x NO [PRIVACYREQUIRED] begin TLS first\r\n";
        check(Opening::Imap, "x LOGIN alice secret\r\n", &[refused]);
        check(Opening::Imap, "x STARTTLS now\r\n", &[refused]);
        check(Opening::Imap, "x LOGOUT\r\n", &["* BYE replug\r\nx OK done\r\nEND"]);
        check(Opening::Imap, "x NOOP\r\n", &["x OK done\r\n"]);
        check(Opening::Imap, "\r\n{5}\u{1} x\r\n", &["* BAD no tag\r\n"; 2]);
        check(Opening::Imap, "a STARTTLS\r\nb LOGIN x y\r\n", &["OutOfTurn"]);
    }

    #[test]
    fn pop3_clients() {
        check(Opening::Pop3, "CAPA\r\nSTLS\r\n", &["+OK\r\nSTLS\r\n.\r\n", "+OK begin TLS\r\nTLS"]);
        check(Opening::Pop3, "USER alice\r\n", &["-ERR begin TLS first\r\n"]);
        check(Opening::Pop3, "QUIT\r\n", &["+OK bye\r\nEND"]);
        check(Opening::Pop3, "STLS\r\nUSER alice\r\n", &["OutOfTurn"]);
    }

    #[test]
    fn postgres_clients() {
        let tls = "\0\0\0\x08\x04\u{d2}\x16\x2f";
        let bytes = |text: &str| text.chars().map(|c| c as u8).collect::<Vec<u8>>();
        let gss = bytes("\0\0\0\x08\x04\u{d2}\x16\x30");
        let play = |parts: &[&[u8]]| play(Opening::Postgres, &parts.concat());
        assert_eq!(play(&[&bytes(tls)]), ["STLS"]);
        assert_eq!(play(&[&gss, &bytes(tls)]), ["N", "STLS"]);
        // A password that was put behind it was not said within TLS (CVE-2021-23214).
        assert_eq!(play(&[&bytes(tls), b"p"]), ["OutOfTurn"]);
        assert_eq!(play(&[&[22, 3, 1, 0]]), ["TLS"]);
        let cancel = [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2];
        assert_eq!(play(&[&cancel]), ["PLAIN"]);
        assert_eq!(play(&[b"GET / HTTP/1.1\r\n"]), ["Malformed"]);
        let start = [&[0, 0, 0, 16, 0, 3, 0, 0][..], b"user\0a\0\0"].concat();
        let refused = play(&[&start]);
        assert!(refused[0].contains("C28000") && refused[0].ends_with("END"), "{refused:?}");
        let length = u32::from_be_bytes(refusal()[1..5].try_into().expect("four bytes"));
        assert_eq!(length as usize + 1, refusal().len());
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(
            opening in prop::sample::select(Opening::ALL.to_vec()),
            text in "((EHLO|a|STLS|NOOP|STARTTLS)?[ -~\r]{0,9}\n){0,9}[ -~]{0,5}",
        ) {
            let told = play(opening, text.as_bytes());
            prop_assert!(told.len() <= LINES_MAX as usize);
        }
    }
}
