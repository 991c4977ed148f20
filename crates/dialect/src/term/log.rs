//! How records look, and where they go.

use model::log::{Facility, Sample, SyslogLabel, Tag};
use model::{Code, Diagnostic, HostPort, LogFormat, LogTarget, Syslog, SyslogServer};

use crate::line::Word;
use crate::suggest;
use crate::term::address::{self, Purpose};
use crate::term::{Dialect, value};

/// How records look.
pub(crate) fn format(word: Word<'_>, dialect: Dialect) -> Result<LogFormat, Diagnostic> {
    let names = LogFormat::NAMES;
    if let Some((_, format)) = names.iter().find(|(name, _)| *name == word.text) {
        return Ok(*format);
    }
    let message = format!("there is no log format `{}`", word.text);
    let fault = Diagnostic::new(Code::Choice, word.span, message).label("not known");
    let is_place = word.text.contains('/') || ["-", "syslog", "journald"].contains(&word.text);
    Err(if is_place {
        fault.help(match dialect {
            Dialect::Quick => format!("where records go is `--log-to {}`", word.text),
            Dialect::Native => format!("where records go is `to = \"{}\"`", word.text),
        })
    } else {
        let meant = match word.text {
            "tcplog" | "haproxy" | "haproxy-tcplog" => Some("haproxy-tcp"),
            text => suggest::nearest(text, names.map(|(name, _)| name)),
        };
        match meant {
            Some(meant) => fault.help(format!("did you mean `{meant}`?")),
            None => fault.help("write `text`, `json`, `logfmt` or `haproxy-tcp`"),
        }
    })
}

/// Where records go.
pub(crate) fn target(word: Word<'_>, dialect: Dialect) -> Result<LogTarget, Diagnostic> {
    let fault = |message: String| Diagnostic::new(Code::Choice, word.span, message);
    let syslog = |server| LogTarget::Syslog(Syslog::new(server));
    match word.text {
        "-" | "stdout" => Ok(LogTarget::Stdout),
        "stderr" => Ok(LogTarget::Stderr),
        "syslog" => Ok(syslog(SyslogServer::Local)),
        "journald" => Ok(LogTarget::Journald(SyslogLabel::default())),
        text => match text.find("://").map(|at| text.split_at(at + 3)) {
            Some(("syslog://" | "syslog+udp://", _)) => {
                server(word, SyslogServer::UDP_PORT).map(|at| syslog(SyslogServer::Udp(at)))
            }
            Some(("syslog+tcp://", _)) => {
                server(word, SyslogServer::TCP_PORT).map(|at| syslog(SyslogServer::Tcp(at)))
            }
            Some((scheme, rest)) => Err(fault(format!("cannot log to `{text}`"))
                .label("not a file")
                .help(match scheme {
                    "udp://" => format!("write `syslog://{rest}`"),
                    "tcp://" => format!("write `syslog+tcp://{rest}`"),
                    "file://" => format!("write `{rest}`"),
                    _ => "write `syslog`, `syslog://host:514`, `syslog+tcp://host:601`, \
                          `journald` or a file"
                        .to_owned(),
                })),
            None if LogFormat::NAMES.iter().any(|(name, _)| *name == text) => {
                Err(fault(format!("`{text}` is a format, not a place"))
                    .label("a file of this name?")
                    .help(match dialect {
                        Dialect::Quick => {
                            format!("write `--log {text}`, or `./{text}` for the file")
                        }
                        Dialect::Native => {
                            format!("write `format = \"{text}\"`, or `./{text}` for the file")
                        }
                    }))
            }
            None => value::path(word).map(LogTarget::File),
        },
    }
}

/// The server behind a scheme.
fn server(word: Word<'_>, port: u16) -> Result<HostPort, Diagnostic> {
    let start = word.text.find("://").map_or(0, |at| at + 3);
    let host = word.from(start);
    HostPort::parse(host.text, port).map_err(|fault| address::fault(host, &fault, Purpose::Syslog))
}

/// `1/N`: one session in so many.
pub(crate) fn sample(word: Word<'_>) -> Result<Sample, Diagnostic> {
    let count = word.text.strip_prefix("1/").and_then(|count| count.parse().ok());
    count.map(Sample::one_in).ok_or_else(|| {
        let message = format!("`{}` is not a share of the sessions", word.text);
        Diagnostic::new(Code::Number, word.span, message)
            .label("not one in so many")
            .help("write `\"1/10\"` for one session in ten")
    })
}

/// The kind of program that syslog messages are from.
pub(crate) fn facility(word: Word<'_>) -> Result<Facility, Diagnostic> {
    Facility::named(word.text).ok_or_else(|| {
        let message = format!("there is no facility `{}`", word.text);
        let fault = Diagnostic::new(Code::Choice, word.span, message).label("not known");
        match suggest::nearest(word.text, Facility::NAMES) {
            Some(meant) => fault.help(format!("did you mean `{meant}`?")),
            None => fault.help("write `daemon`, `user` or one of `local0` to `local7`"),
        }
    })
}

/// The name that syslog messages are from.
pub(crate) fn tag(word: Word<'_>) -> Result<Tag, Diagnostic> {
    Tag::new(word.text).ok_or_else(|| {
        Diagnostic::new(Code::Name, word.span, "this cannot be a tag")
            .label(if word.text.is_empty() { "empty" } else { "not a tag" })
            .help(format!("letters, digits, `-`, `_`, `.` and `/`, at most {}", Tag::BYTES_MAX))
    })
}
