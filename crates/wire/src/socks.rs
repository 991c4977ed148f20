//! SOCKS: asking a proxy for a connection, and being asked. Version 4 with its extension 4A
//! ([`v4`]), and version 5 with user name and password ([`v5`]; RFC 1928, RFC 1929).
//!
//! Both sides are here, each message with its writer and its reader. Host names are kept to what
//! can stand in a host name, whoever sends them: visible ASCII. Of commands only `CONNECT` is of
//! use to a forwarder; the others are told apart so that they can be refused in order.

pub mod v4;
pub mod v5;

use std::fmt;
use std::net::SocketAddr;

/// Longest host name that SOCKS can carry, in bytes.
pub const HOST_BYTES_MAX: usize = 255;

/// Longest message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 8 + 2 * (255 + 1);

/// Where a proxy is asked to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target<'a> {
    /// A numeric address.
    Ip(SocketAddr),
    /// A host that the proxy resolves, and a port: 1 to [`HOST_BYTES_MAX`] visible characters of
    /// ASCII.
    Name(&'a str, u16),
}

/// What a proxy is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// To connect.
    Connect,
    /// To wait for a connection.
    Bind,
    /// To pass datagrams on; of version 5 only.
    UdpAssociate,
    /// Anything else.
    Other(u8),
}

impl From<u8> for Command {
    fn from(code: u8) -> Self {
        match code {
            1 => Self::Connect,
            2 => Self::Bind,
            3 => Self::UdpAssociate,
            code => Self::Other(code),
        }
    }
}

/// Why bytes are not the message that should come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foreign {
    /// Another version, or another protocol.
    Version,
    /// No address of a kind that is known.
    AddressKind,
    /// What stands for a host name is none.
    Name,
    /// What stands for a user name is longer than any, or empty where it may not be.
    User,
    /// A port of 0.
    Port,
}

/// For people: `another version`.
impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "another version, or another protocol",
            Self::AddressKind => "no known kind of address",
            Self::Name => "a wrong host name",
            Self::User => "a wrong user name or password",
            Self::Port => "the port 0",
        })
    }
}

/// A host name as a peer sends it.
fn host(bytes: &[u8]) -> Result<&str, Foreign> {
    let is_sound = (1..=HOST_BYTES_MAX).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_graphic());
    match std::str::from_utf8(bytes) {
        Ok(host) if is_sound => Ok(host),
        _ => Err(Foreign::Name),
    }
}

/// A port to connect to.
fn port(bytes: [u8; 2]) -> Result<u16, Foreign> {
    match u16::from_be_bytes(bytes) {
        0 => Err(Foreign::Port),
        port => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::fmt::Debug;

    use super::*;
    use crate::Parse;

    /// Cut anywhere `message` is a good beginning, and whole with whatever follows it.
    #[track_caller]
    pub(super) fn check_pieces<'a, T: PartialEq + Debug>(
        message: &'a [u8],
        value: T,
        read: impl Fn(&'a [u8]) -> Parse<T, Foreign>,
    ) {
        for end in 0..message.len() {
            assert_eq!(read(&message[..end]), Parse::Partial, "{end} of {message:?}");
        }
        assert_eq!(read(message), Parse::Whole { value, length: message.len() }, "{message:?}");
    }

    proptest! {
        /// What has been told once stays true when more comes.
        #[test]
        fn any_bytes_are_read_and_never_taken_back(
            first in prop::sample::select(vec![0u8, 1, 4, 5, 71]),
            bytes in prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 3, 4, 97, 255]), 0..24),
            more in prop::collection::vec(any::<u8>(), 1..300),
        ) {
            let mut begun = vec![first];
            begun.extend(bytes);
            let mut whole = begun.clone();
            whole.extend(more);
            macro_rules! holds {
                ($($read:path),*) => {$(
                    let before = $read(&begun);
                    if let Parse::Whole { length, .. } = before {
                        prop_assert!(length <= begun.len());
                    }
                    if before != Parse::Partial {
                        prop_assert_eq!(before, $read(&whole));
                    }
                    if let Parse::Partial = $read(&whole) {
                        prop_assert!(whole.len() < super::MESSAGE_BYTES_MAX);
                    }
                )*};
            }
            holds!(v4::read_request, v4::read_reply, v5::read_greeting, v5::read_choice);
            holds!(v5::read_credentials, v5::read_verdict, v5::read_request, v5::read_reply);
        }
    }
}
