//! `tls = { ... }` of a pool: who its backends are, and what is spoken with them.

use model::{
    BackendTls, CertificateFiles, Code, Diagnostic, MinVersion, Pin, ServerName, Spanned, StartTls,
    Verify, VerifyExtent,
};

use super::Reader;
use super::keys::{self, Key, Schema, Takes};
use super::table::Table;
use super::tls::{KEY, PASSPHRASE};
use crate::line::Word;
use crate::term::pin;

pub(super) const BACKEND_TLS: Schema = Schema {
    place: "the `tls` of a pool",
    keys: &[
        Key::new(
            "verify",
            Takes::Choice(&keys::names(&VerifyExtent::NAMES)),
            "How it is known who a backend is. `full`: an authority says so, for its name. `ca`: an \
             authority of our own knows it, by whatever name. `pin`: it has one of the keys in \
             `pin`. `none`: it is not known, for trying out.",
        )
        .default("\"full\""),
        Key::new(
            "ca",
            Takes::Text("/etc/replug/ca.pem"),
            "The file with the authorities that are believed, in PEM; those of this machine if it \
             is left out.",
        ),
        Key::new(
            "crl",
            Takes::Texts("/etc/replug/ca.crl"),
            "Files with lists of the certificates that these authorities have revoked.",
        ),
        Key::new(
            "pin",
            Takes::Texts("sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
            "Public keys by their SHA-256, of which a backend must have one.",
        ),
        Key::new(
            "name",
            Takes::Text("db.example"),
            "What the certificate has to be for, and what backends are asked for (SNI); the host of \
             each if it is left out.",
        ),
        Key::new(
            "cert",
            Takes::Text("/etc/replug/client.pem"),
            "Our certificate for backends that ask for one, in PEM, with its chain.",
        ),
        KEY,
        PASSPHRASE,
        Key::new(
            "alpn",
            Takes::Texts("h2"),
            "Protocols that are offered to be spoken within, by preference.",
        )
        .default("[]"),
        Key::new(
            "min_version",
            Takes::Choice(&keys::names(&MinVersion::NAMES)),
            "The oldest version of TLS that is spoken.",
        )
        .default("\"1.2\""),
        Key::new(
            "starttls",
            Takes::Choice(&keys::names(&StartTls::NAMES)),
            "The protocol in which backends are asked for TLS first; they begin with TLS if it is \
             left out.",
        ),
    ],
    also: &[],
    later: &[],
};

impl Reader<'_> {
    pub(super) fn backend_tls(&mut self, pool: &Table<'_>) -> Option<Spanned<BackendTls>> {
        let entry = pool.get("tls")?;
        let Some(table) = entry.as_table() else {
            let help = "write `tls = { ca = \"/etc/replug/ca.pem\" }`, or `tls = {}` to believe the \
                        authorities of this machine";
            self.wrong(entry, "a table", help);
            return None;
        };
        self.keys(&table, &BACKEND_TLS);
        let verify = self.verify(&table);
        let name = self.text(&table, "name").and_then(|text| {
            let name = self.told(server_name(text.word()))?;
            Some(Spanned::at(name, text.span))
        });
        let certificate = self.client_certificate(&table);
        let alpn = self.alpn(&table);
        let min_version = self.choice(&table, "min_version", &MinVersion::NAMES, &[]);
        let starttls = self.choice(&table, "starttls", &StartTls::NAMES, &[]);
        let tls = BackendTls {
            verify: verify?,
            name,
            certificate,
            alpn,
            min_version: min_version.unwrap_or_default(),
            starttls,
        };
        Some(Spanned::at(tls, entry.span()))
    }

    /// How it is known who a backend is. `None`: the fault is told.
    fn verify(&mut self, table: &Table<'_>) -> Option<Verify> {
        let extent = match table.get("verify") {
            Some(_) => self.choice(table, "verify", &VerifyExtent::NAMES, &[])?,
            None => VerifyExtent::default(),
        };
        let ca = self.path_at(table, "ca");
        let revoked = self.paths(table, "crl");
        let pins = self.pins(table);
        let mut useless = |key: &str, why: &str, help: &str| {
            let Some(entry) = table.get(key) else { return };
            let message = format!("`{key}` is never looked at");
            let mut fault =
                Diagnostic::new(Code::Conflict, entry.span(), message).label("no use").help(help);
            if let Some(verify) = table.get("verify") {
                fault = fault.related(verify.span(), why);
            }
            self.faults.push(fault);
        };
        match extent {
            VerifyExtent::Full => Some(Verify::Full { ca, pins, revoked }),
            VerifyExtent::Authority => {
                if table.get("ca").is_none() {
                    let message = "`verify = \"ca\"` names no authority".to_owned();
                    let help = "write `ca = \"/etc/replug/ca.pem\"`: those of this machine know \
                                whoever asks, so that a name has to be verified too";
                    self.missing(table, message, help);
                }
                Some(Verify::Authority { ca: ca?, pins, revoked })
            }
            VerifyExtent::Pins => {
                let help = "leave it out, or write `verify = \"full\"`";
                useless("ca", "only keys are", help);
                useless("crl", "only keys are", help);
                if table.get("pin").is_none() {
                    let message = "`verify = \"pin\"` names no key".to_owned();
                    self.missing(table, message, "write `pin = \"sha256/...\"`");
                }
                (!pins.is_empty()).then_some(Verify::Pins(pins))
            }
            VerifyExtent::None => {
                let help = "leave out `verify`";
                useless("ca", "nothing is", help);
                useless("crl", "nothing is", help);
                useless("pin", "nothing is", help);
                Some(Verify::None)
            }
        }
    }

    fn pins(&mut self, table: &Table<'_>) -> Vec<Pin> {
        let texts = self.texts(table, "pin").unwrap_or_default();
        self.at_most(table, "pin", texts.len(), Verify::PINS_MAX);
        texts.iter().filter_map(|text| self.told(pin::read(text.word()))).collect()
    }

    /// Who we are to backends that ask.
    fn client_certificate(&mut self, table: &Table<'_>) -> Option<CertificateFiles> {
        if table.get("cert").is_none() {
            self.stray(table);
        }
        self.certificate(table)
    }

    fn path_at(&mut self, table: &Table<'_>, key: &str) -> Option<Spanned<String>> {
        let text = self.text(table, key)?;
        self.path(&text.value, text.span)
    }

    fn at_most(&mut self, table: &Table<'_>, key: &str, count: usize, most: usize) {
        let Some(entry) = table.get(key).filter(|_| count > most) else { return };
        let message = format!("`{key}` has more than {most} items");
        self.faults.push(
            Diagnostic::new(Code::Number, entry.value_span(), message)
                .label(format!("{count} items"))
                .help("leave out those that are not in use"),
        );
    }
}

fn server_name(word: Word<'_>) -> Result<ServerName, Diagnostic> {
    ServerName::parse(word.text).map_err(|_| {
        let message = format!("`{}` names no host", word.text);
        Diagnostic::new(Code::HostName, word.span, message)
            .label("not a name that a certificate is for")
            .help("write a host, as in `db.example`, or an address, without a port")
    })
}
