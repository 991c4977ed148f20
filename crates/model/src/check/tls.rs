//! What listeners that speak TLS must satisfy.

use crate::config::{Listener, Pool};
use crate::diagnostic::{Code, Diagnostic};

/// TLS is for streams, and of FTP it would hide one half only. Who is not asked proves nothing. What
/// is said before TLS is not what clients of a proxy say.
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
    if let (Some(protocol), Some(proxy)) = (tls.value.starttls, &listener.proxy) {
        let message =
            format!("clients of a proxy do not ask for TLS as `{}` does", protocol.name());
        let mut fault = Diagnostic::new(Code::Conflict, tls.span, message)
            .label("with `starttls`")
            .help("leave `starttls` out, or `proxy`");
        if let Some(span) = proxy.span {
            fault = fault.related(span, "the listener is a proxy");
        }
        faults.push(fault);
    }
}

/// Both sides of a session speak the same protocol before TLS as within.
pub(super) fn pool(listener: &Listener, pool: &Pool, faults: &mut Vec<Diagnostic>) {
    let (Some(here), Some(there)) = (&listener.tls, &pool.tls) else { return };
    let (Some(protocol), Some(other)) = (here.value.starttls, there.value.starttls) else { return };
    if protocol == other {
        return;
    }
    let message = format!(
        "clients of `{}` would get to backends that speak `{}`",
        protocol.name(),
        other.name()
    );
    let mut fault = Diagnostic::new(Code::Conflict, here.span, message)
        .label(format!("`starttls` is `{}`", protocol.name()))
        .help("write the same `starttls` on both sides");
    if let Some(span) = there.span {
        fault = fault.related(span, format!("and that of pool `{}` is not", pool.name.value));
    }
    faults.push(fault);
}
