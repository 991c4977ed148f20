//! The targets: `host:port`, `host`, `[v6]:port`, `unix:/path`, each in one word
//! with what else is to be said of it: `'10.0.0.11:80 weight=2 max=100'`, `'b.example:80 backup'`.

use std::num::NonZeroU32;

use model::address::FaultKind;
use model::{Backend, BackendAddress, Bind, Code, Diagnostic, Role, Spanned, Weight};

use crate::line::Word;
use crate::suggest;
use crate::term::address::{self, Purpose, is_port};
use crate::term::value;

/// The targets of a command line.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    /// Those that could be read.
    pub(crate) backends: Vec<Backend>,
    /// What is wrong with the others.
    pub(crate) faults: Vec<Diagnostic>,
}

/// The port of a target that names none.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DefaultPort<'a> {
    /// The one that the listener has, if it has one.
    Of(&'a Bind),
    /// That of a listener that could not be read, which is told already.
    Unread,
    /// Each backend must name its own.
    None,
}

impl DefaultPort<'_> {
    fn port(self) -> Option<u16> {
        match self {
            Self::Of(bind) => bind.port(),
            Self::Unread | Self::None => None,
        }
    }
}

/// Reads one backend of native TOML. `None`: the fault is told already.
pub(crate) fn read_one(
    word: Word<'_>,
    port: DefaultPort<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Option<Backend> {
    let mut parts = word.split_whitespace();
    let address = parts.next().unwrap_or(word);
    let read = match foreign(address) {
        Some(fault) => Err(fault),
        None if address.text == BackendAddress::ORIGINAL => Ok(Some(BackendAddress::Original)),
        None if address.text == BackendAddress::REQUESTED => Ok(Some(BackendAddress::Requested)),
        None => read_address(address, port, false, Purpose::Backend),
    };
    let Terms { weight, max, role } = read_terms(parts, faults);
    match read {
        Ok(value) => value.map(|value| Backend {
            address: Spanned::at(value, address.span),
            weight,
            max,
            role,
        }),
        Err(fault) => {
            faults.push(fault);
            None
        }
    }
}

/// Forms of a backend that native TOML keeps for later, and lists in one string.
fn foreign(word: Word<'_>) -> Option<Diagnostic> {
    let text = word.text;
    if text.starts_with("srv:") {
        let message = "backends from SRV records are not in this version";
        return Some(
            Diagnostic::new(Code::NotYet, word.part(0..4).span, message)
                .label("not in this version")
                .help("write each of them as `host:port`"),
        );
    }
    let comma = text.find(',').filter(|_| !text.starts_with("unix:"))?;
    Some(
        Diagnostic::new(
            Code::Address,
            word.part(comma..comma + 1).span,
            "each backend is a string of its own",
        )
        .label("no comma within one")
        .help("write `[\"10.0.0.11:80\", \"10.0.0.12:80\"]`"),
    )
}

/// Reads all targets of a command line.
pub(crate) fn read(words: &[Word<'_>], port: DefaultPort<'_>, numeric: bool) -> Targets {
    let mut targets = Targets::default();
    for (at, &word) in words.iter().enumerate() {
        if !word.is_text {
            continue;
        }
        let previous = at.checked_sub(1).map(|at| words[at]);
        if let Some(fault) = misplaced(word, previous) {
            targets.faults.push(fault);
            continue;
        }
        let mut parts = word.split_whitespace();
        let address = parts.next().unwrap_or(word);
        let read = read_address(address, port, numeric, Purpose::Target);
        let Terms { weight, max, role } = read_terms(parts, &mut targets.faults);
        match read {
            Ok(Some(value)) => targets.backends.push(Backend {
                address: Spanned::at(value, address.span),
                weight,
                max,
                role,
            }),
            Ok(None) => {}
            Err(fault) => targets.faults.push(fault),
        }
    }
    targets
}

/// A word that is no target at all, but part of one or several.
fn misplaced(word: Word<'_>, previous: Option<Word<'_>>) -> Option<Diagnostic> {
    let text = word.text;
    let usage = |message: String| Diagnostic::new(Code::Usage, word.span, message);
    let is_term = text == "backup" || text.starts_with("weight=") || text.starts_with("max=");
    if let (Some(previous), true) = (previous, is_term) {
        return Some(
            usage(format!("`{text}` belongs to the target before it"))
                .label("a word of its own")
                .related(previous.span, "to this one")
                .help(format!("quote them as one word: `'{} {text}'`", previous.text)),
        );
    }
    if let Some(comma) = text.find(',').filter(|_| !text.starts_with("unix:")) {
        let apart: Vec<_> = text.split([',', ' ']).filter(|part| !part.is_empty()).collect();
        let at = word.part(comma..comma + 1);
        return Some(
            Diagnostic::new(Code::Usage, at.span, "targets are separate words")
                .label("no comma between them")
                .help(format!("write `{}`", apart.join(" "))),
        );
    }
    let port = text.strip_prefix(':').unwrap_or(text);
    if port.is_empty() || !is_port(port) {
        return None;
    }
    let new = Diagnostic::new(Code::Address, word.span, format!("`{text}` names no host"));
    let portless = previous.filter(|previous| {
        !previous.text.contains([':', ' ']) && BackendAddress::parse(previous.text, Some(1)).is_ok()
    });
    Some(match portless {
        Some(host) => {
            new.label("a port alone").help(format!("write `{}:{port}` as one word", host.text))
        }
        None => new
            .label("a port alone")
            .help(format!("write `127.0.0.1:{port}` if the target is on this machine")),
    })
}

/// The address; `None` where the missing port is the fault of LISTEN, which is told already.
fn read_address(
    word: Word<'_>,
    default: DefaultPort<'_>,
    numeric: bool,
    purpose: Purpose,
) -> Result<Option<BackendAddress>, Diagnostic> {
    if let Some(fault) = address::foreign(word, purpose) {
        return Err(fault);
    }
    match BackendAddress::parse(word.text, default.port()) {
        Ok(BackendAddress::Name { host, .. }) if numeric => Err(Diagnostic::new(
            Code::NameRefused,
            word.part(0..host.len()).span,
            format!("`{host}` is a name, and --numeric refuses names"),
        )
        .label("not an address")
        .help("write its address, or leave --numeric out")),
        Ok(address) => Ok(Some(address)),
        Err(fault) if fault.kind == FaultKind::PortMissing => {
            let host = word.text.trim_end_matches(':');
            let written = host.len() < word.text.len();
            let shown = address::fault(word, &fault, purpose);
            match default {
                DefaultPort::Unread if !written => Ok(None),
                DefaultPort::Of(Bind::Unix(_) | Bind::Systemd(_)) if purpose == Purpose::Target => {
                    Err(shown.help(format!("LISTEN has no port to take over: write `{host}:80`")))
                }
                DefaultPort::Of(Bind::Inetd) if purpose == Purpose::Target => {
                    Err(shown.help(format!("inetd does not say its port: write `{host}:80`")))
                }
                DefaultPort::Of(Bind::Tcp { port: 0, .. } | Bind::Udp { port: 0, .. })
                    if !written && purpose == Purpose::Target =>
                {
                    Err(shown
                        .help(format!("port 0 of LISTEN cannot be taken over: write `{host}:80`")))
                }
                _ => Err(shown.help(format!("write `{host}:80`"))),
            }
        }
        Err(fault) => Err(address::fault(word, &fault, purpose)),
    }
}

/// What stands behind the address.
struct Terms {
    weight: Weight,
    max: Option<NonZeroU32>,
    role: Role,
}

/// Reads what stands behind the address.
fn read_terms<'a>(parts: impl Iterator<Item = Word<'a>>, faults: &mut Vec<Diagnostic>) -> Terms {
    let mut terms = Terms { weight: Weight::ONE, max: None, role: Role::Primary };
    for part in parts {
        match part.text.split_once('=') {
            Some(("weight", number)) => match number.parse().ok().and_then(Weight::new) {
                Some(weight) => terms.weight = weight,
                None => faults.push(
                    Diagnostic::new(
                        Code::Weight,
                        part.from("weight=".len()).span,
                        format!("`{number}` is not a weight"),
                    )
                    .label("out of range")
                    .help(format!("write a whole number from 1 to {}", Weight::MAX)),
                ),
            },
            Some(("max", _)) => match value::count(part.from("max=".len()), value::SESSIONS_MAX) {
                Ok(max) => terms.max = NonZeroU32::try_from(max).ok(),
                Err(fault) => faults.push(fault),
            },
            None if part.text == "backup" => terms.role = Role::Backup,
            _ => faults.push(unknown(part)),
        }
    }
    terms
}

fn unknown(part: Word<'_>) -> Diagnostic {
    let name = part.text.split(['=', ':']).next().unwrap_or(part.text);
    let fault = Diagnostic::new(
        Code::TargetOption,
        part.span,
        format!("`{}` says nothing about a target", part.text),
    )
    .label("not known");
    let meant = suggest::nearest(name, ["weight", "max", "backup"]);
    match meant.or_else(|| name.starts_with("max").then_some("max")) {
        Some("weight") => fault.help("did you mean `weight=2`?"),
        Some("max") => fault.help("did you mean `max=100`, the sessions it may have at a time?"),
        Some(_) => fault.help("did you mean `backup`?"),
        None if BackendAddress::parse(part.text, None).is_ok() => {
            fault.help("a second target is a word of its own, outside the quotes")
        }
        None => fault.help("behind the address may stand `weight=N`, `max=N` and `backup`"),
    }
}
