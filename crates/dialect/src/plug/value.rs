//! The values of a plug command line.
//!
//! Where plug takes anything and fails later (a port `abc`, an address `10.0.0.300`), what is
//! wrong is told here. Addresses may be written as inet_addr(3) reads them, and as IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use model::address::FaultKind;
use model::unit::{self, DURATION_MAX};
use model::{BackendAddress, Code, Diagnostic};

use super::inet;
use crate::line::Word;
use crate::term::address::{self, Purpose};
use crate::term::{Dialect, cidr};

/// A value, and what is to be told about it although it can be used.
pub(super) type Read<T> = Result<(T, Option<Diagnostic>), Diagnostic>;

/// The port to listen on; 0 lets the kernel choose.
pub(super) fn port(word: Word<'_>) -> Result<u16, Diagnostic> {
    let text = word.text;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits => Ok(port),
        _ => {
            let message = format!("`{text}` is not a port");
            let fault = Diagnostic::new(Code::Port, word.span, message);
            Err(match digits {
                true => fault.label("ports end at 65535").help("write a port from 1 to 65535"),
                false => fault.label("the port to listen on comes first").help(
                    match text.split_once(':') {
                        Some((host, port)) => format!("write `-i {host} {port}`"),
                        None => "write a number from 1 to 65535".to_owned(),
                    },
                ),
            })
        }
    }
}

/// An address of this machine; `None` is every address of both families, which plug lacks.
pub(super) fn local(word: Word<'_>) -> Read<Option<IpAddr>> {
    match word.text {
        "*" => Ok((None, None)),
        _ => ip(word).map(|(address, told)| (Some(address), told)),
    }
}

/// An address.
pub(super) fn ip(word: Word<'_>) -> Read<IpAddr> {
    let text = word.text;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<Ipv6Addr>() {
        return Ok((address.into(), None));
    }
    match inet::address(text) {
        Some(address) => Ok((address.into(), otherwise(word, address))),
        None => Err(Diagnostic::new(
            Code::Address,
            word.span,
            match text {
                "" => "the address is empty".to_owned(),
                _ => format!("`{text}` is not an address"),
            },
        )
        .label(match text {
            "" => "nothing here",
            _ => "neither IPv4 nor IPv6",
        })
        .help("write an address of this machine, as in `10.0.3.1`")),
    }
}

/// A proxy, read as a target is.
pub(super) fn proxy(word: Word<'_>, port: u16, names: bool) -> Read<Option<BackendAddress>> {
    target(word, Some(port), names).map_err(|fault| match fault.code {
        Code::NameRefused => {
            let message = format!("`{}` is not the address of a proxy", word.text);
            Diagnostic::new(Code::NameRefused, word.span, message)
                .label("not in addr[:port] format")
                .help("write its address, or `--names` before it")
        }
        _ => fault,
    })
}

/// A target: `addr`, `addr:port`, `[v6]:port`, and a name where `names` allows.
///
/// `default` is the port of one that names none; `None`: what it would be could not be read.
pub(super) fn target(
    word: Word<'_>,
    default: Option<u16>,
    names: bool,
) -> Read<Option<BackendAddress>> {
    let text = word.text;
    if !names && !text.bytes().all(|byte| byte.is_ascii_digit() || b":.[]".contains(&byte)) {
        let v6 = text.parse::<Ipv6Addr>().is_ok()
            || BackendAddress::parse(text, Some(1))
                .is_ok_and(|address| matches!(address, BackendAddress::Ip(_)));
        if !v6 {
            return Err(not_numeric(word));
        }
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (text, None),
    };
    if let Some(address) = inet::address(host)
        && host.parse::<Ipv4Addr>().is_err()
    {
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0),
            None => default,
        };
        if let Some(port) = port {
            let told = otherwise(word.part(0..host.len()), address);
            let address = SocketAddr::new(address.into(), port);
            return Ok((Some(BackendAddress::Ip(address)), told));
        }
        if default.is_none() && text.len() == host.len() {
            return Ok((None, None));
        }
    }
    match BackendAddress::parse(text, default) {
        Ok(BackendAddress::Unix(_)) => {
            Err(Diagnostic::new(Code::Address, word.span, "plug connects to no unix socket")
                .label("not an address and a port")
                .help(format!("`replug` does: `replug LISTEN {text}`")))
        }
        Ok(address) => Ok((Some(address), None)),
        Err(fault) if fault.kind == FaultKind::PortMissing && default.is_none() => Ok((None, None)),
        Err(fault) => {
            let told = address::fault(word, &fault, Purpose::Backend);
            Err(match fault.kind {
                FaultKind::PortMissing => {
                    told.help(format!("write `{}:80`", text.trim_end_matches(':')))
                }
                _ => told,
            })
        }
    }
}

/// A name where plug takes numbers.
fn not_numeric(word: Word<'_>) -> Diagnostic {
    let fault = Diagnostic::new(Code::NameRefused, word.span, "target not in addr[:port] format");
    match word.text {
        "" => fault.label("empty").help("write an address, as in `10.0.0.11:80`"),
        text if text.contains("://") => {
            fault.label("a URL").help("write an address and a port, as in `10.0.0.11:80`")
        }
        _ => fault.label("holds more than digits, dots and a colon").help(
            "write its address; or write `--names` to have names resolved, or `-h PROXY` before it \
             to have the proxy do it",
        ),
    }
}

/// Who may come: `net` or `net/bits`, masked.
pub(super) fn access(word: Word<'_>) -> Read<IpNet> {
    let text = word.text;
    let (net, bits) = match text.split_once('/') {
        Some((net, bits)) => (net, Some(bits)),
        None => (text, None),
    };
    let short = inet::address(net).filter(|_| net.parse::<Ipv4Addr>().is_err());
    let Some(address) = short else {
        return cidr::read(word, Dialect::Quick);
    };
    let told = otherwise(word.part(0..net.len()), address);
    let length = match bits {
        None => Some(32),
        Some(bits) => bits.parse::<u8>().ok().filter(|length| *length <= 32),
    };
    let Some(range) = length.and_then(|length| Ipv4Net::new(address, length).ok()) else {
        return cidr::read(word, Dialect::Quick);
    };
    // In plug such a rule matches nobody; what was meant is anybody's guess.
    if range != range.trunc() {
        let message = format!("`{text}` is not a range of addresses");
        return Err(Diagnostic::new(Code::Cidr, word.span, message)
            .label(format!("{address} has bits set beyond its length"))
            .help(format!("write all four numbers, as in `{}`", range.trunc())));
    }
    Ok((IpNet::V4(range), told))
}

/// A time in seconds, no longer than a year.
pub(super) fn seconds(word: Word<'_>) -> Read<Duration> {
    let text = word.text;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        let message = format!("`{text}` is not a number of seconds");
        let fault = Diagnostic::new(Code::Number, word.span, message).label("digits only");
        return Err(match unit::duration(text) {
            Ok(time) => fault.help(format!("write `{}`", time.as_secs())),
            Err(_) => fault.help("write a whole number, as in `3600`"),
        });
    }
    match text.parse().map(Duration::from_secs) {
        Ok(time) if time <= DURATION_MAX => Ok((time, None)),
        _ => {
            let message = format!("`{text}` seconds are more than a year");
            let told = Diagnostic::new(Code::ReadAs, word.span, message)
                .label(format!("read as {}", unit::show(DURATION_MAX)));
            Ok((DURATION_MAX, Some(told)))
        }
    }
}

/// What is told of an address that is not what it looks like to most.
fn otherwise(word: Word<'_>, address: Ipv4Addr) -> Option<Diagnostic> {
    let text = word.text;
    (text != address.to_string()).then(|| {
        let message = format!("`{text}` is short, octal or hexadecimal");
        Diagnostic::new(Code::ReadAs, word.span, message)
            .label(format!("read as {address}, as plug does"))
            .help(format!("write `{address}`"))
    })
}
