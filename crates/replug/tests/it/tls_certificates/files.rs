//! Files of certificates: encrypted keys, what is read again, what is told about them.

use std::fs;
use std::process::Command;

use super::authority::{Authority, Valid, openssl};
use super::{Site, expect_served};
use crate::path::REPLUG;

#[test]
fn a_certificate_is_read_again_when_it_changes() {
    let authority = Authority::new();
    let sign = |common: &str| authority.sign("site", common, "DNS:site.example", Valid::Now);
    sign("the first");
    let [cert, key] = ["site.pem", "site.key"].map(|name| authority.path(name));
    let site =
        Site::start(&authority, &[&format!("tls = {{ cert = \"{cert}\", key = \"{key}\" }}")]);
    let is_served_by = |common: &str| {
        let said = site.client(0, &[]);
        expect_served(&said);
        assert!(said.contains(&format!("CN = {common}\n")), "{said}");
    };
    is_served_by("the first");
    site.forwarder.messages().expect("expires in");
    let good = fs::read(&cert).expect("it is there");
    fs::write(&cert, "half of a file").expect("a scratch file");
    let told = site.forwarder.messages().expect("certificates stay as they were");
    assert!(told.contains("there is no certificate in it"), "{told}");
    is_served_by("the first");
    fs::write(&cert, good).expect("a scratch file");
    sign("the second");
    site.forwarder.messages().expect("certificates read again; valid until");
    is_served_by("the second");
}

#[test]
fn keys_may_be_encrypted_and_stand_in_one_file() {
    let authority = Authority::new();
    authority.sign("site", "site", "DNS:site.example", Valid::Now);
    let [key, sealed, both, secret] =
        ["site.key", "sealed.key", "both.pem", "secret"].map(|name| authority.path(name));
    openssl(&["pkcs8", "-topk8", "-in", &key, "-passout", "pass:p w", "-out", &sealed]);
    let text = |path: &str| fs::read_to_string(path).expect("it is there");
    fs::write(&both, text(&authority.path("site.pem")) + &text(&sealed)).expect("a scratch file");
    fs::write(&secret, "p w\n").expect("a scratch file");
    let with = |secret: &str| format!("tls = {{ cert = \"{both}\", passphrase = \"{secret}\" }}");
    let site = Site::start(&authority, &[&with("file:secret"), &with("text:p w")]);
    for listener in [0, 1] {
        expect_served(&site.client(listener, &[]));
    }
    // A wrong one is told at its place, and not repeated.
    site.rewrite(&[&with("text:wrong words")]);
    let check = |words: &[&str]| {
        let output = Command::new(REPLUG).args(words).arg(&site.path).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = check(&["check"]);
    assert_eq!(code, Some(3));
    assert!(
        told.contains("error[E0131]") && told.contains("the passphrase does not fit"),
        "{told}"
    );
    assert!(told.contains("replug.toml:4:"), "{told}");
}

#[test]
fn the_word_of_the_authority_is_handed_to_clients() {
    let authority = Authority::new();
    authority.sign("site", "site", "DNS:site.example", Valid::Now);
    authority.vouch("site");
    let [cert, key, ocsp] = ["site.pem", "site.key", "site.ocsp"].map(|name| authority.path(name));
    let own = format!("cert = \"{cert}\", key = \"{key}\"");
    let site = Site::start(
        &authority,
        &[&format!("tls = {{ {own}, ocsp = \"{ocsp}\" }}"), &format!("tls = {{ {own} }}")],
    );
    for version in ["-tls1_2", "-tls1_3"] {
        let with = site.client(0, &["-status", version]);
        expect_served(&with);
        assert!(with.contains("OCSP Response Status: successful"), "{with}");
        assert!(with.contains("Cert Status: good"), "{with}");
        let without = site.client(1, &["-status", version]);
        expect_served(&without);
        assert!(without.contains("OCSP response: no response sent"), "{without}");
    }
}

#[test]
fn the_files_in_the_manual_are_sound() {
    let manual = include_str!("../../../../../docs/tls.md");
    let authority = Authority::new();
    for (name, names) in [("site", "DNS:site.example"), ("shop", "DNS:*.shop.example")] {
        authority.sign(name, name, names, Valid::Now);
    }
    authority.vouch("site");
    authority.revoke(None);
    let copy = |from: &str, to: &str| {
        fs::copy(authority.path(from), authority.path(to)).expect("a scratch file");
    };
    copy("ca.pem", "clients-ca.pem");
    copy("ca.crl", "clients-ca.crl");
    let key = authority.path("site.key");
    let sealed = ["-passout", "pass:p w", "-out", &authority.path("sealed")];
    openssl(&[&["pkcs8", "-topk8", "-in", &key][..], &sealed].concat());
    let secret = authority.path("secret");
    fs::write(&secret, "p w\n").expect("a scratch file");
    let files = manual.split("```toml\n").skip(1).map(|file| file.split_once("```"));
    let mut count = 0;
    for (file, _) in files.map(|file| file.expect("it ends")) {
        let missing = ["web", "api", "pay"].iter().filter(|name| {
            let is_used = file.contains(&format!("pool = \"{name}\""));
            is_used && !file.contains(&format!("[pool.{name}]"))
        });
        let pools = missing.map(|name| format!("[pool.{name}]\nbackends = \"10.0.0.1:80\"\n"));
        let text = file.to_owned() + "\n" + &pools.collect::<String>();
        let text = text.replace("/run/secrets/site", &secret);
        let text = text.replace("/etc/replug/", &authority.path(""));
        let path = authority.path("manual.toml");
        fs::write(&path, &text).expect("a scratch file");
        // What is encrypted in one is not in another.
        let is_sealed = text.contains("passphrase = \"file:");
        copy("site.key", "plain");
        if is_sealed {
            copy("sealed", "site.key");
        }
        let output = Command::new(REPLUG).args(["check", &path]).output().expect("it runs");
        copy("plain", "site.key");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.contains("no faults"), "{text}\n{told}");
        count += 1;
    }
    assert!(count >= 3, "{count}");
}
