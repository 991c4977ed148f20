//! Syslog servers elsewhere, by datagrams or by a connection.
//!
//! Looking up the server's name and connecting may take seconds; both happen on
//! the thread of the log, while entries wait in its queue.
//!
//! Neither way acknowledges anything. Over UDP a server that is gone shows, if at all, by an error
//! at the message after the one that was lost; so the first message of a socket waits a moment for
//! it. Over TCP what the kernel still holds when a connection breaks is lost; so a connection that
//! the server has closed is noticed before something is written to it.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Duration;

use model::HostPort;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;

use super::sink::{wait_for_room, write_once};

/// Longest wait for one address of a server to take a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Addresses of a name that are tried in a row.
const ADDRESSES_MAX: usize = 4;

/// How long the first datagram of a socket waits for the error that nobody listens.
const ECHO_MAX: Duration = Duration::from_millis(100);

/// How long what was written may stay unacknowledged before the connection counts as broken, and
/// how long it may be silent before it is probed.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Reads in a row of what a server says.
const READS_MAX: usize = 16;

/// A server that takes datagrams.
#[derive(Debug)]
pub(super) struct Udp {
    server: HostPort,
    socket: Option<UdpSocket>,
    /// Nothing has been sent yet.
    is_new: bool,
}

/// A server that takes connections.
#[derive(Debug)]
pub(super) struct Tcp {
    server: HostPort,
    stream: Option<TcpStream>,
}

impl Udp {
    pub(super) fn new(server: HostPort) -> Self {
        Self { server, socket: None, is_new: true }
    }

    pub(super) fn server(&self) -> &HostPort {
        &self.server
    }

    /// Looks up the server again, and takes another socket.
    pub(super) fn connect(&mut self) -> io::Result<()> {
        self.socket = None;
        let socket = first_of(&self.server, |address| {
            let any: SocketAddr = match address {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any)?;
            socket.connect(address)?;
            Ok(socket)
        })?;
        socket.set_nonblocking(true)?;
        (self.socket, self.is_new) = (Some(socket), true);
        Ok(())
    }

    /// Sends a message, and waits for room no longer than `patience`.
    pub(super) fn send(&mut self, message: &[u8], patience: Duration) -> io::Result<()> {
        let Some(socket) = &self.socket else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        match socket.send(message) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for_room(socket.as_fd(), patience)?;
                socket.send(message).map(drop)
            }
            outcome => outcome.map(drop),
        }?;
        if std::mem::take(&mut self.is_new) {
            let timeout = Timespec::try_from(ECHO_MAX).map_err(io::Error::other)?;
            // Errors are told without being asked for.
            let mut fds = [PollFd::new(socket, PollFlags::empty())];
            rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout)))?;
            if let Some(error) = socket.take_error()? {
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Tcp {
    pub(super) fn new(server: HostPort) -> Self {
        Self { server, stream: None }
    }

    pub(super) fn server(&self) -> &HostPort {
        &self.server
    }

    /// Looks up the server again, and connects.
    pub(super) fn connect(&mut self) -> io::Result<()> {
        self.stream = None;
        let connect = |address: SocketAddr| TcpStream::connect_timeout(&address, CONNECT_MAX);
        let stream = first_of(&self.server, connect)?;
        stream.set_nonblocking(true)?;
        let millis = u32::try_from(SILENCE_MAX.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(&stream, millis)?;
        sockopt::set_tcp_keepidle(&stream, SILENCE_MAX)?;
        sockopt::set_socket_keepalive(&stream, true)?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Writes a part of `frames`, and waits for room no longer than `patience`.
    pub(super) fn write(&mut self, frames: &[u8], patience: Duration) -> io::Result<usize> {
        let Some(stream) = &mut self.stream else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        still_open(stream)?;
        match write_once(stream.as_fd(), frames) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for_room(stream.as_fd(), patience)?;
                write_once(stream.as_fd(), frames)
            }
            outcome => outcome,
        }
    }
}

/// Whether the server has not closed the connection. What it says is not listened to.
fn still_open(stream: &mut TcpStream) -> io::Result<()> {
    let mut heard = [0; 512];
    for _ in 0..READS_MAX {
        match stream.read(&mut heard) {
            Ok(0) => {
                let text = "the server has closed the connection";
                return Err(io::Error::new(io::ErrorKind::ConnectionReset, text));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What `open` makes of the first address of `server` that it takes, or why it took none.
fn first_of<T>(
    server: &HostPort,
    mut open: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let addresses: Vec<_> = match server {
        HostPort::Ip(address) => vec![*address],
        HostPort::Name { host, port } => (&**host, *port).to_socket_addrs()?.collect(),
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        match open(address) {
            Ok(opened) => return Ok(opened),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::super::output::{Flushed, Output};
    use super::super::sink::Sink;
    use super::*;
    use std::net::TcpListener;
    use std::time::Instant;

    /// Longest wait for what the kernel of this machine does at once.
    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_server_that_restarts_is_connected_to_again_and_gets_what_was_held() {
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = server.local_addr().expect("it is bound");
        let mut output = Output::new(Sink::tcp(HostPort::Ip(address)));
        let mut now = Instant::now();
        assert_eq!(output.retry_at(), None, "it is looked for with the first entry");
        output.push("one");
        assert_eq!(output.flush(now), Flushed::Whole);
        let (connection, _) = server.accept().expect("the log connects");
        expect(&connection, "3 one");

        // The connection goes while somebody listens: nothing is lost, and there is no pause.
        drop(connection);
        output.push("four");
        assert_eq!(output.flush(now), Flushed::Whole);
        let (connection, _) = server.accept().expect("the log connects again");
        expect(&connection, "4 four");

        // And while nobody does.
        drop((connection, server));
        output.push("12345678901");
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(output.flush(now), Flushed::Held);
            let pause = Duration::from_secs(pause);
            assert_eq!(output.flush(now + pause / 2), Flushed::Held, "it is not time yet");
            assert_eq!(output.retry_at(), Some(now + pause));
            now += pause;
        }
        let server = TcpListener::bind(address).expect("nobody else has the port");
        output.push("é");
        assert!(matches!(output.flush(now), Flushed::Again { .. }));
        let (connection, _) = server.accept().expect("the log tries again and again");
        expect(&connection, "11 123456789012 é");
    }

    #[test]
    fn a_frame_that_was_cut_begins_anew_on_the_next_connection() {
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = server.local_addr().expect("it is bound");
        let mut output = Output::new(Sink::tcp(HostPort::Ip(address)));
        let entry = "x".repeat(1_000);
        let mut sent = 0;
        // More than the buffers between the two take.
        let now = Instant::now();
        while output.flush(now) == Flushed::Whole {
            output.push(&entry);
            sent += 1;
            assert!(sent < 100_000, "buffers are bounded");
        }
        let (first, _) = server.accept().expect("the log connects");
        drop(first);
        output.push("last");
        // First it finds that the connection is gone, then it takes another.
        for _ in 0..2 {
            let later = output.retry_at().expect("it is in trouble");
            output.flush(later);
        }
        let (connection, _) = server.accept().expect("the log connects again");
        connection.set_read_timeout(Some(PATIENCE)).expect("a legal timeout");
        let mut start = [0; 15];
        (&connection).read_exact(&mut start).expect("a frame");
        assert_eq!(&start, b"1000 xxxxxxxxxx");
    }

    #[test]
    fn a_server_of_datagrams_that_is_gone_is_noticed_and_waited_for() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = server.local_addr().expect("it is bound");
        let mut output = Output::new(Sink::udp(HostPort::Ip(address)));
        let now = Instant::now();
        let receive = |server: &UdpSocket| {
            server.set_read_timeout(Some(PATIENCE)).expect("a legal timeout");
            let mut message = [0; 64];
            let count = server.recv(&mut message).expect("a message comes");
            String::from_utf8(message[..count].to_vec()).expect("text")
        };
        output.push("one");
        output.push("two");
        assert_eq!(output.flush(now), Flushed::Whole);
        assert_eq!([receive(&server), receive(&server)], ["one", "two"]);
        drop(server);
        output.push("lost without a sound");
        assert_eq!(output.flush(now), Flushed::Whole);
        output.push("kept");
        output.push("too");
        assert_eq!(output.flush(now), Flushed::Held);
        let later = output.retry_at().expect("it is in trouble");
        assert_eq!(output.flush(later), Flushed::Held, "still nobody");

        let server = UdpSocket::bind(address).expect("nobody else has the port");
        let later = output.retry_at().expect("it is in trouble");
        assert!(matches!(output.flush(later), Flushed::Again { .. }));
        assert_eq!([receive(&server), receive(&server)], ["kept", "too"]);
    }

    #[test]
    fn a_server_is_found_by_its_name() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = server.local_addr().expect("it is bound").port();
        let mut udp = Udp::new(HostPort::Name { host: "localhost".to_owned(), port });
        // `localhost` may be ::1 first, where nobody listens; a UDP socket takes that.
        udp.connect().expect("the name of this machine has an address");
        let host = "no-such-host.invalid".to_owned();
        let error = Tcp::new(HostPort::Name { host, port }).connect().expect_err("no such name");
        assert!(!error.to_string().is_empty());
    }

    #[track_caller]
    fn expect(mut connection: &TcpStream, bytes: &str) {
        connection.set_read_timeout(Some(PATIENCE)).expect("a legal timeout");
        let mut read = vec![0; bytes.len()];
        connection.read_exact(&mut read).expect("all of it comes");
        assert_eq!(String::from_utf8_lossy(&read), bytes);
    }
}
