//! Native TOML: every listener, pool and setting by name.
//!
//! Tables are read by hand, so that an unknown key, a number without its unit
//! and a name that nobody has are told at their place, all in one run. `table`
//! says which keys a table may have and gets values of the right type out of it;
//! here and in `listener`, `pool` and `log` each value is given its meaning. [`write()`]
//! writes a [`Config`] that reads back as the same.

mod access;
mod acme;
mod authorize;
mod backend_tls;
mod bandwidth;
mod delay;
mod difference;
mod format;
mod ftp;
mod http;
mod keys;
mod list;
mod listener;
mod log;
mod pool;
mod proxy;
mod proxy_header;
mod route;
mod schema;
mod script;
mod syntax;
mod table;
mod tcp;
mod text;
mod tls;
mod when;
mod write;

use std::collections::HashMap;
use std::num::NonZeroU32;

use model::{
    Bind, Code, Config, Diagnostic, Io, Limits, SourceId, Sources, Span, Spanned, UnixName, check,
};
use toml::de::DeTable;

use crate::suggest;
use crate::term::address::{self, Purpose};
use crate::term::value;
use access::ACCESS;
use bandwidth::BANDWIDTH;
use keys::{Key, Schema, Takes};
use log::LOG;
use table::Table;

pub use difference::difference;
pub use format::format;
pub use list::Lists;
pub use schema::schema;
pub use write::{write, write_effective};

/// What files say.
#[derive(Debug)]
pub struct Reading {
    /// The configuration, as far as it could be read.
    pub config: Config,
    /// All faults, in the order in which they stand in the files.
    pub diagnostics: Vec<Diagnostic>,
    /// The paths of the lists that were read, or were to be read.
    pub lists: Vec<String>,
}

/// Gives the value of an environment variable, if it is set.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

const ROOT: Schema = Schema {
    place: "a configuration",
    keys: &[
        Key::new(
            "listener",
            Takes::Named(&listener::LISTENER),
            "Places where clients arrive, each with a name.",
        ),
        Key::new("pool", Takes::Named(&pool::POOL), "Sets of backends, each with a name."),
        Key::new("access", Takes::Table(&ACCESS), "Which clients may come to any listener."),
        Key::new("limits", Takes::Table(&LIMITS), "Limits of the whole process."),
        Key::new("log", Takes::OneOrMore(&LOG), "What is written down about sessions, and where."),
        Key::new("runtime", Takes::Table(&RUNTIME), "How the work is done."),
        Key::new("admin", Takes::Table(&ADMIN), "How a running replug is talked to."),
    ],
    also: &[],
    later: &[],
};

const ADMIN: Schema = Schema {
    place: "[admin]",
    keys: &[Key::new(
        "bind",
        Takes::Text("unix:/run/replug/admin.sock"),
        "The unix socket at which a running replug takes orders.",
    )],
    also: &[],
    later: &["dashboard", "token", "tls", "allow"],
};

const LIMITS: Schema = Schema {
    place: "limits",
    keys: &[
        Key::new(
            "sessions",
            Takes::Count(value::SESSIONS_MAX),
            "Sessions at a time; further clients wait. The whole process has never more than its \
             descriptors allow.",
        ),
        Key::new(
            "per_client",
            Takes::Count(value::PER_CLIENT_MAX),
            "Sessions at a time of each client; one more is refused.",
        ),
        Key::new("rate", Takes::Rate, "New sessions in a while; further clients wait."),
        Key::new(
            "rate_per_client",
            Takes::Rate,
            "New sessions of each client in a while; one more is refused.",
        ),
        Key::new(
            "bandwidth",
            Takes::ByteRates(&BANDWIDTH),
            "How fast all sessions together may move bytes, in each direction.",
        ),
        Key::new(
            "session_bandwidth",
            Takes::ByteRates(&BANDWIDTH),
            "How fast each session may move bytes, in each direction.",
        ),
    ],
    also: &[],
    later: &[],
};

const RUNTIME: Schema = Schema {
    place: "[runtime]",
    keys: &[
        Key::new(
            "shards",
            Takes::Count(value::SHARDS_MAX),
            "Threads that carry sessions; one for each core if it is left out.",
        ),
        Key::new(
            "io",
            Takes::Choice(&keys::names(&Io::NAMES)),
            "By what bytes move: io_uring(7) where the kernel has what it takes, or epoll(7).",
        )
        .default("\"auto\""),
        Key::new("splice", Takes::Boolean, "Whether bulk may go through splice(2).")
            .default("true"),
    ],
    also: &[],
    later: &[],
};

/// Reads `files`, in this order, as one configuration. A name may be given once in all of them.
/// The lists that they name are read by `read_list`, and added to `sources`.
pub fn read(
    files: &[SourceId],
    sources: &mut Sources,
    environment: Environment<'_>,
    read_list: Lists<'_>,
) -> Reading {
    let mut reader = Reader {
        environment,
        read_list,
        sources,
        lists: Vec::new(),
        known_lists: list::Known::new(),
        config: Config::default(),
        faults: Vec::new(),
        names: HashMap::new(),
        unsure: false,
    };
    for &file in files {
        let text = reader.sources.get(file).text.clone();
        reader.file(file, &text);
    }
    reader.finish(files)
}

/// What a name in a file stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Listener,
    Pool,
    Table,
}

/// What has been read so far.
struct Reader<'a> {
    environment: Environment<'a>,
    read_list: Lists<'a>,
    sources: &'a mut Sources,
    lists: Vec<String>,
    known_lists: list::Known,
    config: Config,
    faults: Vec<Diagnostic>,
    /// Where each name was given first.
    names: HashMap<(Kind, String), Span>,
    /// Something that may have named a pool could not be read.
    unsure: bool,
}

impl Reader<'_> {
    fn file(&mut self, file: SourceId, text: &str) {
        let (root, errors) = DeTable::parse_recoverable(text);
        self.unsure |= !errors.is_empty();
        self.faults.extend(syntax::faults(file, text, root.get_ref(), &errors));
        let root = Table::root(file, text, root.get_ref());
        self.keys(&root, &ROOT);
        // Pools first: a listener's own pool must not hide one that was written as such.
        self.pools(&root);
        self.listeners(&root);
        if let Some(access) = self.only(&root, "access") {
            self.keys(&access, &ACCESS);
            self.config.access = self.access(&access);
        }
        if let Some(limits) = self.only(&root, "limits") {
            self.config.limits = self.limits(&limits);
        }
        self.logs(&root);
        if let Some(runtime) = self.only(&root, "runtime") {
            self.keys(&runtime, &RUNTIME);
            if let Some(count) = self.count(&runtime, "shards", value::SHARDS_MAX) {
                self.config.runtime.shards = Some(count);
            }
            if let Some(io) = self.choice(&runtime, "io", &Io::NAMES, &[]) {
                self.config.runtime.io = io;
            }
            if let Some(splice) = self.boolean(&runtime, "splice") {
                self.config.runtime.splice = splice;
            }
        }
        if let Some(admin) = self.only(&root, "admin") {
            self.keys(&admin, &ADMIN);
            self.config.admin.bind = self.admin_bind(&admin);
        }
    }

    fn admin_bind(&mut self, admin: &Table<'_>) -> Option<Spanned<UnixName>> {
        const HELP: &str = "write `bind = \"unix:/run/replug/admin.sock\"`";
        if admin.get("bind").is_none() {
            self.missing(admin, "[admin] has no `bind`".to_owned(), HELP);
        }
        let text = self.text(admin, "bind")?;
        let fault = match Bind::parse(&text.value) {
            Ok(Bind::Unix(name)) => return Some(Spanned::at(name, text.span)),
            Ok(Bind::Tcp { .. }) => {
                let message = "orders by TCP are not in this version";
                Diagnostic::new(Code::NotYet, text.span, message)
                    .label("not in this version")
                    .help(HELP)
            }
            Ok(Bind::Systemd(_) | Bind::Inetd) => {
                let message = "orders come by a unix socket of replug's own";
                Diagnostic::new(Code::Address, text.span, message).label("not by this").help(HELP)
            }
            Ok(Bind::Udp { .. }) => {
                Diagnostic::new(Code::Address, text.span, "orders do not come by UDP")
                    .label("not by UDP")
                    .help(HELP)
            }
            Err(fault) => address::fault(text.word(), &fault, Purpose::Bind).help(HELP),
        };
        self.faults.push(fault);
        None
    }

    /// The limits of the process, or of a listener.
    fn limits(&mut self, limits: &Table<'_>) -> Limits {
        self.keys(limits, &LIMITS);
        let per_client = self.count(limits, "per_client", value::PER_CLIENT_MAX);
        Limits {
            sessions: self.count(limits, "sessions", value::SESSIONS_MAX),
            per_client: per_client.and_then(|count| NonZeroU32::try_from(count).ok()),
            rate: self.rate(limits, "rate"),
            rate_per_client: self.rate(limits, "rate_per_client"),
            bandwidth: self.bandwidth(limits, "bandwidth"),
            session_bandwidth: self.bandwidth(limits, "session_bandwidth"),
        }
    }

    /// A table that all files together may hold once.
    fn only<'t>(&mut self, root: &Table<'t>, key: &str) -> Option<Table<'t>> {
        let table = self.table(root, key)?;
        self.claim(Kind::Table, key, table.span);
        Some(table)
    }

    /// Takes a name; whether it was free.
    fn claim(&mut self, kind: Kind, name: &str, span: Span) -> bool {
        let Some(first) = self.names.get(&(kind, name.to_owned())) else {
            self.names.insert((kind, name.to_owned()), span);
            return true;
        };
        let what = match kind {
            Kind::Listener => format!("listener `{name}`"),
            Kind::Pool => format!("pool `{name}`"),
            Kind::Table => format!("[{name}]"),
        };
        let fault = Diagnostic::new(Code::NameTwice, span, format!("{what} is there twice"))
            .label("again here")
            .related(*first, "first here");
        self.faults.push(match kind {
            Kind::Table => fault.help("write all of its keys in one place"),
            Kind::Pool => {
                fault.help("name one of them differently; `to` makes a pool of the listener's name")
            }
            Kind::Listener => {
                fault.help("name one of them differently, or give one listener both binds")
            }
        });
        false
    }

    fn finish(mut self, files: &[SourceId]) -> Reading {
        if self.config.listeners.is_empty() && self.faults.is_empty() {
            let none = Diagnostic::new(
                Code::KeyMissing,
                None,
                match files {
                    [] => "there is no file to read",
                    _ => "there is no listener",
                },
            );
            self.faults.push(none.help(
                "write `[listener.web]` with `bind = \":8080\"` and `to = \"10.0.0.11:80\"`",
            ));
        }
        // What stands where the TOML is broken is not what was meant.
        let broken = self.faults.iter().filter(|fault| fault.code == Code::Syntax);
        let broken: Vec<_> = broken.filter_map(|fault| fault.span).collect();
        let is_broken = |span: Span| broken.iter().any(|broken| broken.overlaps(span));
        self.faults
            .retain(|fault| fault.code == Code::Syntax || !fault.span.is_some_and(is_broken));
        let pools: Vec<_> = self.config.pools.iter().map(|pool| pool.name.value.clone()).collect();
        for mut fault in check::check(&self.config) {
            match fault.code {
                // The reader has said so, and knows why.
                Code::PoolEmpty => continue,
                Code::PoolUnused | Code::PoolUnknown if fault.span.is_none() || self.unsure => {
                    continue;
                }
                // It may lead somewhere by a route that could not be read.
                Code::KeyMissing if self.unsure => continue,
                Code::PoolUnknown => {
                    let names = self.config.listeners.iter().flat_map(model::Listener::pools);
                    let wanted = names.into_iter().find(|pool| pool.span == fault.span);
                    let meant = wanted.and_then(|wanted| {
                        suggest::nearest(&wanted.value, pools.iter().map(String::as_str))
                    });
                    fault = match (meant, &*pools) {
                        (Some(meant), _) => fault.help(format!("did you mean `{meant}`?")),
                        (None, []) => {
                            fault.help("write its backends in a table of its own, `[pool.NAME]`")
                        }
                        (None, pools) => fault.help(format!("there are: {}", pools.join(", "))),
                    };
                }
                Code::Loop => {
                    fault = fault.help("name the address of the service, not that of the listener");
                }
                _ => {}
            }
            self.faults.push(fault);
        }
        // A pool that was meant by a misspelt name is not unused.
        if self.faults.iter().any(|fault| fault.code == Code::PoolUnknown) {
            self.faults.retain(|fault| fault.code != Code::PoolUnused);
        }
        self.faults.sort_by_key(|fault| fault.span.map(|span| (span.source, span.start)));
        Reading { config: self.config, diagnostics: self.faults, lists: self.lists }
    }
}
