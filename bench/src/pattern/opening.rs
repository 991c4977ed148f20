//! What a client says first, and has sent back to it: as many bytes as a real one would say, with what routes
//! look at, and with bytes that depend on connection and request.

use crate::pattern;
use crate::scenario::{HOSTS, NAMES};

/// Bytes of a ClientHello, as browsers pad theirs (RFC 7685).
const HELLO: usize = 517;
/// Where the 32 random bytes of a ClientHello are: behind the heads of record and message and the version.
const RANDOM: std::ops::Range<usize> = 11..43;
/// Bytes before a message in its record, and before the body in a message.
const RECORD_HEAD: usize = 5;
const MESSAGE_HEAD: usize = 4;
/// Digits of a number in a name.
const DIGITS: usize = 5;

/// What goes over a connection, there and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// One byte.
    Byte,
    /// A ClientHello.
    Hello,
    /// The head of an HTTP request.
    Request,
}

impl Opening {
    /// The bytes for request `sequence` on `connection`.
    pub(crate) fn message(self, connection: u64, sequence: u64) -> Vec<u8> {
        match self {
            Self::Byte => vec![pattern::echo_byte(connection, sequence, 0)],
            Self::Hello => hello(connection, sequence),
            Self::Request => format!(
                "GET /{sequence} HTTP/1.1\r\nHost: {}\r\nUser-Agent: bench\r\nX-Connection: \
                 {connection}\r\n\r\n",
                host(connection % HOSTS)
            )
            .into_bytes(),
        }
    }
}

/// One of the [`NAMES`] names of servers.
pub(crate) fn name(number: u64) -> String {
    format!("server-{number:0DIGITS$}.bench.example")
}

/// One of the [`HOSTS`] hosts.
pub(crate) fn host(number: u64) -> String {
    format!("host-{number:0DIGITS$}.bench.example")
}

/// A ClientHello (RFC 8446, section 4.1.2) of [`HELLO`] bytes.
fn hello(connection: u64, sequence: u64) -> Vec<u8> {
    let name = name(connection % NAMES).into_bytes();
    let entry = [&[0], &length(&name)[..], &name].concat();
    let share = [&[0, 36, 0, 29, 0, 32][..], &[0x33; 32]].concat();
    let mut extensions = [
        extension(0, &[&length(&entry)[..], &entry].concat()),
        extension(10, &[0, 4, 0, 29, 0, 23]),
        extension(13, &[0, 4, 4, 3, 8, 4]),
        extension(16, b"\x00\x0c\x02h2\x08http/1.1"),
        extension(43, &[4, 3, 4, 3, 3]),
        extension(51, &share),
    ]
    .concat();
    let mut start = [&[3, 3][..], &[0; 32], &[32], &[0x55; 32]].concat();
    start.extend([0, 6, 0x13, 1, 0x13, 2, 0xc0, 0x2b, 1, 0]);
    let heads = RECORD_HEAD + MESSAGE_HEAD + start.len() + 2 + extensions.len() + 4;
    extensions.extend(extension(21, &vec![0; HELLO - heads]));
    start.extend(length(&extensions));
    start.extend(extensions);
    let message = [&[1, 0][..], &length(&start), &start].concat();
    let mut record = [&[22, 3, 1][..], &length(&message), &message].concat();
    pattern::fill(&mut record[RANDOM], connection, sequence);
    record
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &length(body), body].concat()
}

fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).expect("it is a small message").to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_one_and_names_its_server() {
        let bytes = Opening::Hello.message(NAMES + 7, 1);
        assert_eq!(bytes.len(), HELLO);
        let wire::Parse::Whole { value, length } = wire::tls::read_client_hello(&bytes) else {
            panic!("it is whole");
        };
        assert_eq!(length, HELLO);
        assert_eq!(value.server_name.as_deref(), Some("server-00007.bench.example"));
        assert_ne!(bytes, Opening::Hello.message(NAMES + 7, 2));
    }
}
