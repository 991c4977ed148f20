//! Routes: which sessions go to which pool, by where they come from and by what they say first.
//!
//! A [`When`] is plain data, as the rest of the configuration. What its texts may be is said by
//! the types here; what a regular expression may be is said by those who compile it.

pub mod hours;
pub mod pattern;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::source::Spanned;
use hours::Hours;
use pattern::{HeaderPattern, NamePattern, Prefix, TextPattern};

/// Sends sessions that look like this to that pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// How records call it; `None`: by its place among the routes of its listener, from 1 on.
    pub name: Option<String>,
    /// Which sessions; all that is said must hold.
    pub when: Spanned<When>,
    /// The name of the pool they go to.
    pub pool: Spanned<String>,
}

impl Route {
    /// Routes that a listener can have. However they nest, what they are compiled to stays within
    /// some 16 MiB.
    pub const COUNT_MAX: usize = 4_096;
}

/// What a session must be like. Of each list one must match; an empty list says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Ranges that the client's address is in.
    pub client: Vec<Spanned<IpNet>>,
    /// Addresses that the client came to: of the listener, or where it meant to go if that is
    /// transparent.
    pub address: Vec<IpAddr>,
    /// Ports that the client came to, likewise.
    pub port: Vec<u16>,
    /// Hours in which it came.
    pub time: Vec<Hours>,
    /// What it speaks.
    pub protocol: Vec<Protocol>,
    /// The host in its ClientHello.
    pub sni: Vec<NamePattern>,
    /// Protocols that it offers to speak within TLS.
    pub alpn: Vec<String>,
    /// The newest version of TLS that it offers.
    pub tls_version: Vec<TlsVersion>,
    /// What the common name in the certificate is that it has proven to be its own.
    pub client_cert: Vec<TextPattern>,
    /// One of the alternative names in it: a host, an address, a mail address, a URI.
    pub san: Vec<TextPattern>,
    /// The host of its HTTP request.
    pub host: Vec<NamePattern>,
    /// The path of its HTTP request, without what stands behind a `?`.
    pub path: Vec<TextPattern>,
    /// The method of its HTTP request.
    pub method: Vec<String>,
    /// Fields of its HTTP request.
    pub header: Vec<HeaderPattern>,
    /// The user of its PostgreSQL session.
    pub user: Vec<String>,
    /// The database of its PostgreSQL session.
    pub database: Vec<String>,
    /// The repository that its request of `git://` is about.
    pub git_repository: Vec<TextPattern>,
    /// What its first bytes are.
    pub prefix: Vec<Prefix>,
    /// Regular expressions that its first bytes match.
    pub regex: Vec<String>,
    /// Conditions of which none may hold.
    pub not: Vec<Self>,
    /// Conditions of which one must hold.
    pub any: Vec<Self>,
    /// Conditions that must all hold.
    pub all: Vec<Self>,
}

impl When {
    /// How deep conditions may stand in each other.
    pub const DEPTH_MAX: usize = 8;

    /// The conditions within it.
    pub fn inner(&self) -> impl Iterator<Item = &Self> {
        self.not.iter().chain(&self.any).chain(&self.all)
    }

    /// Whether it, or a condition within it, asks for what clients say.
    pub fn asks_for_content(&self) -> bool {
        let own = !self.protocol.is_empty()
            || self.asks_for_tls()
            || self.asks_for_http()
            || self.asks_for_postgres()
            || !self.git_repository.is_empty()
            || !self.prefix.is_empty()
            || !self.regex.is_empty();
        own || self.inner().any(Self::asks_for_content)
    }

    /// Whether it asks for what a ClientHello says.
    pub fn asks_for_tls(&self) -> bool {
        !(self.sni.is_empty() && self.alpn.is_empty() && self.tls_version.is_empty())
    }

    /// Whether it asks for what the client has proven with a certificate.
    pub fn asks_for_proof(&self) -> bool {
        !(self.client_cert.is_empty() && self.san.is_empty())
    }

    /// Whether it asks for what an HTTP request says.
    pub fn asks_for_http(&self) -> bool {
        !(self.host.is_empty()
            && self.path.is_empty()
            && self.method.is_empty()
            && self.header.is_empty())
    }

    /// Whether it asks for what the start of a PostgreSQL session says.
    pub fn asks_for_postgres(&self) -> bool {
        !(self.user.is_empty() && self.database.is_empty())
    }
}

/// What a client speaks, as far as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TLS.
    Tls,
    /// HTTP/1.x in plain text, or HTTP/2 that is not negotiated.
    Http,
    /// SSH.
    Ssh,
    /// SOCKS 4 and 4A.
    Socks4,
    /// SOCKS 5.
    Socks5,
    /// PostgreSQL.
    Postgres,
    /// Remote Desktop Protocol.
    Rdp,
    /// XMPP.
    Xmpp,
    /// SMTP of a client that does not wait for the greeting.
    SmtpClient,
    /// Redis.
    Redis,
    /// MQTT.
    Mqtt,
    /// The `git://` protocol.
    Git,
    /// OpenVPN.
    OpenVpn,
    /// DNS.
    Dns,
    /// The PROXY protocol, before whatever follows.
    Proxy,
    /// WireGuard; only in UDP.
    WireGuard,
}

impl Protocol {
    /// All of them, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 16] = [
        ("tls", Self::Tls),
        ("http", Self::Http),
        ("ssh", Self::Ssh),
        ("socks4", Self::Socks4),
        ("socks5", Self::Socks5),
        ("postgres", Self::Postgres),
        ("rdp", Self::Rdp),
        ("xmpp", Self::Xmpp),
        ("smtp-client", Self::SmtpClient),
        ("redis", Self::Redis),
        ("mqtt", Self::Mqtt),
        ("git", Self::Git),
        ("openvpn", Self::OpenVpn),
        ("dns", Self::Dns),
        ("proxy", Self::Proxy),
        ("wireguard", Self::WireGuard),
    ];

    /// Those that can be told in a datagram.
    pub const OF_DATAGRAMS: [Self; 3] = [Self::Dns, Self::OpenVpn, Self::WireGuard];
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// TLS 1.0.
    Tls10,
    /// TLS 1.1.
    Tls11,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl TlsVersion {
    /// All of them, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 4] =
        [("1.0", Self::Tls10), ("1.1", Self::Tls11), ("1.2", Self::Tls12), ("1.3", Self::Tls13)];
}
