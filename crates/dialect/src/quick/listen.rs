//! LISTEN[/SOURCE], and what the words as a whole look like.

use std::net::IpAddr;

use model::address::{Fault, FaultKind};
use model::{BackendAddress, Bind, Code, Diagnostic, Source, Span, Spanned};

use crate::line::Word;
use crate::suggest;
use crate::term::address::{self, Purpose, is_port};
use crate::term::source;

/// What LISTEN[/SOURCE] says.
#[derive(Debug)]
pub(super) struct Place {
    /// Where to listen, if that could be read.
    pub(super) bind: Option<Spanned<Bind>>,
    /// What to leave from.
    pub(super) source: Option<Spanned<Source>>,
    /// What is wrong with either.
    pub(super) faults: Vec<Diagnostic>,
}

/// Nothing was written at all.
pub(super) fn nothing(program: Span) -> Diagnostic {
    Diagnostic::new(Code::Usage, program, "LISTEN and TARGET are missing")
        .label("what shall be forwarded, and where to?")
        .help("`replug 8080 10.0.0.11:80` forwards port 8080; `replug demo` shows how it looks; `replug --help` tells all")
}

/// Reads the first word.
///
/// # Errors
/// When the words as a whole were meant differently; then there is no use in reading more of them.
pub(super) fn read(
    listen: Word<'_>,
    targets: &[Word<'_>],
    commands: &[&str],
) -> Result<Place, Diagnostic> {
    if let Some(fault) = command(listen, commands)
        .or_else(|| listen_missing(listen, targets))
        .or_else(|| swapped(listen, targets))
        .or_else(|| port_apart(listen, targets))
    {
        return Err(fault);
    }
    let mut place = Place { bind: None, source: None, faults: Vec::new() };
    if !listen.is_text {
        return Ok(place);
    }
    if let Some(fault) = address::foreign(listen, Purpose::Listen) {
        place.faults.push(fault);
        return Ok(place);
    }
    let (at, source) = cut_source(listen);
    let tell = |at: Word<'_>, fault: &Fault| {
        help(at, address::fault(at, fault, Purpose::Listen), fault.kind)
    };
    match address::bind(at, tell) {
        Ok(bind) => place.bind = Some(Spanned::at(bind, at.span)),
        Err(fault) => place.faults.push(fault),
    }
    if let Some(all) = source {
        let read = source::read(parts(all), all.span, Purpose::Listen, &mut place.faults);
        place.source = read;
    }
    if targets.is_empty() {
        place.faults.push(no_target(at));
    }
    Ok(place)
}

/// Whether a word can be LISTEN and no target.
pub(super) fn is_listen(word: Word<'_>) -> bool {
    let (at, _) = cut_source(word);
    Bind::parse(at.text).is_ok() && BackendAddress::parse(at.text, None).is_err()
}

/// What stands between commas.
fn parts(word: Word<'_>) -> Vec<Word<'_>> {
    let mut parts = Vec::new();
    let mut start = 0;
    for part in word.text.split(',') {
        parts.push(word.part(start..start + part.len()));
        start += part.len() + 1;
    }
    parts
}

/// `LISTEN/SOURCE` in two. A unix path is LISTEN as a whole.
fn cut_source(word: Word<'_>) -> (Word<'_>, Option<Word<'_>>) {
    let scheme = if word.text.starts_with(Bind::UDP) { Bind::UDP.len() } else { 0 };
    match word.text[scheme..].find('/').map(|at| scheme + at) {
        Some(at) if !word.text.starts_with("unix:") => (word.part(0..at), Some(word.from(at + 1))),
        _ => (word, None),
    }
}

/// A command that is misspelt, or does not stand first.
fn command(listen: Word<'_>, commands: &[&str]) -> Option<Diagnostic> {
    let meant = suggest::nearest(listen.text, commands.iter().copied())?;
    let new = |message: String| Diagnostic::new(Code::Usage, listen.span, message);
    Some(match meant == listen.text {
        true => new(format!("`{meant}` is a command and must be the first word"))
            .label("not here")
            .help(format!("`replug {meant} --help` lists its own options")),
        false => new(format!("`{}` is neither a command nor an address", listen.text))
            .label("not known")
            .help(format!("did you mean `replug {meant}`?")),
    })
}

/// One word alone, and that can only be a target.
fn listen_missing(listen: Word<'_>, targets: &[Word<'_>]) -> Option<Diagnostic> {
    let text = listen.text;
    let is_url = text.contains("://") && !text.starts_with(Bind::UDP);
    let is_target = Bind::parse(text).is_err()
        && text.contains(':')
        && BackendAddress::parse(text, None).is_ok();
    if !targets.is_empty() || !(is_target || is_url) || text.starts_with("localhost:") {
        return None;
    }
    let help = match is_url {
        true => "write LISTEN and TARGET, as in `replug 8080 example.org:80`".to_owned(),
        false => format!("write the port to listen on first: `replug 8080 {text}`"),
    };
    Some(
        Diagnostic::new(Code::Usage, listen.span, "LISTEN is missing")
            .label("this is where to, but where from?")
            .help(help),
    )
}

/// TARGET LISTEN instead of LISTEN TARGET.
fn swapped(listen: Word<'_>, targets: &[Word<'_>]) -> Option<Diagnostic> {
    let [target] = targets else { return None };
    let port = target.text.strip_prefix('*').unwrap_or(target.text);
    let port = port.strip_prefix(':').unwrap_or(port);
    let is_target = listen.text.contains(':')
        && !listen.text.starts_with([':', '*'])
        && BackendAddress::parse(listen.text, None).is_ok();
    if !is_target || port.is_empty() || !is_port(port) {
        return None;
    }
    Some(
        Diagnostic::new(Code::Usage, listen.span, "the words are the wrong way round")
            .label("where to")
            .related(target.span, "where from")
            .help(format!("LISTEN comes first: `replug {port} {}`", listen.text)),
    )
}

/// `ADDRESS PORT TARGET` or rinetd's `ADDRESS PORT HOST PORT`.
fn port_apart(listen: Word<'_>, targets: &[Word<'_>]) -> Option<Diagnostic> {
    let (port, behind) = targets.split_first()?;
    let host = match listen.text.parse().ok()? {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    if !is_port(port.text) || port.text.is_empty() {
        return None;
    }
    let rest = match behind {
        [host, port] if is_port(port.text) => format!(" {}:{}", host.text, port.text),
        _ => behind.iter().map(|word| format!(" {}", word.text)).collect(),
    };
    Some(
        Diagnostic::new(Code::PortMissing, listen.span, "an address and its port are one word")
            .label("the address")
            .related(port.span, "its port")
            .help(format!("write `replug {host}:{}{rest}`", port.text)),
    )
}

/// Adds what was probably meant.
fn help(listen: Word<'_>, fault: Diagnostic, kind: FaultKind) -> Diagnostic {
    let text = listen.text;
    if kind != FaultKind::PortMissing {
        return fault;
    }
    let address = text.trim_end_matches(':');
    let host = address.trim_start_matches('[').trim_end_matches(']');
    if host.parse::<IpAddr>().is_err() {
        let mut fault = fault
            .help("write a port, as in `8080`, or an address and a port, as in `127.0.0.1:8080`");
        if !text.contains(':') {
            fault.message = format!("cannot listen on `{text}`");
            fault.label = "neither a port nor an address with one".to_owned();
        }
        return fault;
    }
    fault.help(format!("write `{address}:8080`"))
}

/// LISTEN alone.
fn no_target(listen: Word<'_>) -> Diagnostic {
    let text = listen.text;
    let fault = Diagnostic::new(Code::Usage, listen.span, "TARGET is missing")
        .label("where shall its clients go?");
    match Bind::parse(text) {
        Ok(Bind::Tcp { address: Some(address), .. } | Bind::Udp { address: Some(address), .. })
            if !address.is_loopback() && !address.is_unspecified() =>
        {
            let (scheme, target) = match text.strip_prefix(Bind::UDP) {
                Some(target) => ("udp://:", target),
                None => ("", text),
            };
            fault.help(format!(
                "if `{text}` is the target, write the port to listen on first: `replug {scheme}8080 {target}`"
            ))
        }
        Ok(_) => fault.help(format!("name a target behind it: `replug {text} 10.0.0.11:80`")),
        Err(_) => fault.help("name a target behind it: `replug 8080 10.0.0.11:80`"),
    }
}
