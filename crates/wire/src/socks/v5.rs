//! SOCKS version 5 (RFC 1928), with signing in by user name and password (RFC 1929).
//!
//! ```text
//! greeting: 5, count, methods          choice:  5, method
//! sign in:  1, length, user, length, password     verdict: 1, status
//! request:  5, command, 0, target      reply:   5, code, 0, address
//! target, address:  1, IPv4 (4), port (2)   3, length, host, port   4, IPv6 (16), port
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Command, Foreign, Target, host, port};
use crate::Parse;

/// The first byte of greetings, requests and replies.
pub const VERSION: u8 = 5;

/// The version of the messages that sign in.
const SIGN_IN_VERSION: u8 = 1;

/// Longest user name and longest password, in bytes.
pub const CREDENTIAL_BYTES_MAX: usize = 255;

/// How a client may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Not at all.
    Open,
    /// By user name and password.
    Password,
}

impl Method {
    /// The byte for none of those that were offered.
    const NONE: u8 = 0xff;

    fn code(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Password => 2,
        }
    }
}

/// The methods that a client offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Methods<'a>(&'a [u8]);

impl Methods<'_> {
    /// Whether this is among them.
    pub fn has(self, method: Method) -> bool {
        self.0.contains(&method.code())
    }
}

/// What a proxy says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The way is open.
    Granted,
    /// It failed, for no reason that is told.
    Failed,
    /// Its rules do not allow it.
    Denied,
    /// The network cannot be reached.
    NetworkUnreachable,
    /// The host cannot be reached.
    HostUnreachable,
    /// The host refuses.
    Refused,
    /// The way is too long, or there was no answer.
    Expired,
    /// It does not carry that command out.
    Command,
    /// It does not know that kind of address.
    AddressKind,
    /// A code that means nothing.
    Other(u8),
}

impl Reply {
    const CODES: [(u8, Self); 9] = [
        (0, Self::Granted),
        (1, Self::Failed),
        (2, Self::Denied),
        (3, Self::NetworkUnreachable),
        (4, Self::HostUnreachable),
        (5, Self::Refused),
        (6, Self::Expired),
        (7, Self::Command),
        (8, Self::AddressKind),
    ];

    fn code(self) -> u8 {
        let known = Self::CODES.iter().find(|(_, reply)| *reply == self);
        match (self, known) {
            (Self::Other(code), _) => code,
            (_, Some((code, _))) => *code,
            // All that are not `Other` have a code.
            (_, None) => 1,
        }
    }
}

impl From<u8> for Reply {
    fn from(code: u8) -> Self {
        let known = Self::CODES.iter().find(|(known, _)| *known == code);
        known.map_or(Self::Other(code), |(_, reply)| *reply)
    }
}

/// For people: `connection refused`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Granted => "granted",
            Self::Failed => "general failure",
            Self::Denied => "not allowed by its rules",
            Self::NetworkUnreachable => "network unreachable",
            Self::HostUnreachable => "host unreachable",
            Self::Refused => "connection refused",
            Self::Expired => "TTL expired",
            Self::Command => "command not supported",
            Self::AddressKind => "kind of address not supported",
            Self::Other(code) => return write!(f, "code {code}"),
        })
    }
}

/// Appends a greeting that offers `methods`.
pub fn write_greeting(out: &mut Vec<u8>, methods: &[Method]) {
    let count = u8::try_from(methods.len()).expect("there are two methods");
    out.extend_from_slice(&[VERSION, count]);
    out.extend(methods.iter().map(|method| method.code()));
}

/// Reads a greeting from its first byte. One that offers nothing is whole.
pub fn read_greeting(bytes: &[u8]) -> Parse<Methods<'_>, Foreign> {
    match bytes {
        [] | [VERSION] => Parse::Partial,
        [VERSION, count, rest @ ..] => match rest.get(..usize::from(*count)) {
            Some(methods) => Parse::Whole { value: Methods(methods), length: 2 + methods.len() },
            None => Parse::Partial,
        },
        _ => Parse::Foreign(Foreign::Version),
    }
}

/// Appends the choice of a method; `None`: none of those that were offered will do.
pub fn write_choice(out: &mut Vec<u8>, method: Option<Method>) {
    out.extend_from_slice(&[VERSION, method.map_or(Method::NONE, Method::code)]);
}

/// Reads the choice of a method; `None`: none will do, or one that was not offered.
pub fn read_choice(bytes: &[u8]) -> Parse<Option<Method>, Foreign> {
    match bytes {
        [] | [VERSION] => Parse::Partial,
        [VERSION, code, ..] => {
            let mut methods = [Method::Open, Method::Password].into_iter();
            Parse::Whole { value: methods.find(|method| method.code() == *code), length: 2 }
        }
        _ => Parse::Foreign(Foreign::Version),
    }
}

/// Appends user name and password: each 1 to [`CREDENTIAL_BYTES_MAX`] bytes, or they are cut.
pub fn write_credentials(out: &mut Vec<u8>, user: &[u8], password: &[u8]) {
    out.push(SIGN_IN_VERSION);
    for part in [user, password] {
        let part = &part[..part.len().min(CREDENTIAL_BYTES_MAX)];
        out.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(part);
    }
}

/// Reads user name and password from their first byte: any bytes, and maybe none.
pub fn read_credentials(bytes: &[u8]) -> Parse<(&[u8], &[u8]), Foreign> {
    let rest = match bytes {
        [] => return Parse::Partial,
        [SIGN_IN_VERSION, rest @ ..] => rest,
        _ => return Parse::Foreign(Foreign::Version),
    };
    let part = |rest: &'_ [u8]| {
        let length = usize::from(*rest.first()?);
        (rest.len() > length).then_some(1 + length)
    };
    let Some(user) = part(rest) else { return Parse::Partial };
    let Some(password) = part(&rest[user..]) else { return Parse::Partial };
    let value = (&rest[1..user], &rest[user + 1..user + password]);
    Parse::Whole { value, length: 1 + user + password }
}

/// Appends whether user name and password are accepted.
pub fn write_verdict(out: &mut Vec<u8>, is_accepted: bool) {
    out.extend_from_slice(&[SIGN_IN_VERSION, u8::from(!is_accepted)]);
}

/// Reads whether user name and password are accepted. Some proxies give the version of SOCKS there.
pub fn read_verdict(bytes: &[u8]) -> Parse<bool, Foreign> {
    match bytes {
        [] | [SIGN_IN_VERSION | VERSION] => Parse::Partial,
        [SIGN_IN_VERSION | VERSION, status, ..] => Parse::Whole { value: *status == 0, length: 2 },
        _ => Parse::Foreign(Foreign::Version),
    }
}

/// Appends a request for a connection. A host longer than [`super::HOST_BYTES_MAX`] is cut.
pub fn write_request(out: &mut Vec<u8>, target: Target<'_>) {
    out.extend_from_slice(&[VERSION, 1, 0]);
    match target {
        Target::Ip(address) => write_address(out, address),
        Target::Name(host, port) => {
            let host = &host.as_bytes()[..host.len().min(super::HOST_BYTES_MAX)];
            out.extend_from_slice(&[3, u8::try_from(host.len()).unwrap_or(u8::MAX)]);
            out.extend_from_slice(host);
            out.extend_from_slice(&port.to_be_bytes());
        }
    }
}

fn write_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.push(1);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&address.port().to_be_bytes());
}

/// Reads a request from its first byte.
pub fn read_request(bytes: &[u8]) -> Parse<(Command, Target<'_>), Foreign> {
    let (command, rest) = match bytes {
        [] | [VERSION] | [VERSION, _] | [VERSION, _, _] => return Parse::Partial,
        [VERSION, command, _, rest @ ..] => (Command::from(*command), rest),
        _ => return Parse::Foreign(Foreign::Version),
    };
    let (raw, length) = match raw(rest) {
        Ok(Some(found)) => found,
        Ok(None) => return Parse::Partial,
        Err(why) => return Parse::Foreign(why),
    };
    let target = match raw {
        Raw::Ip(ip, at) => port(at).map(|port| Target::Ip(SocketAddr::new(ip, port))),
        Raw::Name(name, at) => host(name).and_then(|host| Ok(Target::Name(host, port(at)?))),
    };
    match target {
        Ok(target) => Parse::Whole { value: (command, target), length: 3 + length },
        Err(why) => Parse::Foreign(why),
    }
}

/// Appends a reply with the address that the way leaves from, or zeros.
pub fn write_reply(out: &mut Vec<u8>, reply: Reply, from: Option<SocketAddr>) {
    out.extend_from_slice(&[VERSION, reply.code(), 0]);
    let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    write_address(out, from.unwrap_or(nowhere));
}

/// Reads a reply from its first byte. One that refuses is whole with its code: a proxy that refuses
/// may not send the rest.
pub fn read_reply(bytes: &[u8]) -> Parse<Reply, Foreign> {
    let (reply, rest) = match bytes {
        [] | [VERSION] => return Parse::Partial,
        [VERSION, code, rest @ ..] => (Reply::from(*code), rest),
        _ => return Parse::Foreign(Foreign::Version),
    };
    if reply != Reply::Granted {
        return Parse::Whole { value: reply, length: 2 };
    }
    let [_, rest @ ..] = rest else { return Parse::Partial };
    match raw(rest) {
        Ok(Some((_, length))) => Parse::Whole { value: reply, length: 3 + length },
        Ok(None) => Parse::Partial,
        Err(why) => Parse::Foreign(why),
    }
}

/// An address as it came, with its port.
enum Raw<'a> {
    Ip(IpAddr, [u8; 2]),
    Name(&'a [u8], [u8; 2]),
}

/// Reads an address and says how long it is; `None`: it is not whole.
fn raw(bytes: &[u8]) -> Result<Option<(Raw<'_>, usize)>, Foreign> {
    let Some((kind, rest)) = bytes.split_first() else { return Ok(None) };
    match kind {
        1 => Ok(rest.first_chunk::<6>().map(|[a, b, c, d, p0, p1]| {
            (Raw::Ip(Ipv4Addr::new(*a, *b, *c, *d).into(), [*p0, *p1]), 7)
        })),
        3 => {
            let Some((length, rest)) = rest.split_first() else { return Ok(None) };
            let length = usize::from(*length);
            let whole = rest.get(..length + 2);
            Ok(whole.map(|whole| {
                let (name, port) = whole.split_at(length);
                (Raw::Name(name, [port[0], port[1]]), length + 4)
            }))
        }
        4 => Ok(rest.first_chunk::<18>().map(|all| {
            let (ip, port) = all.split_first_chunk::<16>().expect("18 bytes are more than 16");
            (Raw::Ip(Ipv6Addr::from(*ip).into(), [port[0], port[1]]), 19)
        })),
        _ => Err(Foreign::AddressKind),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_pieces;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn greetings() {
        let mut out = Vec::new();
        write_greeting(&mut out, &[Method::Open, Method::Password]);
        assert_eq!(out, b"\x05\x02\x00\x02");
        check_pieces(&out, Methods(&[0, 2]), read_greeting);
        check_pieces(b"\x05\x00", Methods(&[]), read_greeting);
        let all: Vec<u8> = [5, 255].into_iter().chain(0..255).collect();
        check_pieces(&all, Methods(&all[2..]), read_greeting);
        assert!(Methods(&all[2..]).has(Method::Password) && !Methods(&[1]).has(Method::Open));
        assert_eq!(read_greeting(b"\x04"), Parse::Foreign(Foreign::Version));
    }

    #[test]
    fn choices_and_verdicts() {
        for choice in [None, Some(Method::Open), Some(Method::Password)] {
            let mut out = Vec::new();
            write_choice(&mut out, choice);
            check_pieces(&out, choice, read_choice);
        }
        assert_eq!(read_choice(b"\x05\x01"), Parse::Whole { value: None, length: 2 });
        for verdict in [true, false] {
            let mut out = Vec::new();
            write_verdict(&mut out, verdict);
            check_pieces(&out, verdict, read_verdict);
        }
        assert_eq!(read_verdict(b"\x05\x00"), Parse::Whole { value: true, length: 2 });
        assert_eq!(read_verdict(b"\x02"), Parse::Foreign(Foreign::Version));
    }

    #[test]
    fn requests_are_written_as_others_write_them() {
        let mut out = Vec::new();
        write_request(&mut out, Target::Name("a.example", 443));
        assert_eq!(out, b"\x05\x01\x00\x03\x09a.example\x01\xbb");
        out.clear();
        write_request(&mut out, Target::Ip("10.0.0.1:80".parse().unwrap()));
        assert_eq!(out, b"\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x50");
    }

    #[test]
    fn strangers() {
        let foreign = |bytes: &[u8], why| assert_eq!(read_request(bytes), Parse::Foreign(why));
        foreign(b"\x04", Foreign::Version);
        foreign(b"\x05\x01\x00\x02", Foreign::AddressKind);
        foreign(b"\x05\x01\x00\x03\x00\x00\x50", Foreign::Name);
        foreign(b"\x05\x01\x00\x03\x03a\0b\x00\x50", Foreign::Name);
        foreign(b"\x05\x01\x00\x03\x01a\x00\x00", Foreign::Port);
        assert_eq!(read_reply(b"\x05\x00\x00\x07"), Parse::Foreign(Foreign::AddressKind));
        // Other commands are told apart.
        let bind = read_request(b"\x05\x02\x00\x01\x0a\0\0\x01\0\x50");
        assert!(matches!(bind, Parse::Whole { value: (Command::Bind, _), .. }));
    }

    #[test]
    fn replies() {
        for (code, reply) in Reply::CODES {
            let mut out = Vec::new();
            write_reply(&mut out, reply, None);
            assert_eq!(out[..4], [5, code, 0, 1]);
            let whole = if code == 0 { &out[..] } else { &out[..2] };
            check_pieces(whole, reply, read_reply);
        }
        assert_eq!(read_reply(b"\x05\x63"), Parse::Whole { value: Reply::Other(99), length: 2 });
        let mut out = Vec::new();
        write_reply(&mut out, Reply::Granted, Some("[::1]:7".parse().unwrap()));
        check_pieces(&out, Reply::Granted, read_reply);
        check_pieces(b"\x05\x00\x00\x03\x01a\x00\x00", Reply::Granted, read_reply);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            v4 in any::<[u8; 4]>(),
            v6 in any::<[u8; 16]>(),
            port in 1u16..,
            name in "[a-z0-9.-]{1,255}",
            user in prop::collection::vec(any::<u8>(), 0..256),
            password in prop::collection::vec(any::<u8>(), 0..256),
        ) {
            let targets = [
                Target::Ip(SocketAddr::new(v4.into(), port)),
                Target::Ip(SocketAddr::new(v6.into(), port)),
                Target::Name(&name, port),
            ];
            for target in targets {
                let mut out = Vec::new();
                write_request(&mut out, target);
                check_pieces(&out, (Command::Connect, target), read_request);
            }
            let mut out = Vec::new();
            write_credentials(&mut out, &user, &password);
            check_pieces(&out, (&*user, &*password), read_credentials);
        }
    }
}
