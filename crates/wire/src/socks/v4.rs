//! SOCKS version 4, and 4A, in which the proxy resolves the name.
//!
//! ```text
//! request: 4, command, port (2), address (4), user, 0       4A: address 0.0.0.x, and host, 0 behind
//! reply:   0, code, port (2), address (4)
//! ```

use std::net::{Ipv4Addr, SocketAddrV4};

use super::{Command, Foreign, Target, host, port};
use crate::Parse;

/// The first byte of a request.
pub const VERSION: u8 = 4;

/// Longest user name, in bytes; longer ones than these nobody has.
pub const USER_BYTES_MAX: usize = 255;

/// The code of a reply that opens the way.
pub const GRANTED: u8 = 90;

/// The code of a reply that says nothing but no.
pub const REJECTED: u8 = 91;

/// The code for a client whose user name is not accepted.
pub const REJECTED_USER: u8 = 93;

/// Bytes of a reply.
pub const REPLY_BYTES: usize = 8;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What to do.
    pub command: Command,
    /// Where to.
    pub target: Target<'a>,
    /// As whom; any bytes but 0, often none.
    pub user: &'a [u8],
}

/// Appends a request for a connection to `target` by `user`, which has no zero byte.
pub fn write_request(out: &mut Vec<u8>, target: SocketAddrV4, user: &str) {
    write(out, target.port(), target.ip().octets(), user);
}

/// Appends a request of 4A for a connection to `port` of `host`, neither of which has a zero byte.
pub fn write_request_by_name(out: &mut Vec<u8>, host: &str, port: u16, user: &str) {
    debug_assert!(!host.contains('\0'), "a host is ended by 0");
    write(out, port, [0, 0, 0, 1], user);
    out.extend_from_slice(host.as_bytes());
    out.push(0);
}

fn write(out: &mut Vec<u8>, port: u16, address: [u8; 4], user: &str) {
    debug_assert!(!user.contains('\0'), "a user is ended by 0");
    out.extend_from_slice(&[VERSION, 1]);
    out.extend_from_slice(&port.to_be_bytes());
    out.extend_from_slice(&address);
    out.extend_from_slice(user.as_bytes());
    out.push(0);
}

/// Reads a request of 4 or 4A from its first byte.
pub fn read_request(bytes: &[u8]) -> Parse<Request<'_>, Foreign> {
    if bytes.first().is_some_and(|version| *version != VERSION) {
        return Parse::Foreign(Foreign::Version);
    }
    let Some(([_, command, p0, p1, address @ ..], rest)) = bytes.split_first_chunk::<8>() else {
        return Parse::Partial;
    };
    let to_port = match port([*p0, *p1]) {
        Ok(port) => port,
        Err(why) => return Parse::Foreign(why),
    };
    let (user, rest) = match text(rest, USER_BYTES_MAX) {
        Ok(Some(found)) => found,
        Ok(None) => return Parse::Partial,
        Err(TooLong) => return Parse::Foreign(Foreign::User),
    };
    let command = Command::from(*command);
    let address = Ipv4Addr::from(*address);
    let (target, rest) = match address.octets() {
        [0, 0, 0, 1..=255] => match text(rest, super::HOST_BYTES_MAX) {
            Ok(Some((name, rest))) => match host(name) {
                Ok(host) => (Target::Name(host, to_port), rest),
                Err(why) => return Parse::Foreign(why),
            },
            Ok(None) => return Parse::Partial,
            Err(TooLong) => return Parse::Foreign(Foreign::Name),
        },
        _ => (Target::Ip(SocketAddrV4::new(address, to_port).into()), rest),
    };
    let value = Request { command, target, user };
    Parse::Whole { value, length: bytes.len() - rest.len() }
}

struct TooLong;

/// A text, and what is behind its end.
type Text<'a> = (&'a [u8], &'a [u8]);

/// The text up to a zero byte, and what is behind that; `None`: it has not ended yet.
fn text(bytes: &[u8], most: usize) -> Result<Option<Text<'_>>, TooLong> {
    match bytes.iter().take(most + 1).position(|byte| *byte == 0) {
        Some(end) => Ok(Some((&bytes[..end], &bytes[end + 1..]))),
        None if bytes.len() > most => Err(TooLong),
        None => Ok(None),
    }
}

/// Appends a reply; the address in it, which only `BIND` has a use for, is zero.
pub fn write_reply(out: &mut Vec<u8>, code: u8) {
    out.extend_from_slice(&[0, code, 0, 0, 0, 0, 0, 0]);
}

/// Reads the code of a reply: [`GRANTED`] or another.
pub fn read_reply(bytes: &[u8]) -> Parse<u8, Foreign> {
    match bytes {
        [0, code, _, _, _, _, _, _, ..] => Parse::Whole { value: *code, length: REPLY_BYTES },
        [] | [0, ..] => Parse::Partial,
        _ => Parse::Foreign(Foreign::Version),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_pieces;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_are_written_as_others_write_them() {
        let mut out = Vec::new();
        write_request(&mut out, "10.0.0.1:80".parse().unwrap(), "fred");
        assert_eq!(out, b"\x04\x01\x00\x50\x0a\x00\x00\x01fred\0");
        out.clear();
        write_request_by_name(&mut out, "a.example", 443, "");
        assert_eq!(out, b"\x04\x01\x01\xbb\x00\x00\x00\x01\0a.example\0");
    }

    #[test]
    fn replies() {
        let mut out = Vec::new();
        write_reply(&mut out, REJECTED);
        check_pieces(&out, REJECTED, read_reply);
        // Whatever the address, and whatever follows.
        let early = b"\x00\x5a\x01\x02\x03\x04\x05\x06SSH-2.0";
        assert_eq!(read_reply(early), Parse::Whole { value: GRANTED, length: 8 });
        assert_eq!(read_reply(b"\x04\x5a"), Parse::Foreign(Foreign::Version));
    }

    #[test]
    fn strangers() {
        let foreign = |bytes: &[u8], why| assert_eq!(read_request(bytes), Parse::Foreign(why));
        foreign(b"\x05", Foreign::Version);
        foreign(b"G", Foreign::Version);
        foreign(b"\x04\x01\0\0\x0a\0\0\x01", Foreign::Port);
        foreign(b"\x04\x01\0\x50\0\0\0\x01u\0\0", Foreign::Name);
        foreign(b"\x04\x01\0\x50\0\0\0\x01u\0a b\0", Foreign::Name);
        foreign(b"\x04\x01\0\x50\0\0\0\x01u\0a\nb\0", Foreign::Name);
        let long = [b"\x04\x01\0\x50\x0a\0\0\x01", &[b'u'; 256][..]].concat();
        foreign(&long, Foreign::User);
        assert_eq!(read_request(&long[..long.len() - 1]), Parse::Partial);
        let long = [b"\x04\x01\0\x50\0\0\0\x01\0", &[b'h'; 256][..]].concat();
        foreign(&long, Foreign::Name);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            address in any::<[u8; 4]>(),
            port in 1u16..,
            user in "[a-z]{0,255}",
            name in "[a-z][a-z.]{0,254}",
        ) {
            let mut out = Vec::new();
            let command = Command::Connect;
            let user_bytes = user.as_bytes();
            let target = SocketAddrV4::new(address.into(), port);
            if address[..3] != [0, 0, 0] || address[3] == 0 {
                write_request(&mut out, target, &user);
                let target = Target::Ip(target.into());
                check_pieces(&out, Request { command, target, user: user_bytes }, read_request);
                out.clear();
            }
            write_request_by_name(&mut out, &name, port, &user);
            let target = Target::Name(&name, port);
            check_pieces(&out, Request { command, target, user: user_bytes }, read_request);
        }
    }
}
