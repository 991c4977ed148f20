//! What stands in brackets behind a rule: `[timeout=5,src=10.0.0.9]`.

use std::net::IpAddr;
use std::time::Duration;

use model::unit::DURATION_MAX;
use model::{Code, Diagnostic, Spanned};

use super::Surroundings;
use super::end::{self, Host};
use crate::line::Word;
use crate::suggest;

/// What they say. Of one that stands twice the last counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) timeout: Option<Spanned<Duration>>,
    pub(super) source: Option<Spanned<IpAddr>>,
    /// How long an attempt to connect may take.
    pub(super) connect: Option<Duration>,
    pub(super) no_keepalive: bool,
    /// Names are resolved again in their own time.
    pub(super) refresh: bool,
}

const KNOWN: [&str; 6] = ["connect-timeout", "dns-refresh", "keepalive", "mode", "src", "timeout"];

impl Said {
    /// Reads what stands between the brackets.
    pub(super) fn read(
        group: Word<'_>,
        surroundings: Surroundings<'_>,
        faults: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut said = Self::default();
        let mut start = 0;
        for part in group.text.split(',') {
            let word = trimmed(group.part(start..start + part.len()));
            start += part.len() + 1;
            if let Err(fault) = said.option(word, surroundings, faults) {
                faults.push(fault);
            }
        }
        said
    }

    fn option(
        &mut self,
        word: Word<'_>,
        surroundings: Surroundings<'_>,
        faults: &mut Vec<Diagnostic>,
    ) -> Result<(), Diagnostic> {
        let fault =
            |word: Word<'_>, label: &str| Diagnostic::new(Code::Syntax, word.span, "").label(label);
        let Some((name, _)) = word.text.split_once('=') else {
            return Err(fault(
                word,
                if word.text.is_empty() { "nothing here" } else { "no value" },
            )
            .help("write options as in `[timeout=30,src=10.0.0.9]`"));
        };
        let value = trimmed(word.from(name.len() + 1));
        match name.trim_end() {
            "timeout" => {
                let time = seconds(value)?;
                if time.is_zero() {
                    let message = "no time at all is no time-out";
                    let told = Diagnostic::new(Code::ReadAs, value.span, message);
                    faults.push(told.label("read as the usual time").help("leave it out"));
                }
                self.timeout = (!time.is_zero()).then(|| Spanned::at(time, word.span));
            }
            "connect-timeout" => {
                self.connect = Some(seconds(value)?).filter(|time| !time.is_zero());
            }
            "src" => self.source = source(value, surroundings)?,
            "keepalive" => match value.text {
                "on" => self.no_keepalive = false,
                "off" => self.no_keepalive = true,
                _ => return Err(fault(value, "neither on nor off").help("write `on` or `off`")),
            },
            "dns-refresh" => {
                seconds(value)?;
                self.refresh = true;
                faults.push(refreshed(word));
            }
            "mode" => {
                let message = "the mode of a unix socket cannot be set";
                return Err(Diagnostic::new(Code::NotYet, word.span, message)
                    .label("not in this version")
                    .help("leave it out, and protect the folder that the socket is in"));
            }
            other => {
                let unknown = fault(word.part(0..name.len()), "not an option");
                return Err(unknown.help(match suggest::nearest(other, KNOWN) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "there are timeout, src, keepalive, dns-refresh and connect-timeout"
                        .to_owned(),
                }));
            }
        }
        Ok(())
    }
}

/// What is told of a time after which names are to be resolved again.
pub(super) fn refreshed(word: Word<'_>) -> Diagnostic {
    Diagnostic::new(Code::Ignored, word.span, "names are resolved again in their own time")
        .label("without effect")
        .help("leave it out: name servers say how long an answer holds")
}

/// A whole number of seconds, at most a year.
pub(super) fn seconds(word: Word<'_>) -> Result<Duration, Diagnostic> {
    let is_number = !word.text.is_empty() && word.text.bytes().all(|byte| byte.is_ascii_digit());
    let time = word.text.parse().ok().map(Duration::from_secs).filter(|_| is_number);
    time.filter(|time| *time <= DURATION_MAX).ok_or_else(|| {
        Diagnostic::new(Code::Number, word.span, "")
            .label(if is_number { "more than a year" } else { "not a number of seconds" })
            .help("write a whole number, as in `timeout=30`")
    })
}

/// What connections leave from; `None`: what the kernel chooses.
fn source(
    word: Word<'_>,
    surroundings: Surroundings<'_>,
) -> Result<Option<Spanned<IpAddr>>, Diagnostic> {
    let ip = match end::host(word)? {
        Host::Ip(ip) => ip,
        Host::Name(name) => (surroundings.address)(&name).map_err(|why| {
            Diagnostic::new(
                Code::HostName,
                word.span,
                format!("cannot resolve host \"{name}\" ({why})"),
            )
            .label("no address")
            .help("write an address of this machine")
        })?,
        Host::Scoped(..) | Host::Unix(_) => {
            return Err(Diagnostic::new(Code::Source, word.span, "")
                .label("not an address to leave from")
                .help("write an address of this machine, as in `src=10.0.0.9`"));
        }
    };
    Ok((!ip.is_unspecified()).then(|| Spanned::at(ip, word.span)))
}

/// Without blanks around it.
fn trimmed(word: Word<'_>) -> Word<'_> {
    let start = word.text.len() - word.text.trim_start().len();
    word.part(start..start + word.text.trim().len())
}
