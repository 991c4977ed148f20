//! Syslog messages: what stands in front of their text.
//!
//! `/dev/log` is read by daemons that know who runs on this machine and what time it is: a
//! message of RFC 3164 has neither there. Elsewhere it has both. Those of RFC 5424 are the same
//! everywhere.

use std::time::SystemTime;

use engine::journal::Level;
use model::log::{Syslog, SyslogProtocol};
use model::{SyslogLabel, SyslogServer};

use super::clock::{Stamped, Utc};
use super::escape::push;

/// Longest message, in bytes: what daemons take unless told otherwise. The rest is cut off.
pub(super) const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Longest name of this machine (RFC 5424 section 6).
const HOST_BYTES_MAX: usize = 255;

/// What all messages of a log begin with, but for their time and level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    form: Form,
    label: SyslogLabel,
    host: String,
    process: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// RFC 3164 without time and host.
    Local,
    Rfc3164,
    Rfc5424,
}

/// What a message is about: its MSGID in RFC 5424.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Session,
    Request,
    Notice,
}

impl Head {
    /// That of messages to `syslog` from this process on this machine.
    pub(super) fn new(syslog: &Syslog) -> Self {
        let form = match (syslog.protocol, &syslog.server) {
            (SyslogProtocol::Rfc5424, _) => Form::Rfc5424,
            (SyslogProtocol::Rfc3164, SyslogServer::Local) => Form::Local,
            (SyslogProtocol::Rfc3164, _) => Form::Rfc3164,
        };
        let (label, host, process) = (syslog.label.clone(), host(), std::process::id());
        Self { form, label, host, process }
    }

    /// Begins a message about something that happened `at` this time.
    pub(super) fn begin(
        &self,
        message: &mut String,
        severity: Severity,
        at: SystemTime,
        about: About,
    ) {
        let severity = severity.in_log(&self.label);
        let priority = self.label.facility.number() * 8 + severity;
        let (tag, host, process) = (self.label.tag.as_str(), &self.host, self.process);
        match self.form {
            Form::Local => push(message, format_args!("<{priority}>{tag}[{process}]: ")),
            Form::Rfc3164 => {
                push(message, format_args!("<{priority}>{} {host} ", Stamped(at)));
                push(message, format_args!("{tag}[{process}]: "));
            }
            Form::Rfc5424 => {
                let about = match about {
                    About::Session => "session",
                    About::Request => "request",
                    About::Notice => "notice",
                };
                push(message, format_args!("<{priority}>1 {} {host} ", Utc(at)));
                push(message, format_args!("{tag} {process} {about} - "));
            }
        }
    }
}

/// Cuts a message that is too long, and shows that.
pub(super) fn cut(message: &mut String) {
    const MARK: &str = "...";
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX - MARK.len()));
        message.push_str(MARK);
    }
}

/// How much a message matters, by its number (RFC 5424 section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

impl Severity {
    /// Its number in a log that may take all messages for the same.
    pub(super) fn in_log(self, label: &SyslogLabel) -> u8 {
        label.severity.map_or(self as u8, model::SyslogSeverity::number)
    }
}

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warning => Self::Warning,
            Level::Error => Self::Error,
        }
    }
}

/// The name of this machine, or `-` if it has none that may stand in a message.
fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let legal = (1..=HOST_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic());
    if legal { name } else { "-".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use model::HostPort;
    use model::log::{Facility, Tag};

    #[track_caller]
    fn check(server: SyslogServer, protocol: SyslogProtocol, severity: Severity, expected: &str) {
        let label = SyslogLabel {
            facility: Facility::named("local0").expect("a facility"),
            tag: Tag::new("edge").expect("a tag"),
            severity: None,
        };
        let head = Head::new(&Syslog { server, protocol, label });
        let head = Head { host: "gate".to_owned(), process: 123, ..head };
        let mut message = String::new();
        head.begin(&mut message, severity, samples::moment(), About::Session);
        assert_eq!(message, expected);
    }

    #[test]
    fn heads() {
        use SyslogProtocol::{Rfc3164, Rfc5424};
        let udp = || SyslogServer::Udp(HostPort::parse("x", 514).expect("a legal name"));
        check(SyslogServer::Local, Rfc3164, Severity::Info, "<134>edge[123]: ");
        let stamped = format!("<133>{} gate edge[123]: ", Stamped(samples::moment()));
        check(udp(), Rfc3164, Severity::Notice, &stamped);
        let full = "<131>1 2026-07-30T11:50:25.678Z gate edge 123 session - ";
        check(udp(), Rfc5424, Severity::Error, full);
        check(SyslogServer::Local, Rfc5424, Severity::Error, full);
    }

    #[test]
    fn a_log_may_take_all_messages_for_the_same() {
        let label = |severity| SyslogLabel { severity, ..SyslogLabel::default() };
        assert_eq!(Severity::Error.in_log(&label(None)), 3);
        assert_eq!(Severity::Error.in_log(&label(model::SyslogSeverity::named("notice"))), 5);
    }

    #[test]
    fn this_machine_has_a_name() {
        assert!(host().bytes().all(|byte| byte.is_ascii_graphic()) && !host().is_empty());
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let mut message = "é".repeat(MESSAGE_BYTES_MAX / 2);
        cut(&mut message);
        assert_eq!(message.len(), MESSAGE_BYTES_MAX);
        message.push('x');
        cut(&mut message);
        assert!(message.len() <= MESSAGE_BYTES_MAX && message.ends_with("é..."), "{message}");
    }
}
