//! An authority, as `openssl ca` runs one, in a directory that goes away.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rig::Scratch;

/// Signs certificates for whoever asks.
pub(super) struct Authority {
    scratch: Scratch,
}

/// When what it signs is valid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Valid {
    Now,
    InThePast,
}

const CURVE: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

impl Authority {
    pub(super) fn new() -> Self {
        Self::named("authority")
    }

    /// One with a name of its own.
    pub(super) fn named(name: &str) -> Self {
        let this = Self { scratch: Scratch::new() };
        let directory = this.scratch.path().display().to_string();
        fs::write(this.path("index"), "").expect("a scratch file");
        fs::write(this.path("number"), "01\n").expect("a scratch file");
        let config = format!(
            "[ca]\ndefault_ca=own\n[own]\ndatabase={directory}/index\nnew_certs_dir={directory}\n\
             rand_serial=yes\ncrlnumber={directory}/number\nprivate_key={directory}/ca.key\n\
             certificate={directory}/ca.pem\ndefault_md=sha256\npolicy=any\ndefault_days=2\n\
             default_crl_days=2\nunique_subject=no\ncopy_extensions=copy\nx509_extensions=leaf\n\
             [any]\ncommonName=supplied\n[leaf]\nbasicConstraints=CA:FALSE\n"
        );
        fs::write(this.path("ca.cnf"), config).expect("a scratch file");
        let (key, cert) = (this.path("ca.key"), this.path("ca.pem"));
        let subject = format!("/CN={name}");
        let made = ["-days", "2", "-nodes", "-subj", &subject, "-keyout", &key];
        openssl(&[&["req", "-x509", "-out", &cert][..], &made, &CURVE].concat());
        this
    }

    /// The path of a file of its directory.
    pub(super) fn path(&self, name: &str) -> String {
        self.scratch.join(name)
    }

    /// Signs a new certificate: `NAME.pem` with its key `NAME.key`; `names` as in
    /// `DNS:a.example,IP:::1`.
    pub(super) fn sign(&self, name: &str, common: &str, names: &str, valid: Valid) {
        let [key, request, cert, config] =
            [&*format!("{name}.key"), "request", &format!("{name}.pem"), "ca.cnf"]
                .map(|file| self.path(file));
        let (subject, names) = (format!("/CN={common}"), format!("subjectAltName={names}"));
        let made = ["-nodes", "-keyout", &key, "-out", &request, "-subj", &subject];
        openssl(&[&["req", "-new", "-addext", &names][..], &made, &CURVE].concat());
        let words = ["ca", "-batch", "-notext", "-config", &config, "-in", &request, "-out", &cert];
        let past = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"];
        openssl(&[&words[..], if valid == Valid::InThePast { &past } else { &[] }].concat());
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(key, mode).expect("it is ours");
    }

    /// Takes back what it has signed, and writes that down in `ca.crl`.
    pub(super) fn revoke(&self, name: Option<&str>) {
        let (config, list) = (self.path("ca.cnf"), self.path("ca.crl"));
        if let Some(name) = name {
            let cert = self.path(&format!("{name}.pem"));
            openssl(&["ca", "-config", &config, "-revoke", &cert]);
        }
        openssl(&["ca", "-config", &config, "-gencrl", "-out", &list]);
    }

    /// Says in `NAME.ocsp` what it knows about `NAME.pem`.
    pub(super) fn vouch(&self, name: &str) {
        let [index, ca, key, cert, said] =
            ["index", "ca.pem", "ca.key", &format!("{name}.pem"), &format!("{name}.ocsp")]
                .map(|file| self.path(file));
        let signer = ["-CA", &ca, "-rsigner", &ca, "-rkey", &key, "-issuer", &ca];
        let about = ["-cert", &cert, "-respout", &said, "-ndays", "2"];
        openssl(&[&["ocsp", "-index", &index][..], &signer, &about].concat());
    }
}

#[track_caller]
pub(super) fn openssl(words: &[&str]) {
    let output = Command::new("openssl").args(words).output().expect("openssl is installed");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
