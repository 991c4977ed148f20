//! Headers of the PROXY protocol: where they cannot be.

use crate::config::{Listener, Pool};
use crate::diagnostic::{Code, Diagnostic};
use crate::proxy_header::ProxyVersion;

/// Data connections of FTP have no headers, and version 1 has no words for datagrams.
pub(super) fn check(listener: &Listener, pool: &Pool, faults: &mut Vec<Diagnostic>) {
    let both = listener.proxy_protocol.as_ref().map(|taken| taken.span);
    let sent = pool.send_proxy.as_ref().map(|sent| sent.span);
    if let (Some(ftp), Some(span)) = (&listener.ftp, both.or(sent)) {
        let message = "data connections of FTP have no PROXY header";
        let fault = Diagnostic::new(Code::Conflict, span, message)
            .label("not for FTP")
            .help("leave one of the two out");
        faults.push(match ftp.span {
            Some(span) => fault.related(span, "this is FTP"),
            None => fault,
        });
    }
    let Some(send) = &pool.send_proxy else { return };
    let udp = listener.bind.iter().find(|bind| bind.value.is_udp());
    if let (ProxyVersion::V1, Some(udp)) = (send.value.version, udp) {
        let message = "version 1 of the PROXY protocol has no words for datagrams";
        let fault = Diagnostic::new(Code::Conflict, send.span, message)
            .label("for streams only")
            .help("write `send_proxy = \"v2\"`");
        faults.push(match udp.span {
            Some(span) => fault.related(span, "datagrams arrive here"),
            None => fault,
        });
    }
}
