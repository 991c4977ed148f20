//! What listeners that speak TLS must satisfy.

use crate::config::Listener;
use crate::diagnostic::{Code, Diagnostic};

/// TLS is for streams, and of FTP it would hide one half only. Who is not asked proves nothing.
pub(super) fn check(listener: &Listener, faults: &mut Vec<Diagnostic>) {
    let asks = listener.tls.as_ref().is_some_and(|tls| tls.value.clients.is_some());
    let unasked = listener.routes.iter().filter(|route| route.when.value.asks_for_proof() && !asks);
    for route in unasked {
        let message = "no client of this listener proves who it is";
        faults.push(
            Diagnostic::new(Code::RouteImpossible, route.when.span, message)
                .label("asks for a certificate of the client")
                .help("have the listener ask for one: `tls = { ..., client_ca = \"PATH\" }`"),
        );
    }
    let Some(tls) = &listener.tls else { return };
    if let Some(udp) = listener.bind.iter().find(|bind| bind.value.is_udp()) {
        let mut fault = Diagnostic::new(Code::Conflict, tls.span, "TLS needs streams")
            .label("not for datagrams")
            .help("give the UDP bind a listener of its own, without `tls`");
        if let Some(span) = udp.span {
            fault = fault.related(span, "UDP arrives here");
        }
        faults.push(fault);
    }
    if let Some(ftp) = &listener.ftp {
        let message = "data connections of FTP would not be encrypted";
        let mut fault = Diagnostic::new(Code::Conflict, tls.span, message)
            .label("for the commands alone")
            .help("leave `ftp` out and have the server speak TLS, or leave `tls` out");
        if let Some(span) = ftp.span {
            fault = fault.related(span, "data connections are opened here");
        }
        faults.push(fault);
    }
}
