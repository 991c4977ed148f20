//! Headers of all shapes: whole, in pieces, broken, written and read again.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A header of version 2 with any head.
fn raw(version: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = v2::SIGNATURE.to_vec();
    bytes.extend_from_slice(&[version, family]);
    bytes.extend_from_slice(&u16::try_from(block.len()).expect("short").to_be_bytes());
    bytes.extend_from_slice(block);
    bytes
}

/// All that is known before all of it is there, and that nothing is read beyond.
#[track_caller]
fn whole(bytes: &[u8]) -> Header<'_> {
    let Parse::Whole { value, length } = read(bytes) else {
        panic!("{:?} of {}", read(bytes), bytes.escape_ascii());
    };
    assert_eq!(length, bytes.len());
    for end in 0..length {
        assert_eq!(read(&bytes[..end]), Parse::Partial, "{end} of {length}");
        let begins = begins(&bytes[..end]);
        assert!(begins != Verdict::No, "{end}");
    }
    let behind = [bytes, b"\r\nGET / HTTP/1.1\r\n"].concat();
    assert!(matches!(read(&behind), Parse::Whole { length, .. } if length == bytes.len()));
    value
}

#[track_caller]
fn foreign(bytes: &[u8], fault: Foreign) {
    assert_eq!(read(bytes), Parse::Foreign(fault), "{}", bytes.escape_ascii());
    // Known for sure means that nothing that still comes changes it.
    let more = [bytes, &[0; 300]].concat();
    assert_eq!(read(&more), Parse::Foreign(fault), "{}", bytes.escape_ascii());
}

fn ip(client: &str, server: &str) -> Subject<'static> {
    let (client, server) = (client.parse().expect("sound"), server.parse().expect("sound"));
    Subject::Ip { transport: Transport::Stream, client, server }
}

#[test]
fn lines_of_version_1() {
    fn subject(line: &[u8]) -> Subject<'_> {
        whole(line).subject
    }

    let v4 = ip("192.168.0.1:56324", "192.168.0.11:443");
    assert_eq!(subject(b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"), v4);
    let longest = b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                    ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    let all = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
    assert_eq!(subject(longest), ip(all, all));
    assert_eq!(subject(b"PROXY UNKNOWN\r\n"), Subject::Unknown);
    assert_eq!(subject(b"PROXY UNKNOWN ffff:: \0what else\r\n"), Subject::Unknown);
    assert_eq!(subject(b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), ip("0.0.0.0:0", "0.0.0.0:0"));
}

#[test]
fn lines_that_are_none() {
    for line in [
        "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443 \r\n",
        "PROXY TCP4  192.168.0.1 192.168.0.11 56324 443\r\n",
        "PROXY TCP4 192.168.0.1 192.168.0.11 56324\r\n",
        "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443 80\r\n",
        "PROXY TCP4 192.168.0.1 192.168.0.11 56324 65536\r\n",
        "PROXY TCP4 192.168.0.1 192.168.0.11 056324 443\r\n",
        "PROXY TCP4 192.168.0.1 192.168.0.11 +5 443\r\n",
        "PROXY TCP4 192.168.0.1 192.168.0.11 5 \r\n",
        "PROXY TCP4 192.168.0.256 192.168.0.11 5 6\r\n",
        "PROXY TCP4 192.168.00.1 192.168.0.11 5 6\r\n",
        "PROXY TCP4 ::1 ::1 5 6\r\n",
        "PROXY TCP6 192.168.0.1 192.168.0.11 5 6\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 5 6\r\n",
        "PROXY TCP4 \r\n",
        "PROXY TCP4 192.168.0.1 192.168.0.11 5 6\n\r\n",
        "PROXY UNKNOWNS\r\n",
    ] {
        foreign(line.as_bytes(), Foreign::Line);
    }
    for begin in ["PROXY TCP4 192.0.2.1 192.0.2.2 5 6\n", "PROXY TCP6 ::1\r ", "PROXY TCP4 \0"] {
        foreign(begin.as_bytes(), Foreign::Line);
    }
    for begin in ["PROXY UDP4 ", "PROXY tcp4 ", "PROXY  ", "PROXY \r\n"] {
        foreign(begin.as_bytes(), Foreign::Line);
    }
    for begin in
        ["GET / HTTP/1.1\r\n", "proxy TCP4 ", "PROXYTCP4", "\r\n\r\n\0\r\nQUIT\r", "\x16\x03\x01"]
    {
        foreign(begin.as_bytes(), Foreign::NotProxy);
        assert_eq!(begins(begin.as_bytes()), Verdict::No);
    }
}

#[test]
fn a_line_without_end_is_given_up() {
    let mut line = b"PROXY UNKNOWN ".to_vec();
    line.resize(V1_BYTES_MAX - 1, b'x');
    assert_eq!(read(&line), Parse::Partial);
    line.push(b'\r');
    foreign(&line, Foreign::TooLong);
    line.truncate(V1_BYTES_MAX - 2);
    line.extend_from_slice(b"\r\n");
    whole(&line);
    line.insert(20, b'x');
    assert_eq!(read(&line), Parse::Foreign(Foreign::TooLong));
}

#[test]
fn every_command_and_family() {
    let block = [0; 216];
    for version in 0..=255_u8 {
        for family in 0..=255_u8 {
            let found = read_owned(&raw(version, family, &block));
            let expected = match (version >> 4, version & 0xf) {
                (2, 0) => Ok(Subject::Local),
                (2, 1) => match family {
                    0x00..=0x02 => Ok(Subject::Unknown),
                    0x11 | 0x12 | 0x21 | 0x22 | 0x31 | 0x32 => continue,
                    _ => Err(Foreign::Family),
                },
                (2, _) => Err(Foreign::Command),
                _ => Err(Foreign::Version),
            };
            assert_eq!(found, expected, "{version:#x} {family:#x}");
        }
    }
}

fn read_owned(bytes: &[u8]) -> Result<Subject<'static>, Foreign> {
    match read(bytes) {
        Parse::Whole { value, .. } => Ok(match value.subject {
            Subject::Local => Subject::Local,
            Subject::Unknown => Subject::Unknown,
            Subject::Ip { transport, client, server } => Subject::Ip { transport, client, server },
            Subject::Unix { transport, .. } => {
                Subject::Unix { transport, client: b"", server: b"" }
            }
        }),
        Parse::Partial => panic!("it is whole"),
        Parse::Foreign(fault) => Err(fault),
    }
}

#[test]
fn every_length() {
    for length in (0..600).chain(65_500..=usize::from(u16::MAX)) {
        // Zeros are TLVs of an unknown type without a value, as long as there are three of each.
        let block = vec![0; length];
        assert_eq!(read_owned(&raw(0x20, 0x11, &block)), Ok(Subject::Local));
        assert_eq!(read_owned(&raw(0x21, 0x00, &block)), Ok(Subject::Unknown));
        let found = read_owned(&raw(0x21, 0x11, &block));
        match length {
            0..12 => assert_eq!(found, Err(Foreign::Addresses)),
            _ if length % 3 == 0 => assert!(found.is_ok(), "{length}"),
            _ => assert_eq!(found, Err(Foreign::Tlv), "{length}"),
        }
    }
}

#[test]
fn faults_are_known_before_the_whole_is_there() {
    let head = |version, family, length: u16| {
        let mut bytes = raw(version, family, &[]);
        bytes[14..].copy_from_slice(&length.to_be_bytes());
        bytes
    };
    foreign(&head(0x21, 0x31, 215), Foreign::Addresses);
    foreign(&head(0x21, 0x21, 35), Foreign::Addresses);
    foreign(&head(0x21, 0x41, 65_535), Foreign::Family);
    foreign(&head(0x22, 0x11, 65_535), Foreign::Command);
    foreign(&head(0x11, 0x11, 65_535)[..13], Foreign::Version);
    assert_eq!(read(&head(0x20, 0xff, 65_535)), Parse::Partial);
}

#[test]
fn tlvs_stay_within_the_header() {
    let block = |tlvs: &[u8]| [&[0; 12], tlvs].concat();
    let faulty: [&[u8]; 8] = [
        &[1],
        &[1, 0],
        &[1, 0, 1],
        &[1, 0xff, 0xff, b'h', b'2'],
        &[4, 0, 0, 2, 0, 5, b'a'],
        &[0x20, 0, 4, 1, 0, 0, 0],
        &[0x20, 0, 8, 1, 0, 0, 0, 0, 0x21, 0, 1],
        &[3, 0, 3, 0, 0, 0],
    ];
    for tlvs in faulty {
        // What follows the header is none of it.
        let bytes = [raw(0x21, 0x11, &block(tlvs)), vec![0; 64]].concat();
        assert_eq!(read(&bytes), Parse::Foreign(Foreign::Tlv), "{tlvs:?}");
    }
    let mut long = vec![5, 0, 129];
    long.resize(3 + 129, b'x');
    assert_eq!(read(&raw(0x21, 0x11, &block(&long))), Parse::Foreign(Foreign::Tlv));
}

#[test]
fn all_that_can_be_told_is_read() {
    let mut fields = TlvBuffer::default();
    fields.push(Kind::SSL_VERSION, b"TLSv1.3").expect("fits");
    fields.push(Kind::SSL_CN, b"alice").expect("fits");
    let mut tlvs = TlvBuffer::default();
    tlvs.push(Kind::ALPN, b"h2").expect("fits");
    tlvs.push(Kind::NOOP, b"").expect("fits");
    tlvs.push(Kind::AUTHORITY, b"a.example").expect("fits");
    tlvs.push(Kind::AUTHORITY, b"b.example").expect("fits");
    tlvs.push_ssl(Ssl::CLIENT_SSL | Ssl::CLIENT_CERT_CONN, 7, &fields).expect("fits");
    tlvs.push(Kind(0xe3), b"mine").expect("fits");
    let mut bytes = Vec::new();
    let subject = ip("[2001:db8::1]:5", "192.0.2.1:6");
    write_v2(&mut bytes, &subject, &tlvs, Checksum::Crc32c).expect("fits");
    let header = whole(&bytes);
    assert_eq!(header.subject, ip("[2001:db8::1]:5", "[::ffff:192.0.2.1]:6"));
    assert_eq!(header.tlvs.get(Kind::ALPN), Some(&b"h2"[..]));
    assert_eq!(header.tlvs.get(Kind::AUTHORITY), Some(&b"a.example"[..]));
    assert_eq!(header.tlvs.get(Kind(0xe3)), Some(&b"mine"[..]));
    assert_eq!(header.tlvs.get(Kind::NETNS), None);
    let ssl = header.tlvs.ssl().expect("told");
    assert_eq!((ssl.client, ssl.verify), (3, 7));
    assert_eq!(ssl.fields.get(Kind::SSL_CN), Some(&b"alice"[..]));
    assert_eq!(ssl.fields.iter().count(), 2);
    // Without its type, the checksum would be none.
    let kind = bytes.len() - 7;
    for at in (0..bytes.len()).filter(|at| *at != kind) {
        let mut other = bytes.clone();
        other[at] ^= 0x10;
        assert!(!matches!(read(&other), Parse::Whole { .. }), "byte {at} does not matter");
    }
}

#[test]
fn a_checksum_stands_once() {
    let mut tlvs = TlvBuffer::default();
    tlvs.push(Kind::CRC32C, &[0; 4]).expect("fits");
    let mut bytes = Vec::new();
    write_v2(&mut bytes, &Subject::Unknown, &tlvs, Checksum::Crc32c).expect("fits");
    assert_eq!(read(&bytes), Parse::Foreign(Foreign::Checksum));
}

#[test]
fn what_does_not_fit_is_not_written() {
    let mut tlvs = TlvBuffer::default();
    assert_eq!(tlvs.push(Kind::NOOP, &vec![0; 65_536]), Err(TooLong));
    assert_eq!(tlvs.push(Kind::NOOP, &vec![0; 65_532]), Ok(()));
    assert_eq!(tlvs.push(Kind::NOOP, b""), Err(TooLong));
    let mut out = Vec::new();
    let v4 = ip("192.0.2.1:6", "192.0.2.1:6");
    assert_eq!(write_v2(&mut out, &v4, &tlvs, Checksum::Absent), Err(TooLong));
    assert!(out.is_empty());
    assert_eq!(write_v2(&mut out, &Subject::Unknown, &tlvs, Checksum::Absent), Ok(()));
    assert_eq!(out.len(), V2_BYTES_MAX);
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![Just(Transport::Stream), Just(Transport::Datagram)]
}

/// The name of a unix socket: of the file system, or abstract.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let path = vec(1..=255_u8, 0..=108);
    let hidden = (vec(any::<u8>(), 0..=106), 1..=255_u8)
        .prop_map(|(name, last)| [&[0], &name[..], &[last]].concat());
    prop_oneof![path, hidden]
}

fn addresses() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let v4 = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
    let v6 = any::<([u8; 16], u16)>().prop_map(SocketAddr::from);
    prop_oneof![(v4.clone(), v4), (v6.clone(), v6)]
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        kind in 0..4_usize,
        transport in transport(),
        (client, server) in addresses(),
        (from, to) in (name(), name()),
        values in vec((any::<u8>(), vec(any::<u8>(), 0..300)), 0..6),
        ssl in proptest::option::of((any::<u8>(), any::<u32>(), vec(any::<u8>(), 0..100))),
        sums in any::<bool>(),
    ) {
        let subject = match kind {
            0 => Subject::Local,
            1 => Subject::Unknown,
            2 => Subject::Ip { transport, client, server },
            _ => Subject::Unix { transport, client: &from, server: &to },
        };
        let mut tlvs = TlvBuffer::default();
        for (kind, value) in &values {
            let value = match Kind(*kind) {
                Kind::CRC32C | Kind::SSL => continue,
                Kind::UNIQUE_ID => &value[..value.len().min(UNIQUE_ID_BYTES_MAX)],
                _ => value,
            };
            tlvs.push(Kind(*kind), value).expect("fits");
        }
        if let Some((client, verify, cipher)) = &ssl {
            let mut fields = TlvBuffer::default();
            fields.push(Kind::SSL_CIPHER, cipher).expect("fits");
            tlvs.push_ssl(*client, *verify, &fields).expect("fits");
        }
        let checksum = if sums { Checksum::Crc32c } else { Checksum::Absent };
        let mut bytes = Vec::new();
        write_v2(&mut bytes, &subject, &tlvs, checksum).expect("fits");
        let header = whole(&bytes);
        prop_assert_eq!(header.version, Version::V2);
        prop_assert_eq!(header.subject, subject);
        if kind != 0 {
            let mut again = TlvBuffer::default();
            for tlv in header.tlvs.iter().filter(|tlv| tlv.kind != Kind::CRC32C) {
                again.push(tlv.kind, tlv.value).expect("fits");
            }
            prop_assert_eq!(again, tlvs);
            prop_assert_eq!(header.tlvs.get(Kind::CRC32C).is_some(), sums);
        }

        let mut line = Vec::new();
        write_v1(&mut line, &subject);
        let header = whole(&line);
        prop_assert_eq!(header.version, Version::V1);
        let is_told = matches!(subject, Subject::Ip { transport: Transport::Stream, .. });
        prop_assert_eq!(header.subject, if is_told { subject } else { Subject::Unknown });
    }

    #[test]
    fn any_bytes_are_read(bytes in vec(any::<u8>(), 0..300), kind in 0..3_usize) {
        let begin: &[u8] = [&b""[..], v2::SIGNATURE, v1::TCP4][kind];
        let bytes = [begin, &bytes].concat();
        if let Parse::Whole { value, length } = read(&bytes) {
            prop_assert!(length <= bytes.len());
            prop_assert!(value.tlvs.iter().count() <= length);
        }
        if let Parse::Foreign(fault) = read(&bytes) {
            let more = [&bytes[..], b"more\r\n"].concat();
            prop_assert_eq!(read(&more), Parse::Foreign(fault));
        }
    }
}
