//! The values of a tcprelay configuration.
//!
//! Where the original goes on with something else (an unknown service becomes port 0, an unknown
//! facility the kernel's), what is wrong is told here.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use model::address::FaultKind;
use model::{BackendAddress, Backlog, Code, Diagnostic, Dscp, Interface, UnixName};

use super::Surroundings;
use super::lex::Token;
use crate::plug::inet;
use crate::term::address::{self, Purpose};
use crate::term::{Dialect, cidr};

/// A whole number: decimal or `0x`, with `k`, `m` or `g` behind it for powers of 1024.
pub(super) fn integer(token: &Token) -> Result<u32, Diagnostic> {
    let text = &*token.text;
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (digits, 10),
    };
    let legal = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    let fault = |message: String, label: &str| {
        Err(Diagnostic::new(Code::Number, token.span, message).label(label))
    };
    if !legal {
        let message = format!("expected an integer, but got {}", token.shown());
        return fault(message, "not a whole number").map_err(|fault| {
            fault.help("write digits only; `k`, `m` and `g` may stand behind them")
        });
    }
    let value =
        u64::from_str_radix(digits, radix).ok().and_then(|value| value.checked_mul(1 << shift));
    match value.map(u32::try_from) {
        Some(Ok(value)) => Ok(value),
        _ => fault(format!("'{text}' is too large"), "more than 4294967295"),
    }
}

/// How many clients may wait to be accepted: what is larger than the kernel can count is the most,
/// and less than one is one.
pub(super) fn backlog(token: &Token) -> Result<Backlog, Diagnostic> {
    Ok(Backlog::new(integer(token)?.clamp(1, Backlog::MAX)).unwrap_or_default())
}

/// A class of traffic, by its number.
pub(super) fn dscp(token: &Token) -> Result<Dscp, Diagnostic> {
    let value = integer(token)?;
    u8::try_from(value).ok().and_then(Dscp::new).ok_or_else(|| {
        Diagnostic::new(Code::Number, token.span, format!("{value} is no class of traffic"))
            .label("0 to 63")
            .help("write the codepoint, as in `dscp = 46`")
    })
}

/// An interface by which clients come.
pub(super) fn interface(token: &Token) -> Result<Interface, Diagnostic> {
    Interface::parse(&token.text)
        .map_err(|fault| address::fault(token.word(), &fault, Purpose::Interface))
}

/// A port: a number, or the name of a service.
pub(super) fn port(token: &Token, surroundings: Surroundings<'_>) -> Result<u16, Diagnostic> {
    let text = &*token.text;
    if let Some(port) = (surroundings.service)(text) {
        return Ok(port);
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let (true, Ok(port)) = (digits, text.parse()) {
        return Ok(port);
    }
    let fault = Diagnostic::new(Code::Port, token.span, format!("'{text}' is not a port"));
    Err(match digits {
        true => fault.label("ports end at 65535"),
        false => fault
            .label("neither a number nor the name of a service")
            .help("write the number; services are named in /etc/services"),
    })
}

/// Where to listen.
#[derive(Clone, Debug)]
pub(super) enum Local {
    /// An address; `None`: all of both families.
    Ip(Option<IpAddr>),
    Unix(UnixName),
}

/// The address of a listener.
pub(super) fn local(token: &Token) -> Result<Local, Diagnostic> {
    if token.text.starts_with('/') {
        return unix(token).map(Local::Unix);
    }
    match ip(token) {
        Some(IpAddr::V6(address)) if address.is_unspecified() => Ok(Local::Ip(None)),
        Some(address) => Ok(Local::Ip(Some(address))),
        None => Err(not_an_address(token, "an address of this machine, or leave it out for all")),
    }
}

/// An address to connect from.
pub(super) fn source(token: &Token) -> Result<IpAddr, Diagnostic> {
    ip(token).ok_or_else(|| not_an_address(token, "an address of this machine"))
}

/// Where a remote is, as far as its address says.
#[derive(Clone, Debug)]
pub(super) enum Remote {
    /// All there is to know.
    Whole(BackendAddress),
    /// Its port stands elsewhere.
    Ip(IpAddr),
    /// Likewise; the original takes no names.
    Name(String),
}

/// The address of a remote.
pub(super) fn remote(token: &Token) -> Result<Remote, Diagnostic> {
    let text = &*token.text;
    if text.starts_with('/') {
        return unix(token).map(|name| Remote::Whole(BackendAddress::Unix(name)));
    }
    if let Some(ip) = ip(token) {
        return Ok(Remote::Ip(ip));
    }
    if let Some((host, port)) = text.split_once(':')
        && let Some(ip) = inet::address(host)
        && let Ok(port @ 1..) = port.parse()
    {
        return Ok(Remote::Whole(BackendAddress::Ip(SocketAddr::new(ip.into(), port))));
    }
    // The port of one that names none is told apart by a port that none would have named.
    match BackendAddress::parse(text, Some(1)) {
        Ok(BackendAddress::Name { host, .. }) if !text.contains(':') => Ok(Remote::Name(host)),
        Ok(BackendAddress::Ip(address)) if text.ends_with(']') => Ok(Remote::Ip(address.ip())),
        Ok(BackendAddress::Unix(_)) => Err(not_an_address(token, "the path without `unix:`")),
        Ok(whole) => Ok(Remote::Whole(whole)),
        Err(fault) if fault.kind == FaultKind::PortMissing => {
            Err(not_an_address(token, "an address"))
        }
        Err(fault) => Err(address::fault(token.word(), &fault, Purpose::Target)),
    }
}

/// A range of clients. IPv6 ranges of IPv4 addresses are those IPv4 addresses.
pub(super) fn range(token: &Token) -> Result<(IpNet, Option<Diagnostic>), Diagnostic> {
    let word = token.word();
    if let Some(ip) = inet::address(word.text) {
        return Ok((IpAddr::from(ip).into(), None));
    }
    let (range, told) = cidr::read(word, Dialect::Native)?;
    Ok((cidr::unmapped(range), told))
}

fn unix(token: &Token) -> Result<UnixName, Diagnostic> {
    UnixName::parse(&token.text)
        .map_err(|fault| address::fault(token.word(), &fault, Purpose::Target))
}

fn ip(token: &Token) -> Option<IpAddr> {
    let text = &*token.text;
    let v6 = text.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    v6.or_else(|| inet::address(text).map(IpAddr::from))
}

fn not_an_address(token: &Token, instead: &str) -> Diagnostic {
    let message = format!("'{}' is not an address", token.text);
    Diagnostic::new(Code::Address, token.span, message)
        .label("neither IPv4 nor IPv6")
        .help(format!("write {instead}"))
}
