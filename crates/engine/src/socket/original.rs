//! Where clients meant to go that the kernel has diverted to us.
//!
//! Somebody who was not diverted, or who meant to go to one of our own listeners, must not be sent
//! on: that connection would arrive here as well, be sent on, and so forth until descriptors run out.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::BorrowedFd;

use model::Transparent;
use socket2::SockRef;

use super::{canonical, local_address};

/// Where a client meant to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Original {
    /// There.
    At(SocketAddr),
    /// There, where we listen ourselves.
    Ours(SocketAddr),
    /// It was not diverted.
    Undiverted,
}

impl Original {
    /// Where the client behind a socket meant to go that came to a listener of this kind. `own`: the
    /// addresses that we listen on; one that stands for all is any address of this machine.
    pub(crate) fn of(client: BorrowedFd<'_>, transparent: Transparent, own: &[SocketAddr]) -> Self {
        let Some(here) = local_address(client) else { return Self::Undiverted };
        let meant = match transparent {
            Transparent::Tproxy => here,
            Transparent::Redirect => match translated(client, here.is_ipv4()) {
                Some(meant) if meant != here => meant,
                _ => return Self::Undiverted,
            },
        };
        match is_own(meant, own, is_local) {
            true => Self::Ours(meant),
            false => Self::At(meant),
        }
    }

    /// The address, if there is one.
    pub(crate) fn address(self) -> Option<SocketAddr> {
        match self {
            Self::At(address) | Self::Ours(address) => Some(address),
            Self::Undiverted => None,
        }
    }
}

/// What connection tracking remembers of a client whose address of ours was translated.
fn translated(client: BorrowedFd<'_>, is_ipv4: bool) -> Option<SocketAddr> {
    let client = SockRef::from(&client);
    let meant = match is_ipv4 {
        true => client.original_dst_v4(),
        false => client.original_dst_v6(),
    };
    meant.ok()?.as_socket().map(canonical)
}

/// `is_local`: whether an address is this machine's.
pub(crate) fn is_own(
    address: SocketAddr,
    own: &[SocketAddr],
    is_local: impl Fn(IpAddr) -> bool,
) -> bool {
    own.iter()
        .filter(|own| own.port() == address.port())
        .any(|own| own.ip() == address.ip() || own.ip().is_unspecified() && is_local(address.ip()))
}

/// Whether what is sent to `ip` arrives on this machine: it would leave from there as well. No
/// packet is sent to find out.
pub(crate) fn is_local(ip: IpAddr) -> bool {
    let leaves_from = || -> io::Result<IpAddr> {
        let anywhere = match ip {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((anywhere, 0))?;
        socket.connect((ip, 9))?;
        Ok(socket.local_addr()?.ip())
    };
    // All of 127.0.0.0/8 leaves from one address.
    ip.is_loopback() || leaves_from().is_ok_and(|from| from == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, own: &[&str], expected: bool) {
        let parse = |text: &&str| text.parse().expect("an address");
        let own: Vec<_> = own.iter().map(parse).collect();
        let is_local = |ip: IpAddr| ["10.0.0.1", "2001:db8::1"].contains(&&*ip.to_string());
        assert_eq!(is_own(parse(&address), &own, is_local), expected, "{address} {own:?}");
    }

    #[test]
    fn our_own_addresses() {
        check("10.0.0.1:80", &["10.0.0.1:80"], true);
        check("10.0.0.1:80", &["10.0.0.1:81", "10.0.0.2:80"], false);
        check("10.0.0.1:80", &["[::]:80"], true);
        check("[2001:db8::1]:80", &["[::]:80"], true);
        check("10.0.0.1:80", &["0.0.0.0:80"], true);
        check("10.0.0.2:80", &["[::]:80", "0.0.0.0:80"], false);
        check("10.0.0.1:81", &["[::]:80"], false);
        check("10.0.0.1:80", &[], false);
    }

    #[test]
    fn local_addresses() {
        for (ip, expected) in [("127.0.0.1", true), ("127.9.9.9", true), ("192.0.2.1", false)] {
            assert_eq!(is_local(ip.parse().expect("an address")), expected, "{ip}");
        }
    }
}
