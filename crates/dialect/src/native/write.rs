//! A [`Config`] as native TOML.

mod acme;
mod backend_tls;

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::time::Duration;

use model::log::{Sample, SyslogLabel, SyslogProtocol};
use model::proxy::Credentials;
use model::proxy::server::{Destination, Private, ProxyServer, ServedProtocol, Users};
use model::{
    Access, AllDown, Authorize, Backend, Backlog, Bandwidth, Bind, ByteSize, CertificateFiles,
    Children, ClientAuth, Compat, Config, Delay, Ftp, FtpModes, Http, HttpRequests, Idle, Io,
    Language, Limits, Listener, Log, LogFormat, LogTarget, MinVersion, Mptcp, OnError, OnRemoved,
    OnScriptError, Password, Pool, Protocol, Queue, Refusal, Role, Route, Runtime, Script,
    ServerTls, Source, Spanned, Sticky, Syslog, SyslogServer, Tcp, Timeouts, TlsVersion,
    Transparent, UnknownName, Verbosity, Weight, When, WhenFull, unit,
};

use super::pool::{BALANCES, STICKY_BY};
use super::proxy_header;
use crate::term::proxy;

/// What becomes of values that nobody needs to write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Defaults {
    Omit,
    Show,
}

/// What becomes of secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrets {
    Written,
    /// [`Password::HIDDEN`] stands for each.
    Hidden,
    /// Written between [`HIDE`], for somebody who hides them later.
    Marked,
}

/// What stands around secrets that are to be hidden later: no secret has control characters.
pub(super) const HIDE: [char; 2] = ['\u{1}', '\u{2}'];

/// Writes `config` so that reading it gives the same; values that are the default are left out.
///
/// Listeners must have a bind and pools a backend, as every configuration without faults has.
pub fn write(config: &Config) -> String {
    Writer { text: String::new(), defaults: Defaults::Omit, secrets: Secrets::Written }
        .config(config)
}

/// The same with every value in it; a comment says where one is the default. Secrets are not shown:
/// [`Password::HIDDEN`] stands for them.
pub fn write_effective(config: &Config) -> String {
    Writer { text: String::new(), defaults: Defaults::Show, secrets: Secrets::Hidden }
        .config(config)
}

/// The same with secrets between [`HIDE`].
pub(super) fn write_marked(config: &Config) -> String {
    Writer { text: String::new(), defaults: Defaults::Show, secrets: Secrets::Marked }
        .config(config)
}

struct Writer {
    text: String,
    defaults: Defaults,
    secrets: Secrets,
}

impl Writer {
    fn config(mut self, config: &Config) -> String {
        for listener in &config.listeners {
            self.listener(listener);
        }
        for pool in &config.pools {
            self.pool(pool);
        }
        self.header("access");
        self.access(&config.access);
        self.header("limits");
        self.limits("", &config.limits, "as many as descriptors allow");
        for log in &config.logs {
            // An empty `[[log]]` is a log as well, so none of several can be left out.
            match &*config.logs {
                [_] => self.header("log"),
                _ => self.header("[log]"),
            }
            self.log(log, config.logs.len() > 1);
        }
        self.header("runtime");
        let shards = config.runtime.shards.map(|count| count.to_string());
        self.optional("shards", shards, "one for each core");
        self.choice("io", config.runtime.io, &Io::NAMES);
        let splice = config.runtime.splice;
        self.value("splice", &splice.to_string(), splice == Runtime::default().splice);
        if let Some(bind) = &config.admin.bind {
            self.header("admin");
            self.value("bind", &quoted(&bind.value.to_string()), false);
        }
        self.drop_empty();
        if config.admin.bind.is_none() && self.defaults == Defaults::Show {
            self.text += "\n# admin.bind: signals only  # default\n";
        }
        self.text
    }

    fn listener(&mut self, listener: &Listener) {
        self.header(&format!("listener.{}", quoted(&listener.name)));
        let binds: Vec<_> = listener.bind.iter().map(|bind| &bind.value).collect();
        self.value("bind", &list(binds_shown(&binds)), false);
        let shown_as = listener.shown_as.as_deref().map(quoted);
        self.optional("shown_as", shown_as, "the first bind");
        let interface = listener.interface.as_ref();
        let interface = interface.map(|interface| quoted(interface.value.as_str()));
        self.optional("interface", interface, "any");
        let transparent = listener.transparent.as_ref();
        let transparent = transparent.map(|mode| quoted(named(&Transparent::NAMES, mode.value)));
        self.optional("transparent", transparent, "clients meant to come here");
        let proxy = listener.proxy.as_ref().map(|proxy| self.proxy(&proxy.value));
        self.optional("proxy", proxy, "clients do not say where they want to go");
        match &listener.pool {
            Some(pool) => self.value("pool", &quoted(&pool.value), false),
            None => self.value("otherwise", &quoted("close"), false),
        }
        let accept = listener.proxy_protocol.as_ref();
        let accept = accept.map(|accept| proxy_header::shown_accept(&accept.value));
        self.optional("proxy_protocol", accept, "clients come by themselves");
        self.access(&listener.access);
        self.authorize(listener.authorize.as_ref().map(|authorize| &authorize.value));
        self.limits("limits.", &listener.limits, "any number");
        let (times, usual) = (listener.timeouts, Timeouts::default());
        self.value("timeouts.sniff", &time(Some(times.sniff)), times.sniff == usual.sniff);
        self.value("timeouts.tls", &time(Some(times.tls)), times.tls == usual.tls);
        self.value("timeouts.connect", &time(Some(times.connect)), times.connect == usual.connect);
        let idle = match times.idle {
            Idle::Usual => None,
            Idle::After(after) => Some(time(Some(after))),
            Idle::Never => Some(time(None)),
        };
        let usually = format!("{}, for UDP {}", unit::show(Idle::SESSION), unit::show(Idle::FLOW));
        self.optional("timeouts.idle", idle, &usually);
        self.value(
            "timeouts.half_closed",
            &time(times.half_closed),
            times.half_closed == usual.half_closed,
        );
        self.value("timeouts.lifetime", &time(times.lifetime), times.lifetime == usual.lifetime);
        self.tcp(&listener.tcp);
        self.delay(listener.delay);
        let ftp = listener.ftp.as_ref().map(|ftp| shown_ftp(ftp.value));
        self.optional("ftp", ftp, "just bytes");
        self.server_tls(listener.tls.as_ref().map(|tls| &tls.value));
        let http = listener.http.as_ref().map(|http| self::http(&http.value));
        self.optional("http", http, "nobody looks at requests");
        self.script(listener.script.as_ref().map(|script| &script.value));
        let on_silence = listener.on_silence.as_ref().map(|pool| quoted(&pool.value));
        self.optional("on_silence", on_silence, "turned away where routes ask what clients say");
        let sniff_bytes = listener.sniff_bytes;
        let is_usual = sniff_bytes.get() == Listener::SNIFF_BYTES;
        self.value("sniff_bytes", &quoted(&sniff_bytes.to_string()), is_usual);
        self.choice("refuse", listener.refuse, &Refusal::NAMES);
        self.choice("when_full", listener.when_full, &WhenFull::NAMES);
        let backlog = listener.backlog;
        self.value("backlog", &backlog.get().to_string(), backlog == Backlog::default());
        for route in &listener.routes {
            self.route(&listener.name, route);
        }
    }

    fn server_tls(&mut self, tls: Option<&ServerTls>) {
        let Some(tls) = tls else { return self.optional("tls", None, "it passes through") };
        let certificates: Vec<_> =
            tls.certificates.iter().map(|files| self.certificate(files)).collect();
        // In a line of the first one it would be hard to see that it is.
        match &*tls.certificates {
            [] => {}
            [one] if one.names.is_empty() => {
                for (key, value) in self.certificate_keys(one) {
                    self.value(&format!("tls.{key}"), &value, false);
                }
            }
            _ => self.value("tls.certificates", &format!("[{}]", certificates.join(", ")), false),
        }
        self.acme(tls.acme.as_ref());
        self.choice("tls.unknown_name", tls.unknown_name, &UnknownName::NAMES);
        let paths = |files: &[Spanned<String>]| list(files.iter().map(|file| file.value.clone()));
        match &tls.clients {
            None => self.optional("tls.client_ca", None, "clients are not asked who they are"),
            Some(proof) => {
                self.value("tls.client_ca", &paths(&proof.authorities), false);
                self.choice("tls.client_auth", proof.need, &ClientAuth::NAMES);
                self.value("tls.crl", &paths(&proof.revoked), proof.revoked.is_empty());
            }
        }
        self.value("tls.alpn", &list(tls.alpn.iter().cloned()), tls.alpn.is_empty());
        self.choice("tls.min_version", tls.min_version, &MinVersion::NAMES);
        self.value("tls.tickets", &tls.tickets.to_string(), tls.tickets);
        let starttls = tls.starttls.map(|protocol| quoted(protocol.name()));
        self.optional("tls.starttls", starttls, "TLS from the first byte");
    }

    /// A certificate as an inline table.
    fn certificate(&self, files: &CertificateFiles) -> String {
        let keys = self.certificate_keys(files).into_iter();
        let keys: Vec<_> = keys.map(|(key, value)| format!("{key} = {value}")).collect();
        format!("{{ {} }}", keys.join(", "))
    }

    /// What is said of a certificate, with the key of each.
    fn certificate_keys(&self, files: &CertificateFiles) -> Vec<(&'static str, String)> {
        let path = |file: &Option<Spanned<String>>| file.as_ref().map(|file| quoted(&file.value));
        let passphrase = files.passphrase.as_ref().map(|secret| self.secret(&secret.value));
        let names = files.names.iter().map(|name| name.value.clone());
        let keys = [
            ("cert", Some(quoted(&files.cert.value))),
            ("key", path(&files.key)),
            ("passphrase", passphrase),
            ("ocsp", path(&files.ocsp)),
            ("names", (!files.names.is_empty()).then(|| list(names))),
        ];
        keys.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    fn access(&mut self, access: &Access) {
        for (key, clients) in [("allow", &access.allow), ("deny", &access.deny)] {
            let shown = list(clients.iter().map(|clients| clients.value.to_string()));
            self.value(key, &shown, clients.is_empty());
        }
    }

    fn authorize(&mut self, authorize: Option<&Authorize>) {
        let Some(Authorize { program, timeout, on_error, realm }) = authorize else {
            return self.optional("authorize", None, "nobody is asked");
        };
        let text = |text: &Option<String>| text.as_deref().map(quoted);
        self.value("authorize.exec", &list(program.exec.iter().cloned()), false);
        self.optional("authorize.arg0", text(&program.arg0), "the path");
        let (children, usual) = (program.children, Children::default());
        let counts = format!("{{ min = {}, max = {} }}", children.min(), children.max());
        self.value("authorize.children", &counts, children == usual);
        let at_once = program.at_once;
        self.value("authorize.at_once", &at_once.to_string(), at_once == NonZeroU32::MIN);
        let usual = *timeout == Authorize::TIMEOUT;
        self.value("authorize.timeout", &time(Some(*timeout)), usual);
        self.choice("authorize.on_error", *on_error, &OnError::NAMES);
        self.optional("authorize.realm", text(realm), "the name of the listener");
        self.optional("authorize.user", text(&program.user), "that of replug");
        self.optional("authorize.group", text(&program.group), "that of the user");
        self.optional("authorize.home", text(&program.home), "that of replug");
        let env = program.env.iter();
        let env: Vec<_> =
            env.map(|(name, text)| format!("{} = {}", key(name), quoted(text))).collect();
        let env = (!env.is_empty()).then(|| format!("{{ {} }}", env.join(", ")));
        self.optional("authorize.env", env, "that of replug");
    }

    fn script(&mut self, script: Option<&Script>) {
        let Some(script) = script else { return self.optional("script", None, "nobody decides") };
        let Script { file, language, on_error, deadline, memory, workers, compat } = script;
        self.value("script.file", &quoted(file), false);
        if Language::of(file) != Some(*language) {
            let named = Language::NAMES.iter().find(|(_, one)| one == language);
            let name = named.map(|(name, _)| quoted(name));
            self.optional("script.language", name, "by the end of its name");
        }
        self.choice("script.on_error", *on_error, &OnScriptError::NAMES);
        let usual = unit::show(language.deadline());
        self.optional("script.deadline", deadline.map(|deadline| time(Some(deadline))), &usual);
        match language {
            Language::Lua => {
                let memory = memory.map(|memory| quoted(&memory.to_string()));
                self.optional("script.memory", memory, "16MiB");
            }
            Language::Ruby => {
                let workers = workers.map(|count| count.to_string());
                self.optional("script.workers", workers, "one");
                self.choice("script.compat", *compat, &Compat::NAMES);
            }
        }
    }

    fn route(&mut self, listener: &str, route: &Route) {
        self.header(&format!("[listener.{}.route]", quoted(listener)));
        let name = route.name.as_deref().map(quoted);
        self.optional("name", name, "by its place");
        self.value("when", &condition(&route.when.value), false);
        self.value("pool", &quoted(&route.pool.value), false);
    }

    fn tcp(&mut self, tcp: &Tcp) {
        const KERNEL: &str = "as the kernel decides";
        let usual = Tcp::default();
        self.value("tcp.keepalive", &time(tcp.keepalive), tcp.keepalive == usual.keepalive);
        let user_timeout = tcp.user_timeout;
        self.value("tcp.user_timeout", &time(user_timeout), user_timeout == usual.user_timeout);
        self.value("tcp.nodelay", &tcp.nodelay.to_string(), tcp.nodelay == usual.nodelay);
        let size = |size: Option<ByteSize>| size.map(|size| quoted(&size.to_string()));
        self.optional("tcp.notsent_lowat", size(tcp.notsent_lowat), KERNEL);
        let mark = tcp.mark.map_or(0, NonZeroU32::get);
        self.value("tcp.mark", &quoted(&format!("{mark:#x}")), tcp.mark == usual.mark);
        let dscp = tcp.dscp.map(|dscp| quoted(&dscp.to_string()));
        self.optional("tcp.dscp", dscp, KERNEL);
        let congestion = tcp.congestion.map(|congestion| quoted(congestion.as_str()));
        self.optional("tcp.congestion", congestion, KERNEL);
        self.optional("tcp.fastopen", tcp.fastopen.map(|queue| queue.to_string()), "off");
        let mptcp = Mptcp::NAMES.iter().find(|(_, sides)| *sides == tcp.mptcp);
        let (name, _) = mptcp.expect("each choice of sides has a name in the table");
        self.value("tcp.mptcp", &quoted(name), tcp.mptcp == usual.mptcp);
        let defer_accept = tcp.defer_accept;
        self.value("tcp.defer_accept", &time(defer_accept), defer_accept == usual.defer_accept);
        self.optional("tcp.send_buffer", size(tcp.send_buffer), KERNEL);
        self.optional("tcp.receive_buffer", size(tcp.receive_buffer), KERNEL);
    }

    fn delay(&mut self, delay: Delay) {
        let usual = Delay::default();
        let Delay { to_backend, to_client, chunk } = delay;
        self.value("delay.to_backend", &time(to_backend), to_backend == usual.to_backend);
        self.value("delay.to_client", &time(to_client), to_client == usual.to_client);
        self.value("delay.chunk", &quoted(&chunk.to_string()), chunk == usual.chunk);
    }

    fn limits(&mut self, prefix: &str, limits: &Limits, sessions: &str) {
        let Limits { sessions: max, per_client, rate, rate_per_client, .. } = *limits;
        let max = max.map(|count| count.to_string());
        self.optional(&format!("{prefix}sessions"), max, sessions);
        let per_client = per_client.map(|count| count.to_string());
        self.optional(&format!("{prefix}per_client"), per_client, "any number");
        let rates = [("rate", rate), ("rate_per_client", rate_per_client)];
        for (key, rate) in rates {
            let rate = rate.map(|rate| quoted(&rate.to_string()));
            self.optional(&format!("{prefix}{key}"), rate, "any number");
        }
        self.bandwidth(&format!("{prefix}bandwidth"), limits.bandwidth);
        self.bandwidth(&format!("{prefix}session_bandwidth"), limits.session_bandwidth);
    }

    fn pool(&mut self, pool: &Pool) {
        self.header(&format!("pool.{}", quoted(&pool.name.value)));
        self.value("backends", &list(pool.backends.iter().map(backend)), false);
        self.backend_tls(pool.tls.as_ref().map(|tls| &tls.value));
        let balance = BALANCES.iter().find(|(_, balance)| *balance == pool.balance);
        let (name, balance) = balance.expect("each way to pick has a name in the table");
        self.value("balance", &quoted(name), *balance == Default::default());
        let sticky = pool.sticky.map(|Sticky { ttl, by, entries }| {
            let named = STICKY_BY.iter().find(|(_, key)| *key == by);
            let (by, _) = named.expect("each key of stickiness has a name in the table");
            let (by, ttl) = (quoted(by), time(Some(ttl)));
            let entries = match entries == Sticky::ENTRIES && self.defaults == Defaults::Omit {
                true => String::new(),
                false => format!(", entries = {entries}"),
            };
            format!("{{ by = {by}, ttl = {ttl}{entries} }}")
        });
        self.optional("sticky", sticky, "clients are spread");
        self.optional("tries", pool.tries.map(|tries| tries.to_string()), "each backend once");
        let retry = pool.retry_down;
        self.value("retry_down", &time(Some(retry)), retry == Pool::RETRY_DOWN);
        self.value("slow_start", &time(pool.slow_start), pool.slow_start.is_none());
        self.choice("all_down", pool.all_down, &AllDown::NAMES);
        let on_removed = match pool.on_removed {
            OnRemoved::Keep => "keep".to_owned(),
            OnRemoved::Drain(time) => format!("drain {}", unit::show(time)),
            OnRemoved::Cut => "cut".to_owned(),
        };
        self.value("on_removed", &quoted(&on_removed), pool.on_removed == OnRemoved::default());
        let queue = pool.queue.as_ref().map(|queue| {
            let Queue { length, wait } = queue.value;
            format!("{{ length = {length}, wait = {} }}", time(Some(wait)))
        });
        self.optional("queue", queue, "nobody waits for a full pool");
        let source = pool.source.as_ref().map(|source| match &source.value {
            Source::Addresses(one) if one.len() == 1 => quoted(&one[0].to_string()),
            Source::Addresses(all) => list(all.iter().map(ToString::to_string)),
            Source::Interface(name) => quoted(name.as_str()),
            Source::Client => quoted(Source::CLIENT),
        });
        self.optional("source", source, "as the kernel chooses");
        let mut via = pool.via.iter().map(|via| proxy::show(&via.value, |text| self.hide(text)));
        let via = match pool.via.len() {
            0 | 1 => via.next().map(|one| quoted(&one)),
            _ => Some(list(via)),
        };
        self.optional("via", via, "directly");
        let send = pool.send_proxy.as_ref();
        let send = send.map(|send| proxy_header::shown_send(&send.value));
        self.optional("send_proxy", send, "none");
    }

    /// What a listener does that is a proxy.
    fn proxy(&self, server: &ProxyServer) -> String {
        let protocols = server.protocols.iter();
        let protocols = list(protocols.map(|one| named(&ServedProtocol::NAMES, *one).to_owned()));
        let users = list(server.users.iter().map(|users| match &users.value {
            Users::File(path, _) => format!("file:{path}"),
            Users::One(Credentials { user, password }) => {
                let password = password.as_ref().map(|password| self.hide(password.reveal()));
                format!("{user}:{}", password.unwrap_or_default())
            }
        }));
        let shown =
            |all: &[Spanned<Destination>]| list(all.iter().map(|one| one.value.to_string()));
        let usual = ProxyServer::default();
        let keys = [
            ("protocols", protocols, server.protocols == usual.protocols),
            ("users", users, server.users.is_empty()),
            ("allow_to", shown(&server.allow_to), server.allow_to.is_empty()),
            ("deny_to", shown(&server.deny_to), server.deny_to.is_empty()),
            (
                "private",
                quoted(named(&Private::NAMES, server.private)),
                server.private == usual.private,
            ),
        ];
        // An empty list of users would be nobody.
        let is_told = |(key, _, is_usual): &&(&str, String, bool)| {
            !is_usual || self.defaults == Defaults::Show && *key != "users"
        };
        let keys: Vec<_> =
            keys.iter().filter(is_told).map(|(key, value, _)| format!("{key} = {value}")).collect();
        match keys.is_empty() {
            true => "{}".to_owned(),
            false => format!("{{ {} }}", keys.join(", ")),
        }
    }

    /// A secret, as it may be shown.
    fn hide(&self, secret: &str) -> String {
        let [begin, end] = HIDE;
        match self.secrets {
            Secrets::Written => secret.to_owned(),
            Secrets::Hidden => Password::HIDDEN.to_owned(),
            Secrets::Marked => format!("{begin}{secret}{end}"),
        }
    }

    fn bandwidth(&mut self, key: &str, bandwidth: Bandwidth) {
        let rates = [("to_backend", bandwidth.to_backend), ("to_client", bandwidth.to_client)];
        for (direction, rate) in rates {
            let rate = rate.map(|rate| quoted(&rate.to_string()));
            self.optional(&format!("{key}.{direction}"), rate, "no limit");
        }
    }

    fn log(&mut self, log: &Log, is_one_of_several: bool) {
        let format = named(&LogFormat::NAMES, log.format);
        self.value("format", &quoted(format), log.format == LogFormat::default());
        let usual = log.to.value == LogTarget::default() && !is_one_of_several;
        self.value("to", &quoted(&target(&log.to.value)), usual);
        let verbosity = named(&Verbosity::NAMES, log.verbosity);
        self.value("verbosity", &quoted(verbosity), log.verbosity == Verbosity::default());
        if log.verbosity != Verbosity::Quiet && log.format.has_records() {
            if log.format.has_events() {
                self.value("start", &log.start.to_string(), !log.start);
                let every = log.every.map(|every| time(Some(every)));
                self.optional("every", every, "no records of sessions that last");
            }
            self.value("sample", &quoted(&log.sample.to_string()), log.sample == Sample::ALL);
            if log.format.has_requests() {
                self.value("requests", &log.requests.to_string(), !log.requests);
            }
        }
        match &log.to.value {
            LogTarget::Syslog(Syslog { server, protocol, label }) => {
                self.label(label);
                let usual = *protocol == server.usual_protocol();
                self.value("protocol", &quoted(named(&SyslogProtocol::NAMES, *protocol)), usual);
            }
            LogTarget::Journald(label) => self.label(label),
            LogTarget::Stderr | LogTarget::Stdout | LogTarget::File(_) => {}
        }
    }

    fn label(&mut self, label: &SyslogLabel) {
        let usual = SyslogLabel::default();
        let (facility, tag) = (label.facility, &label.tag);
        self.value("facility", &quoted(facility.name()), facility == usual.facility);
        self.value("tag", &quoted(tag.as_str()), *tag == usual.tag);
        let severity = label.severity.map(|severity| quoted(severity.name()));
        self.optional("severity", severity, "each line has its own");
    }

    /// Begins a table; the one before is taken back if it got no key.
    fn header(&mut self, name: &str) {
        self.drop_empty();
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let _ = writeln!(self.text, "[{name}]");
    }

    fn drop_empty(&mut self) {
        let start = self.text.trim_end().rfind('\n').map_or(0, |at| at + 1);
        if self.text[start..].starts_with('[') {
            self.text.truncate(self.text[..start].trim_end().len());
            if !self.text.is_empty() {
                self.text.push('\n');
            }
        }
    }

    fn value(&mut self, key: &str, value: &str, is_default: bool) {
        let _ = match (is_default, self.defaults) {
            (false, _) => writeln!(self.text, "{key} = {value}"),
            (true, Defaults::Show) => writeln!(self.text, "{key} = {value}  # default"),
            (true, Defaults::Omit) => Ok(()),
        };
    }

    /// One of a few words.
    fn choice<T: PartialEq + Default>(&mut self, key: &str, value: T, names: &[(&str, T)]) {
        let named = names.iter().find(|(_, named)| *named == value);
        let (name, _) = named.expect("each value has a name in its table");
        self.value(key, &quoted(name), value == T::default());
    }

    /// A key whose default cannot be written as a value, but said in words.
    fn optional(&mut self, key: &str, value: Option<String>, unset: &str) {
        match value {
            Some(value) => self.value(key, &value, false),
            None if self.defaults == Defaults::Show => {
                let _ = writeln!(self.text, "# {key}: {unset}  # default");
            }
            None => {}
        }
    }
}

fn shown_ftp(ftp: Ftp) -> String {
    let modes = FtpModes::NAMES.iter().filter(|(_, mode)| ftp.modes.has(*mode));
    let modes = list(modes.map(|(name, _)| (*name).to_owned()));
    let ports = ftp.ports.map(|ports| format!(", ports = {}", quoted(&ports.to_string())));
    format!("{{ modes = {modes}{} }}", ports.unwrap_or_default())
}

/// Binds as strings; ports of one address in a row as a range.
fn binds_shown(binds: &[&Bind]) -> Vec<String> {
    let mut shown = Vec::new();
    let mut rest = binds;
    while let Some(first) = rest.first() {
        let follows = |pair: &[&Bind]| match (pair[0], pair[1]) {
            (Bind::Tcp { address: one, port }, Bind::Tcp { address: next, port: after })
            | (Bind::Udp { address: one, port }, Bind::Udp { address: next, port: after }) => {
                one == next && *port > 0 && port.checked_add(1) == Some(*after)
            }
            _ => false,
        };
        let run = 1 + rest.windows(2).take_while(|pair| follows(pair)).count();
        let last = rest[run - 1].port().unwrap_or_default();
        match run {
            1 => shown.push(first.to_string()),
            _ => shown.push(format!("{first}-{last}")),
        }
        rest = &rest[run..];
    }
    shown
}

fn backend(backend: &Backend) -> String {
    let mut text = backend.address.value.to_string();
    if backend.weight != Weight::ONE {
        let _ = write!(text, " weight={}", backend.weight.get());
    }
    if let Some(max) = backend.max {
        let _ = write!(text, " max={max}");
    }
    if backend.role == Role::Backup {
        text += " backup";
    }
    text
}

fn http(http: &Http) -> String {
    let requests = quoted(named(&HttpRequests::NAMES, http.requests));
    match &http.force_url {
        None => format!("{{ requests = {requests} }}"),
        Some(url) => {
            let url = quoted(url.value.as_str());
            format!("{{ requests = {requests}, force_url = {url} }}")
        }
    }
}

/// A condition of a route as an inline table.
fn condition(when: &When) -> String {
    fn shown<T: ToString>(items: &[T]) -> String {
        list(items.iter().map(ToString::to_string))
    }
    fn choices<T: PartialEq + Copy>(names: &[(&'static str, T)], items: &[T]) -> String {
        list(items.iter().map(|item| named(names, *item).to_owned()))
    }
    fn within(items: &[When]) -> String {
        let items: Vec<_> = items.iter().map(condition).collect();
        format!("[{}]", items.join(", "))
    }
    let ports: Vec<_> = when.port.iter().map(ToString::to_string).collect();
    let parts = [
        ("client", list(when.client.iter().map(|range| range.value.to_string()))),
        ("address", shown(&when.address)),
        ("port", format!("[{}]", ports.join(", "))),
        ("time", shown(&when.time)),
        ("protocol", choices(&Protocol::NAMES, &when.protocol)),
        ("sni", shown(&when.sni)),
        ("alpn", shown(&when.alpn)),
        ("tls_version", choices(&TlsVersion::NAMES, &when.tls_version)),
        ("client_cert", shown(&when.client_cert)),
        ("san", shown(&when.san)),
        ("host", shown(&when.host)),
        ("path", shown(&when.path)),
        ("method", shown(&when.method)),
        ("header", shown(&when.header)),
        ("user", shown(&when.user)),
        ("database", shown(&when.database)),
        ("git_repository", shown(&when.git_repository)),
        ("prefix", shown(&when.prefix)),
        ("regex", shown(&when.regex)),
        ("not", within(&when.not)),
        ("any", within(&when.any)),
        ("all", within(&when.all)),
    ];
    let parts = parts.iter().filter(|(_, value)| value != "[]");
    let parts: Vec<_> = parts.map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", parts.join(", "))
}

/// Where a log goes, as it is configured.
fn target(target: &LogTarget) -> String {
    match target {
        LogTarget::Stderr => "stderr".to_owned(),
        LogTarget::Stdout => "-".to_owned(),
        LogTarget::Journald(_) => "journald".to_owned(),
        LogTarget::File(path) => path.clone(),
        LogTarget::Syslog(syslog) => match &syslog.server {
            SyslogServer::Local => "syslog".to_owned(),
            SyslogServer::Udp(server) => format!("syslog://{server}"),
            SyslogServer::Tcp(server) => format!("syslog+tcp://{server}"),
        },
    }
}

/// The name of a value that is one of a few.
pub(super) fn named<T: PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    let found = names.iter().find(|(_, named)| *named == value);
    found.expect("each value has its name in the table").0
}

/// A duration; `None` is never.
pub(super) fn time(time: Option<Duration>) -> String {
    quoted(&unit::show(time.unwrap_or_default()))
}

pub(super) fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| quoted(&item)).collect();
    format!("[{}]", items.join(", "))
}

/// A basic string of TOML, in which no variable is replaced.
pub(super) fn quoted(text: &str) -> String {
    key(&text.replace("${", "$${"))
}

/// A key of any characters.
fn key(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
