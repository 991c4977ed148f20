//! What a configuration needs of the kernel to be transparent, and the lines that provide it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::{BackendAddress, Bind, Clients, Config, Listener, Pool, Source, Spanned, Transparent};

/// The firewall mark of packets that are to be delivered to this machine whatever their address is,
/// unless another is in use: one that nobody has by chance.
const MARK: u32 = 0x7001;

/// The same for the routing table that does so.
const TABLE: u32 = 7001;

/// Ranges of clients that a rule names; of more it names none.
const RANGES_MAX: usize = 64;

/// One thing that is needed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// For people, in a line.
    pub(super) what: String,
    pub(super) of: Of,
    /// What to do if it is not there, in order.
    pub(super) mend: Vec<Mend>,
}

/// What is needed, to be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// The right to sockets with addresses of others.
    TransparentSockets,
    /// Address translation of clients to this port.
    Translation(Family, u16),
    /// `tproxy` of clients to this port.
    Tproxy(Family, u16),
    /// A mark for what belongs to sockets with addresses of others.
    Answers(Family),
    /// A policy rule for what has this mark.
    Rule(Family, u32),
    /// A route in this table that delivers everything here.
    Route(Family, u32),
    /// Translation to 127.0.0.0/8 on this interface, or on any.
    RouteLocalnet(Option<String>),
    /// That marks are not part of the check of where packets come from.
    SourceUnmarked,
    /// That nothing translates to this port what leaves from here, unless it says of whom.
    OwnUndiverted(u16),
    /// Nothing that could be done.
    Nothing,
}

/// A step of mending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mend {
    /// A line for sh.
    Run(String),
    /// Something that no line does.
    Say(String),
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

/// A mark and a routing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) mark: u32,
    pub(super) table: u32,
}

impl Numbers {
    /// The first mark that rules set already, or one that no socket of `config` has.
    pub(super) fn beside(config: &Config, there: impl IntoIterator<Item = u32>) -> Self {
        let ours: BTreeSet<u32> = config
            .listeners
            .iter()
            .filter_map(|listener| listener.tcp.mark)
            .map(std::num::NonZeroU32::get)
            .collect();
        let free = (MARK..).find(|mark| !ours.contains(mark)).unwrap_or(MARK);
        let mark = there.into_iter().find(|mark| !ours.contains(mark)).unwrap_or(free);
        Self { mark, table: TABLE }
    }
}

impl Family {
    /// For people.
    fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// As `ip` has it.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::Ipv4 => "-4",
            Self::Ipv6 => "-6",
        }
    }

    /// As tables and `tproxy` of nft have it.
    pub(super) fn keyword(self) -> &'static str {
        match self {
            Self::Ipv4 => "ip",
            Self::Ipv6 => "ip6",
        }
    }

    /// As `meta nfproto` of nft has it.
    pub(super) fn nfproto(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }

    fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

/// Everything that `config` needs. `ports`: those that clients are diverted from, all if there is
/// none; `numbers`: which mark and table to use for a family.
pub(super) fn needs(
    config: &Config,
    ports: &[String],
    numbers: &dyn Fn(Family) -> Numbers,
) -> Vec<Need> {
    let mut needs = Vec::new();
    if config.needs_transparent_sockets() {
        needs.push(Need {
            what: "this user may have sockets with addresses of others (IP_TRANSPARENT)".to_owned(),
            of: Of::TransparentSockets,
            mend: vec![Mend::Say(
                "start replug as root (with --user it keeps this right), or with CAP_NET_RAW: \
                 AmbientCapabilities=CAP_NET_RAW in a unit"
                    .to_owned(),
            )],
        });
    }
    for listener in &config.listeners {
        if let Some(mode) = &listener.transparent {
            diversion(listener, mode.value, ports, numbers, &mut needs);
        }
    }
    let as_clients: BTreeSet<Family> =
        config.pools.iter().flat_map(|pool| leaving(config, pool)).collect();
    for family in &as_clients {
        needs.push(answers(*family, numbers(*family)));
    }
    let by_tproxy = config.listeners.iter().filter(|listener| listener.is_tproxied());
    let marked: BTreeSet<Family> =
        by_tproxy.flat_map(places).map(|(family, ..)| family).chain(as_clients).collect();
    for family in &marked {
        delivery(*family, numbers(*family), &mut needs);
    }
    if marked.contains(&Family::Ipv4) {
        needs.push(Need {
            what: "IPv4: where packets come from is checked without their mark".to_owned(),
            of: Of::SourceUnmarked,
            mend: vec![Mend::Run(
                "for one in /proc/sys/net/ipv4/conf/*/src_valid_mark; do echo 0 >\"$one\"; done"
                    .to_owned(),
            )],
        });
    }
    needs
}

/// The families in which connections of `pool` leave from clients' addresses.
fn leaving(config: &Config, pool: &Pool) -> BTreeSet<Family> {
    if pool.source.as_ref().is_none_or(|source| source.value != Source::Client) {
        return BTreeSet::new();
    }
    let users = config
        .listeners
        .iter()
        .filter(|listener| listener.pools().any(|name| name.value == pool.name.value));
    let of_bind = |bind: &Bind| match bind {
        Bind::Tcp { address: Some(ip), .. } | Bind::Udp { address: Some(ip), .. } => {
            vec![Family::of(*ip)]
        }
        Bind::Unix(_) => Vec::new(),
        _ => vec![Family::Ipv4, Family::Ipv6],
    };
    let clients: BTreeSet<_> =
        users.flat_map(|listener| &listener.bind).flat_map(|bind| of_bind(&bind.value)).collect();
    let dialled: Vec<&BackendAddress> = match pool.via.first() {
        Some(via) => vec![&via.value.address],
        None => pool.backends.iter().map(|backend| &backend.address.value).collect(),
    };
    let reaches = |family: &Family| {
        dialled.iter().any(|address| match address {
            BackendAddress::Ip(address) => Family::of(address.ip()) == *family,
            BackendAddress::Name { .. } | BackendAddress::Original | BackendAddress::Requested => {
                true
            }
            BackendAddress::Unix(_) => false,
        })
    };
    clients.into_iter().filter(reaches).collect()
}

/// The addresses and ports that a listener has for each family; `None`: all addresses.
fn places(listener: &Listener) -> Vec<(Family, Option<IpAddr>, u16)> {
    let both = [Family::Ipv4, Family::Ipv6];
    let place = |bind: &Bind| match *bind {
        Bind::Tcp { address: None, port } => both.map(|family| (family, None, port)).to_vec(),
        Bind::Tcp { address: Some(ip), port } => {
            vec![(Family::of(ip), Some(ip).filter(|ip| !ip.is_unspecified()), port)]
        }
        _ => Vec::new(),
    };
    listener.bind.iter().flat_map(|bind| place(&bind.value)).collect()
}

/// What brings clients to a listener.
fn diversion(
    listener: &Listener,
    mode: Transparent,
    ports: &[String],
    numbers: &dyn Fn(Family) -> Numbers,
    needs: &mut Vec<Need>,
) {
    let name = &listener.name;
    for bind in listener.bind.iter().filter(|bind| is_unknown(&bind.value)) {
        let what =
            format!("listener {name}: the port of `{}` is not known before it runs", bind.value);
        let say = "name a port, so that a rule can divert clients to it".to_owned();
        needs.push(Need { what, of: Of::Nothing, mend: vec![Mend::Say(say)] });
    }
    for (family, ip, port) in places(listener).into_iter().filter(|(_, _, port)| *port > 0) {
        let what =
            format!("listener {name}: {} clients are diverted to port {port}", family.name());
        let clients = clients(listener, family, ports);
        let to = match ip {
            Some(IpAddr::V4(ip)) => format!("{ip}:{port}"),
            Some(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
            None => format!(":{port}"),
        };
        let keyword = family.keyword();
        let (of, chain, does) = match (mode, ip) {
            (Transparent::Redirect, None) => {
                (Of::Translation(family, port), "translate", format!("redirect to {to}"))
            }
            (Transparent::Redirect, Some(_)) => {
                (Of::Translation(family, port), "translate", format!("dnat {keyword} to {to}"))
            }
            (Transparent::Tproxy, _) => {
                let mark = numbers(family).mark;
                let does = format!("tproxy {keyword} to {to} meta mark set {mark:#x} accept");
                (Of::Tproxy(family, port), "divert", does)
            }
        };
        needs.push(Need {
            what,
            of,
            mend: vec![nft(chain, &format!("add rule inet replug {chain} {clients} {does}"))],
        });
        if let (Transparent::Redirect, Some(ip)) = (mode, ip)
            && ip.is_loopback()
        {
            needs.push(loopback(listener, family));
        }
    }
    if mode == Transparent::Redirect {
        let ports: BTreeSet<_> = places(listener).into_iter().map(|(.., port)| port).collect();
        needs.extend(ports.into_iter().filter(|port| *port > 0).map(|port| own(name, port)));
    }
}

/// What replug sends on would come back to it.
fn own(listener: &str, port: u16) -> Need {
    Need {
        what: format!(
            "listener {listener}: what replug itself sends is not diverted to port {port}"
        ),
        of: Of::OwnUndiverted(port),
        mend: vec![Mend::Say(
            "a rule of an output chain needs `meta skuid != USER`, the one that replug runs as"
                .to_owned(),
        )],
    }
}

fn is_unknown(bind: &Bind) -> bool {
    matches!(bind, Bind::Systemd(_) | Bind::Inetd | Bind::Tcp { port: 0, .. })
}

/// Which packets are diverted: those of clients that may come, and mean to go elsewhere.
fn clients(listener: &Listener, family: Family, ports: &[String]) -> String {
    let mut words = Vec::new();
    if let Some(interface) = &listener.interface {
        words.push(format!("iifname \"{}\"", interface.value.as_str()));
    }
    words.push(format!("meta nfproto {}", family.nfproto()));
    // Whoever is no range may be anybody.
    let range = |clients: &Spanned<Clients>| match clients.value {
        Clients::Range(range) => Some(range),
        Clients::Pattern(_) => None,
    };
    let allow: Option<Vec<_>> = listener.access.allow.iter().map(range).collect();
    let allow = allow.unwrap_or_default().into_iter();
    let allow: Vec<_> = allow.filter(|range| Family::of(range.addr()) == family).collect();
    if !allow.is_empty() && allow.len() <= RANGES_MAX {
        let ranges: Vec<_> = allow.iter().map(|range| range.trunc().to_string()).collect();
        words.push(format!("{} saddr {{ {} }}", family.keyword(), ranges.join(", ")));
    }
    words.push(match ports {
        [] => "meta l4proto tcp".to_owned(),
        [port] => format!("tcp dport {port}"),
        ports => format!("tcp dport {{ {} }}", ports.join(", ")),
    });
    words.push("fib daddr type != local".to_owned());
    words.join(" ")
}

/// The kernel does not deliver to 127.0.0.0/8 what comes from a network, unless told to.
fn loopback(listener: &Listener, family: Family) -> Need {
    let interface =
        listener.interface.as_ref().map(|interface| interface.value.as_str().to_owned());
    let name = &listener.name;
    if family == Family::Ipv6 {
        return Need {
            what: format!("listener {name}: nobody can be diverted to ::1 by address translation"),
            of: Of::Nothing,
            mend: vec![Mend::Say(
                "bind to an address that clients could reach, or use tproxy".to_owned(),
            )],
        };
    }
    let conf = interface.as_deref().unwrap_or("all");
    Need {
        what: format!("listener {name}: packets from a network may be delivered to 127.0.0.0/8"),
        mend: vec![Mend::Run(format!(
            "echo 1 >{}",
            quoted(&format!("/proc/sys/net/ipv4/conf/{conf}/route_localnet"))
        ))],
        of: Of::RouteLocalnet(interface),
    }
}

/// What brings answers to connections back that left from clients' addresses.
fn answers(family: Family, numbers: Numbers) -> Need {
    let rule = format!(
        "insert rule inet replug divert meta nfproto {} socket transparent 1 socket wildcard 0 meta mark set {:#x} accept",
        family.nfproto(),
        numbers.mark
    );
    Need {
        what: format!("{}: answers to clients' addresses are marked as replug's", family.name()),
        of: Of::Answers(family),
        mend: vec![nft("divert", &rule)],
    }
}

/// What delivers marked packets to this machine.
fn delivery(family: Family, Numbers { mark, table }: Numbers, needs: &mut Vec<Need>) {
    let (name, option) = (family.name(), family.option());
    needs.push(Need {
        what: format!("{name}: packets with mark {mark:#x} are routed by table {table}"),
        of: Of::Rule(family, mark),
        mend: vec![Mend::Run(format!("ip {option} rule add fwmark {mark:#x} lookup {table}"))],
    });
    needs.push(Need {
        what: format!("{name}: table {table} delivers everything to this machine"),
        of: Of::Route(family, table),
        mend: vec![Mend::Run(format!("ip {option} route add local default dev lo table {table}"))],
    });
}

/// Has nft do something in a chain of ours, which is made if it is not there.
fn nft(chain: &str, does: &str) -> Mend {
    let hook = match chain {
        "translate" => "type nat hook prerouting priority dstnat",
        _ => "type filter hook prerouting priority mangle",
    };
    let script =
        format!("add table inet replug; add chain inet replug {chain} {{ {hook}; }}; {does}");
    Mend::Run(format!("nft {}", quoted(&script)))
}

/// A word of sh.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AddressPattern, Backend, Interface};

    fn config(bind: &str, mode: Option<Transparent>, source: Option<Source>) -> Config {
        let name = || Spanned::default_of("web".to_owned());
        let bind = Spanned::default_of(Bind::parse(bind).expect("a legal bind"));
        let original = Backend::new(Spanned::default_of(BackendAddress::Original));
        Config {
            listeners: vec![Listener {
                bind: vec![bind],
                transparent: mode.map(Spanned::default_of),
                ..Listener::new("web", name())
            }],
            pools: vec![Pool {
                source: source.map(Spanned::default_of),
                ..Pool::new(name(), vec![original])
            }],
            ..Config::default()
        }
    }

    /// The lines that are needed, all numbers as they are if nothing is there.
    fn lines(config: &Config, ports: &[&str]) -> Vec<String> {
        let ports: Vec<_> = ports.iter().map(|&port| port.to_owned()).collect();
        let numbers = Numbers::beside(config, []);
        let mend = needs(config, &ports, &|_| numbers).into_iter().flat_map(|need| need.mend);
        mend.filter_map(|mend| match mend {
            Mend::Run(line) => Some(line),
            Mend::Say(_) => None,
        })
        .collect()
    }

    #[test]
    fn nothing_is_needed_for_what_is_not_transparent() {
        assert!(lines(&config(":3129", None, None), &[]).is_empty());
    }

    #[test]
    fn a_rule_has_what_the_listener_says() {
        let mut config = config("10.0.0.1:3129", Some(Transparent::Redirect), None);
        let listener = &mut config.listeners[0];
        let eth0 = Interface::parse("eth0").expect("a legal name");
        listener.interface = Some(Spanned::default_of(eth0));
        for range in ["10.0.0.0/8", "2001:db8::/32"] {
            let range = Clients::Range(range.parse().expect("a range"));
            listener.access.allow.push(Spanned::default_of(range));
        }
        assert_eq!(
            lines(&config, &["80", "8000-8010"]),
            [
                "nft 'add table inet replug; add chain inet replug translate { type nat hook prerouting \
              priority dstnat; }; add rule inet replug translate iifname \"eth0\" meta nfproto ipv4 \
              ip saddr { 10.0.0.0/8 } tcp dport { 80, 8000-8010 } fib daddr type != local \
              dnat ip to 10.0.0.1:3129'"
            ]
        );
        // A pattern is for the listener alone.
        let pattern = AddressPattern::parse("192.*.1").map(Clients::Pattern);
        let pattern = pattern.expect("a pattern");
        config.listeners[0].access.allow.push(Spanned::default_of(pattern));
        assert!(!lines(&config, &["80"])[0].contains("saddr"));
    }

    #[test]
    fn marks_of_our_own_sockets_are_not_taken() {
        let mut config = config("[::]:3129", Some(Transparent::Tproxy), None);
        config.listeners[0].tcp.mark = std::num::NonZeroU32::new(MARK);
        let numbers = Numbers { mark: MARK + 1, table: TABLE };
        assert_eq!(Numbers::beside(&config, []), numbers);
        assert_eq!(Numbers::beside(&config, [MARK]), numbers);
        assert_eq!(Numbers::beside(&config, [1]), Numbers { mark: 1, ..numbers });
        let lines = lines(&config, &["80"]);
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert!(lines[0].ends_with(
            "meta nfproto ipv6 tcp dport 80 fib daddr type != local tproxy ip6 to :3129 \
             meta mark set 0x7002 accept'"
        ));
        assert_eq!(lines[1], "ip -6 rule add fwmark 0x7002 lookup 7001");
        assert_eq!(lines[2], "ip -6 route add local default dev lo table 7001");
    }

    #[test]
    fn answers_come_back_for_the_families_that_leave() {
        let mut config = config("10.0.0.1:80", None, Some(Source::Client));
        let told = |config: &Config| lines(config, &[]).join("\n");
        assert!(told(&config).contains("ip -4 rule") && !told(&config).contains("ip -6 rule"));
        config.listeners[0].bind[0].value = Bind::parse(":80").expect("a legal bind");
        assert!(told(&config).contains("ip -6 rule"));
        let address = BackendAddress::parse("10.0.0.9:80", None).expect("a legal address");
        config.pools[0].backends[0].address.value = address;
        assert!(!told(&config).contains("ip -6 rule"));
    }
}
