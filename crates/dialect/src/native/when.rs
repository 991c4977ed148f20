//! `when` of a route: what a session must be like.

use std::net::IpAddr;

use model::route::hours::Hours;
use model::route::pattern::{
    HeaderPattern, NamePattern, PatternFault, Prefix, TextPattern, is_token,
};
use model::{Code, Diagnostic, Protocol, Severity, TlsVersion, When};
use toml::de::DeValue;
use wire::pattern::{Fault, Pattern};

use super::Reader;
use super::keys::{self, Key, Schema, Takes};
use super::table::{Entry, Table};

pub(super) const WHEN: Schema = Schema {
    place: "`when`",
    keys: &[
        Key::new("client", Takes::Texts("10.1.0.0/16"), "Ranges that the client's address is in."),
        Key::new(
            "address",
            Takes::Texts("10.0.0.1"),
            "Addresses of this machine that the client came to.",
        ),
        Key::new("port", Takes::Counts(PORT_MAX), "Ports of this machine that the client came to."),
        Key::new(
            "time",
            Takes::Texts("mon-fri 08:00-18:00"),
            "Hours in which it came, in the zone of this machine.",
        ),
        Key::new(
            "protocol",
            Takes::Choices(&keys::names(&Protocol::NAMES)),
            "What the client speaks, by its first bytes.",
        ),
        Key::new(
            "sni",
            Takes::Texts("*.example.com"),
            "The host in its ClientHello: a name, `*.NAME` for all below it, `*` for any.",
        ),
        Key::new("alpn", Takes::Texts("h2"), "Protocols that it offers to speak within TLS."),
        Key::new(
            "tls_version",
            Takes::Choices(&keys::names(&TlsVersion::NAMES)),
            "The newest version of TLS that it offers.",
        ),
        Key::new(
            "client_cert",
            Takes::Texts("billing*"),
            "The common name of the certificate that it has shown, with `*` at the end for all that \
             begin so; `*` for any certificate.",
        ),
        Key::new(
            "san",
            Takes::Texts("spiffe://example.com/*"),
            "An alternative name of that certificate (a host, an address, a mail address, a URI), \
             likewise.",
        ),
        Key::new(
            "host",
            Takes::Texts("*.example.com"),
            "The host of its HTTP request, without a port.",
        ),
        Key::new(
            "path",
            Takes::Texts("/api/*"),
            "The path of its HTTP request, up to a `?`; `*` at the end for all that begin so.",
        ),
        Key::new("method", Takes::Texts("GET"), "The method of its HTTP request."),
        Key::new(
            "header",
            Takes::Texts("Upgrade: websocket"),
            "Fields of its HTTP request: `NAME`, or `NAME: VALUE` with `*` at the end as in `path`.",
        ),
        Key::new("user", Takes::Texts("alice"), "The user of its PostgreSQL session."),
        Key::new("database", Takes::Texts("shop"), "The database of its PostgreSQL session."),
        Key::new(
            "git_repository",
            Takes::Texts("/project.git"),
            "The repository that its `git://` request is about, as `path`.",
        ),
        Key::new(
            "prefix",
            Takes::Texts("SSH-"),
            "What its first bytes are: text, or `hex:16 03 01`.",
        ),
        Key::new(
            "regex",
            Takes::Texts("GET /[0-9]+ "),
            "A regular expression that matches from its first byte on.",
        ),
        Key::new("not", Takes::Whens, "Conditions of which none may hold."),
        Key::new("any", Takes::Whens, "Conditions of which one must hold."),
        Key::new("all", Takes::Whens, "Conditions that must all hold."),
    ],
    also: &[],
    later: &[],
};

const PORT_MAX: usize = u16::MAX as usize;

impl Reader<'_> {
    /// A condition; `None` if it has a fault: without a part of it, it would stand for more
    /// sessions than was meant.
    pub(super) fn when(&mut self, entry: Entry<'_>, table: &Table<'_>) -> Option<When> {
        let faults = self.faults.len();
        let when = self.condition(table, 1);
        if self.faults.len() == faults && table.entries().next().is_none() {
            let fault =
                Diagnostic::new(Code::KeyMissing, entry.value_span(), "`when` says nothing");
            self.faults.push(
                fault
                    .label("empty")
                    .help("a pool for all sessions is the listener's own: `pool = \"NAME\"` there"),
            );
        }
        let is_sound =
            self.faults[faults..].iter().all(|fault| fault.severity() == Severity::Warning);
        is_sound.then_some(when)
    }

    fn condition(&mut self, table: &Table<'_>, depth: usize) -> When {
        self.keys(table, &WHEN);
        let when = When {
            client: self.ranges(table, "client"),
            address: self.addresses(table),
            port: self.ports(table),
            time: self.patterns(table, "time", "hours of the week", Hours::parse),
            protocol: self.choices(table, "protocol", &Protocol::NAMES),
            sni: self.patterns(table, "sni", "a host", NamePattern::parse),
            alpn: self.patterns(table, "alpn", "a protocol", plain::<255>),
            tls_version: self.choices(table, "tls_version", &TlsVersion::NAMES),
            client_cert: self.patterns(table, "client_cert", "a name", proven),
            san: self.patterns(table, "san", "a name", proven),
            host: self.patterns(table, "host", "a host", NamePattern::parse),
            path: self.patterns(table, "path", "a path", path),
            method: self.patterns(table, "method", "a method", method),
            header: self.patterns(table, "header", "a header field", HeaderPattern::parse),
            user: self.patterns(table, "user", "a user", plain::<1024>),
            database: self.patterns(table, "database", "a database", plain::<1024>),
            git_repository: self.patterns(
                table,
                "git_repository",
                "a repository",
                TextPattern::parse,
            ),
            prefix: self.patterns(table, "prefix", "a prefix", Prefix::parse),
            regex: self.regexes(table),
            not: self.conditions(table, "not", depth),
            any: self.conditions(table, "any", depth),
            all: self.conditions(table, "all", depth),
        };
        self.names_nothing(table);
        when
    }

    /// A list without items would hold for all sessions, or for none.
    fn names_nothing(&mut self, table: &Table<'_>) {
        let is_empty = |entry: &Entry<'_>| match entry.value() {
            DeValue::Array(list) => list.is_empty(),
            _ => false,
        };
        if let Some(empty) = table.entries().find(is_empty) {
            let message = format!("`{}` names nothing", empty.name());
            self.faults.push(
                Diagnostic::new(Code::KeyMissing, empty.value_span(), message)
                    .label("empty")
                    .help("leave the key out where it does not matter"),
            );
        }
    }

    /// Conditions within a condition: a table, or a list of them.
    fn conditions(&mut self, table: &Table<'_>, key: &str, depth: usize) -> Vec<When> {
        let Some(entry) = table.get(key) else { return Vec::new() };
        let Some(tables) = entry.as_one_or_more() else {
            let help = format!("write `{key} = [{{ sni = \"...\" }}, {{ port = 443 }}]`");
            self.wrong(entry, "a table or a list of tables", help);
            return Vec::new();
        };
        if depth == When::DEPTH_MAX {
            let message = format!("conditions stand more than {depth} deep in each other");
            let fault = Diagnostic::new(Code::Number, entry.span(), message).label("too deep");
            self.faults.push(fault.help("make several routes of it"));
            return Vec::new();
        }
        let mut conditions = Vec::new();
        for table in &tables {
            if table.entries().next().is_none() {
                let message = format!("a condition in `{key}` says nothing");
                let fault = Diagnostic::new(Code::KeyMissing, table.span, message).label("empty");
                self.faults.push(fault.help("leave it out"));
            }
            conditions.push(self.condition(table, depth + 1));
        }
        conditions
    }

    /// Texts that `read` understands, which are `noun`.
    fn patterns<T>(
        &mut self,
        table: &Table<'_>,
        key: &str,
        noun: &str,
        read: fn(&str) -> Result<T, PatternFault>,
    ) -> Vec<T> {
        let mut patterns = Vec::new();
        for text in self.texts(table, key).unwrap_or_default() {
            match read(&text.value) {
                Ok(pattern) => patterns.push(pattern),
                Err(PatternFault { at, what, help }) => {
                    let message = format!("`{}` is not {noun}", text.value);
                    let span = text.word().span_of(at);
                    let fault = Diagnostic::new(Code::Pattern, span, message);
                    self.faults.push(fault.label(what).help(help));
                }
            }
        }
        patterns
    }

    fn regexes(&mut self, table: &Table<'_>) -> Vec<String> {
        const HELP: &str = "in a string with single quotes, backslashes stand for themselves";
        let mut regexes = Vec::new();
        for text in self.texts(table, "regex").unwrap_or_default() {
            let (at, what, help) = match Pattern::new(&text.value) {
                Ok(_) => {
                    regexes.push(text.value.into_owned());
                    continue;
                }
                Err(Fault::Syntax { at, what }) => (at, what, HELP),
                Err(Fault::TooLong) => (
                    0..text.value.len(),
                    "longer than 4 KiB".to_owned(),
                    "make several of it: `regex = ['...', '...']`",
                ),
                Err(Fault::TooLarge) => (
                    0..text.value.len(),
                    "its table would be larger than 1 MiB".to_owned(),
                    "repeat less: of `.{100}` and the like each number is paid for",
                ),
                Err(Fault::Empty) => (
                    0..text.value.len(),
                    "matches before anything has come".to_owned(),
                    "ask for at least one byte",
                ),
            };
            let message = format!("`{}` is not an expression", text.value);
            let span = text.word().span_of(at);
            let fault = Diagnostic::new(Code::Pattern, span, message);
            self.faults.push(fault.label(what).help(help));
        }
        regexes
    }

    fn addresses(&mut self, table: &Table<'_>) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for text in self.texts(table, "address").unwrap_or_default() {
            match text.value.trim_matches(['[', ']']).parse() {
                Ok(address) => addresses.push(address),
                Err(_) => self.faults.push(
                    Diagnostic::new(
                        Code::Address,
                        text.span,
                        format!("`{}` is not an address", text.value),
                    )
                    .label("one address")
                    .help("write `address = \"10.0.0.1\"`, and ports as `port = 8080`"),
                ),
            }
        }
        addresses
    }

    fn ports(&mut self, table: &Table<'_>) -> Vec<u16> {
        let ports = self.counts(table, "port", PORT_MAX);
        ports.into_iter().filter_map(|port| u16::try_from(port.get()).ok()).collect()
    }
}

/// A text of 1 to `MAX` bytes, compared as it is.
fn plain<const MAX: usize>(text: &str) -> Result<String, PatternFault> {
    let what = match text.len() {
        0 => "empty",
        length if length > MAX => "too long",
        _ => return Ok(text.to_owned()),
    };
    let help = "leave the key out where it does not matter";
    Err(PatternFault { at: 0..text.len(), what, help })
}

fn method(text: &str) -> Result<String, PatternFault> {
    const METHOD_BYTES_MAX: usize = wire::http::METHOD_BYTES_MAX;
    let help = "methods are written as `GET`, in capitals for all that are in use";
    let fault = |at, what| Err(PatternFault { at, what, help });
    match text.char_indices().find(|(_, c)| !is_token(*c)) {
        Some((at, c)) => fault(at..at + c.len_utf8(), "not of a method"),
        None if text.is_empty() || text.len() > METHOD_BYTES_MAX => {
            fault(0..text.len(), "one to 32 letters")
        }
        None => Ok(text.to_owned()),
    }
}

fn proven(text: &str) -> Result<TextPattern, PatternFault> {
    let help = "write a name as it stands in the certificate, or how it begins and a `*`";
    TextPattern::parse(text).map_err(|fault| PatternFault { help, ..fault })
}

fn path(text: &str) -> Result<TextPattern, PatternFault> {
    let pattern = TextPattern::parse(text)?;
    let help = "write `/a` for one, `/a/*` for all below it";
    match text.starts_with(['/', '*']) {
        true => Ok(pattern),
        false => Err(PatternFault { at: 0..text.len(), what: "begins without a `/`", help }),
    }
}
