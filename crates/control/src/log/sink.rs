//! Where entries are written: a standard stream, a file, a daemon here or elsewhere.
//!
//! A write may take a part, and waits no longer than it is told to. To keep
//! that promise on a stream that blocks (a pipe, a terminal; it may be shared
//! with other processes, which is why it is not switched to non-blocking) it is
//! asked first and then given no more than it has announced room for.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::HostPort;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::local::Local;
use super::remote::{Tcp, Udp};
use crate::activation::is_client;

/// What a pipe that is ready to write has room for (`PIPE_BUF`, pipe(7)).
const PIPE_BYTES: usize = 4_096;

/// Mode of a new log file, less the umask: addresses of clients are not for everybody.
const FILE_MODE: u32 = 0o640;

/// See the head of this file.
#[derive(Debug)]
pub(super) enum Sink {
    /// Standard output or standard error.
    Standard(Standard),
    /// A file, a device, or a FIFO.
    File(LogFile),
    /// A daemon of this machine.
    Local(Local),
    /// A syslog server that takes datagrams.
    Udp(Udp),
    /// A syslog server that takes connections.
    Tcp(Tcp),
}

/// How entries are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Each ends in a line end.
    Lines,
    /// Each is a message of its own.
    Messages,
    /// Each stands behind its length (RFC 6587 section 3.4.1).
    Counted,
}

/// Time between attempts to write to a sink that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pauses {
    /// The first; each after it is twice as long.
    pub(super) first: Duration,
    /// The longest.
    pub(super) most: Duration,
}

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standard {
    Output,
    Error,
}

/// A log in the file system.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    /// `None`: a FIFO that nobody has read from yet.
    file: Option<File>,
}

/// What opening a sink anew came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// It is the same file, or there is nothing to open; a line may be continued.
    Same,
    /// It is another one; a line must be written from its beginning.
    Other,
}

impl Sink {
    pub(super) fn stdout() -> Self {
        Self::Standard(Standard::Output)
    }

    pub(super) fn stderr() -> Self {
        Self::Standard(Standard::Error)
    }

    /// The daemon behind the socket at `path`, whether it runs already or not.
    pub(super) fn local(path: &Path) -> Self {
        Self::Local(Local::new(path))
    }

    /// A syslog server that takes datagrams. It is looked for with the first entry.
    pub(super) fn udp(server: HostPort) -> Self {
        Self::Udp(Udp::new(server))
    }

    /// A syslog server that takes connections. It is looked for with the first entry.
    pub(super) fn tcp(server: HostPort) -> Self {
        Self::Tcp(Tcp::new(server))
    }

    /// Opens or makes a file. A FIFO without a reader is no error.
    pub(super) fn file(path: &Path) -> io::Result<Self> {
        let file = match open(path) {
            Ok(file) => Some(file),
            Err(error) if nobody_reads(&error) => None,
            Err(error) => return Err(error),
        };
        let path = path.to_owned();
        Ok(Self::File(LogFile { path, file }))
    }

    /// What is missing, where a sink could be opened only in part: a reader, a daemon.
    pub(super) fn absent(&self) -> Option<io::Error> {
        match self {
            Self::File(LogFile { file: None, .. }) => Some(Errno::NXIO.into()),
            Self::Local(local) => local.absent(),
            Self::Standard(_) | Self::File(_) | Self::Udp(_) | Self::Tcp(_) => None,
        }
    }

    pub(super) fn framing(&self) -> Framing {
        match self {
            Self::Standard(_) | Self::File(_) => Framing::Lines,
            Self::Local(_) | Self::Udp(_) => Framing::Messages,
            Self::Tcp(_) => Framing::Counted,
        }
    }

    /// Whether there is somebody behind it who may be gone, and come back.
    pub(super) fn is_connection(&self) -> bool {
        match self {
            Self::Standard(_) | Self::File(_) => false,
            Self::Local(_) | Self::Udp(_) | Self::Tcp(_) => true,
        }
    }

    pub(super) fn pauses(&self) -> Pauses {
        let first = Duration::from_secs(1);
        match self {
            Self::Standard(_) | Self::File(_) | Self::Local(_) => Pauses { first, most: first },
            Self::Udp(_) | Self::Tcp(_) => Pauses { first, most: Duration::from_secs(30) },
        }
    }

    /// Writes a part of `entries`, at least one byte, and waits for room no longer than `patience`.
    /// The first entry, or what is left of it, ends at `first`.
    pub(super) fn write(
        &mut self,
        entries: &[u8],
        first: usize,
        patience: Duration,
    ) -> io::Result<usize> {
        match self {
            Self::Standard(Standard::Output) => stream(io::stdout().as_fd(), entries, patience),
            Self::Standard(Standard::Error) => stream(io::stderr().as_fd(), entries, patience),
            Self::File(LogFile { file: Some(file), .. }) => match file.metadata()?.is_file() {
                true => write_once(file.as_fd(), entries),
                false => stream(file.as_fd(), entries, patience),
            },
            Self::File(LogFile { file: None, .. }) => Err(Errno::NXIO.into()),
            Self::Local(local) => local.send(&entries[..first], patience).map(|()| first),
            Self::Udp(udp) => udp.send(&entries[..first], patience).map(|()| first),
            Self::Tcp(tcp) => tcp.write(entries, patience),
        }
    }

    /// Whether its path is another file's by now, or nobody's: it was renamed or removed.
    pub(super) fn has_moved(&self) -> bool {
        match self {
            Self::File(LogFile { path, file: Some(file) }) => {
                match (fs::metadata(path), file.metadata()) {
                    (Ok(there), Ok(ours)) => (there.dev(), there.ino()) != (ours.dev(), ours.ino()),
                    (Err(error), _) => error.kind() == io::ErrorKind::NotFound,
                    (Ok(_), Err(_)) => false,
                }
            }
            _ => false,
        }
    }

    /// Whether an entry was refused for its length; it never will be taken.
    pub(super) fn is_too_long(error: &io::Error) -> bool {
        error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error())
    }

    /// Whether a write failed because nobody is connected any more: a daemon that has restarted
    /// may well be there when it is connected to anew.
    pub(super) fn is_gone(&self, error: &io::Error) -> bool {
        use io::ErrorKind as Kind;
        self.is_connection()
            && matches!(
                error.kind(),
                Kind::NotConnected
                    | Kind::NotFound
                    | Kind::ConnectionRefused
                    | Kind::ConnectionReset
                    | Kind::ConnectionAborted
                    | Kind::BrokenPipe
                    | Kind::TimedOut
            )
    }

    /// Opens the path anew; on failure all stays as it was, but for connections, which are gone.
    pub(super) fn reopen(&mut self) -> io::Result<Opened> {
        match self {
            Self::Standard(_) => Ok(Opened::Same),
            Self::File(log) => log.reopen(),
            Self::Local(local) => local.connect().map(|()| Opened::Other),
            Self::Udp(udp) => udp.connect().map(|()| Opened::Other),
            Self::Tcp(tcp) => tcp.connect().map(|()| Opened::Other),
        }
    }

    /// Gives a regular file to another user; anything else is not ours to give.
    pub(super) fn give_to(&self, user: u32, group: u32) -> io::Result<()> {
        match self {
            Self::File(LogFile { file: Some(file), .. }) if file.metadata()?.is_file() => {
                fchown(file, Some(user), Some(group))
            }
            _ => Ok(()),
        }
    }

    /// Calls a file by another path from now on, if `inside` knows one.
    pub(super) fn rename(&mut self, inside: impl Fn(&Path) -> Option<PathBuf>) {
        if let Self::File(log) = self
            && let Some(path) = inside(&log.path)
        {
            log.path = path;
        }
    }

    /// Tells on standard error, if it takes it at once, that this sink begins to fail.
    pub(super) fn complain(&self, error: &io::Error) {
        if is_client(io::stderr().as_fd()) {
            return;
        }
        let name = match self {
            Self::Standard(Standard::Error) => return,
            Self::Standard(Standard::Output) => "standard output".to_owned(),
            Self::File(log) => log.path.display().to_string(),
            Self::Local(local) => local.path().display().to_string(),
            Self::Udp(udp) => format!("syslog://{}", udp.server()),
            Self::Tcp(tcp) => format!("syslog+tcp://{}", tcp.server()),
        };
        let mut line = "replug: ".to_owned();
        super::escape::plain(
            &mut line,
            &format!("cannot write the log to {name}: {error}; it is tried again and again"),
        );
        line.push('\n');
        // Best effort: there is nowhere else to say it.
        let _ = stream(io::stderr().as_fd(), line.as_bytes(), Duration::ZERO);
    }
}

impl LogFile {
    fn reopen(&mut self) -> io::Result<Opened> {
        let new = open(&self.path)?;
        let identity = |file: &File| file.metadata().map(|found| (found.dev(), found.ino()));
        if let Some(old) = &self.file {
            let fifo = new.metadata()?.file_type().is_fifo();
            if !fifo && identity(old)? == identity(&new)? {
                return Ok(Opened::Same);
            }
        }
        self.file = Some(new);
        Ok(Opened::Other)
    }
}

/// Opens for appending without waiting for a FIFO's reader, and without taking a terminal as ours.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    // Only the opening must not block: what is written waits its turn by poll(2).
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

fn nobody_reads(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NXIO.raw_os_error())
}

/// Writes what a stream has room for within `patience`.
fn stream(fd: BorrowedFd<'_>, bytes: &[u8], patience: Duration) -> io::Result<usize> {
    wait_for_room(fd, patience)?;
    write_once(fd, &bytes[..bytes.len().min(PIPE_BYTES)])
}

/// One write(2), which may take a part.
pub(super) fn write_once(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    match rustix::io::retry_on_intr(|| rustix::io::write(fd, bytes))? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}

/// Waits until `fd` can be written to, or has an error that a write will tell.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] when `patience` is over.
pub(super) fn wait_for_room(fd: BorrowedFd<'_>, patience: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    match rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout)))? {
        0 => Err(io::Error::new(io::ErrorKind::WouldBlock, "nobody reads it")),
        _ => Ok(()),
    }
}
