//! Scripts where nobody could be sent by them.

use crate::config::Listener;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

pub(super) fn check(listener: &Listener, faults: &mut Vec<Diagnostic>) {
    let Some(script) = &listener.script else { return };
    let mut conflict = |message: &str, help: &str, other: Option<Span>, related: &str| {
        let mut fault = Diagnostic::new(Code::Conflict, script.span, message).label("for streams");
        if let Some(span) = other {
            fault = fault.related(span, related);
        }
        faults.push(fault.help(help));
    };
    if let Some(udp) = listener.bind.iter().find(|bind| bind.value.is_udp()) {
        let help = "give the UDP bind a listener of its own; its routes go by what clients say";
        conflict("no script decides about datagrams", help, udp.span, "UDP arrives here");
    }
    if let Some(ftp) = &listener.ftp {
        let message = "a script cannot send FTP anywhere: its server speaks first, and data \
                       connections follow the pool";
        conflict(message, "leave one of them out", ftp.span, "FTP is asked for here");
    }
}
