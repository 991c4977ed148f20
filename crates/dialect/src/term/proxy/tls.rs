//! What stands behind the URL of a proxy that is spoken to in TLS: words as `ca=PATH`, with the names
//! and the meaning of keys of `tls` of a pool. In paths `%20` stands for a space.

use model::{
    CertificateFiles, Code, Diagnostic, Pin, ProxyTls, ServerName, Span, Spanned, Verify,
    VerifyExtent,
};

use super::{decode, encode};
use crate::line::Word;
use crate::term::pin;

/// The words, as they were read so far.
#[derive(Default)]
pub(super) struct Words {
    verify: Option<Spanned<VerifyExtent>>,
    ca: Option<Spanned<String>>,
    revoked: Vec<Spanned<String>>,
    pins: Vec<Spanned<Pin>>,
    name: Option<ServerName>,
    cert: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
}

impl Words {
    /// Takes a word, if it is one of these.
    pub(super) fn take(&mut self, word: Word<'_>) -> Result<bool, Diagnostic> {
        let Some((key, value)) = word.text.split_once('=') else { return Ok(false) };
        let value = word.from(word.text.len() - value.len());
        match key {
            "verify" => self.verify = Some(Spanned::at(extent(value)?, value.span)),
            "ca" => self.ca = Some(path(value)?),
            "crl" => self.revoked.push(path(value)?),
            "pin" if self.pins.len() < Verify::PINS_MAX => {
                self.pins.push(Spanned::at(pin::read(value)?, value.span));
            }
            "name" => self.name = Some(server_name(value)?),
            "cert" => self.cert = Some(path(value)?),
            "key" => self.key = Some(path(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What all of them, behind the URL at `span`, come to.
    pub(super) fn finish(self, span: Span) -> Result<ProxyTls, Diagnostic> {
        let Self { verify, ca, revoked, pins, name, cert, key } = self;
        let certificate = match (cert, key) {
            (Some(cert), key) => Some(CertificateFiles { key, ..CertificateFiles::new(cert) }),
            (None, Some(key)) => {
                let message = "`key` belongs to no certificate";
                return Err(Diagnostic::new(Code::KeyMissing, spanned(&key, span), message)
                    .label("of which `cert`?")
                    .help("write `cert=PATH` beside it"));
            }
            (None, None) => None,
        };
        let missing = |message: &str, help: &str| {
            let at = verify.as_ref().map_or(span, |verify| spanned(verify, span));
            Diagnostic::new(Code::KeyMissing, at, message).label("by what?").help(help)
        };
        let all = pins.iter().map(|pin| pin.value).collect();
        let verify = match verify.as_ref().map(|verify| verify.value).unwrap_or_default() {
            VerifyExtent::Full => Verify::Full { ca, pins: all, revoked },
            VerifyExtent::Authority => match ca {
                Some(ca) => Verify::Authority { ca, pins: all, revoked },
                None => {
                    let message = "`verify=ca` names no authority";
                    return Err(missing(message, "write `ca=PATH` beside it"));
                }
            },
            VerifyExtent::Pins if all.is_empty() => {
                let message = "`verify=pin` names no key";
                return Err(missing(message, "write `pin=sha256/...` beside it"));
            }
            VerifyExtent::Pins | VerifyExtent::None => {
                match ca.as_ref().or_else(|| revoked.first()) {
                    None => Verify::Pins(all),
                    Some(file) => {
                        let message = "with `verify=pin` this file is never looked at";
                        return Err(Diagnostic::new(Code::Conflict, spanned(file, span), message)
                            .label("no use")
                            .help("leave it out, or leave out `verify`"));
                    }
                }
            }
        };
        Ok(ProxyTls { verify, name, certificate })
    }
}

fn spanned<T>(item: &Spanned<T>, or: Span) -> Span {
    item.span.unwrap_or(or)
}

fn path(word: Word<'_>) -> Result<Spanned<String>, Diagnostic> {
    match decode(word)? {
        path if path.is_empty() => {
            Err(Diagnostic::new(Code::Path, word.span, "this cannot be a file")
                .label("empty")
                .help("write the path of a file in PEM"))
        }
        path => Ok(Spanned::at(path, word.span)),
    }
}

/// How it is known who a proxy is. That it is not known at all is for backends to try out, to which
/// no password is told.
fn extent(word: Word<'_>) -> Result<VerifyExtent, Diagnostic> {
    let known = VerifyExtent::NAMES.into_iter();
    let found = known.filter(|(_, extent)| *extent != VerifyExtent::None);
    found.into_iter().find(|(name, _)| *name == word.text).map(|(_, extent)| extent).ok_or_else(
        || {
            let message = format!("no proxy is verified by `{}`", word.text);
            Diagnostic::new(Code::Choice, word.span, message)
                .label("not one of them")
                .help("it is one of: `full`, `ca`, `pin`")
        },
    )
}

/// Whom the certificate of a proxy is for.
fn server_name(word: Word<'_>) -> Result<ServerName, Diagnostic> {
    ServerName::parse(word.text).map_err(|_| {
        Diagnostic::new(Code::HostName, word.span, "no certificate is for this")
            .label("neither a host name nor an address")
            .help("write the name alone, as in `name=proxy.example`")
    })
}

/// The words that are read as `tls`, each with a space before it.
pub(super) fn show(tls: &ProxyTls) -> String {
    let ProxyTls { verify, name, certificate } = tls;
    let mut text = String::new();
    let mut word = |key: &str, value: &str| text += &format!(" {key}={value}");
    let shown = |path: &Spanned<String>| encode(&path.value).replace("%2F", "/");
    let mut names = VerifyExtent::NAMES.into_iter();
    if let Some((extent, _)) = names.find(|(_, extent)| *extent == verify.extent())
        && verify.extent() != VerifyExtent::default()
    {
        word("verify", extent);
    }
    if let Some(ca) = verify.ca() {
        word("ca", &shown(ca));
    }
    for list in verify.revoked() {
        word("crl", &shown(list));
    }
    for pin in verify.pins() {
        word("pin", &pin.to_string());
    }
    if let Some(name) = name {
        word("name", &name.to_string());
    }
    if let Some(CertificateFiles { cert, key, .. }) = certificate {
        word("cert", &shown(cert));
        if let Some(key) = key {
            word("key", &shown(key));
        }
    }
    text
}
