//! What the service manager is told: sd_notify(3), sd_watchdog_enabled(3).
//!
//! The protocol is datagrams of `NAME=value` lines to the unix socket that
//! `NOTIFY_SOCKET` names. It is open: other managers speak it as well. Without
//! that variable nothing is told to nobody.
//!
//! The socket is connected at the start, while the file system is still all
//! there and nobody has become another user.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::journal::{Journal, Level, Notice};
use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::daemon;

/// Longest wait for a manager that does not read what it is told.
const SEND_MAX: Duration = Duration::from_secs(1);

/// Where the manager is told, and what it wants to be told.
#[derive(Debug, Default)]
pub(crate) struct Contact {
    channel: Option<Channel>,
    /// Silence after which the manager gives us up.
    watchdog: Option<Duration>,
    /// Whether the manager knows another process as the main one: the launcher.
    is_daemon: bool,
}

#[derive(Debug)]
struct Channel {
    address: SockAddr,
    socket: Socket,
}

impl Contact {
    /// As the environment says.
    ///
    /// # Errors
    /// When the socket it names cannot be had; the process can go on without.
    pub(crate) fn from_env() -> io::Result<Self> {
        let is_daemon = daemon::is_launched();
        // What a launcher was told is meant for its daemon.
        let ours = match is_daemon {
            true => rustix::process::getppid(),
            false => Some(rustix::process::getpid()),
        };
        let ours = ours.map(|pid| pid.as_raw_nonzero().get());
        Self::of(|name| env::var_os(name), ours, is_daemon)
    }

    fn of(
        variable: impl Fn(&str) -> Option<OsString>,
        ours: Option<i32>,
        is_daemon: bool,
    ) -> io::Result<Self> {
        let Some(name) = variable("NOTIFY_SOCKET") else {
            return Ok(Self::default());
        };
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        let is_ours = match variable("WATCHDOG_PID") {
            None => true,
            Some(pid) => pid.to_str().and_then(|pid| pid.parse().ok()) == ours,
        };
        let watchdog = number("WATCHDOG_USEC").filter(|micros| *micros > 0 && is_ours);
        Ok(Self {
            channel: Some(Channel::connect(&name)?),
            watchdog: watchdog.map(Duration::from_micros),
            is_daemon,
        })
    }
}

impl Channel {
    fn connect(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            // A name of Linux' abstract namespace.
            [b'@', name @ ..] => SockAddr::unix(OsStr::from_bytes(&[&[0], name].concat()))?,
            [b'/', ..] => SockAddr::unix(name)?,
            _ => return Err(io::Error::other("this is no unix socket")),
        };
        let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        socket.set_write_timeout(Some(SEND_MAX))?;
        socket.connect(&address)?;
        Ok(Self { address, socket })
    }

    fn send(&self, lines: &str) -> io::Result<()> {
        let sent = self.socket.send(lines.as_bytes()).or_else(|error| match error.kind() {
            // The manager has opened its socket anew, or the last attempt has found none.
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected => {
                self.socket.connect(&self.address)?;
                self.socket.send(lines.as_bytes())
            }
            _ => Err(error),
        });
        sent.map(drop)
    }
}

/// The service manager, if there is one.
#[derive(Debug)]
pub(crate) struct Manager {
    contact: Contact,
    journal: Journal,
    /// Whether it has been told that it cannot be reached.
    told: AtomicBool,
}

impl Manager {
    /// What cannot be sent is told in `journal`, once.
    pub(crate) fn new(contact: Contact, journal: Journal) -> Self {
        Self { contact, journal, told: AtomicBool::new(false) }
    }

    /// Clients are accepted; after [`Manager::reloading`]: by the new configuration, or still by
    /// the old one. `status` is for people.
    pub(crate) fn ready(&self, status: impl fmt::Display) {
        match self.contact.is_daemon {
            true => {
                let pid = std::process::id();
                self.send(&format!("READY=1\nMAINPID={pid}\nSTATUS={status}"));
            }
            false => self.send(&format!("READY=1\nSTATUS={status}")),
        }
    }

    /// The configuration is read again; [`Manager::ready`] must follow, whatever comes of it.
    pub(crate) fn reloading(&self) {
        // `Type=notify-reload` holds it against the time at which it has sent its signal.
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reloading"));
    }

    /// No more clients are accepted; what is still going on ends.
    pub(crate) fn stopping(&self, status: impl fmt::Display) {
        self.send(&format!("STOPPING=1\nSTATUS={status}"));
    }

    /// How often to [`ping`](Manager::ping), if the manager wants to hear that all is well: twice
    /// in the time after which it would give us up.
    pub(crate) fn ping_period(&self) -> Option<Duration> {
        self.contact.watchdog.map(|silence| silence / 2)
    }

    /// All is well.
    pub(crate) fn ping(&self) {
        self.send("WATCHDOG=1");
    }

    /// All is not well: the manager will hear nothing more until it is.
    pub(crate) fn hangs(&self) {
        let text = "a shard does not respond; the service manager's watchdog is not pinged \
                    until it does";
        self.journal.notice(Notice::Remark { level: Level::Error, text: text.to_owned() });
    }

    fn send(&self, lines: &str) {
        let sent = self.contact.channel.as_ref().map_or(Ok(()), |channel| channel.send(lines));
        match sent {
            Ok(()) => self.told.store(false, Ordering::Relaxed),
            Err(error) => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    let text = format!("the service manager cannot be told: {error}");
                    self.journal.notice(Notice::Remark { level: Level::Warning, text });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::path::PathBuf;

    use engine::journal::{self, Entry, Wants};

    const OURS: Option<i32> = Some(7);

    /// Longest wait for a datagram.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// A manager's socket.
    struct Receiver {
        socket: UnixDatagram,
        path: PathBuf,
    }

    impl Receiver {
        fn start(name: &str) -> Self {
            let name = format!("replug-systemd-{name}-{}", std::process::id());
            let path = env::temp_dir().join(name);
            let socket = UnixDatagram::bind(&path).expect("a new socket");
            socket.set_read_timeout(Some(PATIENCE)).expect("a legal timeout");
            Self { socket, path }
        }

        fn next(&self) -> String {
            let mut lines = [0; 1024];
            let length = self.socket.recv(&mut lines).expect("a datagram");
            String::from_utf8_lossy(&lines[..length]).into_owned()
        }

        fn contact(&self, more: &[(&str, &str)], is_daemon: bool) -> Contact {
            let find = |name: &str| {
                let found = more.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let socket = || self.path.clone().into_os_string();
            let variable =
                |name: &str| find(name).or_else(|| (name == "NOTIFY_SOCKET").then(socket));
            Contact::of(variable, OURS, is_daemon).expect("somebody listens")
        }

        fn manager(&self, is_daemon: bool) -> (Manager, std::sync::mpsc::Receiver<Entry>) {
            let (journal, entries) =
                journal::journal(Wants { level: Level::Debug, ..Wants::QUIET });
            (Manager::new(self.contact(&[], is_daemon), journal), entries)
        }
    }

    impl Drop for Receiver {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    #[test]
    fn states() {
        let receiver = Receiver::start("states");
        let (manager, _entries) = receiver.manager(false);
        manager.ready("1 address");
        assert_eq!(receiver.next(), "READY=1\nSTATUS=1 address");
        manager.ping();
        assert_eq!(receiver.next(), "WATCHDOG=1");
        manager.stopping("2 sessions");
        assert_eq!(receiver.next(), "STOPPING=1\nSTATUS=2 sessions");
        manager.reloading();
        let lines = receiver.next();
        let time = lines.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("the two first lines");
        let (time, rest) = time.split_once('\n').expect("a third line");
        assert!(time.parse::<u64>().is_ok_and(|time| time > 0), "{lines}");
        assert_eq!(rest, "STATUS=reloading");
    }

    #[test]
    fn a_daemon_says_who_it_is() {
        let receiver = Receiver::start("daemon");
        let (manager, _entries) = receiver.manager(true);
        manager.ready("ok");
        let expected = format!("READY=1\nMAINPID={}\nSTATUS=ok", std::process::id());
        assert_eq!(receiver.next(), expected);
    }

    #[test]
    fn watchdogs_of_others_are_not_ours() {
        let receiver = Receiver::start("watchdog");
        let period = |more: &[(&str, &str)]| receiver.contact(more, false).watchdog;
        assert_eq!(period(&[]), None);
        assert_eq!(period(&[("WATCHDOG_USEC", "0")]), None);
        assert_eq!(period(&[("WATCHDOG_USEC", "x")]), None);
        let seconds = Some(Duration::from_secs(3));
        assert_eq!(period(&[("WATCHDOG_USEC", "3000000")]), seconds);
        assert_eq!(period(&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "7")]), seconds);
        assert_eq!(period(&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "8")]), None);
    }

    #[test]
    fn a_manager_that_opens_its_socket_anew_is_found_and_one_that_is_gone_is_told() {
        let receiver = Receiver::start("anew");
        let (manager, entries) = receiver.manager(false);
        drop(receiver);
        manager.ping();
        manager.ping();
        let told = entries.try_iter().count();
        assert_eq!(told, 1, "it is told once");
        let receiver = Receiver::start("anew");
        manager.ping();
        assert_eq!(receiver.next(), "WATCHDOG=1");
    }

    #[test]
    fn names_that_are_no_socket_are_refused_and_none_is_fine() {
        let of = |name: &'static str| {
            Contact::of(|variable| (variable == "NOTIFY_SOCKET").then(|| name.into()), OURS, false)
        };
        assert!(of("vsock:2:1234").is_err());
        assert!(of("/no/such/socket").is_err());
        assert!(of("@no-such-name-anywhere").is_err());
        assert!(Contact::of(|_| None, OURS, false).is_ok_and(|contact| contact.channel.is_none()));
    }
}
