//! Each client must arrive at one listener.
//!
//! What is bound to every address of this machine excludes what is bound to one of them, on the
//! same port. The kernel would allow both to sockets that share a port, and give a client to
//! the narrower one; but sharing is what hides a forgotten old process too, so listening
//! sockets are opened only where nobody listens yet. Listeners whose clients come by different
//! network interfaces do not meet.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::Bind;
use crate::address::source::Interface;
use crate::config::{Config, Listener};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Spanned;

pub(super) fn check(config: &Config, faults: &mut Vec<Diagnostic>) {
    type Seen<'a> = (&'a Spanned<Bind>, Option<&'a Interface>);
    let mut seen: HashMap<Place<'_>, Vec<Seen<'_>>> = HashMap::new();
    // The ports of two ranges are one fault, not a thousand.
    let mut told = HashSet::new();
    let binds = config.listeners.iter().flat_map(|listener| {
        let by = listener.interface.as_ref().map(|interface| &interface.value);
        listener.bind.iter().map(move |bind| (bind, by))
    });
    for (bind, by) in binds.filter(|(bind, _)| bind.value.port() != Some(0)) {
        let others = seen.entry(Place::of(&bind.value)).or_default();
        let meets = |(other, interface): &&Seen<'_>| {
            let apart = matches!((interface, by), (Some(one), Some(other)) if *one != other);
            !apart && overlap(&other.value, &bind.value)
        };
        if let Some((first, _)) = others.iter().find(meets) {
            let is_new = match (first.span, bind.span) {
                (Some(first), Some(again)) => told.insert((first, again)),
                _ => true,
            };
            if is_new {
                faults.push(conflict(first, bind));
            }
        }
        others.push((bind, by));
    }
}

/// A process that inetd has started is there for the one socket it was given.
pub(super) fn inetd(config: &Config, faults: &mut Vec<Diagnostic>) {
    let binds = || config.listeners.iter().flat_map(|listener| &listener.bind);
    let Some(inetd) = binds().find(|bind| bind.value == Bind::Inetd) else { return };
    let other = binds().find(|bind| bind.value != Bind::Inetd);
    let other = other.map(|bind| (bind.value.to_string(), bind.span));
    let admin = config.admin.bind.as_ref().map(|bind| (bind.value.to_string(), bind.span));
    if let Some((name, span)) = other.or(admin) {
        let mut fault = Diagnostic::new(
            Code::BindConflict,
            span,
            format!("`{name}` cannot be bound beside `{}`", inetd.value),
        )
        .label("never open for long")
        .help("inetd starts a process for each client: let another one listen here");
        if let Some(span) = inetd.span {
            fault = fault.related(span, "the socket that inetd hands over");
        }
        faults.push(fault);
    }
}

/// Only a TCP socket that we open ourselves can be held to a network interface.
pub(super) fn interface(listener: &Listener, faults: &mut Vec<Diagnostic>) {
    let Some(interface) = &listener.interface else { return };
    let other = listener.bind.iter().find(|bind| !matches!(bind.value, Bind::Tcp { .. }));
    if let Some(bind) = other {
        let message = format!("`{}` cannot be held to `{}`", bind.value, interface.value);
        let (what, help) = match bind.value {
            Bind::Unix(_) => ("a unix socket", "give the unix socket a listener of its own"),
            _ => (
                "opened by somebody else",
                "say so where the socket is opened: `BindToDevice=` in a socket unit",
            ),
        };
        let mut fault = Diagnostic::new(Code::Conflict, interface.span, message)
            .label("a network interface")
            .help(help);
        if let Some(span) = bind.span {
            fault = fault.related(span, what);
        }
        faults.push(fault);
    }
}

/// What two binds must have in common to exclude each other.
#[derive(PartialEq, Eq, Hash)]
enum Place<'a> {
    Tcp(u16),
    Udp(u16),
    Other(&'a Bind),
}

impl<'a> Place<'a> {
    fn of(bind: &'a Bind) -> Self {
        match bind {
            Bind::Tcp { port, .. } => Self::Tcp(*port),
            Bind::Udp { port, .. } => Self::Udp(*port),
            Bind::Unix(_) | Bind::Systemd(_) | Bind::Inetd => Self::Other(bind),
        }
    }
}

/// Whether two binds of one place exclude each other.
fn overlap(one: &Bind, other: &Bind) -> bool {
    match (one.address(), other.address()) {
        (None, _) | (_, None) => true,
        (Some(one), Some(other)) => {
            one == other
                || one.is_ipv4() == other.is_ipv4()
                    && (one.is_unspecified() || other.is_unspecified())
        }
    }
}

fn conflict(first: &Spanned<Bind>, bind: &Spanned<Bind>) -> Diagnostic {
    let (one, other) = (&first.value, &bind.value);
    let mut fault = match one == other {
        true => Diagnostic::new(Code::BindConflict, bind.span, format!("`{other}` is bound twice"))
            .label("bound again here"),
        false => {
            let wide = if is_wide(one) { one } else { other };
            let message = format!("`{other}` cannot be bound beside `{one}`");
            Diagnostic::new(Code::BindConflict, bind.span, message).label("the same port").help(
                format!(
                    "`{wide}` is on every address: leave the other out, or name each address; a \
                     route with `address` tells clients apart"
                ),
            )
        }
    };
    if let Some(span) = first.span {
        fault = fault.related(span, "first bound here");
    }
    fault
}

/// Whether it is bound to more than one address.
fn is_wide(bind: &Bind) -> bool {
    const ALL: [Option<IpAddr>; 3] =
        [None, Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED))];
    matches!(bind, Bind::Tcp { address, .. } | Bind::Udp { address, .. } if ALL.contains(address))
}
