//! Certificates that an authority gives over the network, and renews, by ACME (RFC 8555).
//!
//! That somebody has a name is proven on the listener itself, within TLS (RFC 8737): so names are
//! single hosts, and clients have to begin with TLS.

use crate::address;
use crate::source::Spanned;
use crate::tls::Secret;

/// Certificates of a listener that are ordered: one for each name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// Hosts in lower case, none twice: at least one, at most [`Acme::NAMES_MAX`].
    pub names: Vec<Spanned<String>>,
    /// Mail addresses at which the authority may reach whoever is responsible.
    pub contacts: Vec<String>,
    /// Whether the terms of the authority are agreed to.
    pub agrees_to_terms: bool,
    /// Which authority.
    pub directory: Directory,
    /// Files with the authorities who sign for its server, in PEM; empty: those of this machine.
    pub ca: Vec<Spanned<String>>,
    /// An account that the authority knows already; `None`: it does not ask for one.
    pub external_account: Option<ExternalAccount>,
    /// The folder where account and certificates are kept.
    pub store: Spanned<String>,
}

impl Acme {
    /// Names that a listener can have certificates ordered for.
    pub const NAMES_MAX: usize = 1_000;

    /// Where account and certificates are kept, unless it is said.
    pub const STORE: &str = "/var/lib/replug/acme";

    /// For these names, with every default.
    pub fn new(names: Vec<Spanned<String>>) -> Self {
        Self {
            names,
            contacts: Vec::new(),
            agrees_to_terms: false,
            directory: Directory::default(),
            ca: Vec::new(),
            external_account: None,
            store: Spanned::default_of(Self::STORE.to_owned()),
        }
    }

    /// Whether both go to the same authority as the same client, with whatever names.
    pub fn has_settings_of(&self, other: &Self) -> bool {
        let secret = |acme: &Self| {
            let account = acme.external_account.as_ref();
            account.map(|account| (account.id.clone(), account.key.value.clone()))
        };
        let files = |acme: &Self| acme.ca.iter().map(|at| at.value.clone()).collect::<Vec<_>>();
        self.contacts == other.contacts
            && self.agrees_to_terms == other.agrees_to_terms
            && self.directory == other.directory
            && self.store.value == other.store.value
            && files(self) == files(other)
            && secret(self) == secret(other)
    }
}

/// The account of somebody whom an authority knows by other means (RFC 8555, section 7.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// What the authority calls it.
    pub id: String,
    /// Where its key is, in Base64 as URLs have it.
    pub key: Spanned<Secret>,
}

/// An authority, by the URL of what it offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Directory {
    /// Let's Encrypt.
    #[default]
    LetsEncrypt,
    /// Let's Encrypt for trying out: nobody believes its certificates.
    Staging,
    /// Any other, by an `https://` URL.
    Url(String),
}

impl Directory {
    /// Those that have a word of their own.
    pub const NAMES: [(&str, Self); 2] =
        [("letsencrypt", Self::LetsEncrypt), ("staging", Self::Staging)];

    /// Reads one of the words, or a URL. `None`: it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((_, known)) = Self::NAMES.iter().find(|(name, _)| *name == text) {
            return Some(known.clone());
        }
        let known = [Self::LetsEncrypt, Self::Staging];
        if let Some(known) = known.into_iter().find(|known| known.url() == text) {
            return Some(known);
        }
        let rest = text.strip_prefix("https://")?;
        let (authority, _) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        let is_host = !authority.is_empty() && !authority.contains('@');
        (is_plain && is_host && !text.contains('#')).then(|| Self::Url(text.to_owned()))
    }

    /// Where it says what it offers.
    pub fn url(&self) -> &str {
        match self {
            Self::LetsEncrypt => "https://acme-v02.api.letsencrypt.org/directory",
            Self::Staging => "https://acme-staging-v02.api.letsencrypt.org/directory",
            Self::Url(url) => url,
        }
    }

    /// As it is read.
    pub fn word(&self) -> &str {
        match self {
            Self::LetsEncrypt => "letsencrypt",
            Self::Staging => "staging",
            Self::Url(url) => url,
        }
    }

    /// Whether it is known to have terms that have to be agreed to. Of others that is known once
    /// they are asked.
    pub fn has_terms(&self) -> bool {
        matches!(self, Self::LetsEncrypt | Self::Staging)
    }
}

/// Why no certificate can be ordered for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadName {
    /// It stands for many.
    Wildcard,
    /// It is an address.
    Address,
    /// It is no name of a host.
    NoHost,
}

/// Reads the name of one host, for which a certificate can be ordered; in lower case.
///
/// # Errors
/// Why it cannot.
pub fn host(text: &str) -> Result<String, BadName> {
    if text.contains('*') {
        return Err(BadName::Wildcard);
    }
    if text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() {
        return Err(BadName::Address);
    }
    let host = address::host(text).map_err(|_| BadName::NoHost)?.to_ascii_lowercase();
    // Files are named after it, beside those that begin with `_`.
    if host.contains('_') { Err(BadName::NoHost) } else { Ok(host) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts() {
        for (text, expected) in [
            ("www.example.org", Ok("www.example.org")),
            ("WWW.Example.Org", Ok("www.example.org")),
            ("intranet", Ok("intranet")),
            ("xn--bcher-kva.example", Ok("xn--bcher-kva.example")),
            ("*.example.org", Err(BadName::Wildcard)),
            ("10.0.0.1", Err(BadName::Address)),
            ("::1", Err(BadName::Address)),
            ("[::1]", Err(BadName::Address)),
            ("www.example.org.", Ok("www.example.org")),
            ("a_b.example", Err(BadName::NoHost)),
            ("a/b", Err(BadName::NoHost)),
            ("..", Err(BadName::NoHost)),
            ("", Err(BadName::NoHost)),
        ] {
            assert_eq!(host(text), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn directories() {
        for (name, directory) in Directory::NAMES {
            assert_eq!(Directory::parse(name), Some(directory.clone()));
            assert_eq!(Directory::parse(directory.url()), Some(directory.clone()));
            assert_eq!(directory.word(), name);
        }
        for (text, is_one) in [
            ("https://localhost:14000/dir", true),
            ("https://ca.example", true),
            ("http://ca.example/dir", false),
            ("https://", false),
            ("https:///dir", false),
            ("https://me:secret@ca.example/dir", false),
            ("https://ca.example/a b", false),
            ("https://ca.example/#x", false),
            ("production", false),
        ] {
            let url = is_one.then(|| Directory::Url(text.to_owned()));
            assert_eq!(Directory::parse(text), url, "{text}");
        }
    }
}
