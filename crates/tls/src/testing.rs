//! Certificates for the tests of this crate.

use std::process::Command;

use model::Spanned;
use rig::Scratch;

use crate::disk;
use crate::identity::{Files, Identity};
use crate::self_signed::self_signed;

/// A moment, 2026-11-21.
pub(crate) const NOW: i64 = 1_795_268_220;
pub(crate) const DAY: i64 = 86_400;

/// A path as it stands in a configuration.
pub(crate) fn at(path: impl Into<String>) -> Spanned<String> {
    Spanned::default_of(path.into())
}

/// An identity for these names.
pub(crate) fn identity(names: &[&str]) -> Identity {
    let scratch = Scratch::new();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = self_signed(&names, NOW - DAY, NOW + DAY).expect("random numbers");
    let file = scratch.join("both.pem");
    std::fs::write(&file, made.cert + &made.key).expect("a file");
    load(&file)
}

/// One with an RSA key, for `a.example`.
pub(crate) fn rsa_identity() -> Identity {
    let scratch = Scratch::new();
    let (cert, key) = (scratch.join("cert.pem"), scratch.join("key.pem"));
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=a.example",
        "-days",
        "9",
        "-keyout",
        &key,
        "-out",
        &cert,
    ]);
    let both = scratch.join("both.pem");
    let text = |path| std::fs::read_to_string(path).expect("openssl wrote it");
    std::fs::write(&both, text(&cert) + &text(&key)).expect("a file");
    load(&both)
}

fn load(file: &str) -> Identity {
    let cert = at(file);
    let files = Files { cert: &cert, key: None, passphrase: None, ocsp: None, names: &[] };
    let mut faults = Vec::new();
    let found = Identity::load(files, &disk::read, NOW, &mut faults);
    found.unwrap_or_else(|| panic!("{faults:?}"))
}

/// Has openssl do something.
#[track_caller]
pub(crate) fn openssl(words: &[&str]) {
    let output = Command::new("openssl").args(words).output().expect("openssl is installed");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
