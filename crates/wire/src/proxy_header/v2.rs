//! Version 2: binary, with TLVs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::tlv::CRC32C_BYTES;
use super::{
    Foreign, Header, Kind, Subject, TlvBuffer, Tlvs, TooLong, Transport, UNIX_BYTES_MAX, Version,
    crc32c,
};
use crate::Parse;

pub(super) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What comes before the addresses: the signature, version and command, family, and length.
pub(super) const HEAD_BYTES: usize = 16;

const VERSION: u8 = 0x2;
const LOCAL: u8 = 0x0;
const PROXY: u8 = 0x1;

/// Reads what begins with the signature.
pub(super) fn read(bytes: &[u8]) -> Parse<Header<'_>, Foreign> {
    let Some(&[version, family, high, low]) = bytes.get(SIGNATURE.len()..HEAD_BYTES) else {
        return match bytes.get(SIGNATURE.len()) {
            Some(version) if version >> 4 != VERSION => Parse::Foreign(Foreign::Version),
            _ => Parse::Partial,
        };
    };
    if version >> 4 != VERSION {
        return Parse::Foreign(Foreign::Version);
    }
    let length = HEAD_BYTES + usize::from(u16::from_be_bytes([high, low]));
    let header = match version & 0xf {
        LOCAL => Ok((Subject::Local, Tlvs::default())),
        PROXY => match Family::of(family) {
            None => Err(Foreign::Family),
            Some(family) if HEAD_BYTES + family.bytes() > length => Err(Foreign::Addresses),
            Some(_) if bytes.len() < length => return Parse::Partial,
            Some(family) => family.read(&bytes[..length]),
        },
        _ => Err(Foreign::Command),
    };
    match header {
        Ok(_) if bytes.len() < length => Parse::Partial,
        Ok((subject, tlvs)) => {
            Parse::Whole { value: Header { version: Version::V2, subject, tlvs }, length }
        }
        Err(fault) => Parse::Foreign(fault),
    }
}

/// Kinds of addresses, and what they are carried by.
#[derive(Clone, Copy)]
enum Family {
    Unknown,
    V4(Transport),
    V6(Transport),
    Unix(Transport),
}

impl Family {
    fn of(byte: u8) -> Option<Self> {
        let transport = match byte & 0xf {
            0 => None,
            1 => Some(Transport::Stream),
            2 => Some(Transport::Datagram),
            _ => return None,
        };
        match byte >> 4 {
            // Some senders tell the transport beside a family that they do not tell.
            0 => Some(Self::Unknown),
            1 => transport.map(Self::V4),
            2 => transport.map(Self::V6),
            3 => transport.map(Self::Unix),
            _ => None,
        }
    }

    /// How many bytes its addresses take.
    fn bytes(self) -> usize {
        match self {
            Self::Unknown => 0,
            Self::V4(_) => 12,
            Self::V6(_) => 36,
            Self::Unix(_) => 2 * UNIX_BYTES_MAX,
        }
    }

    /// Reads a whole header of this family, which has room for its addresses.
    fn read(self, header: &[u8]) -> Result<(Subject<'_>, Tlvs<'_>), Foreign> {
        let (addresses, tlvs) = header[HEAD_BYTES..].split_at(self.bytes());
        let subject = match self {
            Self::Unknown => Subject::Unknown,
            Self::V4(transport) => ip::<4>(transport, addresses),
            Self::V6(transport) => ip::<16>(transport, addresses),
            Self::Unix(transport) => {
                let (client, server) = addresses.split_at(UNIX_BYTES_MAX);
                Subject::Unix { transport, client: name(client), server: name(server) }
            }
        };
        match Tlvs::read(tlvs) {
            Ok(tlvs) => {
                check(header, tlvs)?;
                Ok((subject, tlvs))
            }
            // Addresses of a family that is not told, which are to be ignored.
            Err(_) if subject == Subject::Unknown => Ok((subject, Tlvs::default())),
            Err(fault) => Err(fault),
        }
    }
}

/// Two addresses of `N` bytes, and two ports.
fn ip<const N: usize>(transport: Transport, bytes: &[u8]) -> Subject<'static>
where
    IpAddr: From<[u8; N]>,
{
    let address = |at: usize| {
        let mut octets = [0; N];
        octets.copy_from_slice(&bytes[at..at + N]);
        IpAddr::from(octets)
    };
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    Subject::Ip {
        transport,
        client: SocketAddr::new(address(0), port(2 * N)),
        server: SocketAddr::new(address(N), port(2 * N + 2)),
    }
}

/// The name of a unix socket without the zeros that fill it up. One that begins with a zero, in
/// the abstract namespace, may have others within.
fn name(field: &[u8]) -> &[u8] {
    let end = match field {
        [0, ..] => field.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1),
        _ => field.iter().position(|byte| *byte == 0).unwrap_or(field.len()),
    };
    &field[..end]
}

/// Whether the checksum is right, if there is one.
fn check(header: &[u8], tlvs: Tlvs<'_>) -> Result<(), Foreign> {
    let mut sums = tlvs.iter().filter(|tlv| tlv.kind == Kind::CRC32C);
    let Some(sum) = sums.next() else { return Ok(()) };
    // Within the header, as all of its TLVs are.
    let at = sum.value.as_ptr().addr() - header.as_ptr().addr();
    let (before, rest) = header.split_at(at);
    let after = &rest[CRC32C_BYTES..];
    let found = crc32c::sum(&[before, &[0; CRC32C_BYTES], after]);
    let is_right = sum.value == found.to_be_bytes() && sums.next().is_none();
    if is_right { Ok(()) } else { Err(Foreign::Checksum) }
}

/// Whether a header carries a checksum of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// It does not.
    #[default]
    Absent,
    /// It does, behind the other TLVs.
    Crc32c,
}

/// Appends a header of version 2. Two addresses of different families are both written as IPv6.
/// Names of unix sockets are cut to [`UNIX_BYTES_MAX`]. `tlvs` should hold no checksum.
///
/// # Errors
/// When there is no room for the TLVs; nothing is appended then.
pub fn write(
    out: &mut Vec<u8>,
    subject: &Subject<'_>,
    tlvs: &TlvBuffer,
    checksum: Checksum,
) -> Result<(), TooLong> {
    let family = |high: u8, transport: &Transport| match transport {
        Transport::Stream => high << 4 | 1,
        Transport::Datagram => high << 4 | 2,
    };
    let mut block = Vec::new();
    let (command, family) = match subject {
        Subject::Local => (LOCAL, 0),
        Subject::Unknown => (PROXY, 0),
        Subject::Ip { transport, client, server } => {
            let high = match (client.ip(), server.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    block.extend_from_slice(&from.octets());
                    block.extend_from_slice(&to.octets());
                    1
                }
                (from, to) => {
                    block.extend_from_slice(&mapped(from).octets());
                    block.extend_from_slice(&mapped(to).octets());
                    2
                }
            };
            block.extend_from_slice(&client.port().to_be_bytes());
            block.extend_from_slice(&server.port().to_be_bytes());
            (PROXY, family(high, transport))
        }
        Subject::Unix { transport, client, server } => {
            for name in [client, server] {
                let length = name.len().min(UNIX_BYTES_MAX);
                block.extend_from_slice(&name[..length]);
                block.resize(block.len() + UNIX_BYTES_MAX - length, 0);
            }
            (PROXY, family(3, transport))
        }
    };
    block.extend_from_slice(tlvs.as_bytes());
    if checksum == Checksum::Crc32c {
        block.extend_from_slice(&[Kind::CRC32C.0, 0, 4]);
        block.extend_from_slice(&[0; CRC32C_BYTES]);
    }
    let length = u16::try_from(block.len()).map_err(|_| TooLong)?;
    let begin = out.len();
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[VERSION << 4 | command, family]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&block);
    if checksum == Checksum::Crc32c {
        let sum = crc32c::sum(&[&out[begin..]]);
        let at = out.len() - CRC32C_BYTES;
        out[at..].copy_from_slice(&sum.to_be_bytes());
    }
    Ok(())
}

pub(super) fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::to_ipv6_mapped(&address),
        IpAddr::V6(address) => address,
    }
}
