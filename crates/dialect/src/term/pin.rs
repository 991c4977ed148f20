//! A public key by its SHA-256: `sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=`.

use model::{Code, Diagnostic, Pin};

use crate::line::Word;

/// Reads one.
pub(crate) fn read(word: Word<'_>) -> Result<Pin, Diagnostic> {
    const HELP: &str = "a key is known by `sha256/` and 44 characters; for that of a certificate: \
                        `openssl x509 -pubkey -noout -in FILE | openssl pkey -pubin -outform der | \
                        openssl dgst -sha256 -binary | base64`";

    Pin::parse(word.text).ok_or_else(|| {
        let label = match word.text.starts_with(Pin::PREFIX) {
            true => "no SHA-256 in Base64",
            false => "no `sha256/` before it",
        };
        Diagnostic::new(Code::Pin, word.span, "this is no public key").label(label).help(HELP)
    })
}
