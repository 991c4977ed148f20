//! `[pool.NAME]`, and the same keys on a listener with `to`.

use model::{
    AllDown, Backend, Balance, Code, Diagnostic, OnRemoved, Pool, Proxy, ProxyVersion, Queue,
    Source, Spanned, Sticky, StickyKey,
};
use toml::de::DeValue;

use super::backend_tls::BACKEND_TLS;
use super::keys::{self, Key, Schema, Takes};
use super::proxy_header::SEND_PROXY;
use super::table::Table;
use super::text::Text;
use super::{Kind, Reader};
use crate::suggest;
use crate::term::address::Purpose;
use crate::term::target::DefaultPort;
use crate::term::{proxy, source, value};

/// The keys that may also stand on a listener with `to`.
pub(super) const POOL_KEYS: &[Key] = &[
    Key::new(
        "balance",
        Takes::Choice(&keys::names(&Balance::NAMES)),
        "How a backend is picked: in turn, by sessions, by speed, by chance, by the client's \
         address, or the first that can be reached.",
    )
    .default("\"round-robin\""),
    Key::new(
        "sticky",
        Takes::Table(&STICKY),
        "A client returns to the backend it had; clients are spread if it is left out.",
    ),
    Key::new(
        "tries",
        Takes::Count(TRIES_MAX),
        "How many backends one session tries; each once if it is left out.",
    ),
    Key::new(
        "retry_down",
        Takes::Time,
        "How long a backend that could not be reached is left alone.",
    )
    .default("\"10s\""),
    Key::new(
        "slow_start",
        Takes::Time,
        "Time in which the share of a backend that was down grows to the whole; `0`: at once.",
    )
    .default("\"0\""),
    Key::new(
        "all_down",
        Takes::Choice(&keys::names(&AllDown::NAMES)),
        "What happens when every backend is down: each is tried, or all count as up again.",
    )
    .default("\"try\""),
    Key::new(
        "on_removed",
        Takes::Text("drain 5m"),
        "What becomes of the sessions of a backend that a new configuration does not have: `keep`, \
         `drain` and a time, or `cut`.",
    )
    .default("\"keep\""),
    Key::new(
        "queue",
        Takes::Table(&QUEUE),
        "Sessions that wait while every backend is full; nobody waits if it is left out.",
    ),
    Key::new(
        "source",
        Takes::Texts("10.0.3.1"),
        "What connections to the backends leave from: an interface of this machine, one of its \
         addresses or several in turn, or `client`, the client's own address and port; as the kernel \
         chooses if it is left out.",
    ),
    Key::new(
        "via",
        Takes::Texts("socks5h://gate.example:1080"),
        "The proxy through which backends are reached, or a list of several, one behind the other: \
         `http://`, `https://`, `socks4://`, `socks4a://`, `socks5://` or `socks5h://`, \
         `user:password@` if it wants that, and `host:port`; behind `https://...` how it is known, \
         ` ca=PATH`, ` name=HOST`, ` pin=sha256/...`, ` verify=pin`, ` crl=PATH`, and our own \
         certificate, ` cert=PATH` and ` key=PATH`; directly if it is left out.",
    ),
    Key::new(
        "send_proxy",
        Takes::ChoiceOr(&keys::names(&ProxyVersion::NAMES), &SEND_PROXY),
        "The header of the PROXY protocol that a backend gets first, to know whose connection it is; \
         none if it is left out.",
    ),
];

pub(super) const POOL: Schema = Schema {
    place: "a pool",
    keys: &[
        Key::new(
            "backends",
            Takes::Texts("10.0.0.11:80 weight=2"),
            "`host:port`, `[v6]:port`, `unix:/path` or `original`, and behind it `weight=N`, \
             `max=N` (sessions) and `backup` (only in need).",
        )
        .required(),
        // On a listener the same word is for its clients, so a pool that has it has a table.
        Key::new(
            "tls",
            Takes::Table(&BACKEND_TLS),
            "Backends are spoken to in TLS; in the clear, or as clients speak, if it is left out.",
        ),
    ],
    also: POOL_KEYS,
    later: &["health", "on_down", "limits"],
};

const QUEUE: Schema = Schema {
    place: "queue",
    keys: &[
        Key::new("length", Takes::Count(Queue::LENGTH_MAX), "How many may wait.").required(),
        Key::new("wait", Takes::Time, "How long each may.").default("\"5s\""),
    ],
    also: &[],
    later: &[],
};

const STICKY: Schema = Schema {
    place: "sticky",
    keys: &[
        Key::new(
            "by",
            Takes::Choice(&keys::names(&STICKY_BY)),
            "What counts as one client: its address, or its network (/24, or /64 for IPv6).",
        )
        .required(),
        Key::new(
            "ttl",
            Takes::Time,
            "How long after its last session began a client is remembered.",
        )
        .default("\"1h\""),
        Key::new(
            "entries",
            Takes::Count(Sticky::ENTRIES_MAX),
            "How many clients are remembered; further ones make the oldest forgotten.",
        )
        .default("32768"),
    ],
    also: &[],
    later: &[],
};

/// More backends than this no session tries.
const TRIES_MAX: usize = 1_000_000;

/// How backends may be picked, by name.
pub(super) const BALANCES: &[(&str, Balance)] = &Balance::NAMES;

/// What counts as one client to a sticky pool, by name.
pub(super) const STICKY_BY: [(&str, StickyKey); 2] =
    [("client", StickyKey::Client), ("network", StickyKey::Network)];

impl Reader<'_> {
    pub(super) fn pools(&mut self, root: &Table<'_>) {
        for (entry, table) in self.named(root, "pool") {
            if !self.claim(Kind::Pool, entry.name(), entry.span()) {
                continue;
            }
            self.keys(&table, &POOL);
            if table.get("backends").is_none() {
                let message = format!("pool `{}` has no `backends`", entry.name());
                self.missing(&table, message, "write `backends = [\"10.0.0.11:80\"]`");
            }
            let backends = self.backends(&table, "backends", DefaultPort::None);
            let name = Spanned::at(entry.name().to_owned(), entry.span());
            let tls = self.backend_tls(&table);
            let pool = Pool { tls, ..self.pool_with(name, &table, backends) };
            self.config.pools.push(pool);
        }
    }

    /// A pool with the policy that `table` gives it.
    pub(super) fn pool_with(
        &mut self,
        name: Spanned<String>,
        table: &Table<'_>,
        backends: Vec<Backend>,
    ) -> Pool {
        let balance = self.choice(table, "balance", BALANCES, &[]);
        let retry_down = self.duration(table, "retry_down", value::duration);
        let slow_start = self.duration(table, "slow_start", value::duration_or_never);
        let tries = self.count(table, "tries", TRIES_MAX);
        let all_down = self.choice(table, "all_down", &AllDown::NAMES, &[]);
        Pool {
            balance: balance.unwrap_or_default(),
            sticky: self.sticky(table),
            tries: tries.and_then(|tries| tries.try_into().ok()),
            retry_down: retry_down.unwrap_or(Pool::RETRY_DOWN),
            slow_start: slow_start.flatten(),
            all_down: all_down.unwrap_or_default(),
            on_removed: self.on_removed(table),
            queue: self.queue(table),
            source: self.source(table),
            via: self.via(table),
            send_proxy: self.send_proxy(table),
            ..Pool::new(name, backends)
        }
    }

    fn sticky(&mut self, table: &Table<'_>) -> Option<Sticky> {
        let entry = table.get("sticky")?;
        let Some(table) = entry.as_table() else {
            self.wrong(entry, "a table", "write `sticky = { by = \"client\", ttl = \"1h\" }`");
            return None;
        };
        self.keys(&table, &STICKY);
        if table.get("by").is_none() {
            self.missing(&table, "`sticky` says not by what".to_owned(), "write `by = \"client\"`");
        }
        let by = self.choice(&table, "by", &STICKY_BY, &[]);
        let ttl = self.duration(&table, "ttl", |word| {
            value::duration_not_zero(word, "leave `sticky` out to spread clients")
        });
        let entries = self.count(&table, "entries", Sticky::ENTRIES_MAX);
        Some(Sticky {
            ttl: ttl.unwrap_or(Sticky::TTL),
            by: by.unwrap_or_default(),
            entries: entries.unwrap_or(Sticky::ENTRIES),
        })
    }

    fn queue(&mut self, table: &Table<'_>) -> Option<Spanned<Queue>> {
        let entry = table.get("queue")?;
        let Some(table) = entry.as_table() else {
            self.wrong(entry, "a table", "write `queue = { length = 100, wait = \"5s\" }`");
            return None;
        };
        self.keys(&table, &QUEUE);
        if table.get("length").is_none() {
            let message = "`queue` says not how many may wait".to_owned();
            self.missing(&table, message, "write `length = 100`");
        }
        let length = self.count(&table, "length", Queue::LENGTH_MAX);
        let wait = self.duration(&table, "wait", |word| {
            value::duration_not_zero(word, "leave `queue` out to have nobody wait")
        });
        let queue = Queue { length: length?, wait: wait.unwrap_or(Queue::WAIT) };
        Some(Spanned::at(queue, entry.span()))
    }

    /// What becomes of sessions of a backend that is removed: a word, or `drain` and a time.
    fn on_removed(&mut self, table: &Table<'_>) -> OnRemoved {
        const HELP: &str = "write `keep`, `cut`, or `drain` with a time, as in `drain 5m`";
        let Some(text) = self.text(table, "on_removed") else { return OnRemoved::default() };
        let word = text.word();
        let (name, rest) = word.text.split_once(' ').unwrap_or((word.text, ""));
        let fault = match (name, rest.trim()) {
            ("keep", "") => return OnRemoved::Keep,
            ("cut", "") => return OnRemoved::Cut,
            ("drain", "") => {
                Diagnostic::new(Code::Duration, word.span, "`drain` does not say for how long")
                    .label("no time here")
                    .help("write `drain 5m`")
            }
            ("drain", _) => {
                let time = word.from(word.text.len() - rest.trim_start().len());
                match value::duration_not_zero(time, "to end sessions at once, write `cut`") {
                    Ok(time) => return OnRemoved::Drain(time),
                    Err(fault) => fault,
                }
            }
            _ => {
                let message = format!("`{}` is nothing that can become of sessions", word.text);
                let meant = suggest::nearest(name, ["keep", "drain", "cut"]);
                Diagnostic::new(Code::Choice, word.span, message).label("not one of them").help(
                    match meant {
                        Some(meant) => format!("did you mean `{meant}`? {HELP}"),
                        None => HELP.to_owned(),
                    },
                )
            }
        };
        self.faults.push(fault);
        OnRemoved::default()
    }

    /// A proxy, or a chain of them.
    fn via(&mut self, table: &Table<'_>) -> Vec<Spanned<Proxy>> {
        let texts = self.texts(table, "via").unwrap_or_default();
        let mut all = Vec::new();
        for text in &texts {
            let read = proxy::read(text.word(), &mut |path| self.secret_file(text, path));
            let Some(mut via) = self.told(read) else { continue };
            for file in via.tls.files_mut() {
                if let Some(path) = self.path(&file.value, file.span.unwrap_or(text.span)) {
                    *file = path;
                }
            }
            all.push(Spanned::at(via, text.span));
        }
        all
    }

    fn source(&mut self, table: &Table<'_>) -> Option<Spanned<Source>> {
        let entry = table.get("source")?;
        let texts = self.texts(table, "source")?;
        let span = match (entry.value(), &*texts) {
            (DeValue::String(_), [text]) => text.span,
            (DeValue::Array(items), _) if items.len() == texts.len() => entry.value_span(),
            // Some of it is at fault already.
            _ => return None,
        };
        if let (DeValue::String(_), [text]) = (entry.value(), &*texts)
            && text.value.contains(',')
        {
            let items = text.value.split(',').map(|item| format!("\"{}\"", item.trim()));
            let help = format!("write `source = [{}]`", items.collect::<Vec<_>>().join(", "));
            let message = "several sources are a list";
            let fault = Diagnostic::new(Code::Source, span, message).label("in one string");
            self.faults.push(fault.help(help));
            return None;
        }
        let words = texts.iter().map(Text::word);
        // A list of one is as good as that one.
        let span = match &*texts {
            [text] => text.span,
            _ => span,
        };
        source::read(words, span, Purpose::Source, &mut self.faults)
    }
}
