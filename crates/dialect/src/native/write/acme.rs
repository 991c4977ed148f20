//! `acme` of a listener, written.

use model::acme::{Acme, Directory};
use model::{Secret, Spanned};

use super::{Writer, list, quoted};

impl Writer {
    pub(super) fn acme(&mut self, acme: Option<&Spanned<Acme>>) {
        let Some(Spanned { value: acme, .. }) = acme else {
            return self.optional("tls.acme", None, "no certificate is ordered");
        };
        let Acme { names, contacts, agrees_to_terms, directory, ca, external_account, store } =
            acme;
        let all = |texts: &[Spanned<String>]| list(texts.iter().map(|text| text.value.clone()));
        self.value("tls.acme.names", &all(names), false);
        self.value("tls.acme.email", &list(contacts.iter().cloned()), contacts.is_empty());
        self.value("tls.acme.agree_to_terms", &agrees_to_terms.to_string(), !agrees_to_terms);
        let is_usual = *directory == Directory::default();
        self.value("tls.acme.directory", &quoted(directory.word()), is_usual);
        match ca.is_empty() {
            true => self.optional("tls.acme.ca", None, "those of this machine"),
            false => self.value("tls.acme.ca", &all(ca), false),
        }
        if let Some(account) = external_account {
            self.value("tls.acme.external_account.id", &quoted(&account.id), false);
            let key = self.secret(&account.key.value);
            self.value("tls.acme.external_account.key", &key, false);
        }
        self.value("tls.acme.store", &quoted(&store.value), store.value == Acme::STORE);
    }

    /// Where something is that nobody else should know.
    pub(super) fn secret(&self, secret: &Secret) -> String {
        match secret {
            Secret::Text(words) => quoted(&Secret::Text(self.hide(words)).in_full()),
            Secret::File(_) | Secret::Variable(_) => quoted(&secret.in_full()),
        }
    }
}
