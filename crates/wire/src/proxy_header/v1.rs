//! Version 1: one line of text.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Foreign, Header, Subject, Tlvs, Transport, V1_BYTES_MAX, Version};
use crate::{Parse, Verdict, begins_with};

pub(super) const TCP4: &[u8] = b"PROXY TCP4 ";
pub(super) const TCP6: &[u8] = b"PROXY TCP6 ";
pub(super) const UNKNOWN: &[u8] = b"PROXY UNKNOWN";

pub(super) fn read(bytes: &[u8]) -> Parse<Header<'_>, Foreign> {
    let is_known = |known| begins_with(bytes, known);
    match is_known(TCP4).or(is_known(TCP6)).or(is_known(UNKNOWN)) {
        Verdict::Yes => {}
        Verdict::Maybe => return Parse::Partial,
        Verdict::No if begins_with(bytes, b"PROXY ") == Verdict::Yes => {
            return Parse::Foreign(Foreign::Line);
        }
        Verdict::No => return Parse::Foreign(Foreign::NotProxy),
    }
    let within = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = within.windows(2).position(|two| two == b"\r\n") else {
        // Only behind `UNKNOWN` may anything stand.
        let begun = within.strip_suffix(b"\r").unwrap_or(within);
        let is_broken = !within.starts_with(UNKNOWN) && begun.iter().any(u8::is_ascii_control);
        return match bytes.len() < V1_BYTES_MAX {
            _ if is_broken => Parse::Foreign(Foreign::Line),
            true => Parse::Partial,
            false => Parse::Foreign(Foreign::TooLong),
        };
    };
    let line = &bytes[..end];
    let subject = if let Some(words) = line.strip_prefix(TCP4) {
        subject::<Ipv4Addr>(words)
    } else if let Some(words) = line.strip_prefix(TCP6) {
        subject::<Ipv6Addr>(words)
    } else {
        // What may stand behind it is to be ignored.
        let rest = &line[UNKNOWN.len()..];
        (rest.is_empty() || rest[0] == b' ').then_some(Subject::Unknown)
    };
    match subject {
        Some(subject) => {
            let value = Header { version: Version::V1, subject, tlvs: Tlvs::default() };
            Parse::Whole { value, length: end + 2 }
        }
        None => Parse::Foreign(Foreign::Line),
    }
}

/// `source destination port port`, with one blank between.
fn subject<A: FromStr + Into<IpAddr>>(words: &[u8]) -> Option<Subject<'static>> {
    let text = std::str::from_utf8(words).ok()?;
    let mut words = text.split(' ');
    let mut address = || Some(words.next()?.parse::<A>().ok()?.into());
    let (from, to): (IpAddr, IpAddr) = (address()?, address()?);
    let (client, server) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then_some(Subject::Ip {
        transport: Transport::Stream,
        client: SocketAddr::new(from, client),
        server: SocketAddr::new(to, server),
    })
}

/// A port without leading zeros or a sign.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
    (is_plain && (word == "0" || !word.starts_with('0'))).then(|| word.parse().ok())?
}

/// Appends a header of version 1. What it has no words for is `UNKNOWN`: clients of unix sockets,
/// datagrams, and the sender's own connections.
pub fn write(out: &mut Vec<u8>, subject: &Subject<'_>) {
    let mut line = String::with_capacity(V1_BYTES_MAX);
    let written = match subject {
        Subject::Ip { transport: Transport::Stream, client, server } => {
            let ports = (client.port(), server.port());
            let (family, from, to) = match (client.ip(), server.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => ("TCP4", from.into(), to.into()),
                (from, to) => {
                    ("TCP6", super::v2::mapped(from).into(), super::v2::mapped(to).into())
                }
            };
            let (from, to): (IpAddr, IpAddr) = (from, to);
            write!(line, "PROXY {family} {from} {to} {} {}\r\n", ports.0, ports.1)
        }
        Subject::Ip { .. } | Subject::Unix { .. } | Subject::Unknown | Subject::Local => {
            write!(line, "PROXY UNKNOWN\r\n")
        }
    };
    debug_assert!(written.is_ok(), "a string takes all");
    out.extend_from_slice(line.as_bytes());
}
