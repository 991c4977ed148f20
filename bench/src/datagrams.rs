//! Datagrams by the batch: one system call takes or sends many (recvmmsg(2), sendmmsg(2)), so that neither the
//! load generator nor the backend is what limits a candidate.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, setsockopt};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
use socket2::{Domain, Socket, Type};

/// Bytes kept of a datagram; more than any that is sent, so that a longer one is noticed.
const SIZE: usize = 2048;
/// Bytes of the receive buffers of the generator and the backend, so that they lose nothing themselves.
const RECEIVE_BUFFER: usize = 8 << 20;

/// Datagrams that go through one system call together, each with the address it came from.
#[derive(Debug)]
pub(crate) struct Batch {
    headers: MultiHeaders<SockaddrIn>,
    bytes: Vec<[u8; SIZE]>,
    /// Length and sender of those that are in use, from the first on.
    filled: Vec<(usize, Option<SockaddrIn>)>,
}

/// Whether taking waits for a first datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Until there is one.
    First,
    /// Not at all.
    No,
}

impl Batch {
    /// An empty batch with room for `count` datagrams.
    pub(crate) fn new(count: usize) -> Self {
        let headers = MultiHeaders::preallocate(count, None);
        Self { headers, bytes: vec![[0; SIZE]; count], filled: Vec::with_capacity(count) }
    }

    /// Forgets what it holds and takes what `socket` has, as many as there is room for; none is an empty batch.
    ///
    /// # Errors
    /// Those of the socket, among them what became of datagrams sent earlier (ICMP).
    pub(crate) fn take(&mut self, socket: &UdpSocket, wait: Wait) -> io::Result<()> {
        self.filled.clear();
        let flags = match wait {
            Wait::First => MsgFlags::MSG_WAITFORONE,
            Wait::No => MsgFlags::MSG_DONTWAIT,
        };
        let mut slices: Vec<_> =
            self.bytes.iter_mut().map(|bytes| [IoSliceMut::new(bytes)]).collect();
        match recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None) {
            Ok(taken) => self.filled.extend(taken.map(|one| (one.bytes, one.address))),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The datagrams it holds.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.iter().zip(&self.filled).map(|(bytes, (length, _))| &bytes[..*length])
    }

    /// Forgets the empty ones, which nobody meant to send.
    pub(crate) fn keep_full(&mut self) {
        let mut at = 0;
        for index in 0..self.filled.len() {
            if self.filled[index].0 > 0 {
                self.bytes.swap(at, index);
                self.filled.swap(at, index);
                at += 1;
            }
        }
        self.filled.truncate(at);
    }

    /// Forgets what it holds.
    pub(crate) fn clear(&mut self) {
        self.filled.clear();
    }

    /// Room for one more datagram of `length` bytes, for a connected socket; the caller fills all of it.
    pub(crate) fn add(&mut self, length: usize) -> &mut [u8] {
        self.filled.push((length, None));
        &mut self.bytes[self.filled.len() - 1][..length]
    }

    /// Sends what it holds, each to where it came from, if it came from somewhere.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) fn send(&self, socket: &UdpSocket) -> io::Result<()> {
        let slices: Vec<_> = self.datagrams().map(|bytes| [IoSlice::new(bytes)]).collect();
        let to: Vec<_> = self.filled.iter().map(|(_, from)| from.as_ref().map(any)).collect();
        let mut nothing: Vec<_> = slices.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let parts = slices.iter().zip(&to).zip(&mut nothing);
        let mut messages: Vec<_> = parts
            .map(|((slice, to), nothing)| match to {
                Some(to) => MMsgHdr::new_with_addr(to, slice, nothing),
                None => MMsgHdr::new(slice, nothing),
            })
            .collect();
        let mut left = messages.as_mut_slice();
        while !left.is_empty() {
            match sendmmsg(socket, left, SendFlags::empty()) {
                Ok(sent) => left = &mut left[sent..],
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn any(address: &SockaddrIn) -> SocketAddrAny {
    SocketAddr::V4(SocketAddrV4::from(*address)).into()
}

/// A socket at a free port of 127.0.0.1, with a large receive buffer.
///
/// # Errors
/// Those of making and binding it.
pub(crate) fn socket() -> io::Result<UdpSocket> {
    bound(unbound()?, 0)
}

/// `count` sockets that share a port of 127.0.0.1, between which the kernel divides the clients.
///
/// # Errors
/// Those of making and binding them.
pub(crate) fn shared_sockets(count: usize) -> io::Result<(u16, Vec<UdpSocket>)> {
    let mut port = 0;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = unbound()?;
        socket.set_reuse_port(true)?;
        let socket = bound(socket, port)?;
        port = socket.local_addr()?.port();
        sockets.push(socket);
    }
    Ok((port, sockets))
}

fn unbound() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // Only root may exceed net.core.rmem_max; others get as much as that allows.
    setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER)
        .or_else(|_| setsockopt(&socket, RcvBuf, &RECEIVE_BUFFER))?;
    Ok(socket)
}

fn bound(socket: Socket, port: u16) -> io::Result<UdpSocket> {
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_goes_back_to_where_each_datagram_came_from() {
        let (_, echoes) = shared_sockets(1).unwrap();
        let (one, other) = (socket().unwrap(), socket().unwrap());
        let mut batch = Batch::new(3);
        for client in [&one, &other] {
            client.connect(echoes[0].local_addr().unwrap()).unwrap();
            batch.clear();
            batch.add(5).copy_from_slice(b"hello");
            batch.add(0);
            batch.send(client).unwrap();
        }
        batch.take(&echoes[0], Wait::First).unwrap();
        assert_eq!(batch.datagrams().map(<[u8]>::len).collect::<Vec<_>>(), [5, 0, 5]);
        batch.keep_full();
        batch.send(&echoes[0]).unwrap();
        for client in [&one, &other] {
            batch.take(client, Wait::First).unwrap();
            assert_eq!(batch.datagrams().collect::<Vec<_>>(), [b"hello"]);
            batch.take(client, Wait::No).unwrap();
            assert_eq!(batch.datagrams().count(), 0);
        }
    }
}
