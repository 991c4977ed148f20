//! The lines as one [`Config`]: a listener and a pool for each rule.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use model::log::{SyslogLabel, Tag};
use model::{
    Access, Backend, BackendAddress, Bind, Code, Config, Diagnostic, Idle, Interface, Listener,
    Log, LogFormat, LogTarget, Pool, Refusal, Severity, Source, Spanned, Syslog, SyslogServer,
    Timeouts, Verbosity, check,
};

use super::end::{End, Host};
use super::parse::{Lines, Rule, Scope};
use super::{NAME, Options, PIDFILE, Process, Reading, Surroundings, Transport};

/// How long a flow may be silent, unless told: as in rinetd.
const FLOW: Duration = Duration::from_secs(72);

/// One attempt to connect. In rinetd it lasts as long as the kernel sends SYNs, two minutes.
const CONNECT: Duration = Duration::from_secs(30);

/// Silence after which a peer is probed: without an idle time-out one that has vanished would keep its
/// connection for ever, as it does in rinetd. The time is that of rinetd-uv.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Longest name of a listener that is made of an address.
const NAME_CHARS_MAX: usize = 48;

/// Makes a configuration of it.
pub(super) fn finish(
    mut lines: Lines,
    options: &Options,
    surroundings: Surroundings<'_>,
) -> Reading {
    let mut faults = std::mem::take(&mut lines.faults);
    let mut config = Config { access: lines.access.access(), ..Config::default() };
    config.logs = logs(&lines, options);
    let mut names = HashSet::new();
    for rule in &lines.rules {
        match bind(rule, &lines.rules, surroundings) {
            Ok(bind) => {
                faults.extend(of_no_use(rule));
                let name = name(rule, &mut names);
                config.listeners.push(listener(&name, bind, rule));
                config.pools.push(pool(&name, rule, &mut faults));
            }
            Err(fault) => faults.push(fault),
        }
    }
    let sound = |faults: &[Diagnostic]| faults.iter().all(|f| f.severity() < Severity::Error);
    if sound(&faults) {
        faults.extend(check::check(&config));
    }
    faults.sort_by_key(|fault| fault.span.map(|span| (span.source, span.start)));
    let is_sound = sound(&faults);
    let pidfile = lines.pidfile.map(|path| path.value);
    let daemon = !options.foreground;
    let process =
        Process { daemon, pidfile: pidfile.or_else(|| daemon.then(|| PIDFILE.to_owned())) };
    let notes = notes(&process);
    Reading { config, process, diagnostics: faults, notes, is_sound }
}

fn notes(process: &Process) -> Vec<String> {
    let mut command = "replug run".to_owned();
    if process.daemon {
        command += " --daemon";
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+@%:".contains(c);
    match &process.pidfile {
        Some(path) if path.chars().all(plain) => command += &format!(" --pidfile {path}"),
        Some(path) => command += &format!(" --pidfile {path:?}"),
        None => {}
    }
    vec![command + " -c FILE"]
}

impl Scope {
    /// An `allow` that matches nobody still keeps everybody out who is not allowed besides.
    fn access(&self) -> Access {
        let mut access = self.access.clone();
        if let Some(span) = self.allows_nobody.filter(|_| access.allow.is_empty()) {
            let everybody = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
            access.deny = everybody.map(|range| Spanned::at(range.into(), span)).into();
        }
        access
    }
}

/// Sessions go to the file that is named, the rest to whoever hears of it.
fn logs(lines: &Lines, options: &Options) -> Vec<Log> {
    let tag = Tag::new(NAME).expect("the name is a legal tag");
    let label = SyslogLabel { tag, ..SyslogLabel::default() };
    let messages = match options.foreground {
        true => LogTarget::Stderr,
        false => LogTarget::Syslog(Syslog { label, ..Syslog::new(SyslogServer::Local) }),
    };
    let verbosity = if options.debug { Verbosity::Verbose } else { Verbosity::Normal };
    let messages = Log { format: LogFormat::RinetdSyslog, verbosity, ..Log::to(messages) };
    let file = lines.log.as_ref().map(|path| Log {
        format: match lines.is_common {
            true => LogFormat::RinetdCommon,
            false => LogFormat::Rinetd,
        },
        to: Spanned { value: LogTarget::File(path.value.clone()), span: path.span },
        start: true,
        ..Log::default()
    });
    file.into_iter().chain([messages]).collect()
}

/// What is told of a time-out that no session looks at.
fn of_no_use(rule: &Rule) -> Option<Diagnostic> {
    let timeout = rule.said.timeout.as_ref().filter(|_| rule.bind.transport == Transport::Tcp)?;
    let message = "`timeout` is for UDP";
    let told = Diagnostic::new(Code::Ignored, timeout.span, message).label("without effect");
    Some(told.help("leave it out: a TCP connection lasts until one side ends it, as in rinetd"))
}

/// Where a rule listens.
fn bind(
    rule: &Rule,
    all: &[Rule],
    surroundings: Surroundings<'_>,
) -> Result<Spanned<Bind>, Diagnostic> {
    let End { host, port, transport, written } = &rule.bind;
    let address = match host {
        Host::Unix(name) => return Ok(Spanned::at(Bind::Unix(name.clone()), rule.bind_span)),
        Host::Ip(ip) => *ip,
        Host::Scoped(ip, _) => (*ip).into(),
        Host::Name(name) => (surroundings.address)(name).map_err(|why| {
            let message = format!("cannot resolve host \"{written}\" port {port} ({why})");
            Diagnostic::new(Code::HostName, rule.bind_span, message)
                .label("no address")
                .help("write an address of this machine, or `0` for all of IPv4")
        })?,
    };
    let is_all_of_ipv4 = |other: &Rule| {
        other.bind.host == Host::Ip(Ipv4Addr::UNSPECIFIED.into())
            && (other.bind.port, other.bind.transport) == (*port, *transport)
    };
    // Both families, unless another rule has the other.
    let is_both = address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !all.iter().any(is_all_of_ipv4);
    let address = (!is_both).then_some(address);
    let bind = match transport {
        Transport::Tcp => Bind::Tcp { address, port: *port },
        Transport::Udp => Bind::Udp { address, port: *port },
    };
    Ok(Spanned::at(bind, rule.bind_span))
}

fn listener(name: &str, bind: Spanned<Bind>, rule: &Rule) -> Listener {
    let timeout = rule.said.timeout.as_ref().map(|timeout| timeout.value);
    let mut timeouts = Timeouts { idle: Idle::Never, connect: CONNECT, ..Timeouts::default() };
    if rule.bind.transport == Transport::Udp {
        timeouts = Timeouts { idle: Idle::After(timeout.unwrap_or(FLOW)), ..Timeouts::default() };
    }
    if let Some(connect) = rule.said.connect {
        timeouts.connect = connect;
    }
    let shown = format!("{}:{}", rule.bind.written, rule.bind.port);
    let is_unix = matches!(rule.bind.host, Host::Unix(_));
    let interface = match &rule.bind.host {
        Host::Scoped(_, interface) => Some(Spanned::at(interface.clone(), rule.bind_span)),
        _ => None,
    };
    let mut listener = Listener {
        shown_as: Some(shown).filter(|shown| !is_unix && !says_the_same(&bind.value, shown)),
        bind: vec![bind],
        interface,
        access: rule.access.access(),
        timeouts,
        refuse: Refusal::Close,
        ..Listener::new(name, Spanned::default_of(name.to_owned()))
    };
    let is_probed = rule.bind.transport == Transport::Tcp && !rule.said.no_keepalive;
    listener.tcp.keepalive = is_probed.then_some(KEEPALIVE);
    listener
}

/// Whether a log shows the same of `bind` as of `shown`.
fn says_the_same(bind: &Bind, shown: &str) -> bool {
    let (Bind::Tcp { address, port } | Bind::Udp { address, port }) = bind else {
        return false;
    };
    let ip = address.unwrap_or_else(|| Ipv6Addr::UNSPECIFIED.into());
    format!("{ip}:{port}") == shown
}

fn pool(name: &str, rule: &Rule, faults: &mut Vec<Diagnostic>) -> Pool {
    let End { host, port, .. } = &rule.target;
    let ip = |ip| BackendAddress::Ip(SocketAddr::new(ip, *port));
    let (address, scope): (_, Option<&Interface>) = match host {
        Host::Ip(address) => (ip(*address), None),
        Host::Scoped(address, interface) => (ip((*address).into()), Some(interface)),
        Host::Name(host) => (BackendAddress::Name { host: host.clone(), port: *port }, None),
        Host::Unix(name) => (BackendAddress::Unix(name.clone()), None),
    };
    let backend = Backend::new(Spanned::at(address, rule.target_span));
    let source = rule.said.source.as_ref();
    if let (Some(source), Some(_)) = (source, scope) {
        let message = "`src` and an interface behind `%` exclude each other";
        let mut fault = Diagnostic::new(Code::Conflict, source.span, message)
            .label("leaves from this address")
            .help("leave one of them out");
        fault.related = Some((rule.target_span, "leaves by this interface".to_owned()));
        faults.push(fault);
    }
    let span = Some(rule.target_span);
    let scope = scope.map(|name| Spanned { value: Source::Interface(name.clone()), span });
    let source = source
        .map(|source| Spanned { value: Source::Addresses(vec![source.value]), span: source.span });
    let pool = Pool::new(Spanned::default_of(name.to_owned()), vec![backend]);
    Pool { source: source.or(scope), ..pool }
}

/// The name of a rule's listener and pool, by which a reload knows them again.
fn name(rule: &Rule, names: &mut HashSet<String>) -> String {
    let End { written, port, transport, .. } = &rule.bind;
    let legal = |c: char| match c {
        ':' => '_',
        c if c.is_ascii_alphanumeric() || c == '.' => c,
        _ => '-',
    };
    let host: String = written.chars().take(NAME_CHARS_MAX).map(legal).collect();
    let plain = match (&rule.bind.host, transport) {
        (Host::Unix(_), _) => host,
        (_, Transport::Tcp) => format!("{host}-{port}"),
        (_, Transport::Udp) => format!("{host}-{port}-udp"),
    };
    let mut name = plain.clone();
    for number in 2.. {
        if names.insert(name.clone()) {
            break;
        }
        name = format!("{plain}-{number}");
    }
    name
}
