//! Which protocol the first bytes of a client belong to.
//!
//! A [`Verdict`] never changes once it is [`Verdict::Yes`] or [`Verdict::No`], whatever comes
//! behind. No protocol is tried before another: each is asked for by itself, and where two might
//! both be meant, the one who asks decides which goes first.

use crate::{Verdict, begins_with, git, postgres, proxy_header, tls};

/// A protocol whose clients speak first, and can be told by how they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// A ClientHello.
    Tls,
    /// A request of HTTP/1.x, or the preface of HTTP/2 (RFC 9113 section 3.4).
    Http,
    /// The identification of a client (RFC 4253 section 4.2).
    Ssh,
    /// A request of SOCKS 4 or 4A.
    Socks4,
    /// The methods of a SOCKS 5 client (RFC 1928).
    Socks5,
    /// The start of a PostgreSQL session, or a request for encryption before it.
    Postgres,
    /// A connection request of the Remote Desktop Protocol (X.224 in TPKT).
    Rdp,
    /// The opening of a stream (RFC 6120).
    Xmpp,
    /// `EHLO` or `HELO` of a client that does not wait for the greeting, `LHLO` of LMTP.
    SmtpClient,
    /// A command of Redis, as clients write it, or a bare `PING`.
    Redis,
    /// `CONNECT` of MQTT 3.1 to 5.
    Mqtt,
    /// A request of `git://`.
    Git,
    /// A reset by an OpenVPN client.
    OpenVpn,
    /// A query for a name.
    Dns,
    /// The header of the PROXY protocol, version 1 or 2.
    Proxy,
    /// The initiation of a WireGuard handshake; only in datagrams.
    WireGuard,
}

/// How bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// In a stream, of which there is the beginning.
    Stream,
    /// In a datagram, which is whole.
    Datagram,
}

/// Whether `bytes`, all that has come so far, begin what clients of `protocol` say.
pub fn recognise(protocol: Protocol, bytes: &[u8], carrier: Carrier) -> Verdict {
    let verdict = match (protocol, carrier) {
        (Protocol::Dns, Carrier::Stream) => in_packet(bytes, 17..=4_096, dns),
        (Protocol::Dns, Carrier::Datagram) => dns(bytes),
        (Protocol::OpenVpn, Carrier::Stream) => in_packet(bytes, 14..=2_048, openvpn),
        (Protocol::OpenVpn, Carrier::Datagram) => openvpn(bytes),
        (Protocol::WireGuard, Carrier::Datagram) => wireguard(bytes),
        (Protocol::WireGuard, Carrier::Stream) | (_, Carrier::Datagram) => Verdict::No,
        (Protocol::Tls, _) => tls::begins(bytes),
        (Protocol::Http, _) => http(bytes),
        (Protocol::Ssh, _) => begins_with(bytes, b"SSH-"),
        (Protocol::Socks4, _) => socks4(bytes),
        (Protocol::Socks5, _) => socks5(bytes),
        (Protocol::Postgres, _) => postgres::begins(bytes),
        (Protocol::Rdp, _) => rdp(bytes),
        (Protocol::Xmpp, _) => xmpp(bytes),
        (Protocol::SmtpClient, _) => {
            any_of(bytes, &[b"EHLO ", b"HELO ", b"LHLO "], |byte| byte.to_ascii_uppercase())
        }
        (Protocol::Redis, _) => {
            redis(bytes).or(any_of(bytes, &[b"PING\r\n"], |byte| byte.to_ascii_uppercase()))
        }
        (Protocol::Mqtt, _) => mqtt(bytes),
        (Protocol::Git, _) => git::begins(bytes),
        (Protocol::Proxy, _) => proxy_header::begins(bytes),
    };
    match (verdict, carrier) {
        // Nothing more comes behind a datagram.
        (Verdict::Maybe, Carrier::Datagram) => Verdict::No,
        (verdict, _) => verdict,
    }
}

fn any_of(bytes: &[u8], known: &[&[u8]], fold: fn(u8) -> u8) -> Verdict {
    let verdict = |known: &&[u8]| {
        let begun = bytes.len().min(known.len());
        let is_same = bytes.iter().zip(*known).all(|(byte, known)| fold(*byte) == *known);
        match (is_same, begun == known.len()) {
            (true, true) => Verdict::Yes,
            (true, false) => Verdict::Maybe,
            (false, _) => Verdict::No,
        }
    };
    known.iter().map(verdict).fold(Verdict::No, Verdict::or)
}

/// Bytes at fixed places: each must satisfy what stands there, and so many must have come.
fn fixed(bytes: &[u8], legal: &[fn(u8) -> bool]) -> Verdict {
    match legal.iter().zip(bytes).all(|(legal, byte)| legal(*byte)) {
        true if bytes.len() >= legal.len() => Verdict::Yes,
        true => Verdict::Maybe,
        false => Verdict::No,
    }
}

/// What stands behind its length in two bytes. Told when all of it has come: these packets are
/// short, and their beginnings say little.
fn in_packet(
    bytes: &[u8],
    lengths: std::ops::RangeInclusive<usize>,
    read: fn(&[u8]) -> Verdict,
) -> Verdict {
    let (first, second) = match bytes {
        [] => return Verdict::Maybe,
        [first] => {
            let highest = usize::from(*first) * 256 + 255;
            let lowest = usize::from(*first) * 256;
            let may_be = highest >= *lengths.start() && lowest <= *lengths.end();
            return if may_be { Verdict::Maybe } else { Verdict::No };
        }
        [first, second, ..] => (*first, *second),
    };
    let length = usize::from(u16::from_be_bytes([first, second]));
    if !lengths.contains(&length) {
        return Verdict::No;
    }
    let packet = &bytes[2..bytes.len().min(2 + length)];
    match (read(packet), packet.len() == length) {
        (Verdict::Maybe, true) => Verdict::No,
        (Verdict::Yes, false) => Verdict::Maybe,
        (verdict, _) => verdict,
    }
}

fn http(bytes: &[u8]) -> Verdict {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";
    const METHOD_BYTES_MAX: usize = crate::http::METHOD_BYTES_MAX;

    // Old clients send empty lines between requests, and so before them.
    let lines = bytes.iter().take(8).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let bytes = &bytes[lines..];
    let preface = begins_with(bytes, PREFACE);
    if preface != Verdict::No {
        return preface;
    }
    let length = bytes.iter().take_while(|byte| crate::http::is_token(**byte)).count();
    let (method, rest) = bytes.split_at(length);
    let rest = match rest {
        [] if method.len() <= METHOD_BYTES_MAX => return Verdict::Maybe,
        [b' ', rest @ ..] if (1..=METHOD_BYTES_MAX).contains(&method.len()) => rest,
        _ => return Verdict::No,
    };
    let length = rest.iter().take_while(|byte| **byte > b' ' && **byte != 0x7f).count();
    let (target, rest) = rest.split_at(length);
    match rest {
        [] => Verdict::Maybe,
        [b' ', version @ ..] if !target.is_empty() => begins_with(version, b"HTTP/1."),
        // HTTP/0.9. A command of Redis looks the same but for the path.
        [b'\r' | b'\n', ..] if method == b"GET" && target.starts_with(b"/") => Verdict::Yes,
        _ => Verdict::No,
    }
}

fn socks4(bytes: &[u8]) -> Verdict {
    const USER_BYTES_MAX: usize = 255;
    match fixed(bytes, &[|byte| byte == 4, |byte| matches!(byte, 1 | 2)]) {
        Verdict::Yes => {}
        verdict => return verdict,
    }
    let user = bytes.get(8..).unwrap_or_default();
    match user.iter().take(USER_BYTES_MAX + 1).position(|byte| *byte == 0) {
        Some(_) => Verdict::Yes,
        None if user.len() <= USER_BYTES_MAX => Verdict::Maybe,
        None => Verdict::No,
    }
}

fn socks5(bytes: &[u8]) -> Verdict {
    match *bytes {
        [] | [5] => Verdict::Maybe,
        [5, methods, ref rest @ ..] if methods > 0 => match rest.len() >= methods.into() {
            true => Verdict::Yes,
            false => Verdict::Maybe,
        },
        _ => Verdict::No,
    }
}

fn rdp(bytes: &[u8]) -> Verdict {
    let any = |_| true;
    fixed(
        bytes,
        &[
            |byte| byte == 3,
            |byte| byte == 0,
            any,
            any,
            |byte| byte >= 6,
            |byte| byte & 0xf0 == 0xe0,
            |byte| byte == 0,
            |byte| byte == 0,
        ],
    )
}

fn xmpp(bytes: &[u8]) -> Verdict {
    const OPENING: &[u8] = b"<stream:stream";
    const BLANKS_MAX: usize = 64;
    const DECLARATION_BYTES_MAX: usize = 256;

    let behind_blanks = |bytes: &[u8]| {
        bytes.iter().take(BLANKS_MAX).take_while(|byte| byte.is_ascii_whitespace()).count()
    };
    let bytes = &bytes[behind_blanks(bytes)..];
    let declared = begins_with(bytes, b"<?xml");
    if declared != Verdict::Yes {
        return declared.or(begins_with(bytes, OPENING));
    }
    let end = bytes.windows(2).take(DECLARATION_BYTES_MAX).position(|pair| pair == b"?>");
    match end {
        Some(end) => {
            let rest = &bytes[end + 2..];
            begins_with(&rest[behind_blanks(rest)..], OPENING)
        }
        None if bytes.len() <= DECLARATION_BYTES_MAX => Verdict::Maybe,
        None => Verdict::No,
    }
}

/// `*3 CR LF $`, the beginning of an array of strings.
fn redis(bytes: &[u8]) -> Verdict {
    const DIGITS_MAX: usize = 7;
    let rest = match bytes {
        [] => return Verdict::Maybe,
        [b'*', rest @ ..] => rest,
        _ => return Verdict::No,
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match (digits, rest.len() == digits) {
        (0..=DIGITS_MAX, true) => Verdict::Maybe,
        (1..=DIGITS_MAX, false) => begins_with(&rest[digits..], b"\r\n$"),
        _ => Verdict::No,
    }
}

fn mqtt(bytes: &[u8]) -> Verdict {
    const HEADS: [&[u8]; 3] = [b"\0\x04MQTT\x04", b"\0\x04MQTT\x05", b"\0\x06MQIsdp\x03"];
    const LENGTH_BYTES_MAX: usize = 4;
    let rest = match bytes {
        [] => return Verdict::Maybe,
        [0x10, rest @ ..] => rest,
        _ => return Verdict::No,
    };
    // Seven bits a byte; the last one has its highest bit clear.
    let length = rest.iter().take(LENGTH_BYTES_MAX).position(|byte| byte & 0x80 == 0);
    match length {
        Some(last) => any_of(&rest[last + 1..], &HEADS, |byte| byte),
        None if rest.len() < LENGTH_BYTES_MAX => Verdict::Maybe,
        None => Verdict::No,
    }
}

/// A hard reset, by which a client begins, in any of its versions.
fn openvpn(packet: &[u8]) -> Verdict {
    const SHORTEST: usize = 14;
    match packet.first() {
        // Opcode and key 0: versions 1, 2 and 3 of the reset.
        Some(0x08 | 0x38 | 0x50) if packet.len() >= SHORTEST => Verdict::Yes,
        None | Some(0x08 | 0x38 | 0x50) => Verdict::Maybe,
        Some(_) => Verdict::No,
    }
}

fn wireguard(packet: &[u8]) -> Verdict {
    const INITIATION_BYTES: usize = 148;
    match packet.len() == INITIATION_BYTES && packet.starts_with(&[1, 0, 0, 0]) {
        true => Verdict::Yes,
        false => Verdict::No,
    }
}

/// A query or a notification (RFC 1035, RFC 1996) with its one question.
fn dns(message: &[u8]) -> Verdict {
    let any = |_| true;
    let zero = |byte| byte == 0;
    let head = fixed(
        message,
        &[
            any,
            any,
            |byte| matches!(byte & 0xf8, 0 | 0x20),
            |byte| byte & 0x4f == 0,
            zero,
            |byte| byte == 1,
            zero,
            |byte| byte <= 1,
            zero,
            zero,
            zero,
            |byte| byte <= 2,
        ],
    );
    if head != Verdict::Yes {
        return head;
    }
    let mut at = 12;
    loop {
        match message.get(at) {
            None => return Verdict::Maybe,
            Some(0) => break,
            Some(length @ 1..=63) => at += 1 + usize::from(*length),
            Some(_) => return Verdict::No,
        }
        if at - 12 > 254 {
            return Verdict::No;
        }
    }
    // Type and class: the Internet, what few others there were, none and any.
    let class = |byte| matches!(byte, 1 | 3 | 4 | 254 | 255);
    let high = |byte| byte & 0x7f == 0;
    fixed(&message[at + 1..], &[any, any, high, class])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Protocol; 16] = [
        Protocol::Tls,
        Protocol::Http,
        Protocol::Ssh,
        Protocol::Socks4,
        Protocol::Socks5,
        Protocol::Postgres,
        Protocol::Rdp,
        Protocol::Xmpp,
        Protocol::SmtpClient,
        Protocol::Redis,
        Protocol::Mqtt,
        Protocol::Git,
        Protocol::OpenVpn,
        Protocol::Dns,
        Protocol::Proxy,
        Protocol::WireGuard,
    ];

    /// Beginnings as clients send them, and after how many bytes they are certain.
    fn samples() -> Vec<(Protocol, Vec<u8>, usize)> {
        let text = |protocol, text: &str, certain| (protocol, text.as_bytes().to_vec(), certain);
        let mut openvpn = vec![0, 14, 0x38];
        openvpn.extend([9; 8]);
        openvpn.extend([0; 5]);
        let mut dns = vec![0, 29, 0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        dns.extend(b"\x07example\x03com\0\0\x01\0\x01");
        let mut rdp = vec![3, 0, 0, 42, 37, 0xe0, 0, 0, 0, 0, 0];
        rdp.extend(b"Cookie: mstshash=alice\r\n");
        vec![
            (Protocol::Tls, vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], 6),
            text(Protocol::Http, "GET / HTTP/1.1\r\n", 13),
            text(Protocol::Http, "\r\nGET /\r\n", 8),
            text(Protocol::Http, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 18),
            text(Protocol::Ssh, "SSH-2.0-OpenSSH_9.2p1\r\n", 4),
            (Protocol::Socks4, b"\x04\x01\x00\x50\x0a\x00\x00\x01me\0behind".to_vec(), 11),
            (Protocol::Socks5, vec![5, 2, 0, 2, 5, 1, 0], 4),
            (Protocol::Postgres, postgres::TLS_REQUEST.to_vec(), 8),
            (Protocol::Rdp, rdp, 8),
            text(Protocol::Xmpp, "<?xml version='1.0'?>\n<stream:stream to='a'>", 36),
            text(Protocol::Xmpp, " <stream:stream to='a'>", 15),
            text(Protocol::SmtpClient, "ehlo client.example\r\n", 5),
            text(Protocol::Redis, "*1\r\n$4\r\nPING\r\n", 5),
            text(Protocol::Redis, "ping\r\n", 6),
            (Protocol::Mqtt, b"\x10\x8c\x01\x00\x04MQTT\x05\x02".to_vec(), 10),
            (Protocol::Mqtt, b"\x10\x0e\x00\x06MQIsdp\x03\x02".to_vec(), 11),
            text(Protocol::Git, "0026git-upload-pack /a b.git\0host=x:1\0", 20),
            (Protocol::OpenVpn, openvpn, 16),
            (Protocol::Dns, dns, 31),
            text(Protocol::Proxy, "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", 11),
            (Protocol::Proxy, b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec(), 12),
        ]
    }

    #[test]
    fn each_is_known_as_soon_as_it_can_be_and_for_nothing_else() {
        for (protocol, bytes, certain) in samples() {
            for end in 0..=bytes.len() {
                let expected = if end < certain { Verdict::Maybe } else { Verdict::Yes };
                let verdict = recognise(protocol, &bytes[..end], Carrier::Stream);
                assert_eq!(verdict, expected, "{protocol:?} after {end} bytes");
            }
            for other in ALL.into_iter().filter(|other| *other != protocol) {
                let verdict = recognise(other, &bytes, Carrier::Stream);
                assert_eq!(verdict, Verdict::No, "{protocol:?} as {other:?}");
            }
        }
    }

    #[test]
    fn datagrams_are_whole() {
        for (protocol, bytes, _) in samples() {
            let verdict = recognise(protocol, &bytes[2..], Carrier::Datagram);
            let expected = matches!(protocol, Protocol::OpenVpn | Protocol::Dns);
            assert_eq!(verdict == Verdict::Yes, expected, "{protocol:?}");
            let half = recognise(protocol, &bytes[2..bytes.len() - 1], Carrier::Datagram);
            assert_eq!(half, Verdict::No, "{protocol:?}");
        }
        let mut initiation = vec![1, 0, 0, 0];
        initiation.resize(148, 7);
        let wireguard = |bytes: &[u8], carrier| recognise(Protocol::WireGuard, bytes, carrier);
        assert_eq!(wireguard(&initiation, Carrier::Datagram), Verdict::Yes);
        assert_eq!(wireguard(&initiation[..147], Carrier::Datagram), Verdict::No);
        assert_eq!(wireguard(&initiation, Carrier::Stream), Verdict::No);
    }

    #[test]
    fn silence_may_be_anything_but_wireguard() {
        for protocol in ALL {
            let expected = match protocol {
                Protocol::WireGuard => Verdict::No,
                _ => Verdict::Maybe,
            };
            assert_eq!(recognise(protocol, b"", Carrier::Stream), expected, "{protocol:?}");
        }
    }

    #[test]
    fn what_is_endless_is_nothing() {
        let endless: [(Protocol, Vec<u8>); 8] = [
            (Protocol::Http, vec![b'A'; 33]),
            (Protocol::Socks4, [&[4, 1, 0, 0, 0, 0, 0, 0][..], &[b'u'; 256]].concat()),
            (Protocol::Xmpp, [&b"<?xml"[..], &[b' '; 256]].concat()),
            (Protocol::Xmpp, vec![b' '; 65]),
            (Protocol::Redis, [&b"*"[..], &[b'1'; 8]].concat()),
            (Protocol::Mqtt, vec![0x10, 0x80, 0x80, 0x80, 0x80]),
            (Protocol::Dns, [&[16, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &[1; 260]].concat()),
            (Protocol::Redis, b"*1\r\n:1".to_vec()),
        ];
        for (protocol, bytes) in endless {
            let verdict = recognise(protocol, &bytes, Carrier::Stream);
            assert_eq!(verdict, Verdict::No, "{protocol:?}");
        }
    }

    proptest! {
        /// A verdict is never taken back, of whatever beginning with whatever behind it.
        #[test]
        fn a_verdict_stays(
            sample in 0usize..21,
            cut in any::<prop::sample::Index>(),
            broken in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
            more in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let (_, mut bytes, _) = samples().swap_remove(sample);
            if let Some((at, byte)) = broken {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            let before = ALL.map(|protocol| recognise(protocol, &bytes, Carrier::Stream));
            bytes.extend(more);
            for (protocol, before) in ALL.into_iter().zip(before) {
                let after = recognise(protocol, &bytes, Carrier::Stream);
                prop_assert!(before == Verdict::Maybe || before == after, "{:?}", protocol);
            }
        }
    }
}
