//! `[listener.NAME]`.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

use model::address::{Fault, FaultKind};
use model::{
    Backend, Backlog, Bind, ByteSize, Code, Diagnostic, Idle, Interface, Listener, Refusal, Span,
    Spanned, Timeouts, Transparent, WhenFull,
};
use toml::de::DeValue;

use super::authorize::AUTHORIZE;
use super::delay::DELAY;
use super::ftp::FTP;
use super::http::HTTP;
use super::keys::{self, Key, Schema, Takes};
use super::pool::POOL_KEYS;
use super::proxy::PROXY;
use super::proxy_header::PROXY_PROTOCOL;
use super::route::ROUTE;
use super::script::SCRIPT;
use super::table::{Entry, Table};
use super::tcp::TCP;
use super::text::Text;
use super::tls::TLS;
use super::{Kind, LIMITS, Reader};
use crate::line::Word;
use crate::term::address::{self, Purpose};
use crate::term::target::{self, DefaultPort};
use crate::term::value;

/// Longest name of a listener or pool, in bytes: it stands in every record.
pub(super) const NAME_BYTES_MAX: usize = 64;

/// Longest text that logs show as the place of a listener, in bytes: a host name and a port.
const SHOWN_BYTES_MAX: usize = model::address::HOST_BYTES_MAX + ":65535".len();

pub(super) const LISTENER: Schema = Schema {
    place: "a listener",
    keys: &[
        Key::new(
            "bind",
            Takes::Texts(":8080"),
            "Where to listen: `8080`, `:8080`, `10.0.0.1:8080`, `[::1]:8080`, a range of ports \
             `:5000-5100`, `udp://:53`, `unix:/path`.",
        )
        .required(),
        Key::new(
            "shown_as",
            Takes::Text("0:8080"),
            "What logs in formats of old tools call the place it listens at, `HOST:PORT`; its first \
             `bind` if it is left out.",
        ),
        Key::new(
            "interface",
            Takes::Text("eth0"),
            "The only network interface by which clients may come; any if it is left out.",
        ),
        Key::new(
            "transparent",
            Takes::Choice(&keys::names(&Transparent::NAMES)),
            "How clients are diverted here that meant to go elsewhere: by `redirect` or `tproxy` of \
             nftables. `to = \"original\"` sends them on there, and routes go by it.",
        ),
        Key::new(
            "proxy",
            Takes::Table(&PROXY),
            "The listener is a proxy: its clients say where they want to go, and `to = \"requested\"` \
             sends them there.",
        ),
        Key::new(
            "to",
            Takes::Texts("10.0.0.11:80 weight=2"),
            "The backends of a pool of the listener's own: `host:port`, `[v6]:port`, `unix:/path` or \
             `original`, and behind it `weight=N`, `max=N` and `backup`. Instead of `pool`.",
        )
        .or(&["pool", "otherwise", "route", "script"]),
        Key::new("pool", Takes::Text("web"), "The pool that sessions go to. Instead of `to`."),
        Key::new(
            "otherwise",
            Takes::Text("web"),
            "What becomes of sessions that no route takes: `close`, or a pool that they go to. \
             Instead of `to` or `pool`.",
        ),
        Key::new(
            "proxy_protocol",
            Takes::Table(&PROXY_PROTOCOL),
            "Headers of the PROXY protocol are taken, by which a proxy tells whose connections it \
             hands on; clients come by themselves if it is left out.",
        ),
        Key::new(
            "allow",
            Takes::Texts("10.0.0.0/8"),
            "Clients that may come: ranges of addresses, patterns such as `10.0.*.1`, and `file:PATH` for \
             lists of both, one a line; everybody if it is empty.",
        )
        .default("[]"),
        Key::new(
            "deny",
            Takes::Texts("10.9.0.0/16"),
            "Clients that may not; it wins over `allow`.",
        )
        .default("[]"),
        Key::new(
            "authorize",
            Takes::Table(&AUTHORIZE),
            "The program that is asked about each client that may come by `allow` and `deny`; nobody \
             is asked if it is left out.",
        ),
        Key::new("limits", Takes::Table(&LIMITS), "Limits of this listener."),
        Key::new("timeouts", Takes::Table(&TIMEOUTS), "How long the phases of a session may take."),
        Key::new("tcp", Takes::Table(&TCP), "Options of the sockets on both sides."),
        Key::new(
            "delay",
            Takes::Table(&DELAY),
            "Pauses before bytes are passed on, to see what slow networks do; none if it is left out.",
        ),
        Key::new(
            "ftp",
            Takes::Table(&FTP),
            "Sessions are control connections of FTP, and data connections pass through as well; \
             just bytes if it is left out.",
        ),
        Key::new(
            "tls",
            Takes::Table(&TLS),
            "Clients speak TLS, which ends here; it passes through if it is left out.",
        ),
        Key::new(
            "route",
            Takes::Tables(&ROUTE),
            "Sessions that go to another pool; the first route that matches counts.",
        ),
        Key::new(
            "http",
            Takes::Table(&HTTP),
            "What is done with requests of HTTP; nobody looks at them if it is left out.",
        ),
        Key::new(
            "script",
            Takes::TextOr("route.lua", &SCRIPT),
            "Who decides about sessions that no route takes: a file of Lua, or a table that says more \
             of it.",
        ),
        Key::new(
            "on_silence",
            Takes::Text("web"),
            "The pool for clients that wait for the server to speak, where routes ask for what \
             clients say. If it is left out, these are turned away.",
        ),
        Key::new(
            "sniff_bytes",
            Takes::Size,
            "How much of what a client says is looked at to find its route: `512B` to `64KiB`.",
        )
        .default("\"16KiB\""),
        Key::new(
            "refuse",
            Takes::Choice(&keys::names(&Refusal::NAMES)),
            "How a client is turned away: by a reset, or by an end of stream as the old tools have it.",
        )
        .default("\"reset\""),
        Key::new(
            "when_full",
            Takes::Choice(&keys::names(&WhenFull::NAMES)),
            "What becomes of a client beyond `sessions` of `limits`: it waits, or is turned away as \
             `refuse` says.",
        )
        .default("\"wait\""),
        Key::new(
            "backlog",
            Takes::Count(BACKLOG_MAX),
            "How many clients the kernel holds who are not accepted yet: at each address, for each \
             shard, and never more than `net.core.somaxconn`.",
        )
        .default("4096"),
    ],
    also: POOL_KEYS,
    later: &[
        "health",
        "on_down",
    ],
};

/// [`Backlog::MAX`], which any number of a length holds.
const BACKLOG_MAX: usize = Backlog::MAX as usize;

const TIMEOUTS: Schema = Schema {
    place: "timeouts",
    keys: &[
        Key::new(
            "sniff",
            Takes::Time,
            "How long a client is listened to until its route is known, in all; never without limit.",
        )
        .default("\"3s\""),
        Key::new("tls", Takes::Time, "The TLS handshake of a client, in all; never without limit.")
            .default("\"10s\""),
        Key::new(
            "connect",
            Takes::Time,
            "One attempt to connect to a backend; never without limit.",
        )
        .default("\"5s\""),
        Key::new(
            "idle",
            Takes::Time,
            "Nothing in either direction; `0` for no limit. If it is left out: `1h` for sessions, \
             `60s` for UDP flows.",
        ),
        Key::new(
            "half_closed",
            Takes::Time,
            "No byte in either direction once one side has ended its stream; `0` for no limit.",
        )
        .default("\"1m\""),
        Key::new("lifetime", Takes::Time, "A whole session; `0` for no limit.").default("\"0\""),
    ],
    also: &[],
    later: &[],
};

impl Reader<'_> {
    pub(super) fn listeners(&mut self, root: &Table<'_>) {
        for (entry, table) in self.named(root, "listener") {
            if self.claim(Kind::Listener, entry.name(), entry.span()) {
                self.listener(entry.name(), &table);
            }
        }
    }

    /// The tables `[KIND.NAME]`.
    pub(super) fn named<'t>(
        &mut self,
        root: &Table<'t>,
        kind: &str,
    ) -> Vec<(Entry<'t>, Table<'t>)> {
        let Some(entry) = root.get(kind) else { return Vec::new() };
        let Some(all) = entry.as_table() else {
            self.unsure = true;
            self.wrong(
                entry,
                "a table of tables",
                format!("write `[{kind}.NAME]`, each with a name of its own"),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for entry in all.entries() {
            match entry.as_table() {
                Some(table) if self.name(entry) => tables.push((entry, table)),
                Some(_) => self.unsure = true,
                None => {
                    self.unsure = true;
                    let message = format!("`{}` stands in no {kind}", entry.name());
                    self.faults.push(
                        Diagnostic::new(Code::Type, entry.span(), message)
                            .label(format!("of which {kind}?"))
                            .help(format!("a {kind} has a name: write `[{kind}.web]`")),
                    );
                }
            }
        }
        tables
    }

    fn name(&mut self, entry: Entry<'_>) -> bool {
        let is_name = is_name(entry.name());
        if !is_name {
            self.faults.push(not_a_name(entry.name(), entry.span()));
        }
        is_name
    }

    fn listener(&mut self, name: &str, table: &Table<'_>) {
        self.keys(table, &LISTENER);
        let bind = self.binds(name, table);
        let proxy_protocol = self.proxy_protocol(table);
        let access = self.access(table);
        let authorize = self.authorize(table);
        let limits = self.table(table, "limits").map(|limits| self.limits(&limits));
        let timeouts = self.timeouts(table);
        let tcp = self.tcp(table);
        let (delay, ftp) = (self.delay(table), self.ftp(table));
        let refuse = self.choice(table, "refuse", &Refusal::NAMES, &[]);
        let when_full = self.choice(table, "when_full", &WhenFull::NAMES, &[]);
        let backlog = self.count(table, "backlog", BACKLOG_MAX).map(NonZeroUsize::get);
        let backlog = backlog.and_then(|count| Backlog::new(u32::try_from(count).ok()?));
        let pool = self.pool_of(name, table, &bind);
        let routes = self.routes(table);
        let interface = self.interface(table);
        let (transparent, proxy) = (self.transparent(table), self.proxy(table));
        let (http, tls) = (self.http(table), self.server_tls(table));
        let script = self.script(table);
        let shown_as = self.shown_as(table);
        let on_silence = self.text(table, "on_silence");
        let on_silence = on_silence.map(|text| Spanned::at(text.value.to_string(), text.span));
        let sniff_bytes = self.sniff_bytes(table);
        // The name is that of its pool, until it is known that there is another, or none.
        let unnamed = Listener::new(name, Spanned::default_of(name.to_owned()));
        self.config.listeners.push(Listener {
            bind,
            shown_as,
            interface,
            routes,
            proxy_protocol,
            access,
            authorize,
            limits: limits.unwrap_or_default(),
            timeouts,
            tcp,
            delay,
            ftp,
            refuse: refuse.unwrap_or_default(),
            when_full: when_full.unwrap_or_default(),
            transparent,
            proxy,
            http,
            tls,
            backlog: backlog.unwrap_or_default(),
            pool,
            script,
            on_silence,
            sniff_bytes: sniff_bytes.unwrap_or(unnamed.sniff_bytes),
            ..unnamed
        });
    }

    fn sniff_bytes(&mut self, table: &Table<'_>) -> Option<ByteSize> {
        const SIZES: RangeInclusive<u32> = Listener::SNIFF_BYTES_MIN..=Listener::SNIFF_BYTES_MAX;
        let entry = table.get("sniff_bytes")?;
        let size = self.size(table, "sniff_bytes")?;
        if SIZES.contains(&size.get()) {
            return Some(size);
        }
        let message = format!("{size} cannot be looked at");
        let fault = Diagnostic::new(Code::Number, entry.value_span(), message);
        self.faults.push(fault.label("out of range").help("write `\"512B\"` to `\"64KiB\"`"));
        None
    }

    fn transparent(&mut self, table: &Table<'_>) -> Option<Spanned<Transparent>> {
        let entry = table.get("transparent")?;
        let mode = match entry.value() {
            DeValue::Boolean(_) => {
                let help = "write `\"redirect\"` or `\"tproxy\"`, or leave it out";
                self.wrong(entry, "the way in which clients are diverted", help);
                None
            }
            _ => self.choice(table, "transparent", &Transparent::NAMES, &[]),
        };
        // Whichever was meant: clients are diverted, and nothing else is at fault.
        Some(Spanned::at(mode.unwrap_or(Transparent::Redirect), entry.value_span()))
    }

    fn shown_as(&mut self, table: &Table<'_>) -> Option<String> {
        let text = self.text(table, "shown_as")?;
        let is_legal = (1..=SHOWN_BYTES_MAX).contains(&text.value.len())
            && !text.value.contains(char::is_control);
        if !is_legal {
            let fault = Diagnostic::new(Code::Name, text.span, "no log can show this");
            self.faults.push(fault.label("not a place").help(format!(
                "write `HOST:PORT`, at most {SHOWN_BYTES_MAX} bytes without control characters"
            )));
        }
        is_legal.then(|| text.value.to_string())
    }

    fn interface(&mut self, table: &Table<'_>) -> Option<Spanned<Interface>> {
        let text = self.text(table, "interface")?;
        let word = text.word();
        let read = Interface::parse(word.text);
        let read = read.map_err(|fault| address::fault(word, &fault, Purpose::Interface));
        self.told(read).map(|interface| Spanned::at(interface, text.span))
    }

    fn binds(&mut self, name: &str, table: &Table<'_>) -> Vec<Spanned<Bind>> {
        let Some(texts) = self.texts(table, "bind") else {
            self.missing(
                table,
                format!("listener `{name}` has no `bind`"),
                "write `bind = \":8080\"`",
            );
            return Vec::new();
        };
        if table
            .get("bind")
            .is_some_and(|entry| entry.value().as_array().is_some_and(|list| list.is_empty()))
        {
            self.missing(
                table,
                format!("listener `{name}` has no `bind`"),
                "write `bind = \":8080\"`",
            );
        }
        texts.iter().flat_map(|text| self.bind(text)).collect()
    }

    pub(super) fn missing(&mut self, table: &Table<'_>, message: String, help: &str) {
        let fault = Diagnostic::new(Code::KeyMissing, table.span, message).label("in this one");
        self.faults.push(fault.help(help));
    }

    /// One bind, or those of a range of ports.
    fn bind(&mut self, text: &Text<'_>) -> Vec<Spanned<Bind>> {
        let word = text.word();
        if let Some(fault) = address::foreign(word, Purpose::Bind) {
            self.faults.push(fault);
            return Vec::new();
        }
        if let Some(range) = self.port_range(text) {
            return range;
        }
        match address::bind(word, bind_fault) {
            Ok(bind) => vec![Spanned::at(bind, word.span)],
            Err(fault) => {
                self.faults.push(fault);
                Vec::new()
            }
        }
    }

    /// `5000-5100` or `ADDRESS:5000-5100`; `None` for what is no range.
    fn port_range(&mut self, text: &Text<'_>) -> Option<Vec<Spanned<Bind>>> {
        let word = text.word();
        let written = word.text;
        if written.starts_with("unix:") || written.starts_with("systemd:") {
            return None;
        }
        let scheme = if written.starts_with(Bind::UDP) { Bind::UDP.len() } else { 0 };
        let start = written[scheme..].rfind(':').map_or(scheme, |colon| scheme + colon + 1);
        let (from, to) = written[start..].split_once('-')?;
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(from) || !digits(to) {
            return None;
        }
        let fault = |help: String| {
            let message = format!("`{from}-{to}` is not a range of ports");
            Diagnostic::new(Code::Port, word.from(start).span, message)
                .label("not a range")
                .help(help)
        };
        let ports = match (from.parse::<u16>(), to.parse::<u16>()) {
            (Ok(from), Ok(to)) if 0 < from && from <= to => from..=to,
            (Ok(from), Ok(to)) if 0 < to && to < from => {
                self.faults.push(fault(format!("write the lower port first: `{to}-{from}`")));
                return Some(Vec::new());
            }
            _ => {
                self.faults.push(fault("ports are numbers from 1 to 65535".to_owned()));
                return Some(Vec::new());
            }
        };
        let first = format!("{}{from}", &written[..start]);
        match Bind::parse(&first) {
            Ok(Bind::Tcp { address, .. }) => {
                let bind = |port| Spanned::at(Bind::Tcp { address, port }, word.span);
                return Some(ports.map(bind).collect());
            }
            Ok(Bind::Udp { address, .. }) => {
                let bind = |port| Spanned::at(Bind::Udp { address, port }, word.span);
                return Some(ports.map(bind).collect());
            }
            Ok(Bind::Unix(_) | Bind::Systemd(_) | Bind::Inetd) => {}
            // The address is at fault, so what is told lies before the ports.
            Err(fault) if fault.range.end <= start => {
                self.faults.extend(address::bind(word.part(0..first.len()), bind_fault).err());
            }
            Err(_) => {
                self.faults.push(fault("write `:5000-5100`, or `[::1]:5000-5100`".to_owned()));
            }
        }
        Some(Vec::new())
    }

    fn timeouts(&mut self, table: &Table<'_>) -> Timeouts {
        let mut timeouts = Timeouts::default();
        let Some(table) = self.table(table, "timeouts") else { return timeouts };
        self.keys(&table, &TIMEOUTS);
        let sniff = |word: Word<'_>| {
            value::duration_not_zero(word, "a client that says nothing would be held for ever")
        };
        if let Some(time) = self.duration(&table, "sniff", sniff) {
            timeouts.sniff = time;
        }
        let tls = |word: Word<'_>| {
            value::duration_not_zero(word, "a handshake that goes on for ever holds its place")
        };
        if let Some(time) = self.duration(&table, "tls", tls) {
            timeouts.tls = time;
        }
        let connect = |word: Word<'_>| {
            value::duration_not_zero(
                word,
                "an attempt without an end would hold its client for ever",
            )
        };
        if let Some(time) = self.duration(&table, "connect", connect) {
            timeouts.connect = time;
        }
        if let Some(time) = self.duration(&table, "idle", value::duration_or_never) {
            timeouts.idle = Idle::after(time);
        }
        if let Some(time) = self.duration(&table, "half_closed", value::duration_or_never) {
            timeouts.half_closed = time;
        }
        if let Some(time) = self.duration(&table, "lifetime", value::duration_or_never) {
            timeouts.lifetime = time;
        }
        timeouts
    }

    /// The pool for sessions that no route takes; `None`: these are turned away.
    fn pool_of(
        &mut self,
        name: &str,
        table: &Table<'_>,
        bind: &[Spanned<Bind>],
    ) -> Option<Spanned<String>> {
        let Some(otherwise) = table.get("otherwise") else {
            let closes = ["to", "pool"].iter().all(|key| table.get(key).is_none());
            let has_routes = ["route", "script"].iter().any(|key| table.get(key).is_some());
            return (!(closes && has_routes)).then(|| self.own_pool(name, table, bind));
        };
        if let Some(other) = ["to", "pool"].iter().find_map(|key| table.get(key)) {
            self.unsure = true;
            let message = format!("`{}` and `otherwise` exclude each other", other.name());
            self.faults.push(
                Diagnostic::new(Code::Conflict, otherwise.span(), message)
                    .label("what becomes of sessions that no route takes")
                    .related(other.span(), "the same said here")
                    .help("leave one of them out"),
            );
        }
        match self.text(table, "otherwise") {
            Some(text) if text.value == "close" => None,
            Some(text) => Some(Spanned::at(text.value.to_string(), text.span)),
            None => {
                self.unsure = true;
                None
            }
        }
    }

    /// The pool that is named, or the one of its own.
    fn own_pool(
        &mut self,
        name: &str,
        table: &Table<'_>,
        bind: &[Spanned<Bind>],
    ) -> Spanned<String> {
        let own = Spanned::default_of(name.to_owned());
        match (table.get("to"), table.get("pool")) {
            (Some(to), Some(pool)) => {
                self.unsure = true;
                self.faults.push(
                    Diagnostic::new(
                        Code::Conflict,
                        pool.span(),
                        "`pool` and `to` exclude each other",
                    )
                    .label("sessions go to this pool")
                    .related(to.span(), "and to a pool of the listener's own")
                    .help("leave one of them out"),
                );
                own
            }
            (None, None) => {
                self.unsure = true;
                let message = format!("listener `{name}` leads nowhere");
                self.missing(table, message, "write `to = \"10.0.0.11:80\"`, or `pool = \"NAME\"`");
                own
            }
            (None, Some(_)) => {
                for entry in table
                    .entries()
                    .filter(|entry| POOL_KEYS.iter().any(|key| key.name == entry.name()))
                {
                    self.faults.push(
                        Diagnostic::new(
                            Code::Conflict,
                            entry.span(),
                            format!("`{}` belongs to the pool", entry.name()),
                        )
                        .label("not here")
                        .related(
                            table.get("pool").map_or(table.span, Entry::span),
                            "the pool is named here",
                        )
                        .help("write it in the table of that pool"),
                    );
                }
                match self.text(table, "pool") {
                    Some(text) => Spanned::at(text.value.to_string(), text.span),
                    None => {
                        self.unsure = true;
                        own
                    }
                }
            }
            (Some(to), None) => {
                if !self.claim(Kind::Pool, name, to.span()) {
                    return own;
                }
                let port = match bind {
                    [] => DefaultPort::Unread,
                    [bind] => DefaultPort::Of(&bind.value),
                    _ => DefaultPort::None,
                };
                let backends = self.backends(table, "to", port);
                let pool = self.pool_with(Spanned::at(name.to_owned(), to.span()), table, backends);
                self.config.pools.push(pool);
                own
            }
        }
    }

    pub(super) fn backends(
        &mut self,
        table: &Table<'_>,
        key: &str,
        port: DefaultPort<'_>,
    ) -> Vec<Backend> {
        let Some(texts) = self.texts(table, key) else { return Vec::new() };
        let empty = table
            .get(key)
            .and_then(|entry| entry.value().as_array())
            .is_some_and(|list| list.is_empty());
        if empty {
            let span = table.get(key).map_or(table.span, Entry::value_span);
            self.faults.push(
                Diagnostic::new(Code::PoolEmpty, span, "this pool has no backend")
                    .label("empty")
                    .help(format!("write `{key} = [\"10.0.0.11:80\"]`")),
            );
        }
        texts
            .iter()
            .filter_map(|text| target::read_one(text.word(), port, &mut self.faults))
            .collect()
    }
}

/// Whether a listener, a pool or a route can be called so.
pub(super) fn is_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(legal)
}

pub(super) fn not_a_name(text: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code::Name, span, "this cannot be a name")
        .label(if text.is_empty() { "empty" } else { "not a name" })
        .help(format!(
            "names are letters, digits, `-`, `_` and `.`, at most {NAME_BYTES_MAX} of them"
        ))
}

/// A fault of a bind, with what was probably meant.
fn bind_fault(word: Word<'_>, fault: &Fault) -> Diagnostic {
    let told = address::fault(word, fault, Purpose::Bind);
    if fault.kind != FaultKind::PortMissing {
        return told;
    }
    let host = word.text.trim_end_matches(':');
    told.help(match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(_) => format!("write `{host}:8080`"),
        Err(_) => {
            "write a port as in `:8080`, or an address and a port as in `127.0.0.1:8080`".to_owned()
        }
    })
}
