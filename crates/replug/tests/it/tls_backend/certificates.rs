//! Certificates, made by OpenSSL for one test.

use std::fs;
use std::process::Command;

use rig::{Program, Scratch};

const OPENSSL: &str = "[req]\ndistinguished_name = dn\n[dn]\n\
    [ca]\nbasicConstraints = critical,CA:TRUE\nkeyUsage = keyCertSign,cRLSign\n\
    [leaf]\nbasicConstraints = critical,CA:FALSE\nsubjectAltName = ${ENV::NAMES}\n";

/// A folder of certificates: `NAME.pem` with `NAME.key`. There are two authorities, `ca` and
/// `other`.
pub(crate) struct Certificates {
    pub(crate) scratch: Scratch,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let certificates = Self { scratch: Scratch::new() };
        fs::write(certificates.path("openssl.cnf"), OPENSSL).expect("a file in a new folder");
        for name in ["ca", "other"] {
            let key = certificates.path(&format!("{name}.key"));
            let mut command = certificates.openssl(&["req", "-x509", "-extensions", "ca"], "DNS:x");
            command.args(["-days", "2", "-subj", &format!("/CN={name}"), "-keyout", &key]);
            Program::run(
                key_of(&mut command).args(["-out", &certificates.path(&format!("{name}.pem"))]),
            );
        }
        certificates
    }

    /// One for `names` (`DNS:a.example,IP:127.0.0.1`) by an authority, valid for `days` from now;
    /// fewer than none have it expired.
    pub(crate) fn make(&self, name: &str, names: &str, by: &str, days: i32) {
        let [pem, key, request] =
            ["pem", "key", "csr"].map(|end| self.path(&format!("{name}.{end}")));
        let mut command = self.openssl(&["req", "-subj", &format!("/CN={name}")], names);
        Program::run(key_of(&mut command).args(["-keyout", &key, "-out", &request]));
        let mut command = Command::new("openssl");
        command.args(["x509", "-req", "-in", &request, "-extfile", &self.path("openssl.cnf")]);
        command.args(["-extensions", "leaf", "-days", &days.to_string(), "-CAcreateserial"]);
        let [ca, ca_key] = ["pem", "key"].map(|end| self.path(&format!("{by}.{end}")));
        command.args(["-CA", &ca, "-CAkey", &ca_key, "-out", &pem]).env("NAMES", names);
        Program::run(&mut command);
    }

    /// Says in `BY.crl` that an authority has revoked these.
    pub(crate) fn revoke(&self, by: &str, names: &[&str]) {
        let [config, index, number, ca, key, list] =
            ["cnf", "index", "number", "pem", "key", "crl"]
                .map(|end| self.path(&format!("{by}.{end}")));
        let text = format!(
            "[ca]\ndefault_ca=all\n[all]\ndatabase={index}\ncrlnumber={number}\ncertificate={ca}\n\
             private_key={key}\ndefault_md=sha256\ndefault_crl_days=2\nunique_subject=no\n"
        );
        for (path, text) in [(&config, &*text), (&index, ""), (&number, "01\n")] {
            fs::write(path, text).expect("a file in a new folder");
        }
        let openssl = |words: &[&str]| {
            Program::run(Command::new("openssl").args(["ca", "-config", &config]).args(words));
        };
        for name in names {
            openssl(&["-revoke", &self.path(&format!("{name}.pem"))]);
        }
        openssl(&["-gencrl", "-out", &list]);
    }

    /// One for `db.example` that both sides of a test take for good.
    pub(crate) fn good(&self) {
        self.make("db", "DNS:db.example", "ca", 2);
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.scratch.join(name)
    }

    /// What a pool calls the key of a certificate.
    pub(crate) fn pin(&self, name: &str) -> String {
        let pem = self.path(&format!("{name}.pem"));
        let text = "openssl x509 -pubkey -noout -in \"$0\" | openssl pkey -pubin -outform der \
                    | openssl dgst -sha256 -binary | openssl base64";
        let lines = Program::run(Command::new("sh").args(["-c", text, &pem]));
        format!("sha256/{}", lines[0])
    }

    fn openssl(&self, words: &[&str], names: &str) -> Command {
        let mut command = Command::new("openssl");
        command.args(words).args(["-config", &self.path("openssl.cnf"), "-nodes"]);
        command.env("NAMES", names);
        command
    }
}

fn key_of(command: &mut Command) -> &mut Command {
    command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
}
