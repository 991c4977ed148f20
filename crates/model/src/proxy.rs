//! Proxies on the way to backends: how each is asked, and as whom. A listener that is a proxy
//! itself: [`server`].

pub mod server;

use std::fmt;

use crate::address::BackendAddress;
use crate::backend_tls::{ServerName, Verify};
use crate::source::Spanned;
use crate::tls::CertificateFiles;

/// A proxy on the way to backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is reached.
    pub address: BackendAddress,
    /// How it is asked for a connection.
    pub protocol: ProxyProtocol,
    /// As whom; `None`: as nobody.
    pub credentials: Option<Credentials>,
    /// How it is known who it is, if it is spoken to in TLS ([`ProxyProtocol::Https`]); of others
    /// nothing is known.
    pub tls: ProxyTls,
}

/// TLS with a proxy: how it is known who it is, and who it thinks we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyTls {
    /// How it is known; never [`Verify::None`].
    pub verify: Verify,
    /// Its name; `None`: the host that it is configured as.
    pub name: Option<ServerName>,
    /// Who we are, if it asks; `None`: nobody. Its key has no passphrase.
    pub certificate: Option<CertificateFiles>,
}

impl ProxyTls {
    /// All files that it names.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut Spanned<String>> {
        let ours = self.certificate.as_mut();
        let ours = ours.map(|files| std::iter::once(&mut files.cert).chain(&mut files.key));
        self.verify.files_mut().chain(ours.into_iter().flatten())
    }
}

impl Proxy {
    /// Proxies that may stand one behind the other.
    pub const CHAIN_MAX: usize = 8;

    /// A proxy that is asked as nobody.
    pub fn new(address: BackendAddress, protocol: ProxyProtocol) -> Self {
        Self { address, protocol, credentials: None, tls: ProxyTls::default() }
    }
}

/// How a proxy is asked for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyProtocol {
    /// HTTP `CONNECT` (RFC 9110 section 9.3.6).
    Http {
        /// Only the request line is sent, without the `Host` that HTTP/1.1 wants.
        bare: bool,
    },
    /// HTTP `CONNECT` within TLS.
    Https,
    /// SOCKS 4: IPv4 addresses only.
    Socks4,
    /// SOCKS 4A: the proxy resolves names.
    Socks4a,
    /// SOCKS 5 (RFC 1928), names resolved here.
    Socks5,
    /// SOCKS 5, names resolved by the proxy.
    Socks5h,
}

impl ProxyProtocol {
    /// All of them, by the schemes of their URLs.
    pub const SCHEMES: [(&str, Self); 6] = [
        ("http", Self::Http { bare: false }),
        ("https", Self::Https),
        ("socks4", Self::Socks4),
        ("socks4a", Self::Socks4a),
        ("socks5", Self::Socks5),
        ("socks5h", Self::Socks5h),
    ];

    /// The scheme of its URL.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::Https => "https",
            Self::Socks4 => "socks4",
            Self::Socks4a => "socks4a",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }

    /// The port of a proxy whose URL names none (RFC 9110 section 4.2, and what is usual).
    pub fn usual_port(self) -> u16 {
        match self {
            Self::Http { .. } => 80,
            Self::Https => 443,
            Self::Socks4 | Self::Socks4a | Self::Socks5 | Self::Socks5h => 1080,
        }
    }

    /// Whether the proxy is told names, and resolves them.
    pub fn takes_names(self) -> bool {
        match self {
            Self::Http { .. } | Self::Https | Self::Socks4a | Self::Socks5h => true,
            Self::Socks4 | Self::Socks5 => false,
        }
    }

    /// Whether the proxy can be told IPv6 addresses.
    pub fn takes_ipv6(self) -> bool {
        match self {
            Self::Http { .. } | Self::Https | Self::Socks5 | Self::Socks5h => true,
            Self::Socks4 | Self::Socks4a => false,
        }
    }
}

/// As whom somebody signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The name: 1 to [`Credentials::BYTES_MAX`] bytes without control characters.
    pub user: String,
    /// The password, with the same bounds; `None`: SOCKS 4 knows only names.
    pub password: Option<Password>,
}

impl Credentials {
    /// Longest name and longest password, in bytes (RFC 1929).
    pub const BYTES_MAX: usize = 255;
}

/// A password, which must not be shown: its `Debug` is [`Password::HIDDEN`].
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    text: String,
    file: Option<String>,
}

impl Password {
    /// What stands for passwords where they are not shown.
    pub const HIDDEN: &str = "***";

    /// One that was written where it is used.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), file: None }
    }

    /// One that stands in `file`, as the user calls that.
    pub fn of_file(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { text: text.into(), file: Some(file.into()) }
    }

    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The file that it stands in, if it is not written where it is used.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::HIDDEN)
    }
}
