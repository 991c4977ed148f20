//! What is written down about sessions, how it looks, and where it goes.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::address::HostPort;
use crate::source::Spanned;

/// One log. There may be several, each with its own format and target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a record looks.
    pub format: LogFormat,
    /// Where records and messages go.
    pub to: Spanned<LogTarget>,
    /// How much is said.
    pub verbosity: Verbosity,
    /// Whether a session has a record also when it begins.
    pub start: bool,
    /// How often a session that lasts has a record of how far it has come; `None`: never.
    pub every: Option<Duration>,
    /// How many of the sessions that went well are written down.
    pub sample: Sample,
    /// Whether requests of HTTP are written down, at listeners that look at them.
    pub requests: bool,
}

impl Log {
    /// Shortest time between two records of a session that lasts.
    pub const EVERY_MIN: Duration = Duration::from_secs(1);

    /// A log with every default but its target.
    pub fn to(target: LogTarget) -> Self {
        Self { to: Spanned::default_of(target), ..Self::default() }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            to: Spanned::default_of(LogTarget::default()),
            verbosity: Verbosity::default(),
            start: false,
            every: None,
            sample: Sample::ALL,
            requests: false,
        }
    }
}

/// How a record looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object on one line.
    Json,
    /// `key=value` words on one line.
    Logfmt,
    /// The line of HAProxy's `option tcplog`.
    HaproxyTcp,
    /// The line of plug's session file; no messages.
    PlugSession,
    /// What plug tells syslog.
    PlugSyslog,
    /// The line of rinetd's log file; no messages.
    Rinetd,
    /// The same as a line of a web server.
    RinetdCommon,
    /// What rinetd tells syslog.
    RinetdSyslog,
    /// What spawnd and tcprelay tell syslog; nothing of sessions.
    Tcprelay,
    /// The access log of transproxy: requests, and clients that were refused; no messages.
    Tproxy,
    /// What transproxy tells syslog: what could not be reached.
    TproxySyslog,
    /// What redir 3 tells syslog.
    RedirSyslog,
    /// What redir 2 tells syslog.
    Redir2Syslog,
    /// The lines of ProxyMachine, with everything that it says.
    Proxymachine,
}

impl LogFormat {
    /// Whether it has lines for sessions at all.
    pub fn has_records(self) -> bool {
        self != Self::Tcprelay
    }

    /// Whether it has lines for sessions that begin or go on, and not only for their ends.
    pub fn has_events(self) -> bool {
        match self {
            Self::Text
            | Self::Json
            | Self::Logfmt
            | Self::HaproxyTcp
            | Self::Rinetd
            | Self::RinetdCommon => true,
            Self::PlugSession
            | Self::PlugSyslog
            | Self::RinetdSyslog
            | Self::RedirSyslog
            | Self::Redir2Syslog
            | Self::Tcprelay
            | Self::Tproxy
            | Self::Proxymachine
            | Self::TproxySyslog => false,
        }
    }

    /// Whether it can have lines for requests; [`LogFormat::Tproxy`] always has.
    pub fn has_requests(self) -> bool {
        matches!(self, Self::Text | Self::Json | Self::Logfmt)
    }

    /// All of them, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 15] = [
        ("text", Self::Text),
        ("json", Self::Json),
        ("logfmt", Self::Logfmt),
        ("haproxy-tcp", Self::HaproxyTcp),
        ("plug-session", Self::PlugSession),
        ("plug-syslog", Self::PlugSyslog),
        ("rinetd", Self::Rinetd),
        ("rinetd-common", Self::RinetdCommon),
        ("rinetd-syslog", Self::RinetdSyslog),
        ("tcprelay", Self::Tcprelay),
        ("tproxy", Self::Tproxy),
        ("tproxy-syslog", Self::TproxySyslog),
        ("redir-syslog", Self::RedirSyslog),
        ("redir2-syslog", Self::Redir2Syslog),
        ("proxymachine", Self::Proxymachine),
    ];
}

/// Where records and messages go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard error.
    #[default]
    Stderr,
    /// Records to standard output, messages to standard error.
    Stdout,
    /// A syslog daemon.
    Syslog(Syslog),
    /// The journal of systemd, with each field by its name.
    Journald(SyslogLabel),
    /// A file, opened anew on SIGUSR1.
    File(String),
}

/// A syslog daemon, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// Where it is.
    pub server: SyslogServer,
    /// How messages look.
    pub protocol: SyslogProtocol,
    /// What messages are marked with.
    pub label: SyslogLabel,
}

impl Syslog {
    /// A daemon with every default.
    pub fn new(server: SyslogServer) -> Self {
        let protocol = server.usual_protocol();
        Self { server, protocol, label: SyslogLabel::default() }
    }
}

/// Where a syslog daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogServer {
    /// On this machine, behind `/dev/log`.
    Local,
    /// Elsewhere, by datagrams (RFC 5426).
    Udp(HostPort),
    /// Elsewhere, by a connection, each message behind its length (RFC 6587 section 3.4.1).
    Tcp(HostPort),
}

impl SyslogServer {
    /// The port of syslog over UDP (RFC 5426).
    pub const UDP_PORT: u16 = 514;
    /// The port of syslog over TCP (RFC 6587).
    pub const TCP_PORT: u16 = 601;

    /// What it is spoken to in, unless told. The journal and most local daemons read RFC 3164 at
    /// `/dev/log` and take RFC 5424 for text.
    pub fn usual_protocol(&self) -> SyslogProtocol {
        match self {
            Self::Local => SyslogProtocol::Rfc3164,
            Self::Udp(_) | Self::Tcp(_) => SyslogProtocol::Rfc5424,
        }
    }
}

/// How a syslog message looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogProtocol {
    /// `<30>Nov 21 03:11:12 host replug[123]: text`; without time and host on this machine.
    Rfc3164,
    /// `<30>1 2026-11-21T03:11:12.000Z host replug 123 session - text`.
    Rfc5424,
}

impl SyslogProtocol {
    /// All of them, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("rfc3164", Self::Rfc3164), ("rfc5424", Self::Rfc5424)];
}

/// What syslog messages are marked with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyslogLabel {
    /// The kind of program they are from.
    pub facility: Facility,
    /// The program they are from.
    pub tag: Tag,
    /// How much each of them matters; `None`: each says it for itself.
    pub severity: Option<SyslogSeverity>,
}

/// How much a syslog message matters (RFC 5424 section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyslogSeverity(u8);

impl SyslogSeverity {
    /// All of them by name, each at the place of its number.
    pub const NAMES: [(&str, Self); 8] = [
        ("emerg", Self(0)),
        ("alert", Self(1)),
        ("crit", Self(2)),
        ("err", Self(3)),
        ("warning", Self(4)),
        ("notice", Self(5)),
        ("info", Self(6)),
        ("debug", Self(7)),
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, severity)| *severity)
    }

    /// Its number, 0 to 7: the smaller, the more it matters.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[usize::from(self.0)].0
    }
}

/// The kind of program that a syslog message is from (RFC 5424 section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    /// All of them by name, each at the place of its number.
    pub const NAMES: [&str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron",
        "authpriv", "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2",
        "local3", "local4", "local5", "local6", "local7",
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        (0..).zip(Self::NAMES).find(|(_, known)| *known == name).map(|(number, _)| Self(number))
    }

    /// Its number, 0 to 23.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[usize::from(self.0)]
    }
}

impl Default for Facility {
    /// `daemon`.
    fn default() -> Self {
        Self(3)
    }
}

/// The program that a syslog message is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// Longest tag in bytes (RFC 3164 section 4.1.3).
    pub const BYTES_MAX: usize = 32;

    /// A tag, if it is letters, digits and `-_./`, at least one of them.
    pub fn new(text: &str) -> Option<Self> {
        let legal =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
        let good = (1..=Self::BYTES_MAX).contains(&text.len()) && text.bytes().all(legal);
        good.then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tag {
    /// `replug`.
    fn default() -> Self {
        Self("replug".to_owned())
    }
}

/// How many of the sessions that went well are written down: one in so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample(NonZeroU32);

impl Sample {
    /// Every one.
    pub const ALL: Self = Self(NonZeroU32::MIN);

    /// One in `count`.
    pub fn one_in(count: NonZeroU32) -> Self {
        Self(count)
    }

    /// In how many there is one.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

/// As it is configured: `1/10`.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1/{}", self.0)
    }
}

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Only what needs attention; no session records.
    Quiet,
    /// Session records, and what an operator wants to know.
    #[default]
    Normal,
    /// Also the start of each session and every decision on the way.
    Verbose,
}

impl Verbosity {
    /// All of them, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 3] =
        [("quiet", Self::Quiet), ("normal", Self::Normal), ("verbose", Self::Verbose)];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_have_the_numbers_of_the_standard() {
        let numbers = ["kern", "daemon", "authpriv", "local0", "local7"]
            .map(|name| Facility::named(name).map(Facility::number));
        assert_eq!(numbers, [Some(0), Some(3), Some(10), Some(16), Some(23)]);
        assert_eq!(Facility::named("local8"), None);
        assert_eq!(Facility::default().name(), "daemon");
    }

    #[test]
    fn tags_hold_nothing_that_would_end_them() {
        for good in ["replug", "replug/edge-1.b_2", &"x".repeat(32)] {
            assert!(Tag::new(good).is_some(), "{good}");
        }
        for bad in ["", "a b", "a:", "a[1]", "a\n", "é", &"x".repeat(33)] {
            assert!(Tag::new(bad).is_none(), "{bad}");
        }
    }
}
