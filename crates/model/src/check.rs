//! What a configuration must satisfy as a whole.
//!
//! The dialects vouch for every single item; here items are held against each
//! other. All faults are returned, in the order in which they were written.
//! Lists of ten thousand items are held against each other without trying all pairs.

mod acme;
mod backend_tls;
mod binds;
mod ftp;
mod http;
mod loops;
mod proxy;
mod proxy_header;
mod ranges;
mod routes;
mod script;
mod tls;
mod transparent;
mod via;

use std::collections::{HashMap, HashSet};

use crate::address::BackendAddress;
use crate::address::pattern::Clients;
use crate::address::source::Source;
use crate::config::{Access, Config, Listener, Pool};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use ranges::Covers;

/// Every fault of `config` that no single item shows.
pub fn check(config: &Config) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    binds::check(config, &mut faults);
    binds::inetd(config, &mut faults);
    let known: HashMap<&str, &Pool> =
        config.pools.iter().map(|pool| (&*pool.name.value, pool)).collect();
    for listener in &config.listeners {
        binds::interface(listener, &mut faults);
        transparent::listener(listener, &mut faults);
        proxy::check(config, listener, &mut faults);
        access(&listener.access, &mut faults);
        authorize(listener, &mut faults);
        http::check(listener, &mut faults);
        tls::check(listener, &mut faults);
        routes::check(listener, &mut faults);
        script::check(listener, &mut faults);
        for pool in listener.pools() {
            if let Some(pool) = known.get(&*pool.value) {
                streams_only(listener, pool, &mut faults);
                transparent::pool(listener, pool, &mut faults);
                proxy::pool(listener, pool, &mut faults);
                ftp::check(listener, pool, &mut faults);
                proxy_header::check(listener, pool, &mut faults);
                backend_tls::listener(listener, pool, &mut faults);
                tls::pool(listener, pool, &mut faults);
                continue;
            }
            let message = format!("there is no pool `{}`", pool.value);
            let fault = Diagnostic::new(Code::PoolUnknown, pool.span, message);
            faults.push(fault.label("no such pool"));
        }
    }
    acme::check(config, &mut faults);
    access(&config.access, &mut faults);
    loops::check(config, &mut faults);
    let used: HashSet<&str> =
        config.listeners.iter().flat_map(Listener::pools).map(|pool| &*pool.value).collect();
    // What names a script comes up with nobody knows.
    let has_scripts = config.listeners.iter().any(|listener| listener.script.is_some());
    for pool in &config.pools {
        members(pool, &mut faults);
        source(pool, &mut faults);
        via::check(pool, &mut faults);
        backend_tls::pool(pool, &mut faults);
        if !used.contains(&*pool.name.value) && !has_scripts {
            faults.push(unused(pool));
        }
        queue(pool, &mut faults);
    }
    logs(config, &mut faults);
    faults
}

/// Two logs in one place would tell everything twice, mixed up.
fn logs(config: &Config, faults: &mut Vec<Diagnostic>) {
    for (at, log) in config.logs.iter().enumerate() {
        if let Some(first) = config.logs[..at].iter().find(|first| first.to == log.to) {
            let message = "two logs go to the same place";
            let mut fault = Diagnostic::new(Code::Conflict, log.to.span, message)
                .label("again here")
                .help("leave one of them out, or give it a place of its own");
            if let Some(first) = first.to.span {
                fault = fault.related(first, "first here");
            }
            faults.push(fault);
        }
    }
}

/// An allowed range inside a denied one never lets anybody in, and patterns cost time.
fn access(access: &Access, faults: &mut Vec<Diagnostic>) {
    let ranges = access.deny.iter().filter_map(|deny| match &deny.value {
        Clients::Range(range) => Some((*range, deny.span)),
        Clients::Pattern(_) => None,
    });
    let denied = Covers::of(ranges);
    for allow in &access.allow {
        let Clients::Range(range) = allow.value else { continue };
        if let Some(span) = denied.covering(range) {
            let mut fault = Diagnostic::new(
                Code::AllowShadowed,
                allow.span,
                format!("no client of {range} can ever come in"),
            )
            .label("denied as a whole")
            .help("deny wins over allow: narrow the denied range");
            if let Some(span) = span {
                fault = fault.related(span, "by this range");
            }
            faults.push(fault);
        }
    }
    let all = access.allow.iter().chain(&access.deny);
    let mut patterns = all.filter(|one| matches!(one.value, Clients::Pattern(_)));
    if let Some(first_too_many) = patterns.nth(Access::PATTERNS_MAX) {
        let message = format!("there are more than {} patterns", Access::PATTERNS_MAX);
        faults.push(
            Diagnostic::new(Code::Cidr, first_too_many.span, message)
                .label("the first that is too many")
                .help("write ranges, as in `10.0.0.0/24`: there may be any number of them"),
        );
    }
}

/// A datagram cannot wait for a decision.
fn authorize(listener: &Listener, faults: &mut Vec<Diagnostic>) {
    let udp = listener.bind.iter().find(|bind| bind.value.is_udp());
    let (Some(authorize), Some(udp)) = (&listener.authorize, udp) else { return };
    let message = "no program is asked about datagrams";
    let mut fault = Diagnostic::new(Code::Conflict, authorize.span, message)
        .label("for streams only")
        .help("give the UDP bind a listener of its own, with `allow` for its clients");
    if let Some(span) = udp.span {
        fault = fault.related(span, "UDP arrives here");
    }
    faults.push(fault);
}

/// A unix backend is a stream socket: datagrams cannot go there, nor through a proxy.
fn streams_only(listener: &Listener, pool: &Pool, faults: &mut Vec<Diagnostic>) {
    let Some(udp) = listener.bind.iter().find(|bind| bind.value.is_udp()) else { return };
    via::streams_only(pool, udp.span, faults);
    for backend in &pool.backends {
        if !matches!(backend.address.value, BackendAddress::Unix(_)) {
            continue;
        }
        let mut fault = Diagnostic::new(
            Code::UdpToUnix,
            backend.address.span,
            format!("`{}` takes no datagrams", backend.address.value),
        )
        .label("a stream socket")
        .help("UDP goes to `address:port` or `name:port`");
        if let Some(span) = udp.span {
            fault = fault.related(span, "UDP arrives here");
        }
        faults.push(fault);
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
fn unused(pool: &Pool) -> Diagnostic {
    let name = &pool.name.value;
    let message = format!("no listener uses the pool `{name}`");
    Diagnostic::new(Code::PoolUnused, pool.name.span, message)
        .label("unused")
        .help(format!("name it in a listener as `pool = \"{name}\"`, or leave it out"))
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

/// Sources must be able to reach the backends.
fn source(pool: &Pool, faults: &mut Vec<Diagnostic>) {
    let Some(source) = &pool.source else { return };
    let name = |is_ipv6: bool| if is_ipv6 { "IPv6" } else { "IPv4" };
    for (target, span) in loops::dialled(pool) {
        let BackendAddress::Ip(to) = target else {
            continue;
        };
        if source.value.has_family(to.is_ipv6()) {
            continue;
        }
        let (missing, there) = (name(to.is_ipv6()), name(!to.is_ipv6()));
        let is_list = matches!(&source.value, Source::Addresses(all) if all.len() > 1);
        let fault = match is_list {
            true => Diagnostic::new(
                Code::Source,
                source.span,
                format!("none of these sources can reach {}", target),
            )
            .label(format!("only {there} addresses"))
            .help(format!("add an {missing} address of this machine")),
            false => Diagnostic::new(
                Code::Source,
                source.span,
                format!("{} cannot reach {}", source.value, target),
            )
            .label(format!("an {there} address"))
            .help("give a source of the same family as the targets"),
        };
        faults.push(match span {
            Some(span) => fault.related(span, format!("an {missing} target")),
            None => fault,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Bind;
    use crate::address::pattern::AddressPattern;
    use crate::address::source::Interface;
    use crate::config::{Backend, Transparent};
    use crate::ftp::{Ftp, FtpModes};
    use crate::log::{Log, LogTarget};
    use crate::proxy::{Proxy, ProxyProtocol};
    use crate::route::pattern::NamePattern;
    use crate::route::{Route, When};
    use crate::source::Spanned;
    use std::net::IpAddr;
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
                    let address = text.parse().expect("an address");
                    Spanned::default_of(Source::Addresses(vec![address]))
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
    fn each_family_of_backends_needs_a_source() {
        let mut config = config(&[":80"], &["10.0.0.1:80", "[2001:db8::1]:80"], Some("10.0.0.9"));
        codes(&config, &["E0107"]);
        let both = ["10.0.0.9", "2001:db8::9"].map(|text| text.parse().expect("an address"));
        config.pools[0].source = Some(Spanned::default_of(Source::Addresses(both.into())));
        codes(&config, &[]);
    }

    #[test]
    fn interfaces_tell_binds_apart() {
        let by = |name: &str| {
            let interface = Interface::parse(name).expect("a legal name");
            let interface = Some(Spanned::default_of(interface));
            Listener { interface, ..config(&[":80"], &[], None).listeners[0].clone() }
        };
        let mut config = config(&[":80"], &["10.0.0.1:80"], None);
        config.listeners = vec![by("eth0"), by("eth1")];
        codes(&config, &[]);
        config.listeners.push(by("eth0"));
        codes(&config, &["E0201"]);
        config.listeners[2].interface = None;
        codes(&config, &["E0201"]);
        config.listeners[2].bind[0].value = Bind::parse("unix:/x").expect("a legal bind");
        codes(&config, &[]);
        config.listeners[2].interface = config.listeners[0].interface.clone();
        codes(&config, &["E0205"]);
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

    fn proxy(text: &str) -> Spanned<Proxy> {
        let address = BackendAddress::parse(text, None).expect("a legal address");
        Spanned::default_of(Proxy::new(address, ProxyProtocol::Http { bare: false }))
    }

    #[test]
    fn a_proxy_stands_in_for_the_backends() {
        let through = |by: &str, target: &str, source: Option<&str>| {
            let mut config = config(&[":80"], &[target], source);
            config.pools[0].via = vec![proxy(by)];
            config
        };
        codes(&through("10.0.0.1:80", "127.0.0.1:80", None), &[]);
        codes(&through("127.0.0.1:80", "10.0.0.1:80", None), &["E0203"]);
        codes(&through("10.0.0.1:80", "[::1]:80", Some("10.0.0.9")), &[]);
        codes(&through("[::1]:8080", "10.0.0.1:80", Some("10.0.0.9")), &["E0107"]);
        codes(&through("10.0.0.1:80", "unix:/x", None), &["E0205"]);
    }

    #[test]
    fn socks_4_carries_no_ipv6() {
        let chain = |protocols: [ProxyProtocol; 2], second: &str, target: &str| {
            let mut config = config(&[":80"], &[target], None);
            config.pools[0].via = vec![proxy("10.0.0.1:1080"), proxy(second)];
            for (via, protocol) in config.pools[0].via.iter_mut().zip(protocols) {
                via.value.protocol = protocol;
            }
            config
        };
        use ProxyProtocol::{Socks4, Socks4a, Socks5};
        codes(&chain([Socks5, Socks5], "[::1]:1080", "[::1]:80"), &[]);
        codes(&chain([Socks5, Socks4], "[::1]:1080", "[::1]:80"), &["E0205"]);
        codes(&chain([Socks4a, Socks5], "[::1]:1080", "[::1]:80"), &["E0205"]);
        codes(&chain([Socks4, Socks4a], "gate.example:1080", "a.example:80"), &[]);
        let mut long = chain([Socks5, Socks5], "10.0.0.2:1080", "10.0.0.3:80");
        long.pools[0].via = vec![proxy("10.0.0.1:1080"); Proxy::CHAIN_MAX];
        codes(&long, &[]);
        long.pools[0].via.push(proxy("10.0.0.1:1080"));
        codes(&long, &["E0113"]);
    }

    #[test]
    fn nobody_is_asked_about_datagrams() {
        let mut config = config(&[":53", "udp://:53"], &["10.0.0.1:53"], None);
        codes(&config, &[]);
        let program = crate::Program::new(vec!["/bin/check".to_owned()]);
        config.listeners[0].authorize = Some(Spanned::default_of(crate::Authorize::new(program)));
        codes(&config, &["E0205"]);
        config.listeners[0].bind.pop();
        codes(&config, &[]);
    }

    #[test]
    fn ftp_needs_streams_and_a_server_that_can_connect() {
        let ftp = |modes, bind: &str| {
            let mut config = config(&[bind], &["10.0.0.1:21"], None);
            config.listeners[0].ftp = Some(Spanned::default_of(Ftp { modes, ports: None }));
            config
        };
        codes(&ftp(FtpModes::Both, ":21"), &[]);
        codes(&ftp(FtpModes::Both, "udp://:21"), &["E0205"]);
        for (modes, expected) in [(FtpModes::Active, &["E0205"][..]), (FtpModes::Passive, &[])] {
            let mut config = ftp(modes, ":21");
            config.pools[0].via = vec![proxy("10.0.0.9:3128")];
            codes(&config, expected);
        }
    }

    #[test]
    fn two_logs_need_two_places() {
        let mut config = config(&[":80"], &["10.0.0.1:80"], None);
        let file = |name: &str| Log::to(LogTarget::File(name.to_owned()));
        config.logs = vec![file("a"), file("b"), Log::default()];
        codes(&config, &[]);
        config.logs.push(Log { start: true, ..file("b") });
        codes(&config, &["E0205"]);
    }

    #[test]
    fn a_backend_may_not_be_the_listener_itself() {
        codes(&config(&[":80"], &["127.0.0.1:80"], None), &["E0203"]);
        codes(&config(&[":80"], &["localhost:80"], None), &["E0203"]);
        codes(&config(&["10.0.0.1:80"], &["10.0.0.1:80"], None), &["E0203"]);
        codes(&config(&["unix:/x"], &["unix:/x"], None), &["E0203"]);
        codes(&config(&["10.0.0.1:80"], &["127.0.0.1:80"], None), &[]);
        codes(&config(&["udp://:53"], &["127.0.0.1:53"], None), &["E0203"]);
        codes(&config(&["udp://127.0.0.1:53"], &["localhost:53"], None), &["E0203"]);
    }

    #[test]
    fn the_same_port_of_tcp_and_udp_is_two_binds() {
        codes(&config(&[":53", "udp://:53"], &["10.0.0.1:53"], None), &[]);
        codes(&config(&["udp://:53", "udp://*:53"], &["10.0.0.1:53"], None), &["E0201"]);
        check_binds("udp://:53", "udp://10.0.0.1:53", &["E0201"]);
        check_binds("udp://10.0.0.2:53", "udp://10.0.0.1:53", &[]);
        check_binds("udp://:53", "10.0.0.1:53", &[]);
    }

    #[test]
    fn a_loop_is_of_one_protocol() {
        codes(&chain(&[("udp://:1", "127.0.0.1:2"), (":2", "127.0.0.1:1")]), &[]);
        let round = [("udp://:1", "127.0.0.1:2"), ("udp://:2", "127.0.0.1:1")];
        codes(&chain(&round), &["E0203"]);
        codes(&config(&["udp://:53", ":53"], &["127.0.0.1:53"], None), &["E0203"]);
        // By UDP to the second and on by TCP to the first: nothing goes that way.
        let mut mixed = chain(&[("udp://:1", "127.0.0.1:2"), ("udp://:2", "127.0.0.1:3")]);
        let bind = |text| Spanned::default_of(Bind::parse(text).expect("a legal bind"));
        mixed.listeners[0].bind.push(bind(":3"));
        mixed.listeners[1].bind.push(bind(":4"));
        codes(&mixed, &[]);
    }

    #[test]
    fn datagrams_do_not_go_to_unix_sockets() {
        codes(&config(&["udp://:53"], &["unix:/x"], None), &["E0207"]);
        codes(&config(&[":53", "udp://:53"], &["unix:/x", "10.0.0.1:53"], None), &["E0207"]);
        codes(&config(&[":53"], &["unix:/x"], None), &[]);
    }

    /// The binds of two listeners, and whether they exclude each other.
    #[track_caller]
    fn check_binds(one: &str, other: &str, expected: &[&str]) {
        for [one, other] in [[one, other], [other, one]] {
            let mut both = config(&[one], &["10.0.0.9:1"], None);
            both.listeners.extend(config(&[other], &[], None).listeners);
            codes(&both, expected);
        }
        codes(&config(&[one, other], &["10.0.0.9:1"], None), expected);
    }

    #[test]
    fn what_is_bound_everywhere_excludes_what_is_bound_somewhere() {
        check_binds(":80", "10.0.0.1:80", &["E0201"]);
        check_binds(":80", "[::1]:80", &["E0201"]);
        check_binds(":80", "0.0.0.0:80", &["E0201"]);
        check_binds(":80", "[::]:80", &["E0201"]);
        check_binds("0.0.0.0:80", "10.0.0.1:80", &["E0201"]);
        check_binds("[::]:80", "[::1]:80", &["E0201"]);
        check_binds("0.0.0.0:80", "[::]:80", &[]);
        check_binds("[::]:80", "10.0.0.1:80", &[]);
        check_binds("10.0.0.1:80", "10.0.0.2:80", &[]);
        check_binds(":80", "10.0.0.1:81", &[]);
        check_binds(":0", "10.0.0.1:0", &[]);
        check_binds("unix:/x", "unix:/y", &[]);
        check_binds("unix:/x", "unix:/x", &["E0201"]);
    }

    /// Listeners from each bind to each target, in order.
    fn chain(ways: &[(&str, &str)]) -> Config {
        let mut all = Config::default();
        for (at, (bind, target)) in ways.iter().enumerate() {
            let one = config(&[bind], &[target], None);
            let name = || Spanned::default_of(format!("p{at}"));
            let listeners = one.listeners.into_iter();
            all.listeners.extend(listeners.map(|listener| Listener {
                name: format!("l{at}"),
                pool: Some(name()),
                ..listener
            }));
            all.pools.extend(one.pools.into_iter().map(|pool| Pool { name: name(), ..pool }));
        }
        all
    }

    #[test]
    fn loops_over_several_listeners_are_found_once() {
        let ways = [(":1", "127.0.0.1:2"), (":2", "localhost:3"), (":3", "127.0.0.1:1")];
        let faults = check(&chain(&ways));
        let told: Vec<_> = faults.iter().map(|fault| (&*fault.message, &*fault.label)).collect();
        let expected = [("`127.0.0.1:1` leads round in a circle", "from l0 to l1 to l2 to l0")];
        assert_eq!(told, expected);
        codes(&chain(&ways[..2]), &[]);
        // A way into a circle is none.
        codes(
            &chain(&[(":1", "127.0.0.1:2"), (":2", "127.0.0.1:3"), (":3", "127.0.0.1:2")]),
            &["E0203"],
        );
        codes(&chain(&[(":1", "127.0.0.1:1"), (":2", "127.0.0.1:1")]), &["E0203"]);
        codes(&chain(&[("0.0.0.0:1", "[::1]:1")]), &[]);
        codes(&chain(&[("0.0.0.0:1", "127.0.0.1:1")]), &["E0203"]);
    }

    #[test]
    fn where_nobody_is_diverted_nothing_is_original() {
        let mut config = config(&[":80"], &["10.0.0.1:80"], None);
        let original = Backend::new(Spanned::default_of(BackendAddress::Original));
        config.pools[0].backends.push(original);
        codes(&config, &["E0208"]);
        config.listeners[0].transparent = Some(Spanned::default_of(Transparent::Redirect));
        codes(&config, &[]);
        let bind = |text| Spanned::default_of(Bind::parse(text).expect("a legal bind"));
        config.listeners[0].bind.push(bind("udp://:81"));
        config.listeners[0].bind.push(bind("unix:/x"));
        codes(&config, &["E0205", "E0205"]);
    }

    fn when(client: &[&str], address: &[&str], port: &[u16]) -> When {
        When {
            client: client
                .iter()
                .map(|text| Spanned::default_of(text.parse().expect("a range")))
                .collect(),
            address: address.iter().map(|text| text.parse().expect("an address")).collect(),
            port: port.to_vec(),
            ..When::default()
        }
    }

    #[track_caller]
    fn check_routes(conditions: &[When], expected: &[&str]) {
        let mut config = config(&[":80"], &["10.0.0.1:80"], None);
        config.listeners[0].routes = conditions
            .iter()
            .map(|when| Route {
                name: None,
                when: Spanned::default_of(when.clone()),
                pool: Spanned::default_of("main".to_owned()),
            })
            .collect();
        codes(&config, expected);
    }

    #[test]
    fn a_route_behind_a_wider_one_is_never_reached() {
        let all = ["10.0.0.0/8", "2001:db8::/32"];
        check_routes(&[when(&all, &[], &[]), when(&["10.1.0.0/16"], &[], &[80])], &["W0307"]);
        check_routes(&[when(&["10.1.0.0/16"], &[], &[]), when(&all, &[], &[])], &[]);
        check_routes(&[when(&all, &[], &[80]), when(&["10.1.0.0/16"], &[], &[])], &[]);
        check_routes(&[when(&[], &[], &[80, 81]), when(&all, &["10.0.0.1"], &[81])], &["W0307"]);
        check_routes(&[when(&[], &[], &[80, 81]), when(&all, &[], &[81, 82])], &[]);
        check_routes(&[when(&["10.0.0.0/8"], &[], &[]), when(&all, &[], &[])], &[]);
        check_routes(&[when(&[], &["10.0.0.1"], &[]), when(&[], &["10.0.0.1"], &[])], &["W0307"]);
    }

    #[test]
    fn a_route_behind_a_wider_one_by_content_is_never_reached() {
        let sni = |names: &[&str]| When {
            sni: names.iter().map(|name| NamePattern::parse(name).expect("a name")).collect(),
            ..When::default()
        };
        check_routes(&[sni(&["*.a", "b"]), sni(&["x.a"])], &["W0307"]);
        check_routes(&[sni(&["*.a", "b"]), sni(&["x.y.a", "b"])], &["W0307"]);
        check_routes(&[sni(&["*.a", "b"]), sni(&["x.a", "c"])], &[]);
        check_routes(&[sni(&["x.a"]), sni(&["*.a"]), sni(&["*"])], &[]);
        check_routes(&[sni(&["*"]), sni(&["x.a"])], &["W0307"]);
        let with_port = |port| When { port: vec![port], ..sni(&["a"]) };
        check_routes(&[with_port(1), with_port(2), with_port(1)], &["W0307"]);
        check_routes(&[when(&[], &[], &[1]), with_port(1)], &["W0307"]);
        let not = When { not: vec![sni(&["a"])], ..When::default() };
        check_routes(&[not.clone(), sni(&["b"])], &[]);
        check_routes(&[not.clone(), not], &["W0307"]);
        // Ten thousand names against each other, one by one.
        let many: Vec<_> = (0..4_000).map(|n| sni(&[&format!("host-{n}.a")])).collect();
        check_routes(&many, &[]);
    }

    #[test]
    fn silence_counts_only_where_clients_are_to_speak() {
        let mut config = config(&[":80"], &["10.0.0.1:80"], None);
        let spare = Spanned::default_of("spare".to_owned());
        config.pools.push(Pool { name: spare.clone(), ..config.pools[0].clone() });
        config.listeners[0].on_silence = Some(spare.clone());
        codes(&config, &["E0205"]);
        config.listeners[0].routes = vec![Route {
            name: None,
            when: Spanned::default_of(When { regex: vec!["a".to_owned()], ..When::default() }),
            pool: Spanned::default_of("main".to_owned()),
        }];
        codes(&config, &[]);
        config.listeners[0].pool = None;
        codes(&config, &[]);
    }

    #[test]
    fn routes_use_pools_and_need_them() {
        let mut config = config(&[":80"], &["10.0.0.1:80"], None);
        let spare = Spanned::default_of("spare".to_owned());
        config.listeners[0].routes = vec![Route {
            name: None,
            when: Spanned::default_of(when(&["10.0.0.0/8"], &[], &[])),
            pool: spare.clone(),
        }];
        codes(&config, &["E0202"]);
        let target = BackendAddress::parse("127.0.0.1:80", None).expect("a legal target");
        config.pools.push(Pool::new(spare, vec![Backend::new(Spanned::default_of(target))]));
        // The pool is used, and a loop by way of a route is one.
        codes(&config, &["E0203"]);
    }

    #[test]
    fn long_lists_are_checked_in_no_time() {
        let ranges = |base: u32, count: u32| {
            let range = |n: u32| ipnet::IpNet::from(IpAddr::from((base + 2 * n).to_be_bytes()));
            (0..count).map(|n| Spanned::default_of(range(n).into())).collect::<Vec<_>>()
        };
        let mut config = config(&[":80"], &["10.0.0.1:80"], None);
        // A list against a list by pairs would be four hundred million of them.
        config.listeners[0].access.allow = ranges(0x0a00_0000, 20_000);
        config.listeners[0].access.deny = ranges(0x0a00_0001, 20_000);
        codes(&config, &[]);
    }

    #[test]
    fn what_holds_for_all_listeners_is_checked_too() {
        let clients = |text: &str| {
            let range = text.parse::<ipnet::IpNet>().map(Clients::Range).ok();
            let pattern = || AddressPattern::parse(text).map(Clients::Pattern);
            Spanned::default_of(range.or_else(pattern).expect("a range or a pattern"))
        };
        let mut config = config(&[":80"], &["10.0.0.1:80"], None);
        config.access.allow = vec![clients("10.1.0.0/16"), clients("10.*")];
        config.access.deny = vec![clients("10.0.0.0/8")];
        codes(&config, &["W0303"]);
        config.access.deny = vec![clients("*.1"); Access::PATTERNS_MAX];
        codes(&config, &["E0108"]);
        config.access.allow.clear();
        codes(&config, &[]);
    }
}
