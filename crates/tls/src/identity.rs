//! Who a listener, or a client of a backend, is: a chain of certificates with its key.
//!
//! Everything about them that can be wrong is told here, under the word of the configuration that
//! named the file: no certificate in it, a key of another, an order that clients do not take, a
//! key that everybody may read, times that are over or have not come.

use std::path::Path;
use std::sync::Arc;

use model::{Code, Diagnostic, Severity, Spanned};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;

use crate::disk::{Content, Disk};
use crate::key::{self, Passphrase};
use crate::time;
use crate::x509::Facts;

/// Certificates of a chain that are sent: more is a list of authorities and no chain.
const CHAIN_MAX: usize = 16;

/// The files of an identity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files<'a> {
    /// The chain, its own certificate first; the key too, if there is no other file for it.
    pub(crate) cert: &'a Spanned<String>,
    /// The private key.
    pub(crate) key: Option<&'a Spanned<String>>,
    /// What opens the key, if it is encrypted.
    pub(crate) passphrase: Option<&'a Passphrase>,
    /// What the authority says about revocation, in DER, to be handed to clients.
    pub(crate) ocsp: Option<&'a Spanned<String>>,
    /// The names that clients are to get it for; empty: those that stand in it.
    pub(crate) names: &'a [Spanned<String>],
}

/// A chain with its key.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) certified: Arc<CertifiedKey>,
    /// What its own certificate says.
    pub(crate) facts: Facts,
    /// The names that clients get it for, in lower case.
    pub(crate) names: Vec<String>,
}

impl Identity {
    /// Reads the files at `now`, in seconds since 1970. Of faults, errors and warnings are put
    /// into `faults`; there is no identity if there are errors.
    pub(crate) fn load(
        files: Files<'_>,
        disk: Disk<'_>,
        now: i64,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let before = faults.len();
        let loaded = load(files, disk, now, faults);
        let is_sound = faults[before..].iter().all(|fault| fault.severity() < Severity::Error);
        loaded.filter(|_| is_sound)
    }
}

fn load(
    files: Files<'_>,
    disk: Disk<'_>,
    now: i64,
    faults: &mut Vec<Diagnostic>,
) -> Option<Identity> {
    let content = read(files.cert, disk, faults);
    let at_key = files.key.unwrap_or(files.cert);
    let key_content = match files.key {
        Some(key) if key.value != files.cert.value => read(key, disk, faults),
        _ => content.clone(),
    };
    let chain = content.and_then(|content| chain(files.cert, &content, faults));
    let key = key_content.and_then(|content| private_key(at_key, files, &content, faults));
    let (chain, key) = (chain?, key?);
    let facts = Facts::read(&chain[0]);
    let Some(facts) = facts else {
        faults.push(
            fault(files.cert, "its first certificate cannot be read")
                .help(format!("look at it: `openssl x509 -noout -text -in {}`", files.cert.value)),
        );
        return None;
    };
    let mut certified = CertifiedKey::new(chain, key);
    if let Err(error) = certified.keys_match() {
        faults.push(mismatch(files, at_key, &facts, &error));
        return None;
    }
    faults.extend(dates(files.cert, &facts, now));
    if let Some(ocsp) = files.ocsp {
        certified.ocsp =
            read(ocsp, disk, faults).and_then(|content| {
                let is_response = content.bytes.first() == Some(&crate::der::tag::SEQUENCE);
                if !is_response {
                    faults.push(fault(ocsp, "it is no OCSP response in DER").help(
                        "get one: `openssl ocsp -issuer CA -cert CERT -url URL -respout FILE`",
                    ));
                }
                is_response.then_some(content.bytes)
            });
    }
    let names = names(&files, &facts, faults);
    Some(Identity { certified: Arc::new(certified), facts, names })
}

/// The names that clients get a certificate for. Those that it is not for are told.
fn names(files: &Files<'_>, facts: &Facts, faults: &mut Vec<Diagnostic>) -> Vec<String> {
    let own: Vec<_> = facts.hosts().map(str::to_ascii_lowercase).collect();
    if files.names.is_empty() {
        return own;
    }
    let is_for = |name: &str| {
        // A wildcard is for one label.
        let domain = name.find('.').map(|dot| &name[dot..]);
        own.iter()
            .any(|own| own == name || own.strip_prefix('*').is_some_and(|own| Some(own) == domain))
    };
    for name in files.names.iter().filter(|name| !is_for(&name.value)) {
        let message = format!("the certificate {} is not for {}", files.cert.value, name.value);
        let mut others = own.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        if others.is_empty() {
            others = "no host".to_owned();
        }
        faults.push(
            Diagnostic::new(Code::CertificateName, name.span, message)
                .label("does not stand in it")
                .help(format!("it is for {others}; clients that ask for this refuse it")),
        );
    }
    files.names.iter().map(|name| name.value.clone()).collect()
}

/// The certificates of a PEM file. Those that authorities have signed each other stand in the
/// order in which clients look at them.
fn chain(
    at: &Spanned<String>,
    content: &Content,
    faults: &mut Vec<Diagnostic>,
) -> Option<Vec<CertificateDer<'static>>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content.bytes).collect();
    let help = || format!("look at it: `openssl x509 -noout -text -in {}`", at.value);
    let Ok(chain) = chain else {
        faults.push(fault(at, "it is not sound PEM").help(help()));
        return None;
    };
    if chain.is_empty() {
        let is_der = content.bytes.first() == Some(&crate::der::tag::SEQUENCE);
        faults.push(fault(at, "there is no certificate in it").help(match is_der {
            true => {
                format!("convert it to PEM: `openssl x509 -inform DER -in {} -out NEW`", at.value)
            }
            false => "certificates begin with `-----BEGIN CERTIFICATE-----`".to_owned(),
        }));
        return None;
    }
    if chain.len() > CHAIN_MAX {
        let message = format!("there are {} certificates in it", chain.len());
        faults.push(fault(at, &message).help(
            "name the file of the one certificate and those that lead from it to its authority",
        ));
        return None;
    }
    let facts: Vec<_> = chain.iter().map(|cert| Facts::read(cert)).collect();
    let is_in_order = facts.windows(2).all(|pair| match pair {
        [Some(one), Some(next)] => one.issuer_der == next.subject_der,
        _ => true,
    });
    if !is_in_order {
        let message = format!("the certificates in {} are not in order", at.value);
        faults.push(
            Diagnostic::new(Code::CertificateFile, at.span, message).label("not in order").help(
                "each has to be signed by the next one; some clients do not sort them out: put its \
                 own first, its authority's behind it",
            ),
        );
    }
    Some(chain)
}

fn private_key(
    at: &Spanned<String>,
    files: Files<'_>,
    content: &Content,
    faults: &mut Vec<Diagnostic>,
) -> Option<Arc<dyn rustls::sign::SigningKey>> {
    let found = key::read(&content.bytes, files.passphrase);
    let key = found
        .and_then(|key| aws_lc_rs::sign::any_supported_type(&key).map_err(|_| key::Fault::Broken));
    let key = match key {
        Ok(key) => key,
        Err(key::Fault::None) if files.key.is_none() => {
            faults.push(fault(at, "there is no private key in it").help(
                "name the file of its key: `key = \"PATH\"`; or put the key into this file too",
            ));
            return None;
        }
        Err(why) => {
            let (message, help) = why.text(Path::new(&at.value));
            faults.push(fault(at, message).help(help));
            return None;
        }
    };
    if content.is_public {
        let message = format!("anybody on this machine may read the private key {}", at.value);
        faults.push(
            Diagnostic::new(Code::CertificateFile, at.span, message)
                .label("mode o+r")
                .help(format!("`chmod 600 {}`", at.value)),
        );
    }
    Some(key)
}

fn mismatch(
    files: Files<'_>,
    at_key: &Spanned<String>,
    facts: &Facts,
    error: &rustls::Error,
) -> Diagnostic {
    let is_other =
        matches!(error, rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch));
    if !is_other {
        let message = format!("rustls does not take it: {error}");
        return fault(files.cert, &message).help("have it made anew, as X.509 version 3");
    }
    let owner = facts.hosts().next().map(|host| format!(" for {host}")).unwrap_or_default();
    let message = format!("the key is not that of the certificate{owner}");
    let fault = fault(at_key, &message).help(
        "the first certificate of the file counts; it and the key are a pair from when they were \
         made",
    );
    match files.key.and(files.cert.span) {
        Some(span) => fault.related(span, "the certificate"),
        None => fault,
    }
}

/// What is to be said about the time of a certificate.
fn dates(at: &Spanned<String>, facts: &Facts, now: i64) -> Option<Diagnostic> {
    let (message, label, help) = if now > facts.not_after {
        let when = time::shown(facts.not_after);
        (
            format!("the certificate {} has expired on {when} UTC", at.value),
            "expired",
            "have it renewed; clients refuse it",
        )
    } else if now < facts.not_before {
        let when = time::shown(facts.not_before);
        (
            format!("the certificate {} is not valid before {when} UTC", at.value),
            "not yet valid",
            "is the clock of this machine right? clients refuse it until then",
        )
    } else {
        return None;
    };
    Some(Diagnostic::new(Code::CertificateDate, at.span, message).label(label).help(help))
}

/// The certificates of authorities, or any others, in a PEM file: at least one.
pub(crate) fn authorities(
    at: &Spanned<String>,
    disk: Disk<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Option<Vec<CertificateDer<'static>>> {
    let content = read(at, disk, faults)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content.bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Some(found),
        _ => {
            faults.push(
                fault(at, "there is no certificate in it")
                    .help("authorities are certificates in PEM, one behind the other"),
            );
            None
        }
    }
}

/// What the file at a path of the configuration holds.
pub(crate) fn read(
    at: &Spanned<String>,
    disk: Disk<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Option<Content> {
    match disk(Path::new(&at.value)) {
        Ok(content) => Some(content),
        Err(error) => {
            let message = format!("cannot read {}: {error}", at.value);
            faults.push(
                Diagnostic::new(Code::File, at.span, message)
                    .label("cannot be read")
                    .help("replug reads it as the user that it is started as, and watches it"),
            );
            None
        }
    }
}

/// A file that is not what it should be.
pub(crate) fn fault(at: &Spanned<String>, message: &str) -> Diagnostic {
    let message = format!("{}: {message}", at.value);
    Diagnostic::new(Code::Certificate, at.span, message).label("cannot be used")
}

/// The first certificate of a PEM text.
#[cfg(test)]
pub(crate) fn der_of(pem: &[u8]) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem).expect("a certificate").to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk;
    use crate::self_signed::self_signed;
    use crate::testing::{DAY, NOW, at, openssl};
    use rig::Scratch;
    use std::os::unix::fs::PermissionsExt as _;

    fn write(path: &str, text: &str) {
        std::fs::write(path, text).expect("a file");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    }

    /// The faults of loading, and whether there is an identity.
    fn faults(files: Files<'_>, now: i64) -> (Vec<(Code, String)>, bool) {
        let mut faults = Vec::new();
        let found = Identity::load(files, &disk::read, now, &mut faults);
        let told = faults.into_iter().map(|fault| {
            assert!(fault.help.is_some(), "{fault:?}");
            (fault.code, fault.message)
        });
        (told.collect(), found.is_some())
    }

    #[track_caller]
    fn check(files: Files<'_>, now: i64, code: Code, words: &str) {
        let (told, is_there) = faults(files, now);
        assert!(
            told.iter().any(|(found, text)| *found == code && text.contains(words)),
            "{told:?}"
        );
        assert_eq!(is_there, code.severity() == Severity::Warning, "{told:?}");
        assert_eq!(told.len(), 1, "{told:?}");
    }

    #[test]
    fn each_mistake_is_told() {
        let scratch = Scratch::new();
        let path = |name: &str| at(scratch.join(name));
        let made = self_signed(&["a.example".to_owned()], NOW - DAY, NOW + DAY).expect("chance");
        let other = self_signed(&["b.example".to_owned()], NOW - DAY, NOW + DAY).expect("chance");
        let [cert, key, both] = ["a.pem", "a.key", "both.pem"].map(path);
        let [other_key, wrong_order, absent, empty] =
            ["b.key", "order.pem", "absent.pem", "empty.pem"].map(path);
        write(&cert.value, &made.cert);
        write(&key.value, &made.key);
        write(&both.value, &(made.key.clone() + &made.cert));
        write(&other_key.value, &other.key);
        write(&wrong_order.value, &(made.cert.clone() + &other.cert));
        write(&empty.value, "");
        let der = path("a.der");
        openssl(&["x509", "-in", &cert.value, "-outform", "DER", "-out", &der.value]);
        let none = Files { cert: &cert, key: None, passphrase: None, ocsp: None, names: &[] };
        let with_key = Files { key: Some(&key), ..none };
        assert_eq!(faults(with_key, NOW), (vec![], true));
        assert_eq!(faults(Files { cert: &both, ..none }, NOW), (vec![], true));
        check(none, NOW, Code::Certificate, "no private key");
        check(Files { key: Some(&other_key), ..none }, NOW, Code::Certificate, "not that of");
        check(Files { cert: &absent, ..with_key }, NOW, Code::File, "absent.pem");
        check(Files { key: Some(&absent), ..with_key }, NOW, Code::File, "absent.pem");
        check(Files { cert: &empty, ..with_key }, NOW, Code::Certificate, "no certificate");
        check(Files { cert: &der, ..with_key }, NOW, Code::Certificate, "no certificate");
        check(Files { key: Some(&cert), ..none }, NOW, Code::Certificate, "no private key");
        check(Files { cert: &wrong_order, ..with_key }, NOW, Code::CertificateFile, "in order");
        check(with_key, NOW + 2 * DAY, Code::CertificateDate, "has expired");
        check(with_key, NOW - 2 * DAY, Code::CertificateDate, "is not valid before");
        check(Files { ocsp: Some(&key), ..with_key }, NOW, Code::Certificate, "no OCSP response");
        let mode = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&key.value, mode).expect("its mode");
        check(with_key, NOW, Code::CertificateFile, "anybody on this machine may read");
    }
}
