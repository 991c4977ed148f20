//! FTP: sessions in whose bytes there are addresses, and connections that come to these.
//!
//! A control connection is relayed like any other, through two rewriters that read its lines: where
//! one side says where it waits for a data connection, the other side reads that replug does. The
//! connection that comes is a session of its own ([`crate::session::data`]), of the same listener.
//!
//! - What is advertised counts as a port only. The address is always that of the peer which said
//!   it, so nobody is sent to a third party; and only the other peer may come, from the address of its
//!   control connection.
//! - A control connection waits for one data connection at a time, for at most [`DATA_WAIT_MAX`], and
//!   while it lasts. Announcing another ends the wait for the one before.
//! - Once the server has agreed to encryption (234), nothing can be read any more, and all passes
//!   as it is. So does what begins as TLS.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::{FtpModes, PortRange, Refusal};
use relay::rewrite::{Next, Rewrite};
use relay::{Socket, Stamp, Tick, Watched};
use tokio::task::AbortHandle;
use wire::ftp::lines::{Lines, Piece};
use wire::ftp::{self as format, Command, NO_DATA_CONNECTION, Replies, Reply, Written};

use crate::balance::BackendIndex;
use crate::journal::{Level, Notice};
use crate::phase::accept::REST;
use crate::phase::account::ClientAddress;
use crate::phase::route::Chosen;
use crate::plan::Listener;
use crate::seldom::Seldom;
use crate::session::data::{Data, Way};
use crate::session::{Arrival, Rewriters};
use crate::shard::Shard;
use crate::socket::{self, Accepted};

/// Longest wait for a data connection that was announced.
pub(crate) const DATA_WAIT_MAX: Duration = Duration::from_secs(60);

/// The first byte of a TLS record that begins a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// What a listener for FTP knows.
#[derive(Debug)]
pub(crate) struct Ftp {
    modes: FtpModes,
    ports: Option<PortRange>,
    /// Where the next search for a free port begins.
    turn: AtomicUsize,
    /// Control connections that cannot be read.
    encrypted: Seldom,
    /// Data connections that nothing could be opened for.
    refused: Seldom,
}

impl Ftp {
    /// Compiles what is configured.
    pub(crate) fn new(ftp: model::Ftp) -> Self {
        let model::Ftp { modes, ports } = ftp;
        let (encrypted, refused) = (Seldom::default(), Seldom::default());
        Self { modes, ports, turn: AtomicUsize::new(0), encrypted, refused }
    }

    /// Opens a socket that listens at `here`, at one of the ports that there are for it.
    fn listen(&self, here: SocketAddr, by: By, listener: &Listener) -> io::Result<OwnedFd> {
        let interface = match by {
            By::Client => listener.interface.as_ref(),
            By::Backend => None,
        };
        let open = |port| {
            let mut address = here;
            address.set_port(port);
            let place =
                socket::Place { address, dual_stack: false, interface, is_transparent: false };
            socket::listen_data(place, &listener.tcp)
        };
        let Some(ports) = self.ports else { return open(0) };
        let mut opened = Err(rustix::io::Errno::ADDRINUSE.into());
        for port in ports.each_from(self.turn.fetch_add(1, Ordering::Relaxed)) {
            opened = open(port);
            let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
            if !opened.as_ref().is_err_and(is_taken) {
                break;
            }
        }
        opened
    }
}

/// A control connection, as the data connections that it announces need it.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) shard: Rc<Shard>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) chosen: Chosen,
    pub(crate) backend: BackendIndex,
    ends: Ends,
    /// Whether the client has asked for encryption.
    may_be_secured: Cell<bool>,
    is_secured: Cell<bool>,
    /// The wait for the data connection that was announced last.
    wait: RefCell<Option<Wait>>,
}

/// A data port that is open, and who waits there.
#[derive(Debug)]
struct Wait {
    port: Rc<Watched>,
    task: AbortHandle,
}

/// The addresses of both sockets of a control connection.
#[derive(Clone, Copy, Debug)]
struct Ends {
    client: SocketAddr,
    here_to_client: SocketAddr,
    backend: SocketAddr,
    here_to_backend: SocketAddr,
}

/// Who comes to a data port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Client,
    Backend,
}

/// What reads a control connection between `client` and `backend` in both directions; nothing does
/// if they have no addresses that FTP could speak of.
pub(crate) fn rewriters(
    shard: &Rc<Shard>,
    listener: &Arc<Listener>,
    chosen: Chosen,
    index: BackendIndex,
    (client, backend): (&Socket, &Socket),
) -> Rewriters {
    let Some(ends) = Ends::of(client, backend) else { return Rewriters::default() };
    let control = Rc::new(Control {
        shard: Rc::clone(shard),
        listener: Arc::clone(listener),
        chosen,
        backend: index,
        ends,
        may_be_secured: Cell::new(false),
        is_secured: Cell::new(false),
        wait: RefCell::new(None),
    });
    let to_backend = ToBackend { control: Rc::clone(&control), lines: Lines::default() };
    let to_client = ToClient { control, lines: Lines::default(), replies: Replies::default() };
    Rewriters { to_backend: Some(Box::new(to_backend)), to_client: Some(Box::new(to_client)) }
}

impl Ends {
    fn of(client: &Socket, backend: &Socket) -> Option<Self> {
        Some(Self {
            client: socket::peer_address(client.descriptor())?,
            here_to_client: socket::local_address(client.descriptor())?,
            backend: socket::peer_address(backend.descriptor())?,
            here_to_backend: socket::local_address(backend.descriptor())?,
        })
    }
}

/// The lines of a client.
#[derive(Debug)]
struct ToBackend {
    control: Rc<Control>,
    lines: Lines,
}

impl Rewrite for ToBackend {
    fn rewrite(&mut self, received: &[u8], out: &mut Vec<u8>) -> Next {
        let Self { control, lines } = self;
        if received.first() == Some(&TLS_HANDSHAKE) {
            control.secure();
        }
        if control.is_secured.get() {
            out.append(&mut lines.take_begun());
            out.extend_from_slice(received);
            return Next::Pass;
        }
        lines.read(received, |piece| {
            match piece {
                Piece::Line(line) => control.command(line, out),
                Piece::Part(part) => out.extend_from_slice(part),
            }
            ControlFlow::Continue(())
        });
        Next::Rewrite
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.lines.take_begun());
    }
}

/// The lines of a server.
#[derive(Debug)]
struct ToClient {
    control: Rc<Control>,
    lines: Lines,
    replies: Replies,
}

impl Rewrite for ToClient {
    fn rewrite(&mut self, received: &[u8], out: &mut Vec<u8>) -> Next {
        let Self { control, lines, replies } = self;
        let rest = match control.is_secured.get() {
            true => received,
            false => lines.read(received, |piece| {
                match piece {
                    Piece::Line(line) => control.reply(replies.read(line), line, out),
                    Piece::Part(part) => out.extend_from_slice(part),
                }
                match control.is_secured.get() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            }),
        };
        if !control.is_secured.get() {
            return Next::Rewrite;
        }
        out.append(&mut lines.take_begun());
        out.extend_from_slice(rest);
        Next::Pass
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.lines.take_begun());
    }
}

impl Control {
    /// Puts what a client's line becomes behind `out`.
    fn command(self: &Rc<Self>, line: &[u8], out: &mut Vec<u8>) {
        match format::read_command(line) {
            Command::Active(active) if self.carries(FtpModes::Active) => {
                let to = self.ends.client.with_port(active.address.port());
                let from = self.ends.here_to_client;
                match self.announce(By::Backend, Way::ToClient { to, from }) {
                    Some(ours) => active.write(line, ours, out),
                    // The server's refusal is the client's answer.
                    None => active.write_without(line, out),
                }
            }
            Command::Secure => {
                self.may_be_secured.set(true);
                out.extend_from_slice(line);
            }
            Command::Active(_) | Command::Other => out.extend_from_slice(line),
        }
    }

    /// Puts what a server's line becomes behind `out`.
    fn reply(self: &Rc<Self>, reply: Reply, line: &[u8], out: &mut Vec<u8>) {
        match reply {
            Reply::Passive(passive) if self.carries(FtpModes::Passive) => {
                let to = self.ends.backend.with_port(passive.port);
                let way = Way::ToBackend { to, port: passive.port };
                let ours = self.announce(By::Client, way);
                let written = ours.map(|ours| passive.write(line, ours, out));
                if written != Some(Written::Whole) {
                    self.stop_waiting();
                    out.extend_from_slice(NO_DATA_CONNECTION);
                }
            }
            Reply::Secured if self.may_be_secured.get() => {
                self.secure();
                out.extend_from_slice(line);
            }
            Reply::Passive(_) | Reply::Secured | Reply::Other => out.extend_from_slice(line),
        }
    }

    fn ftp(&self) -> Option<&Ftp> {
        self.listener.ftp.as_ref()
    }

    fn carries(&self, mode: FtpModes) -> bool {
        // Through a proxy nobody comes from the other side.
        let is_direct = self.listener.pool_of(self.chosen).via.is_none();
        let modes = self.ftp().map(|ftp| ftp.modes);
        modes.is_some_and(|modes| modes.has(mode)) && (mode == FtpModes::Passive || is_direct)
    }

    /// Nothing can be read from here on.
    fn secure(&self) {
        if self.is_secured.replace(true) {
            return;
        }
        if self.ftp().is_some_and(|ftp| ftp.encrypted.happened(Tick::now()).is_some()) {
            let text = format!(
                "a control connection of {} is encrypted: where its data connections go cannot be \
                 read, and they do not pass through replug",
                self.listener.name
            );
            self.shard.journal.notice(Notice::Remark { level: Level::Warning, text });
        }
    }

    /// Waits for `by` to come, in place of whoever was waited for; says where. `None`: nowhere.
    fn announce(self: &Rc<Self>, by: By, way: Way) -> Option<SocketAddr> {
        self.stop_waiting();
        let ftp = self.ftp()?;
        let here = match by {
            By::Client => self.ends.here_to_client,
            By::Backend => self.ends.here_to_backend,
        };
        let opened = ftp.listen(here, by, &self.listener).and_then(|opened| {
            let at = socket::local_address(std::os::fd::AsFd::as_fd(&opened));
            Ok((Rc::new(Watched::new(opened)?), at.ok_or(io::ErrorKind::AddrNotAvailable)?))
        });
        match opened {
            Ok((port, at)) => {
                let data = Expected { control: Rc::downgrade(self), by, way };
                let task = tokio::task::spawn_local(data.wait(Rc::clone(&port))).abort_handle();
                *self.wait.borrow_mut() = Some(Wait { port, task });
                Some(at)
            }
            Err(error) => {
                if let Some(times) = ftp.refused.happened(Tick::now()) {
                    let text = format!(
                        "nothing can be opened for data connections of {}: {error} ({times} times)",
                        self.listener.name
                    );
                    self.shard.journal.notice(Notice::Remark { level: Level::Warning, text });
                }
                None
            }
        }
    }

    fn stop_waiting(&self) {
        if let Some(wait) = self.wait.borrow_mut().take() {
            // The task goes later, and the port has to be free now.
            socket::stop_listening(wait.port.descriptor());
            wait.task.abort();
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

/// A data connection that was announced.
struct Expected {
    control: std::rc::Weak<Control>,
    by: By,
    way: Way,
}

impl Expected {
    /// Waits until it comes, and lets nobody else in. What comes behind it is reset.
    async fn wait(self, port: Rc<Watched>) {
        let Some(from) = self.control.upgrade().map(|control| match self.by {
            By::Client => control.ends.client.ip(),
            By::Backend => control.ends.backend.ip(),
        }) else {
            return;
        };
        let came = tokio::time::timeout(DATA_WAIT_MAX, next(&port, from)).await;
        socket::stop_listening(port.descriptor());
        let Some(control) = self.control.upgrade() else { return };
        control.wait.borrow_mut().take();
        if let Ok(Some(socket)) = came {
            self.begin(socket, &control);
        }
    }

    fn begin(self, socket: OwnedFd, control: &Rc<Control>) {
        let Control { shard, listener, .. } = &**control;
        // Nobody can wait here: the control connection holds a place already.
        let (Some(permit), Some(place)) = (shard.ceiling.enter(), listener.gates.enter()) else {
            shard.notice_ceiling(Some(Refusal::Reset));
            return drop(Socket::new(socket));
        };
        let port = match self.way {
            Way::ToClient { to, .. } => to.port(),
            Way::ToBackend { .. } => socket::peer_address(std::os::fd::AsFd::as_fd(&socket))
                .map_or(0, |peer| peer.port()),
        };
        let client = ClientAddress::Ip(control.ends.client.with_port(port));
        let (listener, accepted) = (Arc::clone(listener), Stamp::now());
        shard.start_data(Data {
            arrival: Arrival { socket, client, listener, permit, place, accepted },
            chosen: control.chosen,
            backend: control.backend,
            way: self.way,
        });
    }
}

/// The next one that comes from this address.
async fn next(watched: &Watched, from: IpAddr) -> Option<OwnedFd> {
    loop {
        watched.readable().await.ok()?;
        match Accepted::from(watched.try_read(socket::accept)) {
            Accepted::Client(socket, ClientAddress::Ip(peer)) if peer.ip() == from => {
                return Some(socket);
            }
            // Somebody else, who is reset.
            Accepted::Client(socket, _) => drop(Socket::new(socket)),
            Accepted::Empty | Accepted::Retry => {}
            Accepted::Rest(_) => tokio::time::sleep(REST).await,
            Accepted::Closed(_) => return None,
        }
    }
}

trait WithPort {
    /// The same address with another port; its scope, if it has one, stays.
    fn with_port(self, port: u16) -> Self;
}

impl WithPort for SocketAddr {
    fn with_port(mut self, port: u16) -> Self {
        self.set_port(port);
        self
    }
}
