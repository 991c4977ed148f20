//! FTP, as far as its control connection says where data connections go (RFC 959, RFC 2428).
//!
//! ```text
//! client                                          server
//! PORT 10,0,0,9,195,80            ──▶                                  active: the server connects
//! EPRT |2|2001:db8::9|50000|      ──▶
//! PASV                            ──▶
//!                                 ◀──  227 Entering Passive Mode (10,0,0,1,195,81).    passive
//! EPSV                            ──▶
//!                                 ◀──  229 Entering Extended Passive Mode (|||50001|)
//! AUTH TLS                        ──▶
//!                                 ◀──  234 AUTH TLS OK.                    no lines from here on
//! ```
//!
//! [`lines`] cuts a stream into lines. [`read_command`] and [`Replies`] say what a line is to data
//! connections; what they find can be written again with another address, and all around it
//! stays byte for byte what it was: text, line end, Telnet commands before it.

pub mod lines;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

/// What a client's line is to data connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `PORT`, `EPRT`: the server shall connect to this address.
    Active(Active),
    /// `AUTH`: the connection may soon be encrypted.
    Secure,
    /// Anything else.
    Other,
}

/// An address that a client waits at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// Where.
    pub address: SocketAddr,
    verb: Verb,
    /// The line without Telnet commands and line end.
    text: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Port,
    Eprt,
}

/// Reads a client's line, with or without its end.
pub fn read_command(line: &[u8]) -> Command {
    let start = telnet(line);
    let end = start + line[start..].trim_ascii_end().len();
    let text = &line[start..end];
    let verb = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let (verb, argument) = text.split_at(verb);
    let argument = argument.trim_ascii();
    let is = |name: &[u8]| verb.eq_ignore_ascii_case(name);
    let active = |verb, address: Option<SocketAddr>| match address {
        Some(address) => Command::Active(Active { address, verb, text: start..end }),
        None => Command::Other,
    };
    if is(b"PORT") {
        let six = six_numbers(argument).filter(|(_, length)| *length == argument.len());
        active(Verb::Port, six.map(|(address, _)| address))
    } else if is(b"EPRT") {
        active(Verb::Eprt, eprt(argument))
    } else if is(b"AUTH") {
        Command::Secure
    } else {
        Command::Other
    }
}

impl Active {
    /// Appends `line`, which this was read from, with `ours` in place of its address. `PORT`
    /// cannot say an IPv6 address and becomes `EPRT` for one.
    pub fn write(&self, line: &[u8], ours: SocketAddr, out: &mut Vec<u8>) {
        out.extend_from_slice(&line[..self.text.start]);
        match (self.verb, ours.ip()) {
            (Verb::Port, IpAddr::V4(ip)) => {
                out.extend_from_slice(b"PORT ");
                write_six(ip, ours.port(), out);
            }
            (_, ip) => {
                let family = if ip.is_ipv4() { 1 } else { 2 };
                let text = format!("EPRT |{family}|{ip}|{}|", ours.port());
                out.extend_from_slice(text.as_bytes());
            }
        }
        out.extend_from_slice(&line[self.text.end..]);
    }

    /// Appends `line` without its address: what every server refuses with 501.
    pub fn write_without(&self, line: &[u8], out: &mut Vec<u8>) {
        let verb = self.text.start..self.text.start + 4;
        out.extend_from_slice(&line[..verb.end]);
        out.extend_from_slice(&line[self.text.end..]);
    }
}

/// The lines of a server, some of which are in the middle of a reply.
#[derive(Clone, Debug, Default)]
pub struct Replies {
    /// The code of the reply of several lines that has begun and not ended.
    within: Option<[u8; CODE_BYTES]>,
}

const CODE_BYTES: usize = 3;

/// What a server's line is to data connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 227, 229: the client shall connect there.
    Passive(Passive),
    /// 234: the connection is encrypted from the next byte on.
    Secured,
    /// Anything else, lines in the middle of a reply too.
    Other,
}

/// Where a server waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passive {
    /// The address; `None` in a 229, which means that of the server.
    pub address: Option<Ipv4Addr>,
    /// The port.
    pub port: u16,
    /// Where the line says it.
    numbers: Range<usize>,
}

impl Replies {
    /// Reads the line that comes next, with or without its end.
    pub fn read(&mut self, line: &[u8]) -> Reply {
        let start = telnet(line);
        let text = &line[start..];
        let code: Option<[u8; CODE_BYTES]> = text.first_chunk().copied();
        let code = code.filter(|code| code.iter().all(u8::is_ascii_digit));
        let is_last = text.get(CODE_BYTES) != Some(&b'-');
        match (self.within, code) {
            (Some(within), Some(code)) if within == code && is_last => self.within = None,
            (Some(_), _) => return Reply::Other,
            (None, Some(code)) if !is_last => {
                self.within = Some(code);
                return Reply::Other;
            }
            (None, _) => {}
        }
        let argument = start + CODE_BYTES;
        let passive = match code.as_ref() {
            Some(b"227") => passive(&line[argument..]),
            Some(b"229") => extended_passive(&line[argument..]),
            Some(b"234") => return Reply::Secured,
            _ => return Reply::Other,
        };
        passive.map_or(Reply::Other, |passive| {
            let Range { start, end } = passive.numbers;
            Reply::Passive(Passive { numbers: argument + start..argument + end, ..passive })
        })
    }
}

impl Passive {
    /// Appends `line`, which this was read from, with `ours` in place of what it says, if it can
    /// say that: a 227 has IPv4 addresses only. A 229 has no address, just a port.
    #[must_use]
    pub fn write(&self, line: &[u8], ours: SocketAddr, out: &mut Vec<u8>) -> Written {
        let ip = match (self.address, ours.ip()) {
            (None, _) => None,
            (Some(_), IpAddr::V4(ip)) => Some(ip),
            (Some(_), IpAddr::V6(_)) => return Written::Unsayable,
        };
        out.extend_from_slice(&line[..self.numbers.start]);
        match ip {
            Some(ip) => write_six(ip, ours.port(), out),
            None => out.extend_from_slice(ours.port().to_string().as_bytes()),
        }
        out.extend_from_slice(&line[self.numbers.end..]);
        Written::Whole
    }
}

/// What became of a line that was to be written with another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was.
    Whole,
    /// It cannot say this address; nothing was written.
    Unsayable,
}

/// What a client is told in place of an address that it cannot have (RFC 959 section 4.2).
pub const NO_DATA_CONNECTION: &[u8] = b"425 Can't open data connection.\r\n";

/// The length of the Telnet commands before a line (RFC 854): `ABOR` is sent behind some.
fn telnet(line: &[u8]) -> usize {
    const COMMAND: u8 = 255;
    const OPTIONS: std::ops::RangeInclusive<u8> = 251..=254;

    let mut at = 0;
    while let [COMMAND, command, ..] = &line[at..] {
        at += match command {
            &COMMAND => return at,
            command if OPTIONS.contains(command) => 3,
            _ => 2,
        };
        at = at.min(line.len());
    }
    at
}

/// Six numbers between commas, and how many bytes they are.
fn six_numbers(text: &[u8]) -> Option<(SocketAddr, usize)> {
    let mut numbers = [0_u8; 6];
    let mut at = 0;
    for (index, number) in numbers.iter_mut().enumerate() {
        if index > 0 {
            (text.get(at) == Some(&b',')).then_some(())?;
            at += 1;
        }
        let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        *number = decimal(&text[at..at + digits])?;
        at += digits;
    }
    let [a, b, c, d, high, low] = numbers;
    let port = u16::from_be_bytes([high, low]);
    (port > 0).then(|| ((Ipv4Addr::new(a, b, c, d), port).into(), at))
}

fn write_six(ip: Ipv4Addr, port: u16, out: &mut Vec<u8>) {
    let [a, b, c, d] = ip.octets();
    let [high, low] = port.to_be_bytes();
    out.extend_from_slice(format!("{a},{b},{c},{d},{high},{low}").as_bytes());
}

/// `|1|10.0.0.9|50000|`, with any other character for the bar.
fn eprt(text: &[u8]) -> Option<SocketAddr> {
    let (bar, rest) = text.split_first().filter(|(bar, _)| is_bar(**bar))?;
    let mut parts = rest.split(|byte| byte == bar);
    let [family, ip, port, end] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    if !end.is_empty() || parts.next().is_some() {
        return None;
    }
    let ip: IpAddr = std::str::from_utf8(ip).ok()?.parse().ok()?;
    let is_of_family = match family {
        b"1" => ip.is_ipv4(),
        b"2" => ip.is_ipv6(),
        _ => false,
    };
    let port = decimal(port).filter(|port| *port > 0)?;
    is_of_family.then(|| SocketAddr::new(ip, port))
}

/// The first six numbers between commas, wherever they stand (RFC 1123 section 4.1.2.6).
fn passive(text: &[u8]) -> Option<Passive> {
    let starts = (0..text.len())
        .filter(|&at| text[at].is_ascii_digit() && !(at > 0 && text[at - 1].is_ascii_digit()));
    let found = starts.into_iter().find_map(|at| Some((at, six_numbers(&text[at..])?)));
    let (at, (address, length)) = found?;
    let IpAddr::V4(ip) = address.ip() else { return None };
    Some(Passive { address: Some(ip), port: address.port(), numbers: at..at + length })
}

/// `(|||50001|)`, with any other character for the bar.
fn extended_passive(text: &[u8]) -> Option<Passive> {
    let open = text.iter().position(|byte| *byte == b'(')? + 1;
    let bar = *text.get(open).filter(|bar| is_bar(**bar))?;
    let port = open + 3;
    (text.get(open..port)? == [bar; 3]).then_some(())?;
    let end = port + text[port..].iter().position(|byte| *byte == bar)?;
    (text.get(end + 1) == Some(&b')')).then_some(())?;
    let number = decimal(&text[port..end]).filter(|port| *port > 0)?;
    Some(Passive { address: None, port: number, numbers: port..end })
}

fn is_bar(byte: u8) -> bool {
    byte.is_ascii_graphic() && !byte.is_ascii_digit()
}

/// Digits as a number; leading zeros do not matter.
fn decimal<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests;
