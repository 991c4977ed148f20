//! TLS of a listener: who it is to its clients, and how they prove who they are.
//!
//! What is in the files is not known here; the paths are as they are found from where replug runs.

use std::fmt;

use crate::acme::Acme;
use crate::proxy::Password;
use crate::source::Spanned;
use crate::starttls::StartTls;

/// Clients speak TLS, which ends here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// Who the listener is: at most [`ServerTls::CERTIFICATES_MAX`], and one at least if none is
    /// ordered. The first is for clients that ask for no name, or for one that nobody has.
    pub certificates: Vec<CertificateFiles>,
    /// Certificates that an authority gives; `None`: there are those in files alone.
    pub acme: Option<Spanned<Acme>>,
    /// What becomes of these clients.
    pub unknown_name: UnknownName,
    /// How clients prove who they are; `None`: they are not asked.
    pub clients: Option<ClientProof>,
    /// Protocols that may be spoken within, by preference; empty: it is not talked about.
    pub alpn: Vec<String>,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
    /// Whether clients may resume sessions by tickets.
    pub tickets: bool,
    /// What is said in the clear before; `None`: nothing.
    pub starttls: Option<StartTls>,
}

impl ServerTls {
    /// Certificates that a listener can have.
    pub const CERTIFICATES_MAX: usize = 10_000;

    /// With every default.
    pub fn new(certificate: CertificateFiles) -> Self {
        Self {
            certificates: vec![certificate],
            acme: None,
            unknown_name: UnknownName::default(),
            clients: None,
            alpn: Vec::new(),
            min_version: MinVersion::default(),
            tickets: true,
            starttls: None,
        }
    }
}

/// The files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM, its own certificate first.
    pub cert: Spanned<String>,
    /// The private key in PEM; `None`: it is in the same file.
    pub key: Option<Spanned<String>>,
    /// What opens the key, if it is encrypted.
    pub passphrase: Option<Spanned<Secret>>,
    /// What its authority says about revocation, in DER, to be handed to clients.
    pub ocsp: Option<Spanned<String>>,
    /// The names that clients get it for: hosts in lower case, or `*.` and a domain for each host in
    /// that; empty: those that stand in it.
    pub names: Vec<Spanned<String>>,
}

impl CertificateFiles {
    /// A chain with its key in one file.
    pub fn new(cert: Spanned<String>) -> Self {
        Self { cert, key: None, passphrase: None, ocsp: None, names: Vec::new() }
    }
}

/// What becomes of clients that ask for no name, or for one that no certificate is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownName {
    /// They get the first certificate.
    #[default]
    First,
    /// Their handshake fails.
    Refuse,
}

impl UnknownName {
    /// Both, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("first", Self::First), ("refuse", Self::Refuse)];
}

/// How clients prove who they are: with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientProof {
    /// Files with the certificates of the authorities that are believed, in PEM; at least one.
    pub authorities: Vec<Spanned<String>>,
    /// Files with lists of certificates that these have revoked, in PEM or DER.
    pub revoked: Vec<Spanned<String>>,
    /// Whether they have to.
    pub need: ClientAuth,
}

/// Whether clients have to prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Without a certificate there is no session.
    #[default]
    Required,
    /// Without one they are served too; one that does not hold is no session.
    Optional,
}

impl ClientAuth {
    /// Both, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] =
        [("required", Self::Required), ("optional", Self::Optional)];
}

/// The oldest version of TLS that is spoken. Those before 1.2 are broken, and not spoken at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl MinVersion {
    /// Both, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("1.2", Self::Tls12), ("1.3", Self::Tls13)];
}

/// Where something is that nobody else should know. It is not shown where it stands in itself.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// In a file; line feeds at its end do not count.
    File(String),
    /// In a variable of the environment.
    Variable(String),
    /// In the configuration itself.
    Text(String),
}

impl Secret {
    const FILE: &str = "file:";
    const VARIABLE: &str = "env:";
    const TEXT: &str = "text:";

    /// Reads `file:PATH`, `env:NAME` or `text:WORDS`, these without control characters.
    pub fn parse(text: &str) -> Option<Self> {
        let behind = |prefix| text.strip_prefix(prefix).filter(|rest: &&str| !rest.is_empty());
        let read = |prefix, make: fn(String) -> Self| Some(make(behind(prefix)?.to_owned()));
        read(Self::FILE, Self::File)
            .or_else(|| read(Self::VARIABLE, Self::Variable))
            .or_else(|| read(Self::TEXT, Self::Text).filter(|_| !text.contains(char::is_control)))
    }

    /// As it is read, with what it hides: only for what its writer gets to see.
    pub fn in_full(&self) -> String {
        match self {
            Self::File(path) => format!("{}{path}", Self::FILE),
            Self::Variable(name) => format!("{}{name}", Self::VARIABLE),
            Self::Text(words) => format!("{}{words}", Self::TEXT),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => write!(f, "{}{}", Self::TEXT, Password::HIDDEN),
            Self::File(_) | Self::Variable(_) => f.write_str(&self.in_full()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_and_not_shown() {
        for (text, expected, shown) in [
            ("file:/run/x", Some(Secret::File("/run/x".into())), "file:/run/x"),
            ("env:PASS", Some(Secret::Variable("PASS".into())), "env:PASS"),
            ("text:p w:", Some(Secret::Text("p w:".into())), "text:***"),
            ("text:", None, ""),
            ("text:p\u{1}w", None, ""),
            ("p w", None, ""),
            ("", None, ""),
        ] {
            let read = Secret::parse(text);
            assert_eq!(read, expected, "{text}");
            if let Some(read) = read {
                assert_eq!(read.to_string(), shown);
                assert_eq!(format!("{read:?}"), format!("Secret({shown})"));
                assert_eq!(read.in_full(), text);
            }
        }
    }
}
