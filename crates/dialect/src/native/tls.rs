//! `tls = { ... }` on a listener: who it is to its clients, and how they prove who they are.
//!
//! Files are named here and read by those who run what they are for.

use std::path::Path;

use model::acme::host;
use model::{
    CertificateFiles, ClientAuth, ClientProof, Code, Diagnostic, MinVersion, Secret, ServerTls,
    Span, Spanned, StartTls, UnknownName,
};

use super::Reader;
use super::acme::ACME;
use super::keys::{self, Key, Schema, Takes};
use super::table::{Entry, Table};

/// Longest name of a protocol within TLS, in bytes (RFC 7301).
const ALPN_BYTES_MAX: usize = 255;
/// Protocols that are offered at the most.
const ALPN_MAX: usize = 32;

pub(super) const TLS: Schema = Schema {
    place: "tls",
    keys: &[
        CERT.or(&["certificates", "acme"]),
        KEY,
        PASSPHRASE,
        OCSP,
        Key::new(
            "certificates",
            Takes::OneOrMore(&CERTIFICATE),
            "More certificates, or all of them: a client gets the one for the name that it asks for, \
             or else the first.",
        ),
        Key::new(
            "acme",
            Takes::Table(&ACME),
            "Certificates that an authority gives over the network, and renews (ACME).",
        ),
        Key::new(
            "unknown_name",
            Takes::Choice(&keys::names(&UnknownName::NAMES)),
            "What becomes of clients that ask for no name, or for one that no certificate is for: they \
             get the `first`, or are refused.",
        )
        .default("\"first\""),
        Key::new(
            "client_ca",
            Takes::Texts("/etc/replug/clients-ca.pem"),
            "Files with the authorities whose certificates clients have to show; nobody is asked for \
             one if it is left out.",
        ),
        Key::new(
            "client_auth",
            Takes::Choice(&keys::names(&ClientAuth::NAMES)),
            "Whether a client with no certificate is served too; `required` where there is \
             `client_ca`.",
        ),
        Key::new(
            "crl",
            Takes::Texts("/etc/replug/clients-ca.crl"),
            "Files with lists of the certificates that these authorities have revoked.",
        ),
        Key::new(
            "alpn",
            Takes::Texts("h2"),
            "Protocols that may be spoken within, the best first; not talked about if it is left out.",
        )
        .default("[]"),
        Key::new(
            "min_version",
            Takes::Choice(&keys::names(&MinVersion::NAMES)),
            "The oldest version of TLS that is spoken.",
        )
        .default("\"1.2\""),
        Key::new(
            "tickets",
            Takes::Boolean,
            "Whether clients may resume sessions, which saves most of a handshake.",
        )
        .default("true"),
        Key::new(
            "starttls",
            Takes::Choice(&keys::names(&StartTls::NAMES)),
            "The protocol in which clients ask for TLS first; they begin with TLS if it is left out.",
        ),
    ],
    also: &[],
    later: &[],
};

const CERTIFICATE: Schema = Schema {
    place: "a certificate",
    keys: &[CERT.required(), KEY, PASSPHRASE, OCSP, NAMES],
    also: &[],
    later: &[],
};

const CERT: Key = Key::new(
    "cert",
    Takes::Text("/etc/replug/site.pem"),
    "A file with a certificate in PEM, and behind it those that lead to its authority. It is for the \
     names that stand in it.",
);

pub(super) const KEY: Key = Key::new(
    "key",
    Takes::Text("/etc/replug/site.key"),
    "A file with its private key in PEM; in the same file if it is left out.",
);

pub(super) const PASSPHRASE: Key = Key::new(
    "passphrase",
    Takes::Text("file:/run/secrets/site"),
    "Where the passphrase of an encrypted key is: `file:PATH`, `env:NAME`, or `text:WORDS` itself.",
);

const OCSP: Key = Key::new(
    "ocsp",
    Takes::Text("/etc/replug/site.ocsp"),
    "A file with the authority's word that it is not revoked, in DER, to be handed to clients.",
);

const NAMES: Key = Key::new(
    "names",
    Takes::Texts("*.shop.example"),
    "The names that clients get it for, hosts or `*.` and a domain for each host in that; those that \
     stand in it if it is left out.",
);

impl Reader<'_> {
    pub(super) fn server_tls(&mut self, table: &Table<'_>) -> Option<Spanned<ServerTls>> {
        let entry = table.get("tls")?;
        let table = self.table(table, "tls")?;
        self.keys(&table, &TLS);
        let certificates = self.certificates(&table);
        let clients = self.client_proof(&table);
        let tls = ServerTls {
            unknown_name: self
                .choice(&table, "unknown_name", &UnknownName::NAMES, &[])
                .unwrap_or_default(),
            clients,
            alpn: self.alpn(&table),
            min_version: self
                .choice(&table, "min_version", &MinVersion::NAMES, &[])
                .unwrap_or_default(),
            tickets: self.boolean(&table, "tickets").unwrap_or(true),
            starttls: self.choice(&table, "starttls", &StartTls::NAMES, &[]),
            certificates,
            acme: self.acme(&table),
        };
        Some(Spanned::at(tls, entry.span()))
    }

    fn certificates(&mut self, table: &Table<'_>) -> Vec<CertificateFiles> {
        let mut found = Vec::new();
        let more = table.get("certificates");
        match (table.get("cert"), more) {
            (Some(_), _) => found.extend(self.certificate(table)),
            (None, Some(_)) => self.stray(table),
            (None, None) if table.get("acme").is_some() => self.stray(table),
            (None, None) => {
                let message = "TLS needs a certificate".to_owned();
                let help = "name the files: `cert = \"site.pem\"` and `key = \"site.key\"`; `replug \
                            cert self-signed` makes them to try things with";
                self.missing(table, message, help);
            }
        }
        let Some(more) = more else { return found };
        match more.as_one_or_more() {
            None => self.wrong(more, "a list of tables", "write `certificates = [{ cert = ... }]`"),
            Some(tables) if tables.is_empty() && table.get("cert").is_none() => {
                self.missing(table, "TLS needs a certificate".to_owned(), "name one in the list");
            }
            Some(tables) => {
                for table in tables {
                    self.keys(&table, &CERTIFICATE);
                    if table.get("cert").is_none() {
                        let message = "a certificate needs its file".to_owned();
                        self.missing(&table, message, "name it: `cert = \"site.pem\"`");
                    }
                    let names = self.certificate_names(&table);
                    let files = self.certificate(&table);
                    found.extend(files.map(|files| CertificateFiles { names, ..files }));
                }
            }
        }
        if found.len() > ServerTls::CERTIFICATES_MAX {
            let message = format!("there are {} certificates", found.len());
            self.faults.push(
                Diagnostic::new(Code::Number, more.span(), message)
                    .label("too many")
                    .help(format!("a listener can have {}", ServerTls::CERTIFICATES_MAX)),
            );
        }
        found
    }

    /// The names that clients get a certificate for.
    fn certificate_names(&mut self, table: &Table<'_>) -> Vec<Spanned<String>> {
        let texts = self.texts(table, NAMES.name).unwrap_or_default();
        let mut names = Vec::<Spanned<String>>::new();
        for text in &texts {
            match certificate_name(&text.value) {
                Some(name) if names.iter().any(|known| known.value == name) => {
                    let message = format!("`{name}` is named twice");
                    let fault = Diagnostic::new(Code::Repeated, text.span, message);
                    self.faults.push(fault.label("again here").help("once is enough"));
                }
                Some(name) => names.push(Spanned::at(name, text.span)),
                None => {
                    let message = format!("`{}` names no host", text.value);
                    self.faults.push(
                        Diagnostic::new(Code::HostName, text.span, message)
                            .label("not a name that a certificate is for")
                            .help("write a host, or `*.` and a domain: `*.shop.example`"),
                    );
                }
            }
        }
        names
    }

    /// Keys beside `certificates` that belong to a `cert`, which is not there.
    pub(super) fn stray(&mut self, table: &Table<'_>) {
        for key in [KEY, PASSPHRASE, OCSP] {
            if let Some(entry) = table.get(key.name) {
                let message = format!("`{}` belongs to no certificate", key.name);
                self.faults.push(
                    Diagnostic::new(Code::KeyMissing, entry.span(), message)
                        .label("of which `cert`?")
                        .help("write it into the table of its certificate, beside `cert`"),
                );
            }
        }
    }

    pub(super) fn certificate(&mut self, table: &Table<'_>) -> Option<CertificateFiles> {
        let file = |reader: &mut Self, key: Key| {
            let text = reader.text(table, key.name)?;
            reader.path(&text.value, text.span)
        };
        let (key, ocsp) = (file(self, KEY), file(self, OCSP));
        let passphrase = self.secret(table, PASSPHRASE.name, "the passphrase");
        let cert = file(self, CERT)?;
        Some(CertificateFiles { key, passphrase, ocsp, ..CertificateFiles::new(cert) })
    }

    /// A path, as it is from here: those that are not whole begin at the folder of their file.
    pub(super) fn path(&mut self, text: &str, span: Span) -> Option<Spanned<String>> {
        if text.is_empty() || text.contains('\0') {
            self.faults.push(
                Diagnostic::new(Code::Path, span, "this cannot be a file")
                    .label("no path")
                    .help("write its path in full, or from the folder of this file on"),
            );
            return None;
        }
        let file = Path::new(&self.sources.get(span.source).name);
        let path = file.parent().map(|folder| folder.join(text).display().to_string());
        Some(Spanned::at(path.unwrap_or_else(|| text.to_owned()), span))
    }

    /// Where `what` is, of which the configuration need not say what it is.
    pub(super) fn secret(
        &mut self,
        table: &Table<'_>,
        key: &str,
        what: &str,
    ) -> Option<Spanned<Secret>> {
        let text = self.text(table, key)?;
        let secret = match Secret::parse(&text.value) {
            Some(Secret::File(path)) => Some(Secret::File(self.path(&path, text.span)?.value)),
            secret => secret,
        };
        if secret.is_none() {
            // What was written may be the secret itself, so it is not repeated.
            self.faults.push(
                Diagnostic::new(
                    Code::Choice,
                    table.get(key)?.span(),
                    format!("`{key}` does not say where {what} is"),
                )
                .label("file:, env: or text:")
                .help(format!(
                    "write `\"file:PATH\"` or `\"env:NAME\"`; `\"text:WORDS\"` is {what} \
                     itself, for everybody who reads this file",
                )),
            );
        }
        Some(Spanned::at(secret?, text.span))
    }

    fn client_proof(&mut self, table: &Table<'_>) -> Option<ClientProof> {
        let authorities = self.paths(table, "client_ca");
        let revoked = self.paths(table, "crl");
        let need = self.choice(table, "client_auth", &ClientAuth::NAMES, &[]);
        if let Some(entry) = table.get("client_ca") {
            if authorities.is_empty() && entry.value().as_array().is_some_and(|all| all.is_empty())
            {
                let help = "name the file of an authority; to ask nobody, leave `client_ca` out";
                self.missing(table, "no authority is named".to_owned(), help);
            }
            let need = need.unwrap_or_default();
            return Some(ClientProof { authorities, revoked, need });
        }
        for entry in ["client_auth", "crl"].into_iter().filter_map(|key| table.get(key)) {
            self.pointless(entry);
        }
        None
    }

    fn pointless(&mut self, entry: Entry<'_>) {
        let message = format!("`{}` is for clients that are asked, and none is", entry.name());
        self.faults.push(
            Diagnostic::new(Code::KeyMissing, entry.span(), message)
                .label("without `client_ca`")
                .help("say who signs their certificates: `client_ca = \"PATH\"`"),
        );
    }

    pub(super) fn paths(&mut self, table: &Table<'_>, key: &str) -> Vec<Spanned<String>> {
        let texts = self.texts(table, key).unwrap_or_default();
        texts.iter().filter_map(|text| self.path(&text.value, text.span)).collect()
    }

    pub(super) fn alpn(&mut self, table: &Table<'_>) -> Vec<String> {
        let texts = self.texts(table, "alpn").unwrap_or_default();
        let mut names = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let message = if text.value.is_empty() || text.value.len() > ALPN_BYTES_MAX {
                format!("a protocol has a name of 1 to {ALPN_BYTES_MAX} bytes")
            } else if index >= ALPN_MAX {
                format!("more than {ALPN_MAX} protocols are not offered")
            } else {
                names.push(text.value.to_string());
                continue;
            };
            self.faults.push(
                Diagnostic::new(Code::Name, text.span, message)
                    .label("cannot be offered")
                    .help("the usual ones are `h2`, `http/1.1`, `postgresql`, `imap`"),
            );
        }
        names
    }
}

/// A host, or `*.` and a domain, in lower case.
fn certificate_name(text: &str) -> Option<String> {
    match text.strip_prefix("*.") {
        Some(domain) => Some(format!("*.{}", host(domain).ok()?)),
        None => host(text).ok(),
    }
}
