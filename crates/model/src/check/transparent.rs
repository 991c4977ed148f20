//! Clients that were diverted to us: how they come, and where they meant to go.

use crate::address::{BackendAddress, Bind};
use crate::config::{Listener, Pool};
use crate::diagnostic::{Code, Diagnostic};

/// Only TCP can be diverted so that we are told where it was meant to go.
pub(super) fn listener(listener: &Listener, faults: &mut Vec<Diagnostic>) {
    let Some(transparent) = &listener.transparent else { return };
    for bind in &listener.bind {
        let (label, help) = match bind.value {
            Bind::Udp { .. } => {
                ("datagrams arrive here", "give UDP a listener of its own, without `transparent`")
            }
            Bind::Unix(_) => (
                "a unix socket",
                "give the unix socket a listener of its own, without `transparent`",
            ),
            Bind::Tcp { .. } | Bind::Systemd(_) | Bind::Inetd => continue,
        };
        let message = format!("nobody is diverted to `{}`", bind.value);
        let fault = Diagnostic::new(Code::Conflict, bind.span, message).label(label).help(help);
        faults.push(match transparent.span {
            Some(span) => fault.related(span, "of those diverted only TCP is served"),
            None => fault,
        });
    }
}

/// Where nobody is diverted nobody meant to go elsewhere.
pub(super) fn pool(listener: &Listener, pool: &Pool, faults: &mut Vec<Diagnostic>) {
    if listener.transparent.is_some() {
        return;
    }
    let is_original = |address: &BackendAddress| *address == BackendAddress::Original;
    let Some(backend) = pool.backends.iter().find(|backend| is_original(&backend.address.value))
    else {
        return;
    };
    let message = format!("clients of `{}` have no original destination", listener.name);
    let fault = Diagnostic::new(Code::Original, backend.address.span, message)
        .label("nobody is diverted to this listener")
        .help(format!(
            "write `transparent = \"redirect\"` or `\"tproxy\"` in `[listener.{}]`, or, for a host of \
             that name, its port as in `original:80`",
            listener.name
        ));
    faults.push(match listener.bind.first().and_then(|bind| bind.span) {
        Some(span) => fault.related(span, "clients come here"),
        None => fault,
    });
}
