//! An address that never answers.
//!
//! A listening socket whose queue is full drops every SYN: whoever connects waits for ever, as if
//! the packets vanished on the way. Needs neither root nor a network.

use std::time::Duration;

use crate::address::Address;
use crate::backend::{Backend, Closed};
use crate::peer::{Peer, stream_socket};

/// Attempts to fill the queue before giving up.
const FILLERS_MAX: usize = 8;

/// Silence after which an attempt counts as swallowed.
const SILENCE: Duration = Duration::from_millis(200);

/// The address, for as long as this lives.
#[derive(Debug)]
pub struct BlackHole {
    backend: Backend,
    _fillers: Vec<Peer>,
}

impl BlackHole {
    /// Makes one on a port of 127.0.0.1.
    ///
    /// # Panics
    /// When the queue does not get full.
    #[track_caller]
    pub fn open() -> Self {
        let backend = Closed::bind().open_with_backlog(0);
        let mut fillers = Vec::new();
        loop {
            let socket = stream_socket(backend.address()).expect("there can be a socket");
            match socket.connect_timeout(&backend.address().for_socket(), SILENCE) {
                Ok(()) => fillers.push(Peer::new(socket, "a filler".to_owned())),
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => break,
                Err(error) => panic!("{} cannot be filled: {error}", backend.address()),
            }
            assert!(fillers.len() < FILLERS_MAX, "{} is never full", backend.address());
        }
        Self { backend, _fillers: fillers }
    }

    /// Its address.
    pub fn address(&self) -> &Address {
        self.backend.address()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_through() {
        let hole = BlackHole::open();
        let socket = stream_socket(hole.address()).expect("there can be a socket");
        let error = socket
            .connect_timeout(&hole.address().for_socket(), SILENCE)
            .expect_err("the queue is full");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }
}
