//! Headers of the PROXY protocol: from whom they are taken, and what is told by them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::address::pattern::Clients;
use crate::source::Spanned;

/// Headers that a listener takes before anything else that its clients say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptProxy {
    /// Whose headers are believed; at least one. Those who connect to a unix socket always are.
    pub from: Vec<Spanned<Clients>>,
    /// What becomes of all others.
    pub others: ProxyOthers,
    /// How long a sender may take for its header, in all. Never unlimited.
    pub timeout: Duration,
}

impl AcceptProxy {
    /// How long a sender may take, unless told.
    pub const TIMEOUT: Duration = Duration::from_secs(3);

    /// Headers of these, with every default.
    pub fn new(from: Vec<Spanned<Clients>>) -> Self {
        Self { from, others: ProxyOthers::default(), timeout: Self::TIMEOUT }
    }
}

/// What becomes of those whose headers would not be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyOthers {
    /// They are turned away.
    #[default]
    Refuse,
    /// They are clients without a header, and what they say is not looked at for one.
    Plain,
}

impl ProxyOthers {
    /// Both, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("refuse", Self::Refuse), ("plain", Self::Plain)];
}

/// Headers that backends get before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendProxy {
    /// How they are written.
    pub version: ProxyVersion,
    /// What they tell beside addresses; only in version 2.
    pub tlvs: BTreeSet<ProxyTlv>,
    /// What else they tell, by types from [`SendProxy::CUSTOM_MIN`] to [`SendProxy::CUSTOM_MAX`].
    pub custom: BTreeMap<u8, String>,
}

impl SendProxy {
    /// The first type that everybody may use for themselves.
    pub const CUSTOM_MIN: u8 = 0xe0;
    /// The last one.
    pub const CUSTOM_MAX: u8 = 0xef;
    /// Longest text of such a type, in bytes: each session is sent all of them.
    pub const CUSTOM_BYTES_MAX: usize = 1024;

    /// Headers that tell addresses only.
    pub fn new(version: ProxyVersion) -> Self {
        Self { version, tlvs: BTreeSet::new(), custom: BTreeMap::new() }
    }
}

/// How headers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// As a line of text.
    V1,
    /// In binary.
    V2,
}

impl ProxyVersion {
    /// Both, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("v1", Self::V1), ("v2", Self::V2)];
}

/// What a header of version 2 can tell beside addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProxyTlv {
    /// The protocol that was agreed on within TLS.
    Alpn,
    /// The host that the client has asked for.
    Authority,
    /// What is known of the client's TLS.
    Ssl,
    /// What the session is called.
    UniqueId,
    /// A checksum of the header.
    Crc32c,
}

impl ProxyTlv {
    /// All of them, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 5] = [
        ("alpn", Self::Alpn),
        ("authority", Self::Authority),
        ("ssl", Self::Ssl),
        ("unique_id", Self::UniqueId),
        ("crc32c", Self::Crc32c),
    ];
}
