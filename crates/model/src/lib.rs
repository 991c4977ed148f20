//! The one configuration of replug, as nouns.
//!
//! Every dialect (the quick command line, native TOML, the files of the old
//! tools) ends here, and everything that runs begins here. Read in this order:
//!
//! - [`source`]: where an item was written, so that a fault can be shown there;
//! - [`diagnostic`]: a fault of a configuration, as data;
//! - [`address`]: where to listen, where to connect, what to leave from, what clients look like;
//! - [`unit`](mod@unit): durations, bytes and rates as a person writes them;
//! - [`config`]: listeners, pools and limits, with their defaults;
//! - [`acme`]: certificates that an authority gives over the network;
//! - [`authorize`]: asking a program whether clients may come;
//! - [`http`]: what is done with requests of HTTP;
//! - [`proxy`]: proxies on the way to backends;
//! - [`route`]: which sessions go to which pool;
//! - [`proxy_header`]: headers of the PROXY protocol, taken and sent;
//! - [`script`]: scripts that decide about that;
//! - [`log`]: what is written down, how it looks, and where it goes;
//! - [`tcp`](mod@tcp): options of sockets;
//! - [`delay`](mod@delay): bytes that are made to come late;
//! - [`ftp`](mod@ftp): control connections, and those that they speak of;
//! - [`tls`](mod@tls): who a listener is to its clients, and who they are to it;
//! - [`backend_tls`]: TLS towards backends; [`starttls`]: what comes before it;
//! - [`check`]: what a configuration must satisfy as a whole.
//!
//! Absent on purpose: files, sockets, clocks, name lookups, rendering. Nothing
//! here can fail for a reason that is not in the text itself.

pub mod acme;
pub mod address;
pub mod authorize;
pub mod backend_tls;
pub mod check;
pub mod config;
pub mod delay;
pub mod diagnostic;
pub mod ftp;
pub mod http;
pub mod log;
pub mod proxy;
pub mod proxy_header;
pub mod route;
pub mod runtime;
pub mod script;
pub mod source;
pub mod starttls;
pub mod tcp;
pub mod tls;
pub mod unit;

pub use acme::Acme;
pub use address::pattern::{AddressPattern, Clients};
pub use address::source::{Interface, Source, SourceAddress};
pub use address::{BackendAddress, Bind, HostPort, UnixName};
pub use authorize::{Authorize, Children, OnError, Program};
pub use backend_tls::{BackendTls, Pin, ServerName, Verify, VerifyExtent};
pub use config::{
    Access, Admin, AllDown, Backend, Backlog, Balance, Bandwidth, Config, Idle, Limits, Listener,
    OnRemoved, Pool, Queue, Refusal, Role, Sticky, StickyKey, Timeouts, Transparent, Weight,
    WhenFull,
};
pub use delay::Delay;
pub use diagnostic::{Code, Diagnostic, Severity};
pub use ftp::{Ftp, FtpModes, PortRange};
pub use http::{Http, HttpRequests, Url};
pub use log::{
    Log, LogFormat, LogTarget, Syslog, SyslogLabel, SyslogServer, SyslogSeverity, Verbosity,
};
pub use proxy::server::{ProxyServer, ServedProtocol};
pub use proxy::{Credentials, Password, Proxy, ProxyProtocol, ProxyTls};
pub use proxy_header::{AcceptProxy, ProxyOthers, ProxyTlv, ProxyVersion, SendProxy};
pub use route::{Protocol, Route, TlsVersion, When};
pub use runtime::{Io, Runtime};
pub use script::{Compat, Language, OnScriptError, Script};
pub use source::{SourceId, Sources, Span, Spanned};
pub use starttls::StartTls;
pub use tcp::{Congestion, Dscp, Mptcp, Tcp};
pub use tls::{
    CertificateFiles, ClientAuth, ClientProof, MinVersion, Secret, ServerTls, UnknownName,
};
pub use unit::Rate;
pub use unit::bytes::{ByteRate, ByteSize};
