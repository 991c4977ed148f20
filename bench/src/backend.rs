//! The service behind every candidate: a child process with two epoll threads that echo, and one blocking
//! thread for each bulk flow. The first byte of a connection says which (see [`pattern`]). Two more threads
//! echo datagrams.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use socket2::{Domain, Socket, Type};

use crate::pattern;

pub(crate) mod udp;

/// Threads of the backend for each of TCP and UDP.
const THREADS: usize = 2;
/// Connections the kernel may hold for a thread before it accepts them.
const BACKLOG: i32 = 8192;
/// Bytes of one read when echoing; larger than any request.
const ECHO_BUFFER: usize = 16 << 10;
/// The hidden first argument that makes this program the backend.
pub(crate) const ARGUMENT: &str = "__backend";

/// The backend's process; dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Backend {
    child: Child,
    /// Where it listens.
    pub(crate) ports: Ports,
}

/// Where a backend listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    /// For TCP, on all addresses of the loopback network.
    pub(crate) tcp: u16,
    /// For UDP, on 127.0.0.1 alone: a reply has to come from the address that was asked.
    pub(crate) udp: u16,
}

impl Backend {
    /// Starts this same executable as a backend and waits for its ports.
    ///
    /// # Errors
    /// When the process cannot start or does not name ports.
    pub(crate) fn start() -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout is piped")).read_line(&mut line)?;
        let ports = parse(&line).ok_or_else(|| io::Error::other("the backend did not start"))?;
        Ok(Self { child, ports })
    }
}

fn parse(line: &str) -> Option<Ports> {
    let (tcp, udp) = line.trim().split_once(' ')?;
    Some(Ports { tcp: tcp.parse().ok()?, udp: udp.parse().ok()? })
}

impl Drop for Backend {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs as the backend until stdin ends, which it does when the parent is gone.
///
/// # Errors
/// When it cannot listen.
pub(crate) fn serve() -> io::Result<()> {
    let (tcp, udp) = (listen()?, udp::listen()?);
    writeln!(io::stdout(), "{tcp} {udp}")?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

/// Starts the TCP threads of a backend in this process; they end with it. Returns the port.
///
/// # Errors
/// When it cannot listen.
pub(crate) fn listen() -> io::Result<u16> {
    let mut port = 0;
    for _ in 0..THREADS {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_port(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from(socket);
        port = listener.local_addr()?.port();
        thread::spawn(move || Echo::new(listener).and_then(Echo::run).expect("epoll works"));
    }
    Ok(port)
}

/// One epoll thread and its connections.
struct Echo {
    epoll: std::os::fd::OwnedFd,
    listener: TcpListener,
    /// Connections by descriptor; `true` once the first byte has been looked at.
    connections: HashMap<u64, (TcpStream, bool)>,
}

/// What to do with a connection after it was readable.
enum Next {
    Keep,
    Close,
    Bulk(u8),
}

impl Echo {
    fn new(listener: TcpListener) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(key(&listener)), EventFlags::IN)?;
        Ok(Self { epoll, listener, connections: HashMap::new() })
    }

    fn run(mut self) -> io::Result<()> {
        let listener = key(&self.listener);
        let mut events = Vec::with_capacity(256);
        let mut buffer = vec![0; ECHO_BUFFER];
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let key = event.data.u64();
                if key == listener { self.accept()? } else { self.readable(key, &mut buffer) }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            epoll::add(&self.epoll, &stream, EventData::new_u64(key(&stream)), EventFlags::IN)?;
            self.connections.insert(key(&stream), (stream, false));
        }
        Ok(())
    }

    fn readable(&mut self, key: u64, buffer: &mut [u8]) {
        let Some((stream, known)) = self.connections.get_mut(&key) else { return };
        match step(stream, known, buffer) {
            Next::Keep => {}
            Next::Close => drop(self.connections.remove(&key)),
            Next::Bulk(ask) => {
                let (stream, _) = self.connections.remove(&key).expect("it was just there");
                let _ = epoll::delete(&self.epoll, &stream);
                thread::spawn(move || drop(bulk(stream, ask)));
            }
        }
    }
}

fn step(stream: &mut TcpStream, known: &mut bool, buffer: &mut [u8]) -> Next {
    let length = match stream.read(if *known { buffer } else { &mut buffer[..1] }) {
        Ok(0) => return Next::Close,
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::Keep,
        Err(_) => return Next::Close,
    };
    if !*known && buffer[0] >= pattern::ASK_SINK {
        return Next::Bulk(buffer[0]);
    }
    *known = true;
    if stream.write_all(&buffer[..length]).is_ok() { Next::Keep } else { Next::Close }
}

/// One bulk flow: sends until the client asks for the end, or takes all and answers.
fn bulk(mut stream: TcpStream, ask: u8) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    if ask == pattern::ASK_SINK {
        let blocks = pattern::take_blocks(&mut stream, pattern::discard, |_, _| Ok(()))?;
        stream.write_all(&pattern::verdict(blocks))?;
    } else {
        let asked = stream.try_clone()?;
        pattern::send_blocks(&mut stream, || stop_asked(&asked), |_| {})?;
        stream.shutdown(std::net::Shutdown::Write)?;
    }
    io::copy(&mut stream, &mut io::sink())?;
    Ok(())
}

/// Whether the client has sent the byte that ends a flow; takes the byte away.
fn stop_asked(stream: &TcpStream) -> io::Result<bool> {
    let mut byte = [0u8];
    match rustix::net::recv(stream, &mut byte, rustix::net::RecvFlags::DONTWAIT) {
        Ok((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(true),
        Err(rustix::io::Errno::AGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn key(socket: &impl AsRawFd) -> u64 {
    u64::try_from(socket.as_raw_fd()).expect("an open descriptor is not negative")
}
