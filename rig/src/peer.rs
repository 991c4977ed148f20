//! A connected socket and what a script can do with it.
//!
//! Sending and receiving block, each for [`PATIENCE`] at most. A peer that is not told to receive
//! does not: that is how a script stalls the other side.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::address::Address;
use crate::figures;
use crate::payload::Payload;
use crate::wait::{Deadline, PATIENCE, pause};

/// Bytes sent or received at once, unless a script says otherwise.
const PIECE_BYTES: usize = 64 * 1024;

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By a FIN.
    Fin,
    /// By a reset.
    Reset,
}

/// One side of a connection.
#[derive(Debug)]
pub struct Peer {
    socket: Socket,
    name: String,
}

/// The ways to get one.
impl Peer {
    /// Connects.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn connect(to: &Address) -> Self {
        Self::try_connect(to)
            .unwrap_or_else(|error| panic!("the client cannot connect to {to}: {error}"))
    }

    /// Connects, leaving from `source`.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn connect_from(source: IpAddr, to: &Address) -> Self {
        Self::dial(Some(source), to)
            .unwrap_or_else(|error| panic!("{source} cannot connect to {to}: {error}"))
    }

    /// Connects, or says why not.
    ///
    /// # Errors
    /// What connect(2) says.
    pub fn try_connect(to: &Address) -> io::Result<Self> {
        Self::dial(None, to)
    }

    /// Connects, leaving from `source` if one is given, and is reset before a byte comes. That may
    /// be so soon that connecting shows it already.
    ///
    /// # Panics
    /// When anything else happens.
    #[track_caller]
    pub fn expect_turned_away(source: Option<IpAddr>, to: &Address) {
        match Self::dial(source, to) {
            Ok(client) => client.expect_reset(),
            Err(error) if is_reset(&error) => {}
            Err(error) => panic!("the client cannot connect to {to}: {error}"),
        }
    }

    /// One that is connected already, and the other end of its connection: a pair of unix sockets.
    ///
    /// # Panics
    /// When there are no more descriptors.
    pub fn pair() -> (Self, OwnedFd) {
        let pair = Socket::pair(Domain::UNIX, Type::STREAM, None);
        let (ours, other) = pair.expect("a pair of sockets can be had");
        (Self::new(ours, "the client".to_owned()), other.into())
    }

    fn dial(source: Option<IpAddr>, to: &Address) -> io::Result<Self> {
        let socket = stream_socket(to)?;
        if let Some(source) = source {
            socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
        }
        match to {
            Address::Unix(_) => socket.connect(&to.for_socket())?,
            _ => socket.connect_timeout(&to.for_socket(), PATIENCE)?,
        }
        Ok(Self::new(socket, "the client".to_owned()))
    }

    pub(crate) fn new(socket: Socket, name: String) -> Self {
        socket
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| socket.set_write_timeout(Some(PATIENCE)))
            .expect("timeouts can be set on any socket");
        // Unix sockets have no such option.
        let _ = socket.set_tcp_nodelay(true);
        Self { socket, name }
    }

    /// Says what failures call it.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }
}

/// Sending.
impl Peer {
    /// Sends all of `bytes`.
    ///
    /// # Panics
    /// When they cannot be sent within [`PATIENCE`].
    #[track_caller]
    pub fn send(&self, bytes: &[u8]) {
        if let Err(error) = self.try_send(bytes) {
            panic!("{self} cannot send {} bytes: {error}", bytes.len());
        }
    }

    /// Sends all of `bytes`, or says why not.
    ///
    /// # Errors
    /// What send(2) says; `WouldBlock` after [`PATIENCE`].
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.socket.send(rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends the next `length` bytes of `payload`.
    ///
    /// # Panics
    /// When they cannot be sent.
    #[track_caller]
    pub fn send_payload(&self, payload: &mut Payload, length: usize) {
        let mut piece = vec![0; PIECE_BYTES.min(length)];
        let mut left = length;
        while left > 0 {
            let piece = &mut piece[..PIECE_BYTES.min(left)];
            payload.fill(piece);
            self.send(piece);
            left -= piece.len();
        }
    }

    /// Sends `bytes` one at a time, each in a packet of its own, with a pause behind each.
    ///
    /// # Panics
    /// When they cannot be sent.
    #[track_caller]
    pub fn dribble(&self, bytes: &[u8], pause_after: Duration) {
        for byte in bytes {
            self.send(std::slice::from_ref(byte));
            pause(pause_after);
        }
    }

    /// Sends one urgent byte (`MSG_OOB`, tcp(7)).
    ///
    /// # Panics
    /// When it cannot be sent.
    #[track_caller]
    pub fn send_urgent(&self, byte: u8) {
        if let Err(error) = self.socket.send_out_of_band(&[byte]) {
            panic!("{self} cannot send an urgent byte: {error}");
        }
    }

    /// Sends `bytes` and the FIN in one packet; `bytes` must fit in one.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn send_with_fin(&self, bytes: &[u8]) {
        rustix::net::sockopt::set_tcp_cork(&self.socket, true)
            .unwrap_or_else(|error| panic!("{self} cannot be corked: {error}"));
        self.send(bytes);
        self.half_close();
    }

    /// Bytes sent that the other side's kernel has not taken yet (`tx_queue` of proc(5)). TCP over
    /// IPv4 only.
    ///
    /// # Panics
    /// When the connection is not in the kernel's list.
    #[track_caller]
    pub fn unacknowledged(&self) -> u64 {
        let (local, remote) = (self.local_address().tcp(), self.remote_address().tcp());
        let line = figures::tcp_socket(local, remote)
            .unwrap_or_else(|| panic!("{self} is not in /proc/net/tcp"));
        let queues = line.split_whitespace().nth(4).expect("tcp has a column of queues");
        let sending = queues.split(':').next().expect("a split has a first part");
        u64::from_str_radix(sending, 16).expect("queues are in hexadecimal")
    }
}

/// Receiving.
impl Peer {
    /// Receives exactly `expected`.
    ///
    /// # Panics
    /// When something else comes, or too little within [`PATIENCE`].
    #[track_caller]
    pub fn expect(&self, expected: &[u8]) {
        let bytes = self.receive(expected.len());
        assert!(
            bytes == expected,
            "{self} received {:?} where {:?} was due",
            String::from_utf8_lossy(&bytes),
            String::from_utf8_lossy(expected)
        );
    }

    /// Receives the next `length` bytes, whatever they are.
    ///
    /// # Panics
    /// When the stream ends before, or they do not come within [`PATIENCE`].
    #[track_caller]
    pub fn receive(&self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        let deadline = Deadline::new();
        while bytes.len() < length {
            let have = bytes.len();
            match self.receive_some(&mut bytes, length - have) {
                Ok(0) => panic!("{self} received FIN after {have} of {length} bytes"),
                Ok(_) => {}
                Err(error) => panic!("{self} received {have} of {length} bytes, then {error}"),
            }
            assert!(
                !deadline.is_over() || bytes.len() == length,
                "{self} received {have} of {length} bytes in {PATIENCE:?}"
            );
        }
        bytes
    }

    /// Receives one byte; `None` if it is reset instead.
    ///
    /// # Panics
    /// When anything else happens, or nothing within [`PATIENCE`].
    #[track_caller]
    pub fn try_receive_byte(&self) -> Option<u8> {
        let mut bytes = Vec::new();
        match self.receive_some(&mut bytes, 1) {
            Ok(1) => bytes.pop(),
            Err(error) if is_reset(&error) => None,
            other => panic!("{self} waited for a byte or a reset; there was {other:?}"),
        }
    }

    /// Receives the next `length` bytes of `payload`, as many as there are at a time. The wait is
    /// bounded for each piece.
    ///
    /// # Panics
    /// When other bytes come, or the stream ends before.
    #[track_caller]
    pub fn expect_payload(&self, payload: &mut Payload, length: usize) {
        let mut bytes = Vec::with_capacity(PIECE_BYTES);
        let mut left = length;
        while left > 0 {
            bytes.clear();
            let have = length - left;
            match self.receive_some(&mut bytes, PIECE_BYTES.min(left)) {
                Ok(0) => panic!("{self} received FIN after {have} of {length} bytes"),
                Ok(_) => self.check(payload, &bytes),
                Err(error) => panic!("{self} received {have} of {length} bytes, then {error}"),
            }
            left -= bytes.len();
        }
    }

    /// Receives what is left of the stream, all of it bytes of `payload`, resting for `rest` after
    /// each piece of at most `piece` bytes. Says how many came, and how the stream ended.
    ///
    /// # Panics
    /// When other bytes come, or nothing comes for [`PATIENCE`].
    #[track_caller]
    pub fn receive_to_end(
        &self,
        payload: &mut Payload,
        piece: usize,
        rest: Duration,
    ) -> (u64, End) {
        let start = payload.position();
        let mut bytes = Vec::with_capacity(piece);
        loop {
            bytes.clear();
            match self.receive_some(&mut bytes, piece) {
                Ok(0) => return (payload.position() - start, End::Fin),
                Ok(_) => self.check(payload, &bytes),
                Err(error) if is_reset(&error) => {
                    return (payload.position() - start, End::Reset);
                }
                Err(error) => panic!("{self} waited for the end of the stream: {error}"),
            }
            pause(rest);
        }
    }

    /// Receives all that is left, up to the FIN.
    ///
    /// # Panics
    /// When the stream ends by a reset, or nothing comes for [`PATIENCE`].
    #[track_caller]
    pub fn receive_to_fin(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            match self.receive_some(&mut bytes, PIECE_BYTES) {
                Ok(0) => return bytes,
                Ok(_) => {}
                Err(error) => panic!("{self} waited for FIN, {} bytes in: {error}", bytes.len()),
            }
        }
    }

    /// Receives the FIN, and no byte before it.
    ///
    /// # Panics
    /// When anything else comes.
    #[track_caller]
    pub fn expect_fin(&self) {
        assert_eq!(self.end(), End::Fin, "{self}");
    }

    /// Receives a reset, and no byte before it. Before a FIN was received; otherwise see
    /// [`Peer::expect_reset_after_fin`].
    ///
    /// # Panics
    /// When anything else comes.
    #[track_caller]
    pub fn expect_reset(&self) {
        assert_eq!(self.end(), End::Reset, "{self}");
    }

    /// Receives all that is left, whatever it is, up to the end.
    ///
    /// # Errors
    /// What recv(2) says, other than a reset; `WouldBlock` after [`PATIENCE`] of silence.
    pub fn wait_end(&self) -> io::Result<End> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match self.receive_some(&mut bytes, PIECE_BYTES) {
                Ok(0) => return Ok(End::Fin),
                Ok(_) => {}
                Err(error) if is_reset(&error) => return Ok(End::Reset),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for a reset once the FIN has been received: reading would show the FIN for ever.
    ///
    /// # Panics
    /// When there is none within [`PATIENCE`].
    #[track_caller]
    pub fn expect_reset_after_fin(&self) {
        let mut watched = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::empty())];
        let time = PATIENCE.try_into().expect("seconds fit in any timespec");
        let shown = poll(&mut watched, Some(&time)).expect("poll works on a socket");
        assert!(shown == 1, "{self} waited {PATIENCE:?} for a reset");
        match self.socket.take_error().expect("SO_ERROR can be read") {
            // A reset that follows a FIN is told as EPIPE.
            Some(error) if is_reset(&error) || error.kind() == ErrorKind::BrokenPipe => {}
            other => panic!("{self} waited for a reset; there was {other:?}"),
        }
    }

    /// Whether anything can be received now: bytes, an end or an error.
    pub fn is_readable(&self) -> bool {
        let mut watched = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)];
        let now = Duration::ZERO.try_into().expect("zero fits in any timespec");
        poll(&mut watched, Some(&now)).expect("poll works on a socket") == 1
    }

    #[track_caller]
    fn end(&self) -> End {
        let mut bytes = Vec::new();
        match self.receive_some(&mut bytes, PIECE_BYTES) {
            Ok(0) => End::Fin,
            Ok(count) => panic!("{self} received {count} bytes where the end was due"),
            Err(error) if is_reset(&error) => End::Reset,
            Err(error) => panic!("{self} waited for the end of the stream: {error}"),
        }
    }

    #[track_caller]
    fn check(&self, payload: &mut Payload, bytes: &[u8]) {
        if let Err(offset) = payload.check(bytes) {
            panic!("{self} received a wrong byte at offset {offset}");
        }
    }

    /// One recv(2) of at most `limit` bytes, appended to `bytes`.
    fn receive_some(&self, bytes: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        let have = bytes.len();
        bytes.resize(have + limit, 0);
        let received = loop {
            match rustix::net::recv(
                &self.socket,
                &mut bytes[have..],
                rustix::net::RecvFlags::empty(),
            ) {
                Err(Errno::INTR) => {}
                Ok((count, _)) => break Ok(count),
                Err(error) => break Err(error.into()),
            }
        };
        bytes.truncate(have + received.as_ref().copied().unwrap_or_default());
        received
    }
}

/// Ending.
impl Peer {
    /// Sends the FIN; receiving goes on.
    ///
    /// # Panics
    /// When there is no connection any more.
    #[track_caller]
    pub fn half_close(&self) {
        if let Err(error) = self.socket.shutdown(std::net::Shutdown::Write) {
            panic!("{self} cannot half-close: {error}");
        }
    }

    /// Closes. With bytes that were not received this resets the connection (RFC 2525 2.17).
    pub fn close(self) {
        drop(self);
    }

    /// Resets the connection; what was not sent yet is lost (`SO_LINGER` of zero, socket(7)).
    ///
    /// # Panics
    /// When the socket refuses.
    #[track_caller]
    pub fn reset(self) {
        self.socket
            .set_linger(Some(Duration::ZERO))
            .unwrap_or_else(|error| panic!("{self} cannot linger: {error}"));
    }
}

/// The socket.
impl Peer {
    /// This side's address.
    ///
    /// # Panics
    /// When it has none.
    #[track_caller]
    pub fn local_address(&self) -> Address {
        shown(&self.socket.local_addr(), &self.name)
    }

    /// The other side's address.
    ///
    /// # Panics
    /// When the connection has ended.
    #[track_caller]
    pub fn remote_address(&self) -> Address {
        shown(&self.socket.peer_addr(), &self.name)
    }

    /// Makes the receive buffer small, so that it fills soon. In bytes; the kernel doubles it.
    ///
    /// # Panics
    /// When the socket refuses.
    pub fn shrink_receive_buffer(&self, bytes: usize) {
        SockRef::from(&self.socket).set_recv_buffer_size(bytes).expect("SO_RCVBUF can be set");
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A socket that can be connected to, or listen at, `address`.
pub(crate) fn stream_socket(address: &Address) -> io::Result<Socket> {
    let protocol = match address {
        Address::Unix(_) => None,
        _ => Some(Protocol::TCP),
    };
    Socket::new(address.domain(), Type::STREAM, protocol)
}

fn is_reset(error: &io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionReset
}

#[track_caller]
fn shown(address: &io::Result<SockAddr>, name: &str) -> Address {
    match address.as_ref().map(SockAddr::as_socket) {
        Ok(Some(address)) => Address::Tcp(address),
        Ok(None) => panic!("{name} has no TCP address"),
        Err(error) => panic!("{name} has no address: {error}"),
    }
}
