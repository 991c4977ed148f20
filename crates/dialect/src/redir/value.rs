//! The values of a redir command line.
//!
//! Where redir takes anything for a number (`19002x`, `http`, nothing at all), what is wrong is told
//! here. Addresses may be names, short as inet_addr(3) reads them, and IPv6, with brackets or
//! without.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use model::unit::{self, DURATION_MAX};
use model::{BackendAddress, Bandwidth, ByteRate, Code, Delay, Diagnostic, FtpModes, Verbosity};

use super::Surroundings;
use super::words::FTP_TYPES;
use crate::line::Word;
use crate::plug::inet;
use crate::suggest;

/// The least buffer that redir takes, in bytes.
const BUFFER_MIN: u32 = 256;

/// A value, and what is to be told about it although it can be used.
pub(super) type Read<T> = Result<(T, Option<Diagnostic>), Diagnostic>;

/// `[HOST]:PORT`, apart: the last colon counts, and brackets around the host do not. `None`: there
/// is no colon.
pub(super) fn split(word: Word<'_>) -> Option<(Word<'_>, Word<'_>)> {
    let colon = word.text.rfind(':')?;
    let (host, port) = (word.part(0..colon), word.from(colon + 1));
    let is_bracketed =
        host.text.len() > 1 && host.text.starts_with('[') && host.text.ends_with(']');
    match is_bracketed {
        true => Some((host.part(1..host.text.len() - 1), port)),
        false => Some((host, port)),
    }
}

/// A port, by its number or the name of its service.
pub(super) fn port(word: Word<'_>, around: Surroundings<'_>) -> Result<u16, Diagnostic> {
    let text = word.text;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let fault = |message: String| Diagnostic::new(Code::Port, word.span, message);
    match is_number {
        true => text.parse().map_err(|_| {
            fault(format!("`{text}` is not a port"))
                .label("ports end at 65535")
                .help("write a port from 1 to 65535")
        }),
        false => (around.service)(text).ok_or_else(|| match text {
            "" => fault("the port is empty".to_owned())
                .label("nothing here")
                .help("write a port behind the colon, as in `:8080`"),
            _ => fault(format!("`{text}` is not a port"))
                .label("neither a number nor a service")
                .help("write the number; services are named in /etc/services"),
        }),
    }
}

/// The address of this machine that `word` names; nothing is every IPv4 address, `*` every address.
pub(super) fn local(
    word: Word<'_>,
    around: Surroundings<'_>,
) -> Result<Option<IpAddr>, Diagnostic> {
    match word.text {
        "" => Ok(Some(Ipv4Addr::UNSPECIFIED.into())),
        "*" => Ok(None),
        _ => ip(word, around).map(Some).ok_or_else(|| unresolved(word, "listen on")),
    }
}

/// The address that connections leave from.
pub(super) fn source(word: Word<'_>, around: Surroundings<'_>) -> Result<IpAddr, Diagnostic> {
    ip(word, around).ok_or_else(|| unresolved(word, "leave from"))
}

fn ip(word: Word<'_>, around: Surroundings<'_>) -> Option<IpAddr> {
    let bare = word.text.trim_start_matches('[').trim_end_matches(']');
    literal(bare).or_else(|| (around.resolve)(bare))
}

fn literal(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| inet::address(text).map(IpAddr::V4))
}

fn unresolved(word: Word<'_>, what: &str) -> Diagnostic {
    let message = format!("cannot resolve hostname {}", word.text);
    Diagnostic::new(Code::Address, word.span, message)
        .label("no address")
        .help(format!("write the address to {what}"))
}

/// Where clients go. Nothing is this machine; so are all of its addresses.
pub(super) fn target(host: Word<'_>, port: u16) -> Result<BackendAddress, Diagnostic> {
    if port == 0 {
        return Err(Diagnostic::new(Code::Port, host.span, "port 0 is none to connect to")
            .label("leads nowhere")
            .help("write the port of the target"));
    }
    let here = |ip: IpAddr| match (ip.is_unspecified(), ip) {
        (true, IpAddr::V4(_)) => Ipv4Addr::LOCALHOST.into(),
        (true, IpAddr::V6(_)) => std::net::Ipv6Addr::LOCALHOST.into(),
        (false, ip) => ip,
    };
    let bare = host.text.trim_start_matches('[').trim_end_matches(']');
    match literal(bare) {
        _ if bare.is_empty() => Ok(BackendAddress::Ip((Ipv4Addr::LOCALHOST, port).into())),
        Some(ip) => Ok(BackendAddress::Ip((here(ip), port).into())),
        None => match BackendAddress::parse(&format!("{bare}:{port}"), None) {
            Ok(address @ BackendAddress::Name { .. }) => Ok(address),
            _ => Err(Diagnostic::new(
                Code::HostName,
                host.span,
                format!("`{}` is not the name of a host", host.text),
            )
            .label("neither an address nor a name")
            .help("write an address or a name, as in `www.example.com`")),
        },
    }
}

/// What a proxy is asked for.
pub(super) fn asked(word: Word<'_>) -> Result<BackendAddress, Diagnostic> {
    match BackendAddress::parse(word.text, None) {
        Ok(address @ (BackendAddress::Ip(_) | BackendAddress::Name { .. })) => Ok(address),
        _ => Err(Diagnostic::new(
            Code::Address,
            word.span,
            format!("no proxy can be asked for `{}`", word.text),
        )
        .label("not a host and a port")
        .help("write both, as in `www.example.com:443`")),
    }
}

/// Seconds, at most a year; 0 is none.
pub(super) fn seconds(word: Word<'_>) -> Read<Option<Duration>> {
    let time = Duration::from_secs(number(word, "seconds")?);
    if time > DURATION_MAX {
        let message = format!("`{}` seconds are more than a year", word.text);
        let told = Diagnostic::new(Code::ReadAs, word.span, message);
        let told = told.label(format!("read as {}", unit::show(DURATION_MAX)));
        return Ok((Some(DURATION_MAX), Some(told)));
    }
    Ok(((!time.is_zero()).then_some(time), None))
}

/// The mean of pauses in milliseconds; 0 is none.
pub(super) fn pause(word: Word<'_>) -> Read<Option<Duration>> {
    let time = Duration::from_millis(number(word, "milliseconds")?);
    if time > Delay::MAX {
        let message = format!("`{}` milliseconds are more than an hour", word.text);
        let told = Diagnostic::new(Code::ReadAs, word.span, message).label("read as 1h");
        return Ok((Some(Delay::MAX), Some(told)));
    }
    Ok(((!time.is_zero()).then_some(time), None))
}

/// Bits per second; 0 is no limit.
pub(super) fn bandwidth(word: Word<'_>) -> Read<Option<ByteRate>> {
    let bits = number(word, "bits per second")?;
    if bits == 0 {
        return Ok((None, None));
    }
    let bytes = (bits / 8).clamp(ByteRate::MIN.get().get(), ByteRate::MAX.get().get());
    let rate = ByteRate::new(bytes);
    let told = (bytes != bits / 8).then(|| {
        let message = format!("`{}` bits per second cannot be kept", word.text);
        let least = format!("read as {}: from 8000 bit/s on", rate.unwrap_or(ByteRate::MIN));
        Diagnostic::new(Code::ReadAs, word.span, message).label(least)
    });
    Ok((rate, told))
}

/// In which directions bytes are shaped: of 1 for those to the client, and 2 for those of it.
pub(super) fn directions(word: Word<'_>) -> Result<Shaped, Diagnostic> {
    let bits = number(word, "flags")?;
    Ok(Shaped { to_client: bits & 1 != 0, to_backend: bits & 2 != 0 })
}

/// The directions that are shaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shaped {
    pub(super) to_client: bool,
    pub(super) to_backend: bool,
}

impl Shaped {
    /// Both.
    pub(super) const BOTH: Self = Self { to_client: true, to_backend: true };

    /// `value` in these directions.
    pub(super) fn each<T: Copy>(self, value: Option<T>) -> (Option<T>, Option<T>) {
        (value.filter(|_| self.to_backend), value.filter(|_| self.to_client))
    }

    /// The same of bandwidth.
    pub(super) fn bandwidth(self, rate: Option<ByteRate>) -> Bandwidth {
        let (to_backend, to_client) = self.each(rate);
        Bandwidth { to_backend, to_client }
    }
}

/// The size of the buffer in bytes.
pub(super) fn buffer(word: Word<'_>) -> Result<u32, Diagnostic> {
    let bytes = u32::try_from(number(word, "bytes")?).unwrap_or(u32::MAX).min(1 << 30);
    if bytes < BUFFER_MIN {
        let message = format!("Too small buffer ({bytes}), must be at least {BUFFER_MIN} bytes!");
        return Err(Diagnostic::new(Code::Number, word.span, message)
            .label("too small")
            .help(format!("write {BUFFER_MIN} or more, or leave it out")));
    }
    Ok(bytes)
}

/// The type of `--ftp`.
pub(super) fn ftp(word: Word<'_>) -> Result<FtpModes, Diagnostic> {
    let kind = word.text.get(..4).unwrap_or(word.text).to_ascii_lowercase();
    match &*kind {
        "pasv" => Ok(FtpModes::Passive),
        "port" => Ok(FtpModes::Active),
        "both" => Ok(FtpModes::Both),
        _ => {
            let message = format!("`{}` is no type of --ftp", word.text);
            let fault = Diagnostic::new(Code::Choice, word.span, message).label("not known");
            Err(match suggest::nearest(word.text, FTP_TYPES) {
                Some(meant) => fault.help(format!("did you mean `{meant}`?")),
                None => fault.help("write `pasv`, `port` or `both`"),
            })
        }
    }
}

/// How much is logged; `None`: nothing.
pub(super) fn level(word: Word<'_>) -> Result<Option<Verbosity>, Diagnostic> {
    let by_name = LEVELS.iter().find(|(name, _)| *name == word.text);
    let number = match by_name {
        Some((_, number)) => *number,
        None => word.text.parse().ok().filter(|level| *level <= DEBUG).ok_or_else(|| {
            let message = format!("`{}` is no level", word.text);
            let fault = Diagnostic::new(Code::Choice, word.span, message).label("not known");
            match suggest::nearest(word.text, LEVELS.map(|(name, _)| name)) {
                Some(meant) => fault.help(format!("did you mean `{meant}`?")),
                None => fault.help("write none, err, warning, notice, info, debug, or 0 to 7"),
            }
        })?,
    };
    Ok(match number {
        ERR..=NOTICE => Some(Verbosity::Quiet),
        INFO => Some(Verbosity::Normal),
        DEBUG => Some(Verbosity::Verbose),
        _ => None,
    })
}

/// Whether `text` is the name of a level.
pub(super) fn is_level(text: &str) -> bool {
    LEVELS.iter().any(|(name, _)| *name == text)
}

const ERR: u8 = 3;
const NOTICE: u8 = 5;
const INFO: u8 = 6;
const DEBUG: u8 = 7;

/// The levels of syslog(3), and one that is none of them.
const LEVELS: [(&str, u8); 12] = [
    ("alert", 1),
    ("crit", 2),
    ("debug", DEBUG),
    ("emerg", 0),
    ("err", ERR),
    ("error", ERR),
    ("info", INFO),
    ("none", u8::MAX),
    ("notice", NOTICE),
    ("panic", 0),
    ("warn", 4),
    ("warning", 4),
];

/// A number of `what`.
fn number(word: Word<'_>, what: &str) -> Result<u64, Diagnostic> {
    let text = word.text;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match digits {
        // More than anything can be.
        true => Ok(text.parse().unwrap_or(u64::MAX / 2_000)),
        false => Err(Diagnostic::new(
            Code::Number,
            word.span,
            format!("`{text}` is not a number of {what}"),
        )
        .label("digits only")
        .help("write a whole number")),
    }
}
