//! Openings before TLS: what is said in the clear until both sides begin with it, on the port that
//! is for plain text as well (`STARTTLS` and its like).
//!
//! - [`ask`]: towards a server that is asked for TLS;
//! - [`answer`]: towards a client that is to ask for it.
//!
//! | protocol | who speaks first | asked with | granted with |
//! |---|---|---|---|
//! | SMTP (RFC 3207) | the server, `220` | `STARTTLS`, after `EHLO` | `220` |
//! | IMAP (RFC 9051, 6.2.1) | the server, `* OK` | `tag STARTTLS` | `tag OK` |
//! | POP3 (RFC 2595, 4) | the server, `+OK` | `STLS` | `+OK` |
//! | PostgreSQL | the client | SSLRequest | `S` |
//!
//! Nothing may stand behind the last word in the clear. Whoever can write between both could put it
//! there, and it would be taken for something that was said within TLS. So that is refused, and
//! never kept for later.

pub mod answer;
pub mod ask;

/// A protocol that begins in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opening {
    /// SMTP and submission.
    Smtp,
    /// IMAP 4.
    Imap,
    /// POP3.
    Pop3,
    /// PostgreSQL.
    Postgres,
}

impl Opening {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Smtp, Self::Imap, Self::Pop3, Self::Postgres];

    /// Whether its server has the first word. It says that only once, whether TLS comes or not.
    pub fn has_greeting(self) -> bool {
        self != Self::Postgres
    }
}

/// The first word of a line, and the rest of it.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    (&line[..end], line[end..].trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(word(b"a1 STARTTLS"), (&b"a1"[..], &b"STARTTLS"[..]));
        assert_eq!(word(b"STARTTLS"), (&b"STARTTLS"[..], &b""[..]));
        assert_eq!(word(b" x"), (&b""[..], &b"x"[..]));
        assert_eq!(word(b"NOOP  "), (&b"NOOP"[..], &b""[..]));
    }
}
