//! Listeners that are proxies: who may come to them, and what else they can be.

use crate::address::{BackendAddress, Bind};
use crate::config::{Access, Config, Listener, Pool};
use crate::diagnostic::{Code, Diagnostic};
use crate::proxy::server::{ProxyServer, Reach, ServedProtocol};
use crate::source::{Span, Spanned};

pub(super) fn check(config: &Config, listener: &Listener, faults: &mut Vec<Diagnostic>) {
    let Some(proxy) = &listener.proxy else { return };
    conflicts(listener, proxy, faults);
    let server = &proxy.value;
    if !server.users.is_empty() && server.protocols == [ServedProtocol::Socks4] {
        let message = "nobody can sign in by SOCKS 4, which knows no passwords";
        faults.push(
            Diagnostic::new(Code::Conflict, server.users[0].span, message)
                .label("never asked for")
                .help("serve `socks5` or `http`, or leave `users` out"),
        );
    }
    let mut destinations = server.allow_to.iter().chain(&server.deny_to);
    if let Some(one) = destinations.nth(ProxyServer::DESTINATIONS_MAX) {
        let most = ProxyServer::DESTINATIONS_MAX;
        let message = format!("`allow_to` and `deny_to` have more than {most} destinations");
        let fault = Diagnostic::new(Code::Number, one.span, message);
        faults.push(fault.label("the first that is too many").help("write ranges and `*.example`"));
    }
    let is_closed = |access: &Access| !access.allow.is_empty();
    if server.users.is_empty() && !is_closed(&listener.access) && !is_closed(&config.access) {
        let open = listener.bind.iter().find(|bind| is_public(&bind.value));
        faults.extend(open.map(|bind| open_to_all(listener, bind, proxy.span)));
    }
}

/// What cannot be beside `proxy`, with where it stands.
fn conflicts(listener: &Listener, proxy: &Spanned<ProxyServer>, faults: &mut Vec<Diagnostic>) {
    let mut conflict = |span: Option<Span>, message: String, help: &str| {
        let fault = Diagnostic::new(Code::Conflict, span, message).label("not here").help(help);
        faults.push(match proxy.span {
            Some(span) => fault.related(span, "the listener is a proxy"),
            None => fault,
        });
    };
    for bind in listener.bind.iter().filter(|bind| bind.value.is_udp()) {
        let help = "give UDP a listener of its own, without `proxy`";
        conflict(bind.span, "a proxy takes no datagrams".to_owned(), help);
    }
    let others = [
        ("transparent", listener.transparent.as_ref().map(|item| item.span)),
        ("script", listener.script.as_ref().map(|item| item.span)),
        ("ftp", listener.ftp.as_ref().map(|item| item.span)),
        ("http", listener.http.as_ref().map(|item| item.span)),
        ("on_silence", listener.on_silence.as_ref().map(|item| item.span)),
    ];
    for (name, span) in others {
        if let Some(span) = span {
            let message = format!("`{name}` has no meaning for clients of a proxy");
            conflict(span, message, "leave one of them out, or give each a listener of its own");
        }
    }
    for route in listener.routes.iter().filter(|route| route.when.value.asks_for_content()) {
        let message = "clients of a proxy say nothing before their way is open".to_owned();
        let help = "of a proxy's clients routes may ask for `client`, `time`, and the `address` \
                    and `port` that they ask for";
        conflict(route.when.span, message, help);
    }
}

/// Whether strangers may come there.
fn is_public(bind: &Bind) -> bool {
    match bind {
        Bind::Tcp { address: Some(address), .. } => !matches!(Reach::of(*address), Reach::Private),
        // Datagrams are told about already.
        Bind::Unix(_) | Bind::Udp { .. } => false,
        Bind::Tcp { address: None, .. } | Bind::Systemd(_) | Bind::Inetd => true,
    }
}

fn open_to_all(listener: &Listener, bind: &Spanned<Bind>, proxy: Option<Span>) -> Diagnostic {
    let message = format!("`{}` would be a proxy for everybody", listener.name);
    let port = bind.value.port().unwrap_or(1080);
    let fault = Diagnostic::new(Code::OpenProxy, bind.span, message)
        .label("anybody may come here")
        .help(format!(
            "name who may sign in, `users = [\"file:/etc/replug/users\"]`, or where clients come from, \
             `allow = [\"192.0.2.0/24\"]`, or listen at `127.0.0.1:{port}`"
        ));
    match proxy {
        Some(span) => fault.related(span, "the listener is a proxy"),
        None => fault,
    }
}

/// Only clients of a proxy say where they want to go.
pub(super) fn pool(listener: &Listener, pool: &Pool, faults: &mut Vec<Diagnostic>) {
    if listener.proxy.is_some() {
        return;
    }
    let requested = BackendAddress::Requested;
    let Some(backend) = pool.backends.iter().find(|one| one.address.value == requested) else {
        return;
    };
    let message = format!("clients of `{}` do not ask for a destination", listener.name);
    let fault = Diagnostic::new(Code::Requested, backend.address.span, message)
        .label("this listener is no proxy")
        .help(format!(
            "write `proxy = {{}}` in `[listener.{}]`, or, for a host of that name, its port as in \
             `requested:80`",
            listener.name
        ));
    faults.push(match listener.bind.first().and_then(|bind| bind.span) {
        Some(span) => fault.related(span, "clients come here"),
        None => fault,
    });
}
