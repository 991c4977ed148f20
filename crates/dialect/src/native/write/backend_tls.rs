//! `tls` of a pool, written.

use model::backend_tls::{BackendTls, VerifyExtent};
use model::{MinVersion, Spanned};

use super::{Defaults, Writer, list, named, quoted};

impl Writer {
    pub(super) fn backend_tls(&mut self, tls: Option<&BackendTls>) {
        let Some(tls) = tls else {
            return self.optional("tls", None, "in the clear, or as clients speak");
        };
        let BackendTls { verify, name, certificate, alpn, min_version, starttls } = tls;
        let path = |path: &Spanned<String>| quoted(&path.value);
        let extent = named(&VerifyExtent::NAMES, verify.extent());
        // Written if nothing else is, so that there is a table.
        let is_empty = self.defaults == Defaults::Omit && *tls == BackendTls::default();
        let is_usual = verify.extent() == VerifyExtent::default() && !is_empty;
        self.value("tls.verify", &quoted(extent), is_usual);
        self.optional("tls.ca", verify.ca().map(path), "those of this machine");
        let revoked = verify.revoked();
        let lists = list(revoked.iter().map(|path| path.value.clone()));
        self.value("tls.crl", &lists, revoked.is_empty());
        let pins = verify.pins();
        self.value("tls.pin", &list(pins.iter().map(ToString::to_string)), pins.is_empty());
        let name = name.as_ref().map(|name| quoted(&name.value.to_string()));
        self.optional("tls.name", name, "the host of each backend");
        match certificate {
            None => self.optional("tls.cert", None, "nobody"),
            Some(files) => {
                for (key, value) in self.certificate_keys(files) {
                    self.value(&format!("tls.{key}"), &value, false);
                }
            }
        }
        self.value("tls.alpn", &list(alpn.iter().cloned()), alpn.is_empty());
        self.choice("tls.min_version", *min_version, &MinVersion::NAMES);
        let starttls = starttls.map(|protocol| quoted(protocol.name()));
        self.optional("tls.starttls", starttls, "TLS from the first byte");
    }
}
