//! A socket that accepts peers, and can stop and start doing so on the same port.
//!
//! The port is reserved before it is listened on, so that a [`Closed`] backend refuses, surely and
//! for as long as it lives: nobody else can get its port meanwhile.

use std::any::Any;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use socket2::Socket;

use crate::address::Address;
use crate::peer::{Peer, stream_socket};
use crate::wait::PATIENCE;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// An address that refuses: its port is taken, but nobody listens.
#[derive(Debug)]
pub struct Closed {
    socket: Arc<Socket>,
    address: Address,
}

impl Closed {
    /// Takes a port of 127.0.0.1.
    pub fn bind() -> Self {
        Self::bind_to(&Address::parse("127.0.0.1:0"))
    }

    /// Takes `address`; port 0 lets the kernel choose.
    ///
    /// # Panics
    /// When the address is not to be had.
    #[track_caller]
    pub fn bind_to(address: &Address) -> Self {
        let first = bound(address);
        // A port chosen by the kernel is given back when listening stops; one that was asked for
        // is kept. So ask for the chosen one by a second socket before the first one lets go.
        let (socket, address) = match first.local_addr().map(|address| address.as_socket()) {
            Ok(Some(chosen)) => {
                let chosen = Address::Tcp(chosen);
                (bound(&chosen), chosen)
            }
            _ => (first, address.clone()),
        };
        Self { socket: Arc::new(socket), address }
    }

    /// Its address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Begins to listen.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn open(self) -> Backend {
        self.open_with_backlog(BACKLOG)
    }

    #[track_caller]
    pub(crate) fn open_with_backlog(self, backlog: i32) -> Backend {
        self.socket
            .listen(backlog)
            .and_then(|()| self.socket.set_read_timeout(Some(PATIENCE)))
            .unwrap_or_else(|error| panic!("cannot listen on {}: {error}", self.address));
        Backend(self)
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Backend(Closed);

impl Backend {
    /// Listens on a port of 127.0.0.1.
    #[track_caller]
    pub fn bind() -> Self {
        Closed::bind().open()
    }

    /// Listens on `address`; port 0 lets the kernel choose.
    ///
    /// # Panics
    /// When the address is not to be had.
    #[track_caller]
    pub fn bind_to(address: &Address) -> Self {
        Closed::bind_to(address).open()
    }

    /// Its address.
    pub fn address(&self) -> &Address {
        &self.0.address
    }

    /// Accepts one.
    ///
    /// # Panics
    /// When nobody comes within [`PATIENCE`].
    #[track_caller]
    pub fn accept(&self) -> Peer {
        loop {
            match self.0.socket.accept() {
                Ok((socket, _)) => return Peer::new(socket, "the backend".to_owned()),
                // A process that is stopped and goes on is interrupted, for all that it waits.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("nobody came to {} in {PATIENCE:?}: {error}", self.address()),
            }
        }
    }

    /// Whether somebody waits to be accepted; they are, and dropped.
    pub fn somebody_waits(&self) -> bool {
        self.0.socket.set_nonblocking(true).expect("O_NONBLOCK can be set");
        let somebody = self.0.socket.accept().is_ok();
        self.0.socket.set_nonblocking(false).expect("O_NONBLOCK can be cleared");
        somebody
    }

    /// Stops listening; those who wait to be accepted are reset. The port is kept, and refuses.
    pub fn close(self) -> Closed {
        // Makes the socket what it was before listen(2), on Linux.
        self.0
            .socket
            .shutdown(std::net::Shutdown::Both)
            .expect("a listening socket can be shut down");
        self.0
    }

    /// Accepts all who come and runs `script` for each, on threads.
    pub fn serve(self, script: impl Fn(Peer) + Send + Sync + 'static) -> Serving {
        let shared = Arc::new(Shared::default());
        let acceptor = {
            let (socket, shared) = (Arc::clone(&self.0.socket), Arc::clone(&shared));
            thread::spawn(move || accept_all(&socket, &shared, Arc::new(script)))
        };
        Serving { listening: Some((self, acceptor)), shared }
    }
}

/// A backend that serves on its own.
#[derive(Debug)]
pub struct Serving {
    listening: Option<(Backend, JoinHandle<()>)>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    accepted: AtomicUsize,
    fault: Mutex<Option<String>>,
}

impl Serving {
    /// Its address.
    pub fn address(&self) -> &Address {
        let (backend, _) = self.listening.as_ref().expect("taken only by what consumes self");
        backend.address()
    }

    /// How many came so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Stops accepting; scripts under way go on.
    ///
    /// # Panics
    /// When a script failed.
    #[track_caller]
    pub fn close(mut self) -> Closed {
        let closed = self.stop();
        self.tell_fault();
        closed
    }

    #[track_caller]
    fn stop(&mut self) -> Closed {
        let (backend, acceptor) = self.listening.take().expect("stopped only once");
        let closed = backend.close();
        acceptor.join().expect("the accepting thread has nothing to fail at");
        closed
    }

    #[track_caller]
    fn tell_fault(&self) {
        let fault = self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(fault) = fault {
            panic!("a backend's script failed: {fault}");
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if self.listening.is_some() {
            self.stop();
            if !thread::panicking() {
                self.tell_fault();
            }
        }
    }
}

fn accept_all<S>(socket: &Socket, shared: &Arc<Shared>, script: Arc<S>)
where
    S: Fn(Peer) + Send + Sync + 'static,
{
    loop {
        let peer = match socket.accept() {
            Ok((socket, _)) => Peer::new(socket, "the backend".to_owned()),
            // The read timeout: nobody came for a while.
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            // EINVAL: it does not listen any more.
            Err(_) => return,
        };
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        let (shared, script) = (Arc::clone(shared), Arc::clone(&script));
        thread::spawn(move || {
            if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| script(peer))) {
                let mut fault = shared.fault.lock().unwrap_or_else(PoisonError::into_inner);
                *fault = Some(message(panic.as_ref()));
            }
        });
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_owned(),
        (None, None) => "no text".to_owned(),
    }
}

#[track_caller]
fn bound(address: &Address) -> Socket {
    let bind = || {
        let socket = stream_socket(address)?;
        socket.set_reuse_address(true)?;
        if matches!(address, Address::Tcp(SocketAddr::V6(_))) {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.for_socket())?;
        Ok::<_, std::io::Error>(socket)
    };
    bind().unwrap_or_else(|error| panic!("cannot take {address}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_refuses_serves_and_refuses_again() {
        let mut closed = Closed::bind();
        let address = closed.address().clone();
        for _ in 0..3 {
            let refused = Peer::try_connect(&address).expect_err("nobody listens");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            let serving = closed.open().serve(|peer| peer.send(b"hello"));
            assert_eq!(Peer::connect(&address).receive_to_fin(), b"hello");
            closed = serving.close();
            assert_eq!(closed.address(), &address);
        }
    }

    #[test]
    fn those_who_wait_are_reset_when_it_closes() {
        let backend = Backend::bind();
        let client = Peer::connect(backend.address());
        let _closed = backend.close();
        client.expect_reset();
    }

    #[test]
    #[should_panic(expected = "a backend's script failed: the client received FIN")]
    fn a_fault_in_a_script_is_told() {
        let serving = Backend::bind().serve(|peer| peer.named("the client").expect(b"hello"));
        Peer::connect(serving.address()).close();
        crate::wait::until("the fault", || {
            serving.shared.fault.lock().is_ok_and(|fault| fault.is_some())
        });
    }
}
