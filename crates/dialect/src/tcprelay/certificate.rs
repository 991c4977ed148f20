//! `tls certfile = ...` of tcprelay's section: who its listeners with TLS are to their clients.

use model::tls::{CertificateFiles, MinVersion, Secret, ServerTls};
use model::{Code, Diagnostic, Spanned};

use super::lex::Token;
use super::parse::Cursor;
use crate::term;

/// Its words, those of the manual too.
const WORDS: [&str; 6] = ["cert", "cert-file", "certfile", "key-file", "keyfile", "passphrase"];

/// What is said about the certificate; what is said again counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Certificate {
    cert: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
    passphrase: Option<Spanned<Secret>>,
    /// Whether one of them could not be read, which was told.
    is_faulty: bool,
}

impl Certificate {
    /// What stands behind `tls` or `ssl`.
    pub(super) fn directive(&mut self, cursor: &mut Cursor<'_>) {
        let before = cursor.faults.len();
        match cursor.keyword(&WORDS) {
            None => {}
            Some("passphrase") => self.passphrase = cursor.read(passphrase),
            Some("key-file" | "keyfile") => self.key = cursor.read(path),
            Some(_) => self.cert = cursor.read(path),
        }
        self.is_faulty |= cursor.faults.len() > before;
    }

    /// Whether anything is said.
    pub(super) fn is_there(&self) -> bool {
        self.cert.is_some() || self.key.is_some() || self.passphrase.is_some()
    }

    /// How a listener speaks TLS that has to.
    pub(super) fn server(
        &self,
        tls: &Spanned<MinVersion>,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Spanned<ServerTls>> {
        let Some(cert) = &self.cert else {
            if !self.is_faulty {
                faults.push(
                    Diagnostic::new(Code::KeyMissing, tls.span, "TLS needs a certificate")
                        .label("whose?")
                        .help("write `tls certfile = PATH` into the section of tcprelay"),
                );
            }
            return None;
        };
        let files = CertificateFiles {
            key: self.key.clone(),
            passphrase: self.passphrase.clone(),
            ..CertificateFiles::new(cert.clone())
        };
        let server = ServerTls { min_version: tls.value, ..ServerTls::new(files) };
        Some(Spanned { value: server, span: tls.span })
    }
}

/// A file, from where tcprelay is started on.
fn path(token: &Token) -> Result<String, Diagnostic> {
    term::value::path(token.word())
}

fn passphrase(token: &Token) -> Result<Secret, Diagnostic> {
    // It is not repeated.
    let fault = || {
        Diagnostic::new(Code::Choice, token.span, "this cannot be a passphrase")
            .label("empty, or with control characters")
            .help("leave it out if the key is not encrypted, else give the key another one")
    };
    let is_sound = !token.text.is_empty() && !token.text.contains(char::is_control);
    is_sound.then(|| Secret::Text(token.text.clone())).ok_or_else(fault)
}
