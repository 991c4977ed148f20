//! Faults of addresses, in words.
//!
//! `model::address` says what kind of fault a text has and where; here that
//! becomes what the user reads, with the address that was probably meant.

use std::net::{IpAddr, Ipv6Addr};

use model::address::{Fault, FaultKind, UNIX_NAME_BYTES_MAX};
use model::{Bind, Code, Diagnostic};

use crate::line::Word;

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To listen on.
    Listen,
    /// To connect to.
    Target,
    /// To listen on, in native TOML.
    Bind,
    /// To connect to, in native TOML.
    Backend,
    /// To leave from, in native TOML.
    Source,
    /// To send a log to.
    Syslog,
    /// To have clients come by, in native TOML.
    Interface,
}

impl Purpose {
    fn example(self) -> &'static str {
        match self {
            Self::Listen => "8080",
            Self::Bind => ":8080",
            Self::Target | Self::Backend => "10.0.0.11:80",
            Self::Source => "10.0.3.1",
            Self::Syslog => "syslog://10.0.0.5:514",
            Self::Interface => "eth0",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Listen => "LISTEN",
            Self::Target => "TARGET",
            Self::Bind => "a bind",
            Self::Backend => "a backend",
            Self::Source => "a source",
            Self::Interface => "an interface",
            Self::Syslog => "a syslog server",
        }
    }

    /// Where the protocol is said instead of in front of the target `address`.
    fn protocol(self, address: &str) -> String {
        match self {
            Self::Target => {
                format!("write `{address}`: the protocol is that of LISTEN, UDP as in `udp://:53`")
            }
            _ => format!(
                "write `{address}`: the protocol is that of the bind, UDP as in `bind = \"udp://:53\"`"
            ),
        }
    }

    fn listens(self) -> bool {
        matches!(self, Self::Listen | Self::Bind)
    }
}

/// What is wrong with `word` before it is even read as an address: forms of other programs.
pub(crate) fn foreign(word: Word<'_>, purpose: Purpose) -> Option<Diagnostic> {
    let text = word.text;
    let fault = |at: Word<'_>, message: String| Diagnostic::new(Code::Address, at.span, message);
    if let Some(at) = text.find("://") {
        let scheme = word.part(0..at + 3);
        match (&text[..at], purpose.listens()) {
            ("udp", true) => return None,
            ("tcp" | "udp", false) => {
                return Some(
                    fault(scheme, format!("{} names no protocol", purpose.name()))
                        .label("not here")
                        .help(purpose.protocol(&text[at + 3..])),
                );
            }
            _ => {}
        }
        let message = format!("{} is an address, not a URL", purpose.name());
        let help = match without_scheme(text, purpose) {
            Some(meant) => format!("write `{meant}`"),
            None => format!("write an address as in `{}`", purpose.example()),
        };
        return Some(fault(scheme, message).label("not part of an address").help(help));
    }
    if text.starts_with(['/', '@']) || text.starts_with("./") {
        let message = format!("`{text}` is not an address");
        return Some(
            fault(word, message).label("a unix socket?").help(format!("write `unix:{text}`")),
        );
    }
    None
}

/// Reads an address to listen on. `tell` makes a diagnostic of its fault, and is given the address
/// without the scheme in front of it.
pub(crate) fn bind(
    word: Word<'_>,
    tell: impl FnOnce(Word<'_>, &Fault) -> Diagnostic,
) -> Result<Bind, Diagnostic> {
    Bind::parse(word.text).map_err(|fault| match word.text.starts_with(Bind::UDP) {
        true => behind_scheme(word, fault, tell),
        false => tell(word, &fault),
    })
}

/// Tells a fault of what stands behind `udp://`; what is to be written instead has it again.
fn behind_scheme(
    word: Word<'_>,
    fault: Fault,
    tell: impl FnOnce(Word<'_>, &Fault) -> Diagnostic,
) -> Diagnostic {
    let scheme = Bind::UDP.len();
    let range = fault.range.start - scheme..fault.range.end - scheme;
    let mut told = tell(word.from(scheme), &Fault { range, ..fault });
    if let Some(help) = told.help.as_mut().filter(|help| help.starts_with("write")) {
        *help = help.replace(" `", &format!(" `{}", Bind::UDP));
    }
    told
}

/// `fault` of `word` as the user reads it.
pub(crate) fn fault(word: Word<'_>, fault: &Fault, purpose: Purpose) -> Diagnostic {
    let text = word.text;
    let part = &text[fault.range.clone()];
    let at = word.span_of(fault.range.clone());
    let new = |code, message: String| Diagnostic::new(code, at, message);
    match fault.kind {
        FaultKind::Empty => new(Code::Address, match purpose {
            Purpose::Listen | Purpose::Target => format!("{} is empty", purpose.name()),
            _ => "the address is empty".to_owned(),
        })
            .label("nothing here")
            .help(format!("write an address as in `{}`", purpose.example())),
        FaultKind::PortRange => new(Code::Port, format!("`{part}` is not a port"))
            .label("ports end at 65535")
            .help("write a port from 1 to 65535"),
        FaultKind::PortText => port_text(word, fault, purpose),
        FaultKind::PortZero => new(Code::Port, "no connection can go to port 0".to_owned())
            .label("any port but 0")
            .help("write the port that the target listens on"),
        FaultKind::PortMissing => new(Code::PortMissing, format!("`{text}` has no port"))
            .label("the port is missing"),
        FaultKind::Brackets => new(Code::Address, format!("the brackets of `{text}` do not fit"))
            .label("not as it should be")
            .help(closed(text)),
        FaultKind::BareIpv6 => new(Code::Address, format!("`{text}` needs brackets"))
            .label("where does the port begin?")
            .help(brackets(text, purpose)),
        FaultKind::Ipv4 => new(Code::Address, format!("`{part}` is not an address"))
            .label("not an IPv4 address")
            .help("an IPv4 address is four numbers from 0 to 255"),
        FaultKind::Ipv6 => new(Code::Address, format!("`{part}` is not an address"))
            .label("not an IPv6 address")
            .help(ipv6_help(text, purpose)),
        FaultKind::Host => new(Code::HostName, format!("`{text}` names no host"))
            .label("not a host name")
            .help("a host name is letters, digits and hyphens between dots"),
        FaultKind::ListenName => new(Code::Address, format!("cannot listen on `{part}`"))
            .label("a name, not an address")
            .help(listen_name(text)),
        FaultKind::Unix => new(Code::UnixName, "this cannot be a unix socket".to_owned())
            .label(match part {
                "" | "@" => "the name is missing",
                _ => "not a name that the kernel takes",
            })
            .help(format!(
                "write `unix:/path` or `unix:@name`, at most {UNIX_NAME_BYTES_MAX} bytes behind the colon"
            )),
        FaultKind::SocketName => new(Code::Address, "this names no socket".to_owned())
            .label(if part.is_empty() { "the name is missing" } else { "not a name" })
            .help("write what `FileDescriptorName=` says in the socket unit, as in `systemd:web`"),
        FaultKind::Interface => new(Code::Address, format!("`{part}` is not an interface"))
            .label("not a name")
            .help("write the name of a network interface, as in `eth0`; see `ip link`"),
        FaultKind::Source if purpose == Purpose::Source => {
            new(Code::Source, format!("cannot leave from `{part}`"))
                .label("neither an address nor an interface")
                .help("write an address of this machine, as in `10.0.3.1`, or an interface, as in `eth1`")
        }
        FaultKind::Source if part.is_empty() => new(Code::Source, "SOURCE is empty".to_owned())
            .label("nothing here")
            .help("write an address or an interface behind the `/`, or leave the `/` out"),
        FaultKind::Source => new(Code::Source, format!("cannot leave from `{part}`"))
            .label("neither an address nor an interface")
            .help(source_help(part)),
    }
}

/// Text where a port must stand.
fn port_text(word: Word<'_>, fault: &Fault, purpose: Purpose) -> Diagnostic {
    let part = &word.text[fault.range.clone()];
    let before = &word.text[..fault.range.start];
    let new = Diagnostic::new(
        Code::Port,
        word.span_of(fault.range.clone()),
        format!("`{part}` is not a port"),
    )
    .label("not a number");
    if let Some(port) = service(part) {
        return new.help(format!("write `{before}{port}`"));
    }
    match part.split_once('/') {
        Some((port, source)) if purpose == Purpose::Target && is_port(port) => new.help(format!(
            "SOURCE stands behind LISTEN, a target is `{before}{port}`: `replug 8080/{source} {before}{port}`"
        )),
        _ if part.contains(['-', '+']) => new.help("one port at a time"),
        _ => new.help("a port is a number from 1 to 65535"),
    }
}

/// The one that was meant by a bare IPv6 address with or without a port.
fn brackets(text: &str, purpose: Purpose) -> String {
    match (with_port(text), purpose) {
        (Some((address, port)), Purpose::Target) => {
            format!("write `[{address}]:{port}`, or `[{text}]` with the port of LISTEN")
        }
        (Some((address, port)), _) => format!("write `[{address}]:{port}`"),
        (None, Purpose::Syslog) => format!("write `[{text}]:514`"),
        (None, purpose) if purpose.listens() => format!("write `[{text}]:8080`"),
        (None, _) => format!("write `[{text}]:80`"),
    }
}

/// Brackets as they should be.
fn closed(text: &str) -> String {
    let bare = text.replace(['[', ']'], "");
    match with_port(&bare) {
        Some((address, port)) => format!("write `[{address}]:{port}`"),
        None => "write IPv6 addresses as in `[2001:db8::1]:80`".to_owned(),
    }
}

fn ipv6_help(text: &str, purpose: Purpose) -> String {
    let quick = matches!(purpose, Purpose::Listen | Purpose::Target);
    if text.contains('%') && !quick {
        return "an interface (`%`) cannot be named here; a pool leaves by one with `source`"
            .to_owned();
    }
    if text.contains('%') {
        return "an interface (`%`) cannot be named here; write LISTEN/INTERFACE to leave by one"
            .to_owned();
    }
    match with_port(text) {
        Some((address, port)) => format!("write `[{address}]:{port}`"),
        None if text.contains('.') => "an address and one port, as in `10.0.0.11:80`".to_owned(),
        None => {
            "an IPv6 address is at most eight groups of hex digits, as in `2001:db8::1`".to_owned()
        }
    }
}

/// `2001:db8::1:80` as an address and a port.
fn with_port(text: &str) -> Option<(Ipv6Addr, &str)> {
    let (address, port) = text.rsplit_once(':')?;
    let address = address.parse().ok()?;
    is_port(port).then_some((address, port))
}

fn listen_name(text: &str) -> String {
    let (host, port) = text.split_once(':').unwrap_or((text, "8080"));
    match host {
        "localhost" => format!("write `127.0.0.1:{port}` for this machine only"),
        "udp" => format!("write `udp://:{port}` for UDP"),
        "tcp" => format!("write `:{port}` for TCP"),
        _ => format!(
            "write `{port}` for every address of this machine, or one of them as in `127.0.0.1:{port}`"
        ),
    }
}

fn source_help(part: &str) -> String {
    match part.rsplit_once(':') {
        Some((address, port)) if is_port(port) && address.parse::<IpAddr>().is_ok() => {
            format!("write `{address}`: the kernel chooses the port")
        }
        _ => "write an address of this machine, as in `8080/10.0.3.1`, or an interface, as in `8080/eth1`"
            .to_owned(),
    }
}

/// `http://host/path` as `host:80`.
fn without_scheme(text: &str, purpose: Purpose) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let authority = authority.rsplit('@').next().unwrap_or(authority);
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| is_port(port));
    let port = service(scheme);
    match (authority, purpose) {
        ("", _) => None,
        (authority, purpose) if !purpose.listens() => match has_port {
            true => Some(authority.to_owned()),
            false => port.map(|port| format!("{authority}:{port}")),
        },
        (authority, _) => match has_port {
            true => authority.rsplit_once(':').map(|(_, port)| port.to_owned()),
            false => port.map(|port| port.to_string()),
        },
    }
}

/// Whether `text` is the number of a port.
pub(crate) fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// The port of a service that people know by name (services(5), the usual few).
fn service(name: &str) -> Option<u16> {
    const SERVICES: [(&str, u16); 22] = [
        ("amqp", 5672),
        ("domain", 53),
        ("dns", 53),
        ("ftp", 21),
        ("git", 9418),
        ("http", 80),
        ("https", 443),
        ("imap", 143),
        ("imaps", 993),
        ("ldap", 389),
        ("ldaps", 636),
        ("mqtt", 1883),
        ("mysql", 3306),
        ("nntp", 119),
        ("pop3", 110),
        ("postgres", 5432),
        ("postgresql", 5432),
        ("redis", 6379),
        ("smtp", 25),
        ("ssh", 22),
        ("telnet", 23),
        ("ws", 80),
    ];
    let name = name.to_ascii_lowercase();
    SERVICES.iter().find(|(service, _)| *service == name).map(|(_, port)| *port)
}
