//! Daemons of this machine that take datagrams at a unix socket: syslog and the journal.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::sink::wait_for_room;

/// The connection to a daemon.
#[derive(Debug)]
pub(super) struct Local {
    path: PathBuf,
    /// `None`: there is no daemon.
    socket: Option<UnixDatagram>,
}

impl Local {
    /// Connects, if there is a daemon already.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), socket: connect(path).ok() }
    }

    /// Why there is no connection, if there is none.
    pub(super) fn absent(&self) -> Option<io::Error> {
        match self.socket {
            Some(_) => None,
            None => connect(&self.path).err(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Connects anew.
    ///
    /// # Errors
    /// When nobody listens; the old connection is given up all the same.
    pub(super) fn connect(&mut self) -> io::Result<()> {
        self.socket = None;
        self.socket = Some(connect(&self.path)?);
        Ok(())
    }

    /// Sends a message, and waits for room no longer than `patience`.
    pub(super) fn send(&self, message: &[u8], patience: Duration) -> io::Result<()> {
        let Some(socket) = &self.socket else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        match socket.send(message) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for_room(socket.as_fd(), patience)?;
                socket.send(message).map(drop)
            }
            outcome => outcome.map(drop),
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::super::output::{Flushed, Output};
    use super::super::sink::Sink;
    use super::*;
    use std::time::Instant;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[test]
    fn each_entry_is_a_message() {
        let daemon = Daemon::start("each");
        let mut output = Output::new(Sink::local(&daemon.path));
        output.push("one");
        output.push("two\nthree");
        assert_eq!(output.flush(Instant::now()), Flushed::Whole);
        assert_eq!(daemon.receive(), "one");
        assert_eq!(daemon.receive(), "two\nthree");
    }

    #[test]
    fn a_daemon_that_comes_late_or_restarts_is_found() {
        let path = Daemon::start("restart").path.clone();
        let mut output = Output::new(Sink::local(&path));
        let start = output.retry_at().expect("nobody listens, which is told at once");
        output.push("early");

        let daemon = Daemon::start("restart");
        assert!(matches!(output.flush(start), Flushed::Again { .. }));
        assert_eq!(daemon.receive(), "early");
        drop(daemon);

        let daemon = Daemon::start("restart");
        output.push("again");
        assert_eq!(output.flush(start), Flushed::Whole, "it is connected to without a pause");
        assert_eq!(daemon.receive(), "again");
    }

    #[test]
    fn a_daemon_that_does_not_read_is_given_up_for_a_while() {
        let daemon = Daemon::start("stuck");
        let local = Local::new(&daemon.path);
        let entry = [b'x'; 1024];
        // The kernel's queue is bounded (net.unix.max_dgram_qlen, and by the send buffer).
        let full = (0..100_000).find_map(|_| local.send(&entry, Duration::ZERO).err());
        let kind = full.expect("the queue is bounded").kind();
        assert_eq!(kind, io::ErrorKind::WouldBlock);
        daemon.receive();
        local.send(&entry, PATIENCE).expect("there is room again");
    }

    /// A daemon that hands out what it gets.
    struct Daemon {
        socket: UnixDatagram,
        path: PathBuf,
    }

    impl Daemon {
        fn start(name: &str) -> Self {
            let name = format!("replug-local-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let socket = UnixDatagram::bind(&path).expect("a new socket");
            socket.set_read_timeout(Some(PATIENCE)).expect("a legal timeout");
            Self { socket, path }
        }

        fn receive(&self) -> String {
            let mut message = [0; 2048];
            let count = self.socket.recv(&mut message).expect("a message within PATIENCE");
            String::from_utf8_lossy(&message[..count]).into_owned()
        }
    }

    impl Drop for Daemon {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
