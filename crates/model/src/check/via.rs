//! Proxies on the way to backends: what they can be asked for.

use crate::address::BackendAddress;
use crate::config::Pool;
use crate::diagnostic::{Code, Diagnostic};
use crate::proxy::{Proxy, ProxyProtocol};
use crate::source::{Span, Spanned};

/// A proxy connects to hosts and ports, and not each to all of them.
pub(super) fn check(pool: &Pool, faults: &mut Vec<Diagnostic>) {
    let Some(last) = pool.via.last() else { return };
    if let Some(one) = pool.via.get(Proxy::CHAIN_MAX) {
        let message = format!("a chain has at most {} proxies", Proxy::CHAIN_MAX);
        let fault = Diagnostic::new(Code::Number, one.span, message);
        faults.push(fault.label("the first that is too many").help("leave some of them out"));
    }
    let behind = pool.via.windows(2).map(|pair| (&pair[0], &pair[1].value.address, pair[1].span));
    let backends = pool.backends.iter().map(|backend| &backend.address);
    let backends = backends.map(|address| (last, &address.value, address.span));
    for (proxy, address, span) in behind.chain(backends) {
        faults.extend(match address {
            BackendAddress::Unix(_) => Some(unix(proxy, address, span)),
            BackendAddress::Ip(to) if to.is_ipv6() && !proxy.value.protocol.takes_ipv6() => {
                Some(ipv6(proxy, address, span))
            }
            _ => None,
        });
    }
}

fn unix(proxy: &Spanned<Proxy>, address: &BackendAddress, span: Option<Span>) -> Diagnostic {
    let message = format!("no proxy connects to `{address}`");
    let fault = Diagnostic::new(Code::Conflict, span, message)
        .label("a unix socket of this machine")
        .help("give it a pool of its own, without `via`");
    match proxy.span {
        Some(span) => fault.related(span, "the way to all backends of this pool"),
        None => fault,
    }
}

fn ipv6(proxy: &Spanned<Proxy>, address: &BackendAddress, span: Option<Span>) -> Diagnostic {
    let message = format!("a SOCKS 4 proxy cannot be asked for `{address}`");
    let fault = Diagnostic::new(Code::Conflict, span, message)
        .label("an IPv6 address")
        .help("write `socks5://` if the proxy speaks that, or the IPv4 address of the host");
    match proxy.span {
        Some(span) => fault.related(span, "asked by this proxy, which knows IPv4 only"),
        None => fault,
    }
}

/// Datagrams, which arrive at `udp`, go through no proxy.
pub(super) fn streams_only(pool: &Pool, udp: Option<Span>, faults: &mut Vec<Diagnostic>) {
    let Some(via) = pool.via.first() else { return };
    let message = match via.value.protocol {
        ProxyProtocol::Socks5 | ProxyProtocol::Socks5h => {
            "SOCKS 5 proxies are asked for streams only, not to pass datagrams on"
        }
        _ => "this proxy carries no datagrams",
    };
    let mut fault = Diagnostic::new(Code::Conflict, via.span, message)
        .label("for streams only")
        .help("give the UDP listener a pool of its own, without `via`");
    if let Some(span) = udp {
        fault = fault.related(span, "UDP arrives here");
    }
    faults.push(fault);
}
