//! What is measured.

use std::fmt;
use std::net::{SocketAddr, TcpStream};

use clap::ValueEnum;

use crate::load::bulk::Direction;
use crate::load::tls::Handshake;
use crate::load::{Worker, bulk, closed, connect, open, tls, udp};
use crate::pattern::opening::Opening;

/// Connections or flows of the scenarios with many.
const MANY: usize = 64;
/// Connections of the scenarios with very many.
const THOUSAND: usize = 1000;
/// Flows of bulk where there is more than one.
const FLOWS: usize = 16;
/// Requests in each second of `latency`.
const RATE: u32 = 5000;
/// Sessions that `idle` holds.
pub(crate) const IDLE: u16 = 3000;
/// Connections of TLS under way at a time; each has a thread, which does nothing but wait for most of it.
const SHAKING: usize = 16;
/// Names that sessions are routed by in `sni`.
pub(crate) const NAMES: u64 = 10_000;
/// Hosts that sessions are routed by in `script-*`.
pub(crate) const HOSTS: u64 = 100;
/// Bytes of a small datagram.
const SMALL: usize = 64;
/// Bytes of a large datagram; it fits every link as it is.
const LARGE: usize = 1200;
/// Datagrams that a flow of `udp-pps` has under way: those of all flows together fit into the receive buffer
/// that a socket has without asking, while they are small.
const UNDER_WAY: usize = 4;

/// What a candidate is set up to do; each is an instance of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Connections, to the backend.
    Tcp,
    /// Flows of datagrams.
    Udp,
    /// Connections, to one of two backends by the name in a ClientHello.
    Sni,
    /// Connections, to one of two backends by the host of a request.
    Host,
    /// Connections in TLS, to the backend in plain text.
    Tls,
}

impl Way {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Tcp, Self::Udp, Self::Sni, Self::Host, Self::Tls];

    /// What a client says first; none where it speaks TLS, or in datagrams.
    pub(crate) fn opening(self) -> Option<Opening> {
        match self {
            Self::Tcp => Some(Opening::Byte),
            Self::Sni => Some(Opening::Hello),
            Self::Host => Some(Opening::Request),
            Self::Udp | Self::Tls => None,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sni => "sni",
            Self::Host => "host",
            Self::Tls => "tls",
        })
    }
}

/// One thing that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    /// Memory of sessions that do nothing. First, while the kernel's caches are as they were.
    Idle,
    /// Request-reply of one byte on one connection.
    Rr1,
    /// Request-reply of one byte on 64 connections.
    Rr64,
    /// Request-reply of one byte on 1,000 connections.
    Rr1000,
    /// Request-reply of 1 KiB on one connection.
    #[value(name = "rr1-1k")]
    Rr1Kib,
    /// Request-reply of 1 KiB on 64 connections.
    #[value(name = "rr64-1k")]
    Rr64Kib,
    /// Request-reply of 1 KiB on 1,000 connections.
    #[value(name = "rr1000-1k")]
    Rr1000Kib,
    /// Latency at a fixed rate.
    Latency,
    /// One flow to the backend.
    #[value(name = "bulk1-up")]
    Bulk1Up,
    /// One flow to the client.
    #[value(name = "bulk1-down")]
    Bulk1Down,
    /// Sixteen flows to the backend.
    #[value(name = "bulk16-up")]
    Bulk16Up,
    /// Sixteen flows to the client.
    #[value(name = "bulk16-down")]
    Bulk16Down,
    /// One connection with request-reply beside sixteen flows.
    Fairness,
    /// Thousands of connects at once.
    Burst,
    /// Connect, one byte each way, close.
    Crr,
    /// The same with a ClientHello, whose name decides.
    Sni,
    /// The same with a request, whose host a Lua script looks at.
    ScriptLua,
    /// The same, decided by a Ruby file.
    ScriptRuby,
    /// Memory of sessions in TLS that do nothing.
    TlsIdleMemory,
    /// Connect, full handshake, one byte each way, close.
    TlsHandshake,
    /// The same with a session that is resumed.
    TlsResumed,
    /// One flow of TLS to the backend.
    #[value(name = "tls-bulk1-up")]
    TlsBulk1Up,
    /// One flow of TLS to the client.
    #[value(name = "tls-bulk1-down")]
    TlsBulk1Down,
    /// Sixteen flows of TLS to the backend.
    #[value(name = "tls-bulk16-up")]
    TlsBulk16Up,
    /// Sixteen flows of TLS to the client.
    #[value(name = "tls-bulk16-down")]
    TlsBulk16Down,
    /// Small datagrams on 64 flows, each sent when the one before is back.
    UdpRr,
    /// Small datagrams on 64 flows, as fast as they come back.
    UdpPps,
    /// Large datagrams on 64 flows, as fast as they come back.
    #[value(name = "udp-pps-1200")]
    UdpPpsLarge,
    /// Small datagrams at half the rate that is possible without a forwarder: whether any is lost.
    UdpHalf,
}

impl Scenario {
    /// What options and tables call it.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value().expect("no scenario is hidden");
        value.get_name().to_owned()
    }

    /// A line about it.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Idle => format!(
                "memory of each of {IDLE} idle sessions (extra: KiB of the kernel beyond direct)"
            ),
            Self::Rr1 => "request-reply, 1 connection, 1 byte".into(),
            Self::Rr64 => format!("request-reply, {MANY} connections, 1 byte"),
            Self::Rr1000 => format!("request-reply, {THOUSAND} connections, 1 byte"),
            Self::Rr1Kib => "request-reply, 1 connection, 1 KiB".into(),
            Self::Rr64Kib => format!("request-reply, {MANY} connections, 1 KiB"),
            Self::Rr1000Kib => format!("request-reply, {THOUSAND} connections, 1 KiB"),
            Self::Latency => format!("latency, {RATE} requests a second on {MANY} connections"),
            Self::Bulk1Up => "bulk, 1 flow to the backend".into(),
            Self::Bulk1Down => "bulk, 1 flow to the client".into(),
            Self::Bulk16Up => format!("bulk, {FLOWS} flows to the backend"),
            Self::Bulk16Down => format!("bulk, {FLOWS} flows to the client"),
            Self::Fairness => {
                format!("1 connection beside {FLOWS} bulk flows to the client (extra: Gbit/s)")
            }
            Self::Burst => format!("{} connects at once, until all were served", burst_size()),
            Self::Crr => format!("connect, 1 byte each way, close; {MANY} at a time"),
            Self::Sni => format!(
                "connect, a ClientHello each way, close; {MANY} at a time, routed by {NAMES} names"
            ),
            Self::ScriptLua => {
                format!("connect, a request each way, close; {MANY} at a time, routed by Lua")
            }
            Self::ScriptRuby => {
                format!("connect, a request each way, close; {MANY} at a time, routed by Ruby")
            }
            Self::TlsIdleMemory => {
                format!("memory of each of {IDLE} idle sessions in TLS (extra: KiB of the kernel)")
            }
            Self::TlsHandshake => {
                format!("connect, full handshake, 1 byte each way, close; {SHAKING} at a time")
            }
            Self::TlsResumed => {
                format!("connect, resumed handshake, 1 byte each way, close; {SHAKING} at a time")
            }
            Self::TlsBulk1Up => "bulk, 1 flow of TLS to the backend".into(),
            Self::TlsBulk1Down => "bulk, 1 flow of TLS to the client".into(),
            Self::TlsBulk16Up => format!("bulk, {FLOWS} flows of TLS to the backend"),
            Self::TlsBulk16Down => format!("bulk, {FLOWS} flows of TLS to the client"),
            Self::UdpRr => {
                format!("datagrams there and back, {MANY} flows, {SMALL} bytes, one each")
            }
            Self::UdpPps => flood_title(SMALL),
            Self::UdpPpsLarge => flood_title(LARGE),
            Self::UdpHalf => format!(
                "datagrams there and back at half the rate of direct, {MANY} flows, {SMALL} bytes \
                 (extra: sent a second)"
            ),
        }
    }

    /// What candidates do in it.
    pub(crate) fn way(self) -> Way {
        match self {
            Self::UdpRr | Self::UdpPps | Self::UdpPpsLarge | Self::UdpHalf => Way::Udp,
            Self::Sni => Way::Sni,
            Self::ScriptLua | Self::ScriptRuby => Way::Host,
            Self::TlsIdleMemory
            | Self::TlsHandshake
            | Self::TlsResumed
            | Self::TlsBulk1Up
            | Self::TlsBulk1Down
            | Self::TlsBulk16Up
            | Self::TlsBulk16Down => Way::Tls,
            _ => Way::Tcp,
        }
    }

    /// What the value of a sample is in.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Idle | Self::TlsIdleMemory => "KiB",
            Self::Latency => "us p50",
            Self::Bulk1Up
            | Self::Bulk1Down
            | Self::Bulk16Up
            | Self::Bulk16Down
            | Self::TlsBulk1Up
            | Self::TlsBulk1Down
            | Self::TlsBulk16Up
            | Self::TlsBulk16Down => "Gbit/s",
            Self::Burst
            | Self::Crr
            | Self::Sni
            | Self::ScriptLua
            | Self::ScriptRuby
            | Self::TlsHandshake
            | Self::TlsResumed => "conn/s",
            Self::UdpRr | Self::UdpPps | Self::UdpPpsLarge | Self::UdpHalf => "back/s",
            _ => "req/s",
        }
    }

    /// What CPU time is divided by.
    pub(crate) fn cost_unit(self) -> &'static str {
        if self.is_bulk() { "s/GB" } else { "us/op" }
    }

    /// Whether a smaller value is the better one.
    pub(crate) fn lower_is_better(self) -> bool {
        matches!(self, Self::Idle | Self::TlsIdleMemory | Self::Latency)
    }

    /// Whether it has a thousand connections at a time, or more.
    pub(crate) fn has_thousands(self) -> bool {
        matches!(self, Self::Rr1000 | Self::Rr1000Kib | Self::Idle | Self::Burst)
    }

    /// Whether its operations are bytes.
    pub(crate) fn is_bulk(self) -> bool {
        matches!(self.unit(), "Gbit/s") || self == Self::Fairness
    }

    /// The workers of a sample, in groups that are counted apart. `rate` is the one of [`Self::UdpHalf`].
    pub(crate) fn groups(self, to: SocketAddr, rate: u32) -> Vec<Vec<Worker>> {
        match self {
            Self::Rr1 => vec![closed::workers(to, 1, 1)],
            Self::Rr64 => vec![closed::workers(to, MANY, 1)],
            Self::Rr1000 => vec![closed::workers(to, THOUSAND, 1)],
            Self::Rr1Kib => vec![closed::workers(to, 1, 1024)],
            Self::Rr64Kib => vec![closed::workers(to, MANY, 1024)],
            Self::Rr1000Kib => vec![closed::workers(to, THOUSAND, 1024)],
            Self::Latency => vec![open::workers(to, MANY, RATE)],
            Self::Bulk1Up => vec![bulk::workers::<TcpStream>(to, 1, Direction::Up)],
            Self::Bulk1Down => vec![bulk::workers::<TcpStream>(to, 1, Direction::Down)],
            Self::Bulk16Up => vec![bulk::workers::<TcpStream>(to, FLOWS, Direction::Up)],
            Self::Bulk16Down => vec![bulk::workers::<TcpStream>(to, FLOWS, Direction::Down)],
            Self::Fairness => {
                vec![
                    closed::workers(to, 1, 1),
                    bulk::workers::<TcpStream>(to, FLOWS, Direction::Down),
                ]
            }
            Self::Crr => vec![connect::workers(to, MANY, Opening::Byte)],
            Self::Sni => vec![connect::workers(to, MANY, Opening::Hello)],
            Self::ScriptLua | Self::ScriptRuby => {
                vec![connect::workers(to, MANY, Opening::Request)]
            }
            Self::TlsHandshake => vec![tls::handshakes(to, SHAKING, Handshake::Full)],
            Self::TlsResumed => vec![tls::handshakes(to, SHAKING, Handshake::Resumed)],
            Self::TlsBulk1Up => vec![bulk::workers::<tls::Stream>(to, 1, Direction::Up)],
            Self::TlsBulk1Down => vec![bulk::workers::<tls::Stream>(to, 1, Direction::Down)],
            Self::TlsBulk16Up => vec![bulk::workers::<tls::Stream>(to, FLOWS, Direction::Up)],
            Self::TlsBulk16Down => vec![bulk::workers::<tls::Stream>(to, FLOWS, Direction::Down)],
            Self::UdpRr => vec![udp::closed(to, MANY, SMALL, 1)],
            Self::UdpPps => vec![udp::closed(to, MANY, SMALL, UNDER_WAY)],
            Self::UdpPpsLarge => vec![udp::closed(to, MANY, LARGE, UNDER_WAY)],
            Self::UdpHalf => vec![udp::paced(to, MANY, SMALL, rate)],
            Self::Idle | Self::TlsIdleMemory | Self::Burst => Vec::new(),
        }
    }
}

fn flood_title(size: usize) -> String {
    format!(
        "datagrams there and back, {MANY} flows, {size} bytes, up to {UNDER_WAY} under way in each"
    )
}

/// Connects of `burst`: 5,000 where a process may have both ends of them open, else 2,000.
pub(crate) fn burst_size() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if limit.is_none_or(|limit| limit >= 16_000) { 5000 } else { 2000 }
}
