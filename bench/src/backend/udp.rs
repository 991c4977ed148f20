//! The UDP side of the backend: two threads that send every datagram back to where it came from.

use std::io;
use std::net::UdpSocket;
use std::thread;

use super::THREADS;
use crate::datagrams::{Batch, Wait, shared_sockets};

/// Datagrams that one system call may take.
const BATCH: usize = 64;

/// Starts the threads; they end with the process. Returns the port, at 127.0.0.1.
///
/// # Errors
/// When it cannot listen.
pub(crate) fn listen() -> io::Result<u16> {
    let (port, sockets) = shared_sockets(THREADS)?;
    for socket in sockets {
        thread::spawn(move || echo(&socket));
    }
    Ok(port)
}

fn echo(socket: &UdpSocket) {
    let mut batch = Batch::new(BATCH);
    loop {
        // What fails is a datagram to a client that is gone; its loss is the business of that client.
        if batch.take(socket, Wait::First).is_ok() {
            // rinetd begins each flow with an empty one, and ends the flow when it gets that back.
            batch.keep_full();
            drop(batch.send(socket));
        }
    }
}
