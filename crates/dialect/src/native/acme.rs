//! `acme = { ... }` in the `tls` of a listener: certificates that an authority gives.

use model::acme::{Acme, BadName, Directory, ExternalAccount, host};
use model::{Code, Diagnostic, Spanned};

use super::Reader;
use super::keys::{Key, Schema, Takes};
use super::table::Table;
use super::text::Text;

pub(super) const ACME: Schema = Schema {
    place: "acme",
    keys: &[
        Key::new(
            "names",
            Takes::Texts("www.example.org"),
            "The hosts to have certificates for: one is ordered for each, and renewed. The authority \
             asks for proof at port 443 of each, which has to be this listener.",
        )
        .required(),
        Key::new(
            "email",
            Takes::Texts("ops@example.org"),
            "Where the authority may reach whoever is responsible.",
        )
        .default("[]"),
        Key::new(
            "agree_to_terms",
            Takes::Boolean,
            "Whether you agree to the terms of service of the authority. Let's Encrypt has some.",
        )
        .default("false"),
        Key::new(
            "directory",
            Takes::Text("https://ca.example/acme/directory"),
            "The authority: `letsencrypt`, `staging` (the same for trying out), or the `https://` URL \
             of its directory.",
        )
        .default("\"letsencrypt\""),
        Key::new(
            "ca",
            Takes::Texts("/etc/replug/acme-ca.pem"),
            "Files with who signs for the server of the authority, in PEM; those whom this machine \
             trusts if it is left out.",
        ),
        Key::new(
            "external_account",
            Takes::Table(&EXTERNAL_ACCOUNT),
            "An account that the authority knows already, if it asks for one.",
        ),
        Key::new(
            "store",
            Takes::Text("/var/lib/replug/acme"),
            "The folder where account, keys and certificates are kept. It is made if it is not there.",
        )
        .default("\"/var/lib/replug/acme\""),
    ],
    also: &[],
    later: &[],
};

const EXTERNAL_ACCOUNT: Schema = Schema {
    place: "an account",
    keys: &[
        Key::new("id", Takes::Text("kid-1"), "What the authority calls it.").required(),
        Key::new(
            "key",
            Takes::Text("file:/run/secrets/acme"),
            "Where its key is, in Base64: `file:PATH`, `env:NAME`, or `text:KEY` itself.",
        )
        .required(),
    ],
    also: &[],
    later: &[],
};

impl Reader<'_> {
    pub(super) fn acme(&mut self, table: &Table<'_>) -> Option<Spanned<Acme>> {
        let entry = table.get("acme")?;
        let table = self.table(table, "acme")?;
        self.keys(&table, &ACME);
        let names = self.names(&table)?;
        let mut acme = Acme::new(names);
        let contacts = self.texts(&table, "email").unwrap_or_default();
        acme.contacts = contacts.iter().filter_map(|text| self.mail(text)).collect();
        acme.agrees_to_terms = self.boolean(&table, "agree_to_terms").unwrap_or_default();
        if let Some(text) = self.text(&table, "directory") {
            acme.directory = self.directory(&text)?;
        }
        let ca = self.texts(&table, "ca").unwrap_or_default();
        acme.ca = ca.iter().filter_map(|text| self.path(&text.value, text.span)).collect();
        acme.external_account = self.external_account(&table);
        if let Some(text) = self.text(&table, "store") {
            acme.store = self.path(&text.value, text.span)?;
        }
        Some(Spanned::at(acme, entry.span()))
    }

    /// `None`: there is none, which is told.
    fn names(&mut self, table: &Table<'_>) -> Option<Vec<Spanned<String>>> {
        let Some(texts) = self.texts(table, "names") else {
            let message = "no name is there to have a certificate for".to_owned();
            self.missing(table, message, "name the hosts: `names = [\"www.example.org\"]`");
            return None;
        };
        let span = table.get("names")?.value_span();
        if texts.len() > Acme::NAMES_MAX {
            let message = format!("there are {} names", texts.len());
            self.faults.push(
                Diagnostic::new(Code::Number, span, message)
                    .label("too many")
                    .help(format!("a listener can have {} certificates ordered", Acme::NAMES_MAX)),
            );
        }
        let before = self.faults.len();
        let mut names = Vec::<Spanned<String>>::new();
        for text in &texts {
            match host(&text.value) {
                Ok(name) if names.iter().any(|known| known.value == name) => {
                    let message = format!("`{name}` is named twice");
                    let fault = Diagnostic::new(Code::Repeated, text.span, message);
                    self.faults.push(fault.label("again here").help("once is enough"));
                }
                Ok(name) => names.push(Spanned::at(name, text.span)),
                Err(why) => self.faults.push(bad_name(text, why)),
            }
        }
        if names.is_empty() && self.faults.len() == before {
            let message = "no name is there to have a certificate for".to_owned();
            self.missing(table, message, "name the hosts: `names = [\"www.example.org\"]`");
        }
        (!names.is_empty()).then_some(names)
    }

    fn mail(&mut self, text: &Text<'_>) -> Option<String> {
        let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_graphic());
        let parts = text.value.rsplit_once('@');
        let is_sound = parts.is_some_and(|(user, domain)| {
            !user.is_empty() && is_plain(user) && host(domain).is_ok() && !user.contains([',', '?'])
        });
        if is_sound {
            return Some(text.value.to_string());
        }
        let message = format!("`{}` is no mail address", text.value);
        self.faults.push(
            Diagnostic::new(Code::Address, text.span, message)
                .label("cannot be written to")
                .help("write it plainly: `ops@example.org`"),
        );
        None
    }

    fn directory(&mut self, text: &Text<'_>) -> Option<Directory> {
        let directory = Directory::parse(&text.value);
        if directory.is_none() {
            let message = format!("`{}` is no authority", text.value);
            let label = match text.value.starts_with("http://") {
                true => "not protected",
                false => "neither a known word nor a URL",
            };
            self.faults.push(
                Diagnostic::new(Code::Url, text.span, message)
                    .label(label)
                    .help("write `letsencrypt`, `staging`, or the `https://` URL of its directory"),
            );
        }
        directory
    }

    fn external_account(&mut self, table: &Table<'_>) -> Option<ExternalAccount> {
        table.get("external_account")?;
        let table = self.table(table, "external_account")?;
        self.keys(&table, &EXTERNAL_ACCOUNT);
        for (key, help) in
            [("id", "write `id = \"...\"`, as it gave it"), ("key", "write `key = \"file:PATH\"`")]
        {
            if table.get(key).is_none() {
                let message = format!("an account needs its `{key}` from the authority");
                self.missing(&table, message, help);
            }
        }
        let id = self.text(&table, "id");
        let key = self.secret(&table, "key", "the key of the account");
        Some(ExternalAccount { id: id?.value.into_owned(), key: key? })
    }
}

fn bad_name(text: &Text<'_>, why: BadName) -> Diagnostic {
    let name = &text.value;
    let (message, label, help) = match why {
        BadName::Wildcard => (
            format!("no certificate can be ordered for `{name}`"),
            "stands for many",
            "that somebody has a whole domain is proven in its DNS only, which replug does not \
             write: name each host, or have another program order it and name its file: `cert`",
        ),
        BadName::Address => (
            format!("no certificate can be ordered for the address `{name}`"),
            "no name",
            "name the host",
        ),
        BadName::NoHost => (
            format!("`{name}` names no host"),
            "not a name that a certificate is for",
            "write a host as in DNS: letters, digits and hyphens between dots",
        ),
    };
    Diagnostic::new(Code::HostName, text.span, message).label(label).help(help)
}
