//! The program from outside: real sockets, real clients, the command line as users type it.
//!
//! * [`path`]: the ways a stream can take: direct TCP as the oracle, by copy, by splice.
//! * [`ring`]: the mechanism that most of them use.
//! * What a stream promises: [`half_close`], [`reset`], [`bytes`], [`urgent`], [`timeout`].
//! * Where sessions go: [`route`], [`balance`], [`failover`], [`sticky`], [`queue`]; through a
//!   proxy: [`via`], [`proxies`], or as requests to one: [`requests`]; in TLS: [`tls_backend`].
//!   [`named`] has the backends that say who they are.
//!   A [`script`] may decide it.
//! * Datagrams instead of streams: [`udp`]. Addresses within streams: [`ftp`].
//! * Who may come, where and how many: [`access`], [`listen`], [`interface`], [`limits`]; by a
//!   program that decides: [`authorize`].
//! * Whose connections they are: [`proxy_protocol`].
//! * From where sessions leave: [`source`]. Where they meant to go: [`transparent`].
//! * How fast: [`bandwidth`]. By which sockets: [`sockets`].
//! * The life of the process: [`signal`], [`daemon`], [`process`], [`systemd`], [`inetd`].
//! * What is written down, and where: [`record`], [`log`].
//! * What happens when things run out: [`scarcity`].
//! * [`file`] starts replug by a configuration file.
//! * Encrypted: [`tls`], with [`tls_certificates`], and [`starttls`] before it.
//! * Programs that people use: [`clients`], some of them served by [`http`].

mod access;
mod authorize;
mod balance;
mod bandwidth;
mod bytes;
mod clients;
mod daemon;
mod failover;
mod file;
mod ftp;
mod half_close;
mod http;
mod inetd;
mod interface;
mod limits;
mod listen;
mod log;
mod named;
mod one_port;
mod path;
mod process;
mod proxies;
mod proxy_protocol;
mod queue;
mod record;
mod requests;
mod reset;
mod ring;
mod route;
mod scarcity;
mod script;
mod script_library;
mod signal;
mod sniff;
mod sockets;
mod source;
mod starttls;
mod sticky;
mod systemd;
mod timeout;
mod tls;
mod tls_backend;
mod tls_certificates;
mod transparent;
mod udp;
mod urgent;
mod via;
