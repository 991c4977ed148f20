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
}
