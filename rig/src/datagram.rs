//! UDP sockets and what a script can do with them.
//!
//! A [`UdpPeer`] sends and receives by command. A [`UdpBackend`] answers by itself. A [`UdpClosed`]
//! has a port at which nobody hears, so that whoever sends there is told so.

use std::collections::HashSet;
use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::wait::PATIENCE;

/// More than any datagram has.
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// Room for datagrams that a script has not received yet.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// A socket that sends and receives by command; each receive for [`PATIENCE`] at most.
#[derive(Debug)]
pub struct UdpPeer(UdpSocket);

impl UdpPeer {
    /// Takes a port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn bind() -> Self {
        Self::bind_to("127.0.0.1")
    }

    /// Takes a port of `ip`.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn bind_to(ip: &str) -> Self {
        let ip: IpAddr = ip.parse().unwrap_or_else(|error| panic!("{ip}: {error}"));
        Self(open(SocketAddr::new(ip, 0)))
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("a bound socket has an address")
    }

    /// Sends a datagram.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) {
        if let Err(error) = self.0.send_to(bytes, to) {
            panic!("{self} cannot send {} bytes to {to}: {error}", bytes.len());
        }
    }

    /// Receives a datagram, and who sent it.
    ///
    /// # Panics
    /// When there is none within [`PATIENCE`].
    #[track_caller]
    pub fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
        match self.0.recv_from(&mut bytes) {
            Ok((length, from)) => {
                bytes.truncate(length);
                (bytes, from)
            }
            Err(error) => panic!("{self} receives nothing: {error}"),
        }
    }

    /// Receives a datagram and expects these bytes from this sender.
    ///
    /// # Panics
    /// When it is another one, or none.
    #[track_caller]
    pub fn expect(&self, from: SocketAddr, bytes: &[u8]) {
        let (received, sender) = self.receive();
        assert!(
            received == bytes,
            "{self} received {} bytes, which are not the {} expected",
            received.len(),
            bytes.len()
        );
        assert_eq!(sender, from, "{self} was answered by another address");
    }

    /// Sends a datagram and receives the answer of the same address.
    ///
    /// # Panics
    /// When there is none, or another address answers.
    #[track_caller]
    pub fn ask(&self, to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
        self.send(to, bytes);
        let (answer, from) = self.receive();
        assert_eq!(from, to, "{self} was answered by another address");
        answer
    }

    /// Whether a datagram waits.
    ///
    /// # Panics
    /// When the socket is broken.
    #[track_caller]
    pub fn has_something(&self) -> bool {
        self.0.set_nonblocking(true).expect("a socket can be non-blocking");
        let found = self.0.peek_from(&mut [0; 1]);
        self.0.set_nonblocking(false).expect("a socket can be blocking");
        match found {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("{self} cannot look: {error}"),
        }
    }
}

impl fmt::Display for UdpPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the UDP peer {}", self.address())
    }
}

/// A socket that answers each datagram. It ends when this is dropped.
#[derive(Debug)]
pub struct UdpBackend {
    address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    thread: Option<JoinHandle<()>>,
}

/// What a backend has received.
#[derive(Debug, Default)]
struct Heard {
    datagrams: usize,
    senders: HashSet<SocketAddr>,
}

impl UdpBackend {
    /// Sends each datagram back, from 127.0.0.1.
    ///
    /// # Panics
    /// When there is no port.
    #[track_caller]
    pub fn echo() -> Self {
        Self::echo_at("127.0.0.1:0")
    }

    /// The same at another address.
    ///
    /// # Panics
    /// When it is not to be had.
    #[track_caller]
    pub fn echo_at(address: &str) -> Self {
        let address = address.parse().unwrap_or_else(|error| panic!("{address}: {error}"));
        Self::answer(open(address), |bytes| Some(bytes.to_vec()))
    }

    /// Answers each datagram with a letter.
    ///
    /// # Panics
    /// When there is no port.
    #[track_caller]
    pub fn named(letter: char) -> Self {
        Self::serve(move |_| Some(letter.to_string().into_bytes()))
    }

    /// Takes datagrams, and never answers.
    ///
    /// # Panics
    /// When there is no port.
    #[track_caller]
    pub fn mute() -> Self {
        Self::serve(|_| None)
    }

    #[track_caller]
    fn serve(answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        Self::answer(open(SocketAddr::from(([127, 0, 0, 1], 0))), answer)
    }

    fn answer(
        socket: UdpSocket,
        mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static,
    ) -> Self {
        let address = socket.local_addr().expect("a bound socket has an address");
        let heard = Arc::<Mutex<Heard>>::default();
        let writer = Arc::clone(&heard);
        socket.set_read_timeout(None).expect("a socket can wait for ever");
        let farewell = farewell(address);
        let thread = thread::spawn(move || {
            let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
            loop {
                // What the network tells of earlier answers is no end.
                let Ok((length, from)) = socket.recv_from(&mut bytes) else { continue };
                if bytes[..length] == *farewell.as_bytes() {
                    return;
                }
                let mut heard = writer.lock().unwrap_or_else(PoisonError::into_inner);
                heard.datagrams += 1;
                heard.senders.insert(from);
                drop(heard);
                if let Some(answer) = answer(&bytes[..length]) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { address, heard, thread: Some(thread) }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address, as a TARGET.
    pub fn target(&self) -> String {
        self.address.to_string()
    }

    /// Datagrams that it has received.
    pub fn datagrams(&self) -> usize {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).datagrams
    }

    /// Addresses that it has received from.
    pub fn senders(&self) -> HashSet<SocketAddr> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).senders.clone()
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let from = match self.address {
            SocketAddr::V4(_) => "127.0.0.1:0",
            SocketAddr::V6(_) => "[::1]:0",
        };
        let told = UdpSocket::bind(from)
            .and_then(|socket| socket.send_to(farewell(self.address).as_bytes(), self.address));
        if told.is_ok() {
            let _ = thread.join();
        }
    }
}

/// What tells a backend to end; nobody else sends that.
fn farewell(address: SocketAddr) -> String {
    format!("rig: the backend at {address} is to end")
}

impl Drop for UdpBackend {
    fn drop(&mut self) {
        self.end();
    }
}

/// A port at which nobody hears: it belongs to a socket that is connected elsewhere.
#[derive(Debug)]
pub struct UdpClosed(UdpSocket);

impl UdpClosed {
    /// Takes a port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn bind() -> Self {
        let chosen = open_beside(SocketAddr::from(([127, 0, 0, 1], 0)), true);
        let address = chosen.local_addr().expect("a bound socket has an address");
        // One that was asked for by number is kept when the connection is dissolved.
        let socket = open_beside(address, true);
        socket.connect(("127.0.0.1", 9)).expect("a UDP socket can be connected anywhere");
        Self(socket)
    }

    /// Its address, as a TARGET.
    pub fn target(&self) -> String {
        self.0.local_addr().expect("a bound socket has an address").to_string()
    }

    /// Hears from now on, and answers with a letter.
    ///
    /// # Panics
    /// When the kernel does not dissolve the connection.
    #[track_caller]
    pub fn open(self, letter: char) -> UdpBackend {
        rustix::net::connect_unspec(&self.0).expect("a UDP socket can be disconnected");
        UdpBackend::answer(self.0, move |_| Some(letter.to_string().into_bytes()))
    }
}

/// A bound socket with room for many datagrams.
#[track_caller]
fn open(address: SocketAddr) -> UdpSocket {
    open_beside(address, false)
}

/// The same; `others`: whether another socket may have the port.
#[track_caller]
fn open_beside(address: SocketAddr, others: bool) -> UdpSocket {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::DGRAM.cloexec(),
        None,
    );
    socket
        .and_then(|socket| {
            socket.set_reuse_address(others)?;
            socket.set_recv_buffer_size(BUFFER_BYTES)?;
            socket.bind(&address.into())?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(socket.into())
        })
        .unwrap_or_else(|error| panic!("no UDP socket at {address}: {error}"))
}
