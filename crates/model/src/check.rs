//! What a configuration must satisfy as a whole.
//!
//! The dialects vouch for every single item; here items are held against each
//! other. All faults are returned, in the order in which they were written.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::address::{BackendAddress, Bind, SourceAddress};
use crate::config::{Config, Listener, Pool};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Span, Spanned};

/// Every fault of `config` that no single item shows.
pub fn check(config: &Config) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    binds(config, &mut faults);
    inetd(config, &mut faults);
    for listener in &config.listeners {
        access(listener, &mut faults);
        match config.pools.iter().find(|pool| pool.name.value == listener.pool.value) {
            Some(pool) => loops(listener, pool, &mut faults),
            None => faults.push(
                Diagnostic::new(
                    Code::PoolUnknown,
                    listener.pool.span,
                    format!("there is no pool `{}`", listener.pool.value),
                )
                .label("no such pool"),
            ),
        }
    }
    for pool in &config.pools {
        members(pool, &mut faults);
        source(pool, &mut faults);
        via(pool, &mut faults);
        used(pool, config, &mut faults);
        queue(pool, &mut faults);
    }
    faults
}

/// Two listeners cannot share an address.
fn binds(config: &Config, faults: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<&Bind, Option<Span>> = HashMap::new();
    for bind in config.listeners.iter().flat_map(|listener| &listener.bind) {
        if bind.value.port() == Some(0) {
            continue;
        }
        if let Some(first) = seen.insert(&bind.value, bind.span) {
            let mut fault = Diagnostic::new(
                Code::BindConflict,
                bind.span,
                format!("`{}` is bound twice", bind.value),
            )
            .label("bound again here");
            if let Some(first) = first {
                fault = fault.related(first, "first bound here");
            }
            faults.push(fault);
        }
    }
}

/// A process that inetd has started is there for the one socket it was given.
fn inetd(config: &Config, faults: &mut Vec<Diagnostic>) {
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

/// An allowed range inside a denied one never lets anybody in.
fn access(listener: &Listener, faults: &mut Vec<Diagnostic>) {
    for allow in &listener.access.allow {
        let shadow = listener.access.deny.iter().find(|deny| deny.value.contains(&allow.value));
        if let Some(deny) = shadow {
            let mut fault = Diagnostic::new(
                Code::AllowShadowed,
                allow.span,
                format!("no client of {} can ever come in", allow.value),
            )
            .label("denied as a whole")
            .help("deny wins over allow: narrow the denied range");
            if let Some(span) = deny.span {
                fault = fault.related(span, "by this range");
            }
            faults.push(fault);
        }
    }
}

/// A backend that is the listener itself would connect to itself until descriptors run out.
fn loops(listener: &Listener, pool: &Pool, faults: &mut Vec<Diagnostic>) {
    for target in dialled(pool) {
        let own = listener.bind.iter().any(|bind| reaches(&target.value, &bind.value));
        if own {
            faults.push(
                Diagnostic::new(
                    Code::Loop,
                    target.span,
                    format!("`{}` is this listener itself", target.value),
                )
                .label("leads back to the listener")
                .help("name the address of the service, not the one replug listens on"),
            );
        }
    }
}

/// What sessions of `pool` connect to: its backends, or the proxy before them.
fn dialled(pool: &Pool) -> Vec<Spanned<BackendAddress>> {
    match &pool.via {
        None => pool.backends.iter().map(|backend| backend.address.clone()).collect(),
        Some(via) => vec![Spanned { value: via.value.address.clone(), span: via.span }],
    }
}

/// Whether connecting to `address` arrives at `bind`, as far as can be told without looking.
fn reaches(address: &BackendAddress, bind: &Bind) -> bool {
    match (address, bind) {
        (BackendAddress::Unix(to), Bind::Unix(at)) => to == at,
        (BackendAddress::Ip(to), Bind::Tcp { address, port }) => {
            to.port() == *port
                && match address {
                    Some(at) => *at == to.ip(),
                    None => to.ip().is_loopback() || to.ip().is_unspecified(),
                }
        }
        (BackendAddress::Name { host, port: to }, Bind::Tcp { address, port }) => {
            host == "localhost" && to == port && address.is_none_or(|at| at.is_loopback())
        }
        _ => false,
    }
}

/// A pool needs members, each once.
fn members(pool: &Pool, faults: &mut Vec<Diagnostic>) {
    if pool.backends.is_empty() {
        faults.push(Diagnostic::new(
            Code::PoolEmpty,
            pool.name.span,
            format!("pool `{}` has no backend", pool.name.value),
        ));
    }
    let mut seen: HashMap<&BackendAddress, Option<Span>> = HashMap::new();
    for backend in &pool.backends {
        if let Some(first) = seen.insert(&backend.address.value, backend.address.span) {
            let mut fault = Diagnostic::new(
                Code::TargetTwice,
                backend.address.span,
                format!("`{}` stands twice in the pool", backend.address.value),
            )
            .label("named again here")
            .help("to give it a larger share, write it once with weight=2");
            if let Some(first) = first {
                fault = fault.related(first, "first named here");
            }
            faults.push(fault);
        }
    }
}

/// A pool that no listener names serves nobody.
fn used(pool: &Pool, config: &Config, faults: &mut Vec<Diagnostic>) {
    if config.listeners.iter().all(|listener| listener.pool.value != pool.name.value) {
        let name = &pool.name.value;
        faults.push(
            Diagnostic::new(
                Code::PoolUnused,
                pool.name.span,
                format!("no listener uses the pool `{name}`"),
            )
            .label("unused")
            .help(format!("name it in a listener as `pool = \"{name}\"`, or leave it out")),
        );
    }
}

/// Nobody waits for a backend that takes any number of sessions.
fn queue(pool: &Pool, faults: &mut Vec<Diagnostic>) {
    let endless = pool.backends.iter().find(|backend| backend.max.is_none());
    if let (Some(queue), Some(endless)) = (&pool.queue, endless) {
        let mut fault = Diagnostic::new(
            Code::QueueUnused,
            queue.span,
            format!("nobody ever waits while `{}` is up", endless.address.value),
        )
        .label("never used")
        .help("write `max=100` behind each backend, or leave `queue` out");
        if let Some(span) = endless.address.span {
            fault = fault.related(span, "takes any number of sessions");
        }
        faults.push(fault);
    }
}

/// A source address must be able to reach the backends.
fn source(pool: &Pool, faults: &mut Vec<Diagnostic>) {
    let Some(source) = &pool.source else { return };
    let SourceAddress::Address(from) = source.value else {
        return;
    };
    for backend in dialled(pool) {
        let BackendAddress::Ip(to) = backend.value else {
            continue;
        };
        if to.is_ipv4() != from.is_ipv4() {
            let family = |address: IpAddr| if address.is_ipv4() { "IPv4" } else { "IPv6" };
            let mut fault = Diagnostic::new(
                Code::Source,
                source.span,
                format!("{from} cannot reach {}", backend.value),
            )
            .label(format!("an {} address", family(from)))
            .help("give a source of the same family as the targets");
            if let Some(span) = backend.span {
                fault = fault.related(span, format!("an {} target", family(to.ip())));
            }
            faults.push(fault);
        }
    }
}

/// A proxy connects to hosts and ports.
fn via(pool: &Pool, faults: &mut Vec<Diagnostic>) {
    let Some(via) = &pool.via else { return };
    for backend in &pool.backends {
        if let BackendAddress::Unix(_) = backend.address.value {
            let mut fault = Diagnostic::new(
                Code::Conflict,
                backend.address.span,
                format!("no proxy connects to `{}`", backend.address.value),
            )
            .label("a unix socket of this machine")
            .help("give it a pool of its own, without `via`");
            if let Some(span) = via.span {
                fault = fault.related(span, "the way to all backends of this pool");
            }
            faults.push(fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Backend, Proxy, ProxyProtocol};
    use std::time::Duration;

    fn config(binds: &[&str], targets: &[&str], source: Option<&str>) -> Config {
        let bind = |text: &&str| Spanned::default_of(Bind::parse(text).expect("a legal bind"));
        let backend = |text: &&str| {
            let address = BackendAddress::parse(text, None).expect("a legal target");
            Backend::new(Spanned::default_of(address))
        };
        let name = || Spanned::default_of("main".to_owned());
        Config {
            listeners: vec![Listener {
                bind: binds.iter().map(bind).collect(),
                ..Listener::new("main", name())
            }],
            pools: vec![Pool {
                source: source.map(|text| {
                    Spanned::default_of(SourceAddress::parse(text).expect("a legal source"))
                }),
                ..Pool::new(name(), targets.iter().map(backend).collect())
            }],
            ..Config::default()
        }
    }

    #[track_caller]
    fn codes(config: &Config, expected: &[&str]) {
        let found: Vec<_> = check(config).iter().map(|fault| fault.code.as_str()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_sound_configuration_has_no_faults() {
        codes(&config(&[":80"], &["10.0.0.1:80", "10.0.0.2:80"], Some("10.0.0.9")), &[]);
    }

    #[test]
    fn faults_between_items_are_found() {
        codes(&config(&[":80", ":80"], &["10.0.0.1:80"], None), &["E0201"]);
        codes(&config(&["inetd", "inetd"], &["10.0.0.1:80"], None), &["E0201"]);
        codes(&config(&["inetd", ":80", ":81"], &["10.0.0.1:80"], None), &["E0201"]);
        codes(&config(&["inetd"], &["10.0.0.1:80"], None), &[]);
        codes(&config(&[":80"], &[], None), &["E0204"]);
        codes(&config(&[":80"], &["10.0.0.1:80", "10.0.0.1:80"], None), &["W0302"]);
        codes(&config(&[":80"], &["10.0.0.1:80"], Some("::1")), &["E0107"]);
    }

    #[test]
    fn a_pool_that_nobody_names_is_a_warning() {
        let mut config = config(&[":80"], &["10.0.0.1:80"], None);
        config.pools.push(Pool {
            name: Spanned::default_of("spare".to_owned()),
            ..config.pools[0].clone()
        });
        codes(&config, &["W0305"]);
    }

    #[test]
    fn a_queue_for_backends_that_are_never_full_is_a_warning() {
        let mut config = config(&[":80"], &["10.0.0.1:80", "10.0.0.2:80"], None);
        let length = std::num::NonZeroUsize::MIN;
        config.pools[0].queue =
            Some(Spanned::default_of(crate::config::Queue { length, wait: Duration::ZERO }));
        codes(&config, &["W0306"]);
        config.pools[0].backends[0].max = std::num::NonZeroU32::new(5);
        codes(&config, &["W0306"]);
        config.pools[0].backends[1].max = std::num::NonZeroU32::new(5);
        codes(&config, &[]);
    }

    #[test]
    fn a_proxy_stands_in_for_the_backends() {
        let through = |proxy: &str, target: &str, source: Option<&str>| {
            let mut config = config(&[":80"], &[target], source);
            config.pools[0].via = Some(Spanned::default_of(Proxy {
                address: BackendAddress::parse(proxy, None).expect("a legal address"),
                protocol: ProxyProtocol::Http { bare: false },
            }));
            config
        };
        codes(&through("10.0.0.1:80", "127.0.0.1:80", None), &[]);
        codes(&through("127.0.0.1:80", "10.0.0.1:80", None), &["E0203"]);
        codes(&through("10.0.0.1:80", "[::1]:80", Some("10.0.0.9")), &[]);
        codes(&through("[::1]:8080", "10.0.0.1:80", Some("10.0.0.9")), &["E0107"]);
        codes(&through("10.0.0.1:80", "unix:/x", None), &["E0205"]);
    }

    #[test]
    fn a_backend_may_not_be_the_listener_itself() {
        codes(&config(&[":80"], &["127.0.0.1:80"], None), &["E0203"]);
        codes(&config(&[":80"], &["localhost:80"], None), &["E0203"]);
        codes(&config(&["10.0.0.1:80"], &["10.0.0.1:80"], None), &["E0203"]);
        codes(&config(&["unix:/x"], &["unix:/x"], None), &["E0203"]);
        codes(&config(&["10.0.0.1:80"], &["127.0.0.1:80"], None), &[]);
    }
}
