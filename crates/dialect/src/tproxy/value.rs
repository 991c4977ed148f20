//! The values of a tproxy command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use model::{BackendAddress, Code, Diagnostic};

use super::Surroundings;
use crate::line::Word;
use crate::term::{Dialect, cidr};

/// A value, and what is to be told about it although it can be used.
pub(super) type Read<T> = Result<(T, Option<Diagnostic>), Diagnostic>;

/// A port: a number, or the name of a service. `called` is what tproxy says of one that is wrong.
pub(super) fn port(
    word: Word<'_>,
    called: &str,
    surroundings: Surroundings<'_>,
) -> Result<u16, Diagnostic> {
    let text = word.text;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = match digits {
        true => text.parse().ok(),
        false => (surroundings.service)(text),
    };
    port.filter(|port| *port > 0).ok_or_else(|| {
        let message = format!("No {called} was specified (or it was invalid).");
        Diagnostic::new(Code::Port, word.span, message)
            .label(match digits {
                true => "not from 1 to 65535",
                false => "neither a number nor the name of a service",
            })
            .help("write a number from 1 to 65535; services are named in /etc/services")
    })
}

/// An address of this machine, or a name that has one.
pub(super) fn local(word: Word<'_>, surroundings: Surroundings<'_>) -> Read<IpAddr> {
    let text = word.text;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse() {
        return Ok((address, None));
    }
    let Some(address) = (surroundings.host)(text) else {
        return Err(Diagnostic::new(Code::Address, word.span, "The server ipaddr is invalid.")
            .label("neither an address nor a name that has one")
            .help("write an address of this machine, as in `10.0.3.1`"));
    };
    let message = format!("`{text}` is looked up once");
    let told = Diagnostic::new(Code::ReadAs, word.span, message)
        .label(format!("read as {address}"))
        .help(format!("write `{address}`"));
    Ok((address, Some(told)))
}

/// Where the proxy is: an address or a name, which is looked up while it runs.
pub(super) fn proxy(host: Word<'_>, port: u16) -> Result<BackendAddress, Diagnostic> {
    let text = host.text;
    let target = match text.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]:{port}"),
        Err(_) => format!("{text}:{port}"),
    };
    // A colon would begin a port, and a scheme is none of a host.
    let plain = text.parse::<Ipv6Addr>().is_ok() || !text.contains([':', '/']);
    let read = BackendAddress::parse(&target, None);
    read.ok().filter(|_| plain).ok_or_else(|| {
        let message = "No proxyhost was specified (or it was invalid).";
        let fault = Diagnostic::new(Code::HostName, host.span, message);
        match text.split_once(':') {
            Some((name, port)) if !plain && !name.is_empty() && !port.contains([':', '/']) => fault
                .label("a host, and behind it something else")
                .help(format!("write host and port as two words: `{name} {port}`")),
            _ => fault
                .label("neither an address nor a host name")
                .help("write the host and then the port: `cache.example 3128`"),
        }
    })
}

/// Who may come: `10.0.0.7`, a network by its class as in `10.0.0.0`, or `10.1/16`.
pub(super) fn access(word: Word<'_>) -> Read<IpNet> {
    let text = word.text;
    if text.contains(':') {
        return cidr::read(word, Dialect::Quick)
            .map_err(|fault| Diagnostic { message: WRONG_ACL.into(), ..fault });
    }
    let wrong = |label: &str, help: String| {
        Diagnostic::new(Code::Cidr, word.span, WRONG_ACL).label(label.to_owned()).help(help)
    };
    let example = || "write an address or a range, as in `10.0.0.7` or `10.1/16`".to_owned();
    let (net, bits) = match text.split_once('/') {
        Some((net, bits)) => (net, Some(bits)),
        None => (text, None),
    };
    let parts: Option<Vec<u8>> = net.split('.').map(number).collect();
    let parts = parts.filter(|parts| parts.len() <= 4);
    let Some(parts) = parts else {
        let named = net.contains(|c: char| c.is_ascii_alphabetic());
        return Err(match named {
            true => wrong("a name, which is not looked up", "write its address".to_owned()),
            false => wrong("not an address", example()),
        });
    };
    let mut octets = [0; 4];
    octets[..parts.len()].copy_from_slice(&parts);
    let address = Ipv4Addr::from(octets);
    match (parts.len(), bits) {
        (4, None) => Ok(by_class(word, address)),
        (2..=4, Some(bits)) => {
            let length = number(bits).filter(|length| *length <= 32);
            let range = length.and_then(|length| Ipv4Net::new(address, length).ok());
            let Some(range) = range else {
                return Err(wrong("a length from 0 to 32 stands behind the `/`", example()));
            };
            Ok(truncated(word, range))
        }
        (1, Some(bits)) => {
            let help = format!("write two numbers at least: `{}.0/{bits}`", parts[0]);
            Err(wrong("one number only", help))
        }
        (_, None) => Err(wrong("no length", format!("write `{net}/{}`", 8 * parts.len()))),
        (_, Some(_)) => Err(wrong("not an address", example())),
    }
}

const WRONG_ACL: &str = "ACL not in expected format";

fn number(text: &str) -> Option<u8> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// A host, or a network of class A, B or C, if no bit of a host is set.
fn by_class(word: Word<'_>, address: Ipv4Addr) -> (IpNet, Option<Diagnostic>) {
    let length = match address.octets() {
        [0..128, 0, 0, 0] => 8,
        [128..192, _, 0, 0] => 16,
        [192..224, _, _, 0] => 24,
        _ => 32,
    };
    let range = Ipv4Net::new(address, length).unwrap_or_else(|_| Ipv4Net::from(address));
    let told = (length < 32).then(|| {
        let message = format!("`{address}` is a network by its class");
        Diagnostic::new(Code::ReadAs, word.span, message)
            .label(format!("read as {range}, as tproxy does"))
            .help(format!("write `{range}`"))
    });
    (range.into(), told)
}

fn truncated(word: Word<'_>, range: Ipv4Net) -> (IpNet, Option<Diagnostic>) {
    let whole = range.trunc();
    let told = (whole != range).then(|| {
        let message = format!("`{}` has bits set beyond its length", word.text);
        Diagnostic::new(Code::HostBits, word.span, message)
            .label(format!("read as {whole}"))
            .help(format!("write `{whole}` for the range, `{}` for the one address", range.addr()))
    });
    (whole.into(), told)
}
