//! The way to TLS with a server that begins in the clear.
//!
//! ```text
//! S 220 mx.example ESMTP        S * OK mx.example           S +OK mx.example
//! C EHLO [127.0.0.1]            C a STARTTLS                C STLS              C SSLRequest
//! S 250-mx.example              S a OK begin                S +OK begin         S S
//! S 250 STARTTLS
//! C STARTTLS
//! S 220 go ahead
//! ```
//!
//! The server's greeting comes once. Whoever goes on within TLS on behalf of a client that has not
//! seen it has to deliver it ([`greeting_within`]).

use super::{Opening, word};
use crate::line::Lines;
use crate::postgres::{TLS_ACCEPTED, TLS_REQUEST};
use crate::{Parse, Verdict, begins_with};

/// Longest answer of a server, in bytes. Most have some hundred.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024;

/// What a server is told first. Its answer is not kept: clients say it again, and better, within
/// TLS.
const EHLO: &[u8] = b"EHLO [127.0.0.1]\r\n";

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The server has the word.
    Greeting,
    /// It is asked what it can do.
    Features,
    /// It is asked for TLS.
    Request,
}

/// A server that is asked for TLS.
#[derive(Clone, Debug)]
pub struct Ask {
    opening: Opening,
    stage: Stage,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// What was read is the greeting. This is to be said now.
    Greeted(&'static [u8]),
    /// This is to be said now.
    Say(&'static [u8]),
    /// TLS begins.
    Tls,
}

/// Why there is no TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foreign {
    /// What came is not of this protocol, or longer than [`ANSWER_BYTES_MAX`].
    Malformed,
    /// The server will not have us, or no TLS.
    Refused,
    /// Something stands behind an answer, where the server has to wait for us.
    OutOfTurn,
}

impl Ask {
    /// With what has to be said before anything is read.
    pub fn new(opening: Opening) -> (Self, &'static [u8]) {
        match opening.has_greeting() {
            true => (Self { opening, stage: Stage::Greeting }, b""),
            false => (Self { opening, stage: Stage::Request }, &TLS_REQUEST),
        }
    }

    /// Reads what the server has sent since it was last told something.
    pub fn read(&mut self, bytes: &[u8]) -> Parse<Next, Foreign> {
        let (is_good, length) = match self.answer(bytes) {
            Parse::Whole { value, length } => (value, length),
            Parse::Partial if bytes.len() < ANSWER_BYTES_MAX => return Parse::Partial,
            Parse::Partial | Parse::Foreign(()) => return Parse::Foreign(Foreign::Malformed),
        };
        if !is_good {
            return Parse::Foreign(Foreign::Refused);
        }
        if length < bytes.len() {
            return Parse::Foreign(Foreign::OutOfTurn);
        }
        let (stage, value) = match (self.stage, self.opening) {
            (Stage::Greeting, Opening::Smtp) => (Stage::Features, Next::Greeted(EHLO)),
            (Stage::Greeting, Opening::Imap) => (Stage::Request, Next::Greeted(b"a STARTTLS\r\n")),
            (Stage::Greeting, _) => (Stage::Request, Next::Greeted(b"STLS\r\n")),
            (Stage::Features, _) => (Stage::Request, Next::Say(b"STARTTLS\r\n")),
            (Stage::Request, _) => (Stage::Request, Next::Tls),
        };
        self.stage = stage;
        Parse::Whole { value, length }
    }

    /// Whether the answer is the one that goes on.
    fn answer(&self, bytes: &[u8]) -> Parse<bool, ()> {
        match (self.opening, self.stage) {
            (Opening::Smtp, Stage::Features) => smtp(bytes, b"250", Some(b"STARTTLS")),
            (Opening::Smtp, _) => smtp(bytes, b"220", None),
            (Opening::Imap, Stage::Greeting) => imap(bytes, b"*"),
            (Opening::Imap, _) => imap(bytes, b"a"),
            (Opening::Pop3, _) => pop3(bytes),
            (Opening::Postgres, _) => match bytes.first() {
                None => Parse::Partial,
                Some(answer) => Parse::Whole { value: *answer == TLS_ACCEPTED, length: 1 },
            },
        }
    }
}

/// An answer of one or more lines, all but the last with a hyphen behind the code. Good if the code
/// is `wanted`, and one line behind the first says that it has `feature`.
fn smtp(bytes: &[u8], wanted: &[u8], feature: Option<&[u8]>) -> Parse<bool, ()> {
    let mut lines = Lines { bytes, at: 0 };
    let mut has_feature = feature.is_none();
    let mut code = None;
    while let Some(line) = lines.next() {
        let Some((own, rest)) = line.split_at_checked(3) else { return Parse::Foreign(()) };
        let is_code = own.iter().all(u8::is_ascii_digit) && code.is_none_or(|code| code == own);
        if !is_code || !matches!(rest.first(), None | Some(b' ' | b'-')) {
            return Parse::Foreign(());
        }
        if code.is_some() {
            let own = rest.get(1..).unwrap_or_default().trim_ascii();
            has_feature |= feature.is_some_and(|feature| own.eq_ignore_ascii_case(feature));
        }
        code = Some(own);
        if rest.first() != Some(&b'-') {
            return Parse::Whole { value: own == wanted && has_feature, length: lines.at };
        }
    }
    // What cannot become a code need not be waited for.
    match bytes[lines.at..].iter().take(3).all(u8::is_ascii_digit) {
        true => Parse::Partial,
        false => Parse::Foreign(()),
    }
}

/// A line that begins with `tag` and says whether it is `OK`. Others, which begin with `*`, may
/// stand before it.
fn imap(bytes: &[u8], tag: &[u8]) -> Parse<bool, ()> {
    let mut lines = Lines { bytes, at: 0 };
    while let Some(line) = lines.next() {
        let (own, rest) = word(line);
        if own == tag {
            let value = word(rest).0.eq_ignore_ascii_case(b"OK");
            return Parse::Whole { value, length: lines.at };
        }
        if own != b"*" {
            return Parse::Foreign(());
        }
    }
    let rest = &bytes[lines.at..];
    let begins = |word: &[u8]| begins_with(rest, word);
    match begins(b"* ").or(begins(&[tag, b" "].concat())) {
        Verdict::No => Parse::Foreign(()),
        Verdict::Maybe | Verdict::Yes => Parse::Partial,
    }
}

/// A line that begins with `+OK` or `-ERR`.
fn pop3(bytes: &[u8]) -> Parse<bool, ()> {
    let mut lines = Lines { bytes, at: 0 };
    let line = lines.next();
    let begun = line.unwrap_or_else(|| bytes.strip_suffix(b"\r").unwrap_or(bytes));
    match (word(begun).0, line) {
        (b"+OK", Some(_)) => Parse::Whole { value: true, length: lines.at },
        (b"-ERR", Some(_)) => Parse::Whole { value: false, length: lines.at },
        (begun, None) if b"+OK".starts_with(begun) || b"-ERR".starts_with(begun) => Parse::Partial,
        _ => Parse::Foreign(()),
    }
}

/// Reads the greeting of a server that is not asked for TLS, to clients that had one from somebody
/// else. More may stand behind it.
pub fn read_greeting(opening: Opening, bytes: &[u8]) -> Parse<(), Foreign> {
    if !opening.has_greeting() {
        return Parse::Whole { value: (), length: 0 };
    }
    match Ask::new(opening).0.answer(bytes) {
        Parse::Whole { value: true, length } => Parse::Whole { value: (), length },
        Parse::Whole { value: false, .. } => Parse::Foreign(Foreign::Refused),
        Parse::Partial if bytes.len() < ANSWER_BYTES_MAX => Parse::Partial,
        Parse::Partial | Parse::Foreign(()) => Parse::Foreign(Foreign::Malformed),
    }
}

/// What a client that does not know of TLS is told of the greeting of its server, which is whole.
///
/// An IMAP server may say there what it can do, and that is not true any more: that TLS may begin,
/// or that nobody may log in without it. Clients that are not told ask.
pub fn greeting_within(opening: Opening, greeting: &[u8]) -> Vec<u8> {
    const CODE: &[u8] = b"* OK [CAPABILITY ";

    let begun = greeting.get(..CODE.len());
    if opening != Opening::Imap || !begun.is_some_and(|begun| begun.eq_ignore_ascii_case(CODE)) {
        return greeting.to_vec();
    }
    match greeting.iter().position(|byte| *byte == b']') {
        Some(end) => {
            let rest = &greeting[end + 1..];
            [b"* OK ", rest.strip_prefix(b" ").unwrap_or(rest)].concat()
        }
        None => greeting.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Plays `answers`, and gives what was said in between; the last item is how it ended.
    fn play(opening: Opening, answers: &[&[u8]]) -> Vec<String> {
        let (mut ask, first) = Ask::new(opening);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        let mut said = match opening.has_greeting() {
            true => vec![],
            false => vec!["SSLRequest".to_owned()],
        };
        assert_eq!(first.is_empty(), opening.has_greeting());
        for answer in answers {
            for end in 0..answer.len() {
                let early = ask.clone().read(&answer[..end]);
                let whole = ask.clone().read(answer);
                let is_behind = whole == Parse::Foreign(Foreign::OutOfTurn);
                assert!(early == Parse::Partial || early == whole || is_behind, "{answer:?}");
            }
            match ask.read(answer) {
                Parse::Whole { value, length } => {
                    assert_eq!(length, answer.len());
                    match value {
                        Next::Greeted(say) | Next::Say(say) => said.push(text(say)),
                        Next::Tls => said.push("tls".to_owned()),
                    }
                }
                Parse::Partial => said.push("partial".to_owned()),
                Parse::Foreign(why) => said.push(format!("{why:?}")),
            }
        }
        said
    }

    #[track_caller]
    fn check(opening: Opening, answers: &[&str], expected: &[&str]) {
        let answers: Vec<_> = answers.iter().map(|answer| answer.as_bytes()).collect();
        assert_eq!(play(opening, &answers), expected, "{answers:?}");
    }

    #[test]
    fn smtp_servers() {
        let ehlo = "EHLO [127.0.0.1]";
        let features = "250-mx at your service\r\n250-SIZE 100\r\n250-STARTTLS\r\n250 HELP\r\n";
        check(
            Opening::Smtp,
            &["220-welcome\r\n220 mx\r\n", features, "220 2.0.0 go\r\n"],
            &[ehlo, "STARTTLS", "tls"],
        );
        check(
            Opening::Smtp,
            &["220\n", "250-mx\n250 starttls\n", "220\n"],
            &[ehlo, "STARTTLS", "tls"],
        );
        check(Opening::Smtp, &["554 no\r\n"], &["Refused"]);
        check(Opening::Smtp, &["220 mx\r\n", "250 STARTTLS\r\n"], &[ehlo, "Refused"]);
        check(Opening::Smtp, &["220 mx\r\n", "250-mx\r\n250 STARTTLS x\r\n"], &[ehlo, "Refused"]);
        check(Opening::Smtp, &["220 mx\r\n", "502 what\r\n"], &[ehlo, "Refused"]);
        let behind = "220 go\r\n250 you are in\r\n";
        check(Opening::Smtp, &["220 mx\r\n", features, behind], &[ehlo, "STARTTLS", "OutOfTurn"]);
        check(Opening::Smtp, &["220 mx\r\n250 "], &["OutOfTurn"]);
        check(Opening::Smtp, &["* OK IMAP"], &["Malformed"]);
        check(Opening::Smtp, &["220-a\r\n221 b\r\n"], &["Malformed"]);
        check(Opening::Smtp, &["220+a\r\n"], &["Malformed"]);
        check(Opening::Smtp, &["22\r\n"], &["Malformed"]);
    }

    #[test]
    fn imap_servers() {
        let asked = "a STARTTLS";
        check(Opening::Imap, &["* OK there\r\n", "a OK begin\r\n"], &[asked, "tls"]);
        check(Opening::Imap, &["* ok\n", "* CAPABILITY x\r\na OK\r\n"], &[asked, "tls"]);
        check(Opening::Imap, &["* OK\r\n", "a NO not here\r\n"], &[asked, "Refused"]);
        check(Opening::Imap, &["* OK\r\n", "a BAD what\r\n"], &[asked, "Refused"]);
        check(Opening::Imap, &["* PREAUTH you are in\r\n"], &["Refused"]);
        check(Opening::Imap, &["* BYE full\r\n"], &["Refused"]);
        check(Opening::Imap, &["* OK\r\n", "a OK\r\n* OK more\r\n"], &[asked, "OutOfTurn"]);
        check(Opening::Imap, &["220 mx\r\n"], &["Malformed"]);
        check(Opening::Imap, &["* OK\r\n", "b OK\r\n"], &[asked, "Malformed"]);
    }

    #[test]
    fn pop3_servers() {
        check(Opening::Pop3, &["+OK <1@mx>\r\n", "+OK begin\r\n"], &["STLS", "tls"]);
        check(Opening::Pop3, &["-ERR busy\r\n"], &["Refused"]);
        check(Opening::Pop3, &["+OK\r\n", "-ERR what\r\n"], &["STLS", "Refused"]);
        check(Opening::Pop3, &["+OK\r\n", "+OK\r\n+OK\r\n"], &["STLS", "OutOfTurn"]);
        check(Opening::Pop3, &["+OKAY\r\n"], &["Malformed"]);
        check(Opening::Pop3, &["220 mx\r\n"], &["Malformed"]);
    }

    #[test]
    fn postgres_servers() {
        check(Opening::Postgres, &["S"], &["SSLRequest", "tls"]);
        check(Opening::Postgres, &["N"], &["SSLRequest", "Refused"]);
        check(Opening::Postgres, &["E\0\0"], &["SSLRequest", "Refused"]);
        // What is behind it was not said within TLS (CVE-2021-23222).
        check(Opening::Postgres, &["SR\0\0\0"], &["SSLRequest", "OutOfTurn"]);
    }

    #[test]
    fn an_answer_that_does_not_end_is_none() {
        for (opening, line) in [(Opening::Smtp, "220-x\r\n"), (Opening::Pop3, "+OK xxxx")] {
            let endless = line.repeat(ANSWER_BYTES_MAX / line.len() + 1);
            check(opening, &[&endless], &["Malformed"]);
        }
    }

    #[test]
    fn what_a_server_could_do_in_the_clear_is_not_told() {
        let within = |opening, greeting: &str| {
            String::from_utf8(greeting_within(opening, greeting.as_bytes())).expect("it was text")
        };
        let told = "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] mx\r\n";
        assert_eq!(within(Opening::Imap, told), "* OK mx\r\n");
        assert_eq!(within(Opening::Imap, "* ok [capability x]\r\n"), "* OK \r\n");
        assert_eq!(within(Opening::Imap, "* OK [ALERT] mx\r\n"), "* OK [ALERT] mx\r\n");
        assert_eq!(within(Opening::Smtp, "220 mx\r\n"), "220 mx\r\n");
    }

    #[test]
    fn greetings_end_where_they_end() {
        for (opening, greeting, behind) in [
            (Opening::Smtp, "220-mx\r\n220 ready\r\n", "250 x"),
            (Opening::Imap, "* OK [CAPABILITY IMAP4rev1] mx\r\n", "* 1 EXISTS"),
            (Opening::Pop3, "+OK <1@mx>\r\n", "-ERR"),
            (Opening::Postgres, "", "R"),
        ] {
            let whole = Parse::Whole { value: (), length: greeting.len() };
            for end in 0..greeting.len() {
                assert_eq!(read_greeting(opening, &greeting.as_bytes()[..end]), Parse::Partial);
            }
            assert_eq!(read_greeting(opening, greeting.as_bytes()), whole);
            assert_eq!(read_greeting(opening, [greeting, behind].concat().as_bytes()), whole);
        }
        let read = |opening, text: &str| read_greeting(opening, text.as_bytes());
        assert_eq!(read(Opening::Smtp, "554 no\r\n"), Parse::Foreign(Foreign::Refused));
        assert_eq!(read(Opening::Imap, "* BYE full\r\n"), Parse::Foreign(Foreign::Refused));
        assert_eq!(read(Opening::Pop3, "220 mx\r\n"), Parse::Foreign(Foreign::Malformed));
        let endless = "220-x\r\n".repeat(ANSWER_BYTES_MAX);
        assert_eq!(read(Opening::Smtp, &endless), Parse::Foreign(Foreign::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_never_taken_back(
            opening in prop::sample::select(Opening::ALL.to_vec()),
            steps in prop::collection::vec("(220|250|[*]|a|[+]OK|-ERR|S)[- ]?(OK|STARTTLS)?[ -~\r\n]{0,9}", 1..5),
            more in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let (mut ask, _) = Ask::new(opening);
            for step in steps {
                let mut bytes = step.into_bytes();
                let mut later = ask.clone();
                let before = ask.read(&bytes);
                bytes.extend(&more);
                let after = later.read(&bytes);
                // What comes behind an answer is out of turn, and an answer that is none stays so.
                let stays = match before {
                    Parse::Partial => true,
                    Parse::Whole { .. } => more.is_empty() || after == Parse::Foreign(Foreign::OutOfTurn),
                    Parse::Foreign(_) => after == before,
                };
                prop_assert!(stays, "{before:?} became {after:?}");
                if !matches!(before, Parse::Whole { .. }) {
                    break;
                }
            }
        }
    }
}
