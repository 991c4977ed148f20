//! What listeners for FTP must satisfy.

use crate::address::source::Source;
use crate::config::{Listener, Pool, Transparent};
use crate::diagnostic::{Code, Diagnostic};
use crate::ftp::FtpModes;

/// FTP is a protocol of streams, and its server connects to nobody through a proxy.
pub(super) fn check(listener: &Listener, pool: &Pool, faults: &mut Vec<Diagnostic>) {
    let Some(ftp) = &listener.ftp else { return };
    if let Some(udp) = listener.bind.iter().find(|bind| bind.value.is_udp()) {
        let mut fault = Diagnostic::new(Code::Conflict, ftp.span, "FTP needs streams")
            .label("not for datagrams")
            .help("give the UDP bind a listener of its own, without `ftp`");
        if let Some(span) = udp.span {
            fault = fault.related(span, "UDP arrives here");
        }
        faults.push(fault);
    }
    if let Some(transparent) = &listener.transparent
        && transparent.value == Transparent::Tproxy
    {
        let message = "data connections of FTP cannot come to addresses of others";
        let mut fault = Diagnostic::new(Code::Conflict, ftp.span, message)
            .label("for listeners at addresses of this machine")
            .help("write `transparent = \"redirect\"`");
        if let Some(span) = transparent.span {
            fault = fault.related(span, "the addresses of others");
        }
        faults.push(fault);
    }
    if let Some(http) = &listener.http {
        let message = "a listener cannot have clients of FTP and of HTTP";
        let mut fault = Diagnostic::new(Code::Conflict, ftp.span, message)
            .label("this reads FTP")
            .help("give each a listener of its own");
        if let Some(span) = http.span {
            fault = fault.related(span, "this reads HTTP");
        }
        faults.push(fault);
    }
    let leaves_as_client = pool.source.as_ref().filter(|source| source.value == Source::Client);
    if let (Some(source), true) = (leaves_as_client, ftp.value.modes.has(FtpModes::Active)) {
        let message = "no server can connect to an address that is the client's";
        let mut fault = Diagnostic::new(Code::Conflict, ftp.span, message)
            .label("active data connections come from the server")
            .help("write `ftp = { modes = [\"passive\"] }`");
        if let Some(span) = source.span {
            fault = fault.related(span, "the server sees the client's address");
        }
        faults.push(fault);
    }
    if let (Some(via), true) = (pool.via.first(), ftp.value.modes.has(FtpModes::Active)) {
        let message = "no server connects to a client through this proxy";
        let mut fault = Diagnostic::new(Code::Conflict, ftp.span, message)
            .label("active data connections come from the server")
            .help("write `ftp = { modes = [\"passive\"] }`");
        if let Some(span) = via.span {
            fault = fault.related(span, "the way to the server");
        }
        faults.push(fault);
    }
}
