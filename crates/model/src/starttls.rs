//! Protocols that begin in the clear and go on in TLS, on the port that is for both.

/// A protocol that begins in the clear, and goes on in TLS if both sides want that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StartTls {
    /// PostgreSQL.
    Postgres,
    /// SMTP and submission.
    Smtp,
    /// IMAP.
    Imap,
    /// POP3.
    Pop3,
}

impl StartTls {
    /// All of them, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 4] = [
        ("postgres", Self::Postgres),
        ("smtp", Self::Smtp),
        ("imap", Self::Imap),
        ("pop3", Self::Pop3),
    ];

    /// The name of this one.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_name() {
        for (name, protocol) in StartTls::NAMES {
            assert_eq!(protocol.name(), name);
        }
    }
}
