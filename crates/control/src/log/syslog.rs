//! The local syslog daemon, by the datagram socket `/dev/log`.
//!
//! A message is `<30>replug[123]: text`: priority and tag of RFC 3164 without
//! its time, which has neither year nor zone; the daemons (rsyslog, journald,
//! syslogd) put in the time of arrival. When the daemon restarts the socket is
//! connected anew.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::journal::Level;

use super::escape::push;
use super::sink::wait_for_room;

/// Where the daemon listens.
pub(super) const DEV_LOG: &str = "/dev/log";

/// Facility `daemon` (RFC 3164 section 4.1.1).
const FACILITY: u8 = 3;

/// The connection to a daemon.
#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
    /// Or why there is none.
    socket: io::Result<UnixDatagram>,
}

impl Syslog {
    /// Connects; if there is no daemon yet, the first message will try again.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), socket: connect(path) }
    }

    /// Why there is no connection, if there is none.
    pub(super) fn absent(&self) -> Option<io::Error> {
        self.socket.as_ref().err().map(copy)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Connects anew.
    ///
    /// # Errors
    /// When nobody listens; the old connection is given up all the same.
    pub(super) fn connect(&mut self) -> io::Result<()> {
        self.socket = connect(&self.path);
        self.socket.as_ref().map(drop).map_err(copy)
    }

    /// Sends the first of `lines` as one message; returns its length with the line end.
    pub(super) fn send_line(&mut self, lines: &[u8], patience: Duration) -> io::Result<usize> {
        let end = lines.iter().position(|&byte| byte == b'\n').unwrap_or(lines.len());
        let message = &lines[..end];
        match self.send(message, patience) {
            // The daemon has restarted, or was not there at first.
            Err(error) if is_gone(&error) => {
                self.connect()?;
                self.send(message, patience)?;
            }
            outcome => outcome?,
        }
        Ok(lines.len().min(end + 1))
    }

    fn send(&self, message: &[u8], patience: Duration) -> io::Result<()> {
        let socket = self.socket.as_ref().map_err(copy)?;
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

/// The same error once more; these are all of the system's.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => error.kind().into(),
    }
}

/// Begins a message: its priority and who it is from.
pub(super) fn head(line: &mut String, level: Level) {
    let severity = match level {
        Level::Debug => 7,
        Level::Info => 6,
        Level::Warning => 4,
        Level::Error => 3,
    };
    head_of(line, "replug", severity);
}

/// Begins a message of `program` with a severity of RFC 5424 section 6.2.1, 0 to 7.
pub(super) fn head_of(line: &mut String, program: &str, severity: u8) {
    let priority = FACILITY * 8 + severity;
    push(line, format_args!("<{priority}>{program}[{}]: ", std::process::id()));
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotConnected, NotFound};
    matches!(
        error.kind(),
        NotConnected | ConnectionRefused | ConnectionReset | NotFound | BrokenPipe
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[test]
    fn each_line_is_a_message() {
        let daemon = Daemon::start("each");
        let mut syslog = Syslog::new(&daemon.path);
        let lines = b"<30>replug[1]: one\n<28>replug[1]: two\n";
        let first = syslog.send_line(lines, PATIENCE).expect("the daemon runs");
        let second = syslog.send_line(&lines[first..], PATIENCE).expect("the daemon runs");
        assert_eq!(first + second, lines.len());
        assert_eq!(daemon.receive(), "<30>replug[1]: one");
        assert_eq!(daemon.receive(), "<28>replug[1]: two");
    }

    #[test]
    fn a_daemon_that_comes_late_or_restarts_is_found() {
        let path = Daemon::start("restart").path.clone();
        let mut syslog = Syslog::new(&path);
        syslog.send_line(b"lost\n", PATIENCE).expect_err("nobody listens");

        let daemon = Daemon::start("restart");
        syslog.send_line(b"early\n", PATIENCE).expect("the daemon has come");
        assert_eq!(daemon.receive(), "early");
        drop(daemon);

        let daemon = Daemon::start("restart");
        syslog.send_line(b"again\n", PATIENCE).expect("the daemon is back");
        assert_eq!(daemon.receive(), "again");
    }

    #[test]
    fn a_daemon_that_does_not_read_is_given_up_for_a_while() {
        let daemon = Daemon::start("stuck");
        let mut syslog = Syslog::new(&daemon.path);
        let line = [b'x'; 1024];
        // The kernel's queue is bounded (net.unix.max_dgram_qlen, and by the send buffer).
        let full = (0..100_000).find_map(|_| syslog.send_line(&line, Duration::ZERO).err());
        let kind = full.expect("the queue is bounded").kind();
        assert_eq!(kind, io::ErrorKind::TimedOut);
        daemon.receive();
        syslog.send_line(&line, PATIENCE).expect("there is room again");
    }

    #[test]
    fn priorities() {
        for (level, expected) in [
            (Level::Debug, "<31>"),
            (Level::Info, "<30>"),
            (Level::Warning, "<28>"),
            (Level::Error, "<27>"),
        ] {
            let mut line = String::new();
            head(&mut line, level);
            assert_eq!(line, format!("{expected}replug[{}]: ", std::process::id()));
        }
    }

    /// A syslog daemon that hands out what it gets.
    struct Daemon {
        socket: UnixDatagram,
        path: PathBuf,
    }

    impl Daemon {
        fn start(name: &str) -> Self {
            let name = format!("replug-syslog-{name}-{}", std::process::id());
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
