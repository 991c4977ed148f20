//! Which certificate a client gets, by the name that it asks for.
//!
//! Names are looked up in a map: as they are, then with `*` for their first label. For one name
//! there may be several certificates, say one on a curve and one with RSA for old clients; the
//! first counts whose key the client can check. One that an authority has given for a name goes
//! before those in files. Whoever asks for no name, or for one that nobody has, gets the first
//! certificate of all, those in files first, unless that is refused.

use std::collections::HashMap;
use std::sync::Arc;

use model::UnknownName;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::acme::Site;
use crate::identity::Identity;

/// The certificates of a listener.
#[derive(Debug)]
pub(crate) struct Certificates {
    all: Box<[Arc<CertifiedKey>]>,
    /// By name, in lower case, which of them are for it. A wildcard is known without its `*`.
    by_name: HashMap<Box<str>, Vec<usize>>,
    /// Names whose certificates come from elsewhere: the first is that of the first name.
    sites: Box<[Arc<Site>]>,
    site_by_name: HashMap<Box<str>, usize>,
    unknown_name: UnknownName,
}

impl Certificates {
    /// Those of `identities` and of `sites`.
    pub(crate) fn new(
        identities: &[Identity],
        sites: &[Arc<Site>],
        unknown_name: UnknownName,
    ) -> Self {
        let mut by_name = HashMap::<Box<str>, Vec<usize>>::new();
        for (index, identity) in identities.iter().enumerate() {
            for host in &identity.names {
                let key = host.strip_prefix('*').unwrap_or(host);
                by_name.entry(key.into()).or_default().push(index);
            }
        }
        let all = identities.iter().map(|identity| Arc::clone(&identity.certified)).collect();
        let at = sites.iter().enumerate().map(|(at, site)| (site.name().into(), at));
        Self { all, by_name, site_by_name: at.collect(), sites: sites.into(), unknown_name }
    }

    fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase);
        let name = name.as_deref().map(|name| name.strip_suffix('.').unwrap_or(name));
        let site = name.and_then(|name| self.site_by_name.get(name));
        if let Some(given) = site.and_then(|at| self.sites[*at].certified()) {
            return Some(given);
        }
        match name.and_then(|name| self.named(name)) {
            Some(found) => self.best(found.iter().copied(), schemes).cloned(),
            None if self.unknown_name == UnknownName::Refuse => None,
            None => {
                let first = self.best(0..self.all.len().min(1), schemes).cloned();
                first.or_else(|| self.sites.iter().find_map(|site| site.certified()))
            }
        }
    }

    /// By a name in lower case, without a dot at its end.
    fn named(&self, name: &str) -> Option<&[usize]> {
        let exact = self.by_name.get(name).filter(|_| !name.starts_with('.'));
        let found = exact.or_else(|| self.by_name.get(&name[name.find('.')?..]));
        found.map(Vec::as_slice)
    }

    /// The first that the client can check; if it can check none, the first, and the handshake
    /// fails with the words for that.
    fn best(
        &self,
        mut found: impl Iterator<Item = usize> + Clone,
        schemes: &[SignatureScheme],
    ) -> Option<&Arc<CertifiedKey>> {
        let can_be_checked = |index: &usize| self.all[*index].key.choose_scheme(schemes).is_some();
        let best = found.clone().find(can_be_checked).or_else(|| found.next());
        best.map(|index| &self.all[index])
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name(), hello.signature_schemes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const ALL: [SignatureScheme; 2] =
        [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256];

    #[test]
    fn the_name_decides() {
        let names = [
            &["first.example"][..],
            &["www.example.com", "example.com"],
            &["*.example.com"],
            &["*.deep.example.com", "MIXED.example.com"],
        ];
        let identities = names.map(testing::identity);
        let store = Certificates::new(&identities, &[], UnknownName::First);
        let strict = Certificates::new(&identities, &[], UnknownName::Refuse);
        for (name, expected) in [
            (Some("first.example"), Some(0)),
            (Some("www.example.com"), Some(1)),
            (Some("WWW.Example.Com"), Some(1)),
            (Some("www.example.com."), Some(1)),
            (Some("example.com"), Some(1)),
            (Some("other.example.com"), Some(2)),
            (Some("deep.example.com"), Some(2)),
            (Some("a.deep.example.com"), Some(3)),
            (Some("mixed.example.com"), Some(3)),
            // A wildcard is for one label.
            (Some("a.b.deep.example.com"), None),
            (Some("a.www.example.com"), None),
            (Some(".example.com"), Some(2)),
            (Some("com"), None),
            (Some(""), None),
            (Some("."), None),
            (None, None),
        ] {
            let is = |found: Option<Arc<CertifiedKey>>, index: Option<usize>| match index {
                Some(index) => {
                    found.is_some_and(|found| Arc::ptr_eq(&found, &identities[index].certified))
                }
                None => found.is_none(),
            };
            assert!(is(store.find(name, &ALL), expected.or(Some(0))), "{name:?}");
            assert!(is(strict.find(name, &ALL), expected), "{name:?}, strictly");
        }
    }

    #[test]
    fn the_first_counts_that_the_client_can_check() {
        let curve = testing::identity(&["a.example"]);
        let rsa = testing::rsa_identity();
        let store = Certificates::new(&[curve.clone(), rsa.clone()], &[], UnknownName::First);
        let found = |schemes: &[_]| store.find(Some("a.example"), schemes).expect("one of them");
        assert!(Arc::ptr_eq(&found(&ALL), &curve.certified));
        assert!(Arc::ptr_eq(&found(&ALL[1..]), &rsa.certified));
        assert!(Arc::ptr_eq(&found(&[]), &curve.certified));
    }
}
