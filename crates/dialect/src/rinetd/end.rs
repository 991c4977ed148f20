//! The ends of a rule: `10.0.0.1 80`, `0 http/tcp`, `fe80::1%eth0 53/udp`, `unix:/run/app.sock`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{BackendAddress, Code, Diagnostic, Interface, UnixName};

use super::{Surroundings, Transport};
use crate::line::Word;
use crate::term::address::{self, Purpose};

/// Where a rule listens, or goes.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) host: Host,
    /// The host as it is written.
    pub(super) written: String,
    /// 0 for a unix socket.
    pub(super) port: u16,
    pub(super) transport: Transport,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Ip(IpAddr),
    /// An IPv6 address behind an interface.
    Scoped(Ipv6Addr, Interface),
    Name(String),
    Unix(UnixName),
}

/// A port, what it carries, and what is to be told about it although it can be used.
pub(super) type Port = (u16, Transport, Option<Diagnostic>);

/// Reads a host.
pub(super) fn host(word: Word<'_>) -> Result<Host, Diagnostic> {
    let text = word.text;
    let fault = |label: &str| Diagnostic::new(Code::Address, word.span, "").label(label);
    if let Some(name) = text.strip_prefix("unix:") {
        let name = UnixName::parse(name).map(Host::Unix);
        return name.map_err(|at| address::fault(word, &at.shift(5), Purpose::Target));
    }
    if text == "0" {
        return Ok(Host::Ip(Ipv4Addr::UNSPECIFIED.into()));
    }
    if text == "*" {
        return Err(fault("not an address").help(
            "write `0` for every IPv4 address of this machine, `::` for every address of both",
        ));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(Host::Ip(ip.to_canonical()));
    }
    if let Some((ip, scope)) = bare.split_once('%') {
        let Ok(ip) = ip.parse::<Ipv6Addr>() else {
            return Err(fault("only an IPv6 address has an interface behind `%`"));
        };
        return match Interface::parse(scope) {
            Ok(interface) => Ok(Host::Scoped(ip, interface)),
            Err(_) => Err(fault("no interface is called so")
                .help("write the name of a network interface behind `%`, as in `fe80::1%eth0`")),
        };
    }
    if bare.contains([':', '[', ']']) {
        return Err(fault("not an IPv6 address")
            .help("an IPv6 address is at most eight groups of hex digits, as in `2001:db8::1`"));
    }
    // A port that is sound, since only the name is to be read.
    match BackendAddress::parse(&format!("{text}:1"), None) {
        Ok(BackendAddress::Name { host, .. }) => Ok(Host::Name(host)),
        _ => Err(match text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            true => fault("not an IPv4 address")
                .help("an IPv4 address is four numbers from 0 to 255; `0` is all addresses"),
            false => fault("neither an address nor a host name")
                .help("a host name is letters, digits and hyphens between dots"),
        }),
    }
}

/// Reads a port or a service, which may have `/tcp` or `/udp` behind it. `host` is the one before it,
/// as it is written.
pub(super) fn port(
    word: Word<'_>,
    host: &str,
    surroundings: Surroundings<'_>,
) -> Result<Port, Diagnostic> {
    let text = word.text;
    let (name, behind) = match text.split_once('/') {
        Some((name, behind)) => (name, Some(behind)),
        None => (text, None),
    };
    let fault = |label: &str| Diagnostic::new(Code::Port, word.span, "").label(label);
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let mut told = None;
    let transport = match behind {
        None | Some("tcp") => Transport::Tcp,
        Some("udp") => Transport::Udp,
        Some(other) if ["tcp", "udp"].contains(&&*other.to_ascii_lowercase()) => {
            return Err(fault("in lower case only")
                .help(format!("write `{name}/{}`", other.to_ascii_lowercase())));
        }
        Some(_) if is_number => {
            let at = word.from(name.len());
            let message = format!("`{}` says nothing behind a port", at.text);
            told = Some(
                Diagnostic::new(Code::ReadAs, at.span, message)
                    .label(format!("read as {name}, as rinetd 0.62 did"))
                    .help("leave it out: no path is looked at"),
            );
            Transport::Tcp
        }
        Some(_) => return Err(fault("not a protocol").help("write `/tcp` or `/udp`")),
    };
    if is_number {
        let number = name.parse().map_err(|_| {
            fault("ports end at 65535").help("write a port from 1 to 65535, or 0 for a free one")
        })?;
        return Ok((number, transport, told));
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    if name.is_empty() || name.starts_with('-') || !name.bytes().all(legal) {
        return Err(fault("not a port").help("write a number from 1 to 65535, or a service"));
    }
    match (surroundings.service)(name, transport) {
        Some(number) => Ok((number, transport, told)),
        None => {
            let message = format!("cannot resolve host \"{host}\" port {name} (no such service)");
            Err(Diagnostic::new(Code::Port, word.span, message)
                .label("no service of this machine")
                .help("write the number of the port; `/etc/services` has the names"))
        }
    }
}
