//! Both sections as one [`Config`].

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use model::log::{Facility, Tag};
use model::{
    AcceptProxy, Access, Authorize, Backlog, Balance, Bind, Code, Config, Diagnostic, Idle, Limits,
    Listener, Log, LogFormat, LogTarget, Pool, Refusal, Source, Span, Spanned, Sticky, Syslog,
    SyslogLabel, SyslogServer, Tcp, Timeouts, WhenFull, check,
};

use super::anywhere::Anywhere;
use super::relay::Relay;
use super::spawnd::{Keepalive, Listen, Overload, Spawnd, not_yet};
use super::value::Local;
use super::{NAME, Options, Process, Reading, Verdict, access, sound};
use crate::term::value::{KEEPALIVE_MAX, SESSIONS_MAX, USER_TIMEOUT_MAX};

/// The variable that chooses how the original waits for events.
pub(super) const MECHANISM: &str = "IO_POLL_MECHANISM";

/// Bits of it that stand for something Linux has: epoll, poll, select.
const MECHANISMS: u32 = 4 | 8 | 16;

/// One attempt to connect. In tcprelay it lasts as long as the kernel sends SYNs, two minutes.
const CONNECT: Duration = Duration::from_secs(30);

/// Silence after which the kernel has a peer probed, its interval and its count (tcp(7)).
const PROBES: (u32, u32, u32) = (7200, 75, 9);

/// How long a remote that is down is left alone where `rebalance` asks for it to be tried again:
/// there it is so many connections, here it is time.
const RETRY_REBALANCED: Duration = Duration::from_secs(2);

/// The kind of program that the original is to syslog, unless told.
const FACILITY: &str = "uucp";

/// Clients that a worker takes, and workers, unless told.
const USERS: u32 = 60;
const INSTANCES: u32 = 8;

/// What was read.
pub(super) struct Parts<'a> {
    pub(super) spawnd: Spawnd,
    pub(super) relay: Relay,
    pub(super) anywhere: Anywhere,
    pub(super) mechanism: Option<String>,
    pub(super) faults: Vec<Diagnostic>,
    pub(super) options: &'a Options,
}

/// Makes a configuration of it.
pub(super) fn finish(mut parts: Parts<'_>) -> Reading {
    let grammatical = sound(&parts.faults);
    let mut faults = std::mem::take(&mut parts.faults);
    let mut notes = Vec::new();
    mechanism(parts.mechanism.as_deref(), &mut faults, &mut notes);
    let background = parts.options.background.unwrap_or(parts.spawnd.background);
    // inetd waits for whom it has started.
    let daemon = background && !parts.options.inetd;
    let config = Config {
        listeners: parts.listeners(&mut faults),
        pools: vec![parts.pool(&mut faults)],
        limits: parts.limits(),
        logs: parts.logs(daemon, &mut notes),
        ..Config::default()
    };
    let verdict = match grammatical && sound(&faults) {
        true if config.listeners.is_empty() => {
            let message = "No listeners defined.";
            faults.push(
                Diagnostic::new(Code::KeyMissing, None, message)
                    .help("write `listen = { port = 8080 }` into the section of spawnd"),
            );
            Verdict::NoListener
        }
        true if parts.relay.count == 0 => {
            let message = "No remote services defined!";
            faults.push(Diagnostic::new(Code::KeyMissing, None, message).help(
                "write `remote = { address = 10.0.0.11 port = 80 }` into the section of tcprelay",
            ));
            Verdict::NoRemote
        }
        true => Verdict::Sound,
        false => Verdict::Faulty,
    };
    if verdict == Verdict::Sound {
        // Two of the same get two shares, in tcprelay too.
        let found = check::check(&config).into_iter();
        faults.extend(found.filter(|fault| fault.code != Code::TargetTwice));
    }
    let verdict = match verdict {
        Verdict::Sound if !sound(&faults) => Verdict::Faulty,
        verdict => verdict,
    };
    let mut told = HashSet::new();
    // What stands before both sections was read twice.
    faults.retain(|fault| told.insert((fault.span, fault.message.clone())));
    faults.sort_by_key(|fault| fault.span.map(|span| (span.source, span.start)));
    let process = parts.process(daemon);
    parts.notes(&process, &mut notes);
    Reading { config, process, diagnostics: faults, notes, verdict }
}

impl Parts<'_> {
    fn listeners(&self, faults: &mut Vec<Diagnostic>) -> Vec<Listener> {
        let access = match access::access(&self.spawnd.rules) {
            Some(access) => access,
            None => {
                let span = self.spawnd.rules.last().map(|rule| rule.span);
                let message = "these rules are too many when written as sets";
                let most = access::RANGES_MAX;
                let fault = Diagnostic::new(Code::Cidr, span, message)
                    .label(format!("more than {most} ranges up to here"))
                    .help("put larger ranges first");
                faults.push(fault);
                Access::default()
            }
        };
        if self.options.inetd {
            // The socket is as it came; what is said of the first is how its clients are served.
            let first = self.spawnd.listens.first();
            faults.extend(first.and_then(|first| first.haproxy).map(believes_all));
            let bind = Spanned::default_of(Bind::Inetd);
            let who = (access, self.authorize(first, faults));
            let listener = self.listener(NAME, bind, who, first);
            let (interface, backlog) = (None, Backlog::default());
            faults.extend(first.and_then(|first| first.psk).map(no_psk));
            let tls = first.and_then(|first| first.tls.as_ref());
            let tls = tls.and_then(|tls| self.relay.certificate.server(tls, faults));
            return vec![Listener { interface, backlog, tls, ..listener }];
        }
        let mut names = HashSet::new();
        let mut listeners = Vec::new();
        for listen in &self.spawnd.listens {
            let Some(bind) = bind(listen, faults) else { continue };
            let mut name = match (&bind.value, &*self.spawnd.listens) {
                (_, [_]) => NAME.to_owned(),
                (Bind::Tcp { port, .. }, _) => format!("{NAME}-{port}"),
                (_, _) => format!("{NAME}-unix"),
            };
            let plain = name.clone();
            for number in 2.. {
                if names.insert(name.clone()) {
                    break;
                }
                name = format!("{plain}-{number}");
            }
            unserved(listen, faults);
            faults.extend(listen.haproxy.map(believes_all));
            let who = (access.clone(), self.authorize(Some(listen), faults));
            let tls = listen.tls.as_ref();
            let tls = tls.and_then(|tls| self.relay.certificate.server(tls, faults));
            listeners.push(Listener { tls, ..self.listener(&name, bind, who, Some(listen)) });
        }
        listeners
    }

    fn listener(
        &self,
        name: &str,
        bind: Spanned<Bind>,
        (access, authorize): (Access, Option<Spanned<Authorize>>),
        listen: Option<&Listen>,
    ) -> Listener {
        let (when_full, refuse) = match self.spawnd.overload.as_ref().map(|told| told.value) {
            None | Some(Overload::Queue) => (WhenFull::Wait, Refusal::Close),
            Some(Overload::Close) => (WhenFull::Refuse, Refusal::Close),
            Some(Overload::Reset) => (WhenFull::Refuse, Refusal::Reset),
        };
        Listener {
            bind: vec![bind],
            proxy_protocol: listen.and_then(|listen| listen.haproxy).map(proxy_protocol),
            access,
            authorize,
            timeouts: self.timeouts(),
            tcp: Tcp {
                dscp: listen.and_then(|listen| Some(listen.dscp.as_ref()?.value)),
                ..tcp(listen.map(|listen| listen.keepalive).unwrap_or_default())
            },
            refuse,
            when_full,
            interface: listen.and_then(|listen| listen.interface.clone()),
            backlog: listen
                .and_then(|listen| Some(listen.backlog.as_ref()?.value))
                .unwrap_or_default(),
            ..Listener::new(name, Spanned::default_of(NAME.to_owned()))
        }
    }

    /// Who decides about the clients of a listener.
    fn authorize(
        &self,
        listen: Option<&Listen>,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Spanned<Authorize>> {
        let realm = listen.and_then(|listen| listen.realm.as_ref());
        self.relay.module.as_ref()?.authorize(realm, faults)
    }

    fn timeouts(&self) -> Timeouts {
        let idle = self.relay.idle;
        Timeouts {
            connect: idle.map_or(CONNECT, |idle| idle.min(CONNECT)),
            idle: Idle::after(idle),
            ..Timeouts::default()
        }
    }

    fn pool(&self, faults: &mut Vec<Diagnostic>) -> Pool {
        let (backends, told) = self.relay.backends();
        faults.extend(told);
        let stickies = self.spawnd.listens.iter().map(|listen| listen.sticky);
        let stickies = || stickies.clone().chain([self.spawnd.sticky]);
        let period = stickies().filter_map(|sticky| sticky.period).max();
        let size = stickies().filter_map(|sticky| sticky.size).max();
        let size = size.and_then(|size| usize::try_from(size).ok());
        let size = size.map(|size| size.clamp(1, Sticky::ENTRIES_MAX)).and_then(NonZeroUsize::new);
        Pool {
            balance: Balance::LeastSessionsInOrder,
            retry_down: match self.relay.rebalance {
                Some(_) => RETRY_REBALANCED,
                None => Pool::RETRY_DOWN,
            },
            sticky: period.filter(|period| !period.is_zero()).map(|ttl| Sticky {
                ttl,
                entries: size.unwrap_or(Sticky::ENTRIES),
                ..Sticky::default()
            }),
            source: self.relay.local.as_ref().map(|local| Spanned {
                value: Source::Addresses([local.value].into()),
                span: local.span,
            }),
            ..Pool::new(Spanned::default_of(NAME.to_owned()), backends)
        }
    }

    /// Clients of all workers together.
    fn limits(&self) -> Limits {
        let spawn = &self.spawnd.spawn;
        let count = |count: &Option<Spanned<u32>>, usual| {
            count.as_ref().map_or(usual, |count| count.value).max(1)
        };
        let instances = match self.spawnd.single || self.options.single {
            true => 1,
            false => count(&spawn.instances_max, INSTANCES),
        };
        let users = count(&spawn.users_max, USERS);
        let sessions = usize::try_from(u64::from(users) * u64::from(instances));
        let sessions = sessions.unwrap_or(SESSIONS_MAX).min(SESSIONS_MAX);
        Limits { sessions: NonZeroUsize::new(sessions), ..Limits::default() }
    }

    /// To syslog, by the name, kind and importance that the file gives; in the foreground to the
    /// terminal as well.
    fn logs(&self, daemon: bool, notes: &mut Vec<String>) -> Vec<Log> {
        // Most lines are of spawnd.
        let said = [&self.spawnd.anywhere, &self.relay.anywhere, &self.anywhere];
        let ident = said.iter().find_map(|said| said.ident.as_ref());
        let facility = said.iter().find_map(|said| said.facility);
        let tag = ident.map_or(NAME, |ident| &*ident.value);
        let (tag, is_whole) = fitting(tag);
        if !is_whole {
            notes.push(format!(
                "not carried over: syslog ident as it is: here it is {}",
                tag.as_str()
            ));
        }
        let label = SyslogLabel {
            tag,
            facility: facility.or_else(|| Facility::named(FACILITY)).unwrap_or_default(),
            severity: said.iter().find_map(|said| said.severity),
        };
        let syslog = Syslog { label, ..Syslog::new(SyslogServer::Local) };
        let log = |to| Log { format: LogFormat::Tcprelay, ..Log::to(to) };
        let terminal = (!daemon).then(|| log(LogTarget::Stderr));
        [log(LogTarget::Syslog(syslog))].into_iter().chain(terminal).collect()
    }

    fn process(&self, daemon: bool) -> Process {
        let (spawnd, spawn) = (&self.spawnd, &self.spawnd.spawn);
        let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.value.clone());
        let user = match (text(&spawn.user), text(&spawn.group)) {
            (user, None) => user,
            (user, Some(group)) => Some(format!("{}:{group}", user.unwrap_or_default())),
        };
        let pidfile = self.options.pidfile.clone().or_else(|| text(&spawnd.pidfile));
        let retry = spawnd.listens.iter().filter_map(|listen| listen.retry).min();
        Process { daemon, pidfile, user, bind_retry: retry.or(spawnd.retry) }
    }

    fn notes(&self, process: &Process, notes: &mut Vec<String>) {
        let mut command = "replug run".to_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+@%:".contains(c);
        let quoted = |text: &str| match text.chars().all(plain) {
            true => text.to_owned(),
            false => format!("{text:?}"),
        };
        if process.daemon {
            command += " --daemon";
        }
        if let Some(path) = &process.pidfile {
            command += &format!(" --pidfile {}", quoted(path));
        }
        if let Some(user) = &process.user {
            command += &format!(" --user {}", quoted(user));
        }
        notes.insert(0, format!("{command} -c FILE"));
        let spawn = &self.spawnd.spawn;
        let mut left = |there: bool, note: &str| {
            if there {
                notes.push(format!("not carried over: {note}"));
            }
        };
        let minima = spawn.users_min.is_some() || spawn.instances_min.is_some();
        left(minima, "users min, instances min: there are no worker processes");
        left(spawn.exec.is_some(), "exec: there are no worker processes");
        left(self.relay.retire.is_some(), "retire limit: there are no worker processes");
        left(self.relay.rebalance.is_some(), "rebalance: what is down is tried again after 2 s");
        let has_tls = self.spawnd.listens.iter().any(|listen| listen.tls.is_some());
        let is_idle = self.relay.certificate.is_there() && !has_tls;
        left(is_idle, "certificates: no listener has TLS");
        left(process.bind_retry.is_some(), "bind retry delay: all addresses or none");
    }
}

fn bind(listen: &Listen, faults: &mut Vec<Diagnostic>) -> Option<Spanned<Bind>> {
    let address = listen.address.as_ref().map(|address| (&address.value, address.span));
    let ip = match address {
        Some((Local::Unix(name), span)) => {
            return Some(Spanned { value: Bind::Unix(name.clone()), span });
        }
        Some((Local::Ip(ip), _)) => *ip,
        None => None,
    };
    match &listen.port {
        Some(port) => {
            Some(Spanned { value: Bind::Tcp { address: ip, port: port.value }, span: port.span })
        }
        // What could not be read was told.
        None if !sound(faults) => None,
        None => {
            let fault =
                Diagnostic::new(Code::PortMissing, listen.span, "this listener has no port");
            faults.push(fault.label("where?").help("write `listen = { port = 8080 }`"));
            None
        }
    }
}

/// What a listener asks for that we do not have.
fn unserved(listen: &Listen, faults: &mut Vec<Diagnostic>) {
    faults.extend(listen.psk.map(no_psk));
    let unix = matches!(&listen.address, Some(address) if matches!(address.value, Local::Unix(_)));
    if let Some(span) = listen.rights.filter(|_| unix) {
        let message = "the owner and mode of a unix socket cannot be set";
        let help = "leave it out, and protect the folder that the socket is in";
        faults.push(not_yet(Some(span), message, help));
    }
}

fn no_psk(span: Span) -> Diagnostic {
    let message = "keys that both sides know already are not in this version";
    not_yet(Some(span), message, "leave `psk` out: clients know who this is by its certificate")
}

fn tcp(keepalive: Keepalive) -> Tcp {
    let (idle, interval, count) = PROBES;
    let idle = keepalive.idle.unwrap_or(idle);
    // Beyond this time the kernel gives a peer up, as it would after that many probes.
    let probed = keepalive.interval.is_some() || keepalive.count.is_some();
    let (interval, count) =
        (keepalive.interval.unwrap_or(interval), keepalive.count.unwrap_or(count));
    let given_up = u64::from(interval) * u64::from(count) + u64::from(idle);
    Tcp {
        keepalive: Some(Duration::from_secs(idle.into()).min(KEEPALIVE_MAX)),
        user_timeout: probed.then(|| Duration::from_secs(given_up).min(USER_TIMEOUT_MAX)),
        ..Tcp::default()
    }
}

/// A name as syslog may have it, and whether nothing of it had to go.
fn fitting(ident: &str) -> (Tag, bool) {
    if let Some(tag) = Tag::new(ident) {
        return (tag, true);
    }
    let one = |c: char| Tag::new(c.encode_utf8(&mut [0; 4])).map_or('-', |_| c);
    let text: String = ident.chars().map(one).take(Tag::BYTES_MAX).collect();
    (Tag::new(&text).unwrap_or_default(), false)
}

fn mechanism(value: Option<&str>, faults: &mut Vec<Diagnostic>, notes: &mut Vec<String>) {
    let Some(value) = value else { return };
    match value.parse::<u32>() {
        Ok(bits) if bits & MECHANISMS != 0 => {
            notes.push(format!("not carried over: {MECHANISM}: epoll is always used"));
        }
        _ => faults.push(
            Diagnostic::new(
                Code::Ignored,
                None,
                format!("{MECHANISM} names nothing that Linux has"),
            )
            .help("epoll is used whatever it is; unset it"),
        ),
    }
}

/// Headers of the PROXY protocol are taken from whoever connects: there is no word for whom.
fn proxy_protocol(span: Span) -> Spanned<AcceptProxy> {
    let v4 = IpNet::from(Ipv4Net::default());
    let everybody = [v4, Ipv6Net::default().into()];
    let from = everybody.map(|range| Spanned::at(range.into(), span));
    Spanned::at(AcceptProxy::new(from.into()), span)
}

fn believes_all(span: Span) -> Diagnostic {
    let message = "whoever connects here is believed about whose connection it is";
    Diagnostic::new(Code::ReadAs, span, message).label("from everybody").help(
        "let only the proxy reach this port; or convert this file, and name the proxy in `from` of \
         `proxy_protocol`",
    )
}
