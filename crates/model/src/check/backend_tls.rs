//! What pools must satisfy whose backends are spoken to in TLS.

use crate::address::BackendAddress;
use crate::backend_tls::{Verify, VerifyExtent};
use crate::config::{Listener, Pool};
use crate::diagnostic::{Code, Diagnostic};

/// A certificate is for a name, which some backends do not have; and whoever may be anybody is
/// told of.
pub(super) fn pool(pool: &Pool, faults: &mut Vec<Diagnostic>) {
    let Some(tls) = &pool.tls else { return };
    if tls.value.verify == Verify::None {
        let message = format!(
            "nobody verifies who the backends of pool `{}` are: whoever is between can read and \
             change everything",
            pool.name.value
        );
        faults.push(
            Diagnostic::new(Code::Unverified, tls.span, message).label("not verified").help(
                "this is for trying out; name their authority, `ca = \"PATH\"`, or their key, \
             `verify = \"pin\"` with `pin = \"sha256/...\"`",
            ),
        );
    }
    if tls.value.verify.extent() != VerifyExtent::Full || tls.value.name.is_some() {
        return;
    }
    for backend in &pool.backends {
        let what = match &backend.address.value {
            BackendAddress::Unix(_) => "a unix socket has no name",
            BackendAddress::Original | BackendAddress::Requested => "another host for each client",
            BackendAddress::Ip(_) | BackendAddress::Name { .. } => continue,
        };
        let message =
            format!("it is not said whom the certificate of `{}` is for", backend.address.value);
        let fault = Diagnostic::new(Code::KeyMissing, backend.address.span, message)
            .label(what)
            .help("name it: `tls = { name = \"db.example\" }`");
        faults.push(match tls.span {
            Some(span) => fault.related(span, "verifies a name"),
            None => fault,
        });
    }
}

/// TLS is for streams, and those of FTP name others that would go without.
pub(super) fn listener(listener: &Listener, pool: &Pool, faults: &mut Vec<Diagnostic>) {
    let Some(tls) = &pool.tls else { return };
    let mut conflict = |message: &str, label: &str, help: &str, (at, why)| {
        let mut fault = Diagnostic::new(Code::Conflict, tls.span, message).label(label).help(help);
        if let Some(at) = at {
            fault = fault.related(at, why);
        }
        faults.push(fault);
    };
    if let Some(udp) = listener.bind.iter().find(|bind| bind.value.is_udp()) {
        conflict(
            "datagrams do not go within TLS",
            "for streams only",
            "give the UDP listener a pool of its own, without `tls`",
            (udp.span, "UDP arrives here"),
        );
    }
    if let Some(ftp) = &listener.ftp {
        conflict(
            "the data connections of FTP would go without TLS",
            "for its control connection only",
            "leave `tls` out, or `ftp`",
            (ftp.span, "this reads FTP"),
        );
    }
}
