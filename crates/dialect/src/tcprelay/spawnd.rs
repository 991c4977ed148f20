//! The section of spawnd: where clients arrive, how many, and what becomes of the process.

use std::time::Duration;

use model::{Backlog, Code, Diagnostic, Dscp, Interface, MinVersion, Span, Spanned};

use super::Surroundings;
use super::access::{self, Rule};
use super::anywhere::Anywhere;
use super::lex::{Kind, Token};
use super::parse::{Block, Cursor};
use super::value::{self, Local};

/// What the section says.
#[derive(Debug, Default)]
pub(super) struct Spawnd {
    pub(super) listens: Vec<Listen>,
    pub(super) spawn: Spawn,
    pub(super) background: bool,
    pub(super) pidfile: Option<Spanned<String>>,
    pub(super) overload: Option<Spanned<Overload>>,
    /// How often an address is tried again that cannot be had.
    pub(super) retry: Option<Duration>,
    pub(super) single: bool,
    pub(super) sticky: Sticky,
    pub(super) rules: Vec<Rule>,
    pub(super) anywhere: Anywhere,
    keepalive: Keepalive,
}

/// What becomes of clients beyond the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overload {
    Queue,
    Close,
    Reset,
}

/// A listener.
#[derive(Clone, Debug, Default)]
pub(super) struct Listen {
    /// Where it begins.
    pub(super) span: Option<Span>,
    pub(super) address: Option<Spanned<Local>>,
    pub(super) port: Option<Spanned<u16>>,
    /// Whether clients speak TLS, and the oldest version of it.
    pub(super) tls: Option<Spanned<MinVersion>>,
    /// Whether TLS is to do without certificates.
    pub(super) psk: Option<Span>,
    /// What questions to a program call it.
    pub(super) realm: Option<Spanned<String>>,
    /// Clients come through a proxy, which tells whose connections they are.
    pub(super) haproxy: Option<Span>,
    pub(super) backlog: Option<Spanned<Backlog>>,
    pub(super) dscp: Option<Spanned<Dscp>>,
    pub(super) interface: Option<Spanned<Interface>>,
    pub(super) keepalive: Keepalive,
    pub(super) sticky: Sticky,
    pub(super) retry: Option<Duration>,
    /// Whom a unix socket belongs to and who may use it.
    pub(super) rights: Option<Span>,
}

/// When a silent peer is probed, how often, and how many probes it may leave unanswered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keepalive {
    pub(super) idle: Option<u32>,
    pub(super) interval: Option<u32>,
    pub(super) count: Option<u32>,
}

/// How long a client is remembered, and how many are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sticky {
    pub(super) period: Option<Duration>,
    pub(super) size: Option<u32>,
}

/// The worker processes.
#[derive(Debug, Default)]
pub(super) struct Spawn {
    pub(super) exec: Option<Spanned<String>>,
    pub(super) id: Option<Spanned<String>>,
    pub(super) config: Option<Spanned<String>>,
    pub(super) users_max: Option<Spanned<u32>>,
    pub(super) users_min: Option<Spanned<u32>>,
    pub(super) instances_max: Option<Spanned<u32>>,
    pub(super) instances_min: Option<Spanned<u32>>,
    pub(super) user: Option<Spanned<String>>,
    pub(super) group: Option<Spanned<String>>,
}

const SECTION: Block = Block {
    name: "a spawnd section",
    known: &[
        "acl",
        "background",
        "bind",
        "coredump",
        "debug",
        "deny",
        "listen",
        "overload",
        "permit",
        "pid-file",
        "pidfile",
        "proctitle",
        "regex-match-case",
        "single",
        "spawn",
        "sticky",
        "syslog",
        "tcp",
        "trace",
    ],
};

const LISTEN: Block = Block {
    name: "a listener",
    known: &[
        "aaa.protocol",
        "address",
        "backlog",
        "bind",
        "dscp",
        "flag",
        "groupid",
        "haproxy",
        "mode",
        "overload",
        "path",
        "port",
        "protocol",
        "realm",
        "ssl",
        "sticky",
        "tcp",
        "tls",
        "type",
        "userid",
        "vrf",
    ],
};

const SPAWN: Block = Block {
    name: "spawn",
    known: &[
        "config",
        "exec",
        "groupid",
        "id",
        "instances",
        "ipc",
        "servers",
        "sticky",
        "userid",
        "users",
        "working",
    ],
};

const OVERLOADS: [(&str, Overload); 3] =
    [("close", Overload::Close), ("queue", Overload::Queue), ("reset", Overload::Reset)];

/// Reads the section behind its name.
pub(super) fn read(cursor: &mut Cursor<'_>, surroundings: Surroundings<'_>) -> Spawnd {
    let mut section = Spawnd::default();
    cursor.block(
        SECTION,
        |cursor, token| section.directive(cursor, token, surroundings),
        |_, _| false,
    );
    section
}

impl Spawnd {
    fn directive(
        &mut self,
        cursor: &mut Cursor<'_>,
        token: &Token,
        surroundings: Surroundings<'_>,
    ) {
        match &*token.text {
            "listen" => self.listen(cursor, token.span, surroundings),
            "spawn" => {
                let (spawn, sticky) = (&mut self.spawn, &mut self.sticky);
                let directive = |cursor: &mut Cursor<'_>, token: &Token| {
                    spawn.directive(cursor, token, sticky);
                };
                cursor.block(SPAWN, directive, |_, _| false);
            }
            "background" => self.background = is(cursor.boolean()),
            "pidfile" | "pid-file" => self.pidfile = cursor.text(),
            "overload" => self.overload = cursor.choice(&OVERLOADS),
            "bind" => self.retry = retry(cursor),
            "single" => {
                if cursor.keyword(&["process"]).is_some() {
                    self.single = is(cursor.boolean());
                }
            }
            "tcp" => match cursor.keyword(&["bufsize", "keepalive"]) {
                Some("bufsize") => cursor.pass_integer(),
                Some(_) => self.keepalive.read(cursor),
                None => {}
            },
            "sticky" => self.sticky.read(cursor),
            "permit" => self.rule(cursor, true, token.span),
            "deny" => self.rule(cursor, false, token.span),
            // So in the manual's samples.
            "acl" => {
                if let Some(verb) = cursor.keyword(&["accept", "deny", "permit", "reject"]) {
                    self.rule(cursor, matches!(verb, "accept" | "permit"), token.span);
                }
            }
            name => self.anywhere.directive(cursor, name),
        }
    }

    fn listen(&mut self, cursor: &mut Cursor<'_>, span: Span, surroundings: Surroundings<'_>) {
        let begun = Listen {
            span: Some(span),
            keepalive: self.keepalive,
            retry: self.retry,
            ..Listen::default()
        };
        // Both readers below write to it.
        let listen = std::cell::RefCell::new(begun);
        cursor.block(
            LISTEN,
            |cursor, token| listen.borrow_mut().directive(cursor, token, surroundings),
            |cursor, token| listen.borrow_mut().bare(cursor, token),
        );
        self.listens.push(listen.into_inner());
    }

    /// `permit [not] RANGE`.
    fn rule(&mut self, cursor: &mut Cursor<'_>, permit: bool, span: Span) {
        let next = cursor.peek();
        let not = next.kind == Kind::Bare && next.text == "not" || next.text == "!";
        if not {
            cursor.take();
        }
        let Some(range) = cursor.read(value::range) else { return };
        let at = range.span.unwrap_or(span);
        let (range, told) = range.value;
        cursor.faults.extend(told);
        let ranges = if not { access::outside(range) } else { vec![range] };
        self.rules.push(Rule { permit, ranges, span: at });
    }
}

impl Listen {
    fn directive(
        &mut self,
        cursor: &mut Cursor<'_>,
        token: &Token,
        surroundings: Surroundings<'_>,
    ) {
        match &*token.text {
            "address" | "path" => self.address = cursor.read(value::local),
            "port" => self.port = cursor.read(|token| value::port(token, surroundings)),
            "protocol" => protocol(cursor),
            "type" => stream(cursor),
            "tls" | "ssl" => self.tls(cursor, token),
            "backlog" => self.backlog = cursor.read(value::backlog),
            "overload" => {
                if cursor.keyword(&["backlog"]).is_some() {
                    cursor.pass_integer();
                }
            }
            "bind" => self.retry = retry(cursor),
            "tcp" => {
                if cursor.keyword(&["keepalive"]).is_some() {
                    self.keepalive.read(cursor);
                }
            }
            "realm" => self.realm = cursor.text(),
            "dscp" => self.dscp = cursor.read(value::dscp),
            "vrf" => self.interface = cursor.read(value::interface),
            "haproxy" => {
                self.haproxy =
                    cursor.boolean().filter(|told| told.value).and_then(|told| told.span);
            }
            "sticky" => self.sticky.read(cursor),
            "mode" | "userid" | "groupid" => {
                cursor.pass();
                self.rights = Some(token.span);
            }
            // `flag`, `aaa.protocol`: nothing in tcprelay looks at these.
            _ => cursor.pass(),
        }
    }

    /// A bare address, as in the manual.
    fn bare(&mut self, cursor: &mut Cursor<'_>, token: &Token) -> bool {
        let looks = token.text.contains(['.', ':', '/']);
        match value::local(token) {
            Ok(address) if looks => {
                self.address = Some(Spanned::at(address, token.span));
                cursor.take();
                true
            }
            _ => false,
        }
    }

    /// `tls`, `tls [=] VERSION,...`, `tls psk = BOOLEAN`.
    fn tls(&mut self, cursor: &mut Cursor<'_>, token: &Token) {
        let next = cursor.peek().clone();
        if next.kind == Kind::Bare && next.text == "psk" {
            cursor.take();
            if is(cursor.boolean()) {
                self.psk = Some(token.span);
            }
            return;
        }
        if next.kind != Kind::Equals {
            self.tls = Some(Spanned::at(MinVersion::default(), token.span));
            return;
        }
        let Some(value) = cursor.value() else { return };
        let off = matches!(&*value.text, "no" | "false" | "deny");
        let is_version = |text: &str| {
            let number = text.strip_prefix("DTLSv").or_else(|| text.strip_prefix("TLSv"));
            number.is_some_and(|number| number.starts_with("1."))
        };
        if !off
            && !matches!(&*value.text, "yes" | "true" | "permit" | "auto")
            && !is_version(&value.text)
        {
            let known =
                ["TLSv1.2", "TLSv1.3", "auto", "deny", "false", "no", "permit", "true", "yes"];
            cursor.expected(&known, &value);
        }
        let is_newest = |text: &str| text == "TLSv1.3";
        let mut are_newest = is_newest(&value.text);
        while cursor.took(Kind::Comma) {
            let Some(next) = cursor.value() else { return };
            are_newest &= is_newest(&next.text);
        }
        let oldest = if are_newest { MinVersion::Tls13 } else { MinVersion::default() };
        self.tls = Some(Spanned::at(oldest, value.span)).filter(|_| !off);
    }
}

impl Keepalive {
    /// `count|idle|interval = N`.
    fn read(&mut self, cursor: &mut Cursor<'_>) {
        let Some(which) = cursor.keyword(&["count", "idle", "interval"]) else { return };
        let number = cursor.integer().map(|number| number.value).filter(|number| *number > 0);
        match which {
            "count" => self.count = number,
            "idle" => self.idle = number,
            _ => self.interval = number,
        }
    }
}

impl Sticky {
    /// `cache period|size = N`.
    fn read(&mut self, cursor: &mut Cursor<'_>) {
        if cursor.keyword(&["cache"]).is_none() {
            return;
        }
        match cursor.keyword(&["period", "size"]) {
            Some("period") => self.period = cursor.seconds().map(|period| period.value),
            Some(_) => self.size = cursor.integer().map(|size| size.value),
            None => {}
        }
    }
}

impl Spawn {
    fn directive(&mut self, cursor: &mut Cursor<'_>, token: &Token, sticky: &mut Sticky) {
        let bound = |cursor: &mut Cursor<'_>| {
            cursor
                .keyword(&["max", "maximum", "min", "minimum"])
                .map(|which| which.starts_with("max"))
        };
        match &*token.text {
            "exec" => self.exec = cursor.text(),
            "id" => self.id = cursor.text(),
            "config" => self.config = cursor.text(),
            "userid" => self.user = cursor.text(),
            "groupid" => self.group = cursor.text(),
            "sticky" => sticky.read(cursor),
            "users" => match bound(cursor) {
                Some(true) => self.users_max = cursor.integer(),
                Some(false) => self.users_min = cursor.integer(),
                None => {}
            },
            "instances" | "servers" => match bound(cursor) {
                Some(true) => self.instances_max = cursor.integer(),
                Some(false) => self.instances_min = cursor.integer(),
                None => {}
            },
            "ipc" => {
                if cursor.keyword(&["key"]).is_some() {
                    cursor.pass_integer();
                }
            }
            _ => {
                if cursor.keyword(&["directory"]).is_some() {
                    // The program's own parser wants a word between: `working directory X = DIR`.
                    let next = cursor.peek();
                    let dummy = next.is_word() && !next.text.starts_with('/');
                    if dummy {
                        cursor.take();
                    }
                    cursor.pass();
                }
            }
        }
    }
}

/// `retry delay = SECONDS`, behind `bind`.
fn retry(cursor: &mut Cursor<'_>) -> Option<Duration> {
    cursor.keyword(&["retry"])?;
    cursor.keyword(&["delay"])?;
    cursor.seconds().map(|delay| delay.value).filter(|delay| !delay.is_zero())
}

fn protocol(cursor: &mut Cursor<'_>) {
    const KNOWN: [(&str, &str); 5] =
        [("SCTP", "SCTP"), ("TCP", ""), ("UDP", "UDP"), ("tcp", ""), ("udp", "UDP")];
    match cursor.choice(&KNOWN) {
        Some(Spanned { value: "SCTP", span }) => {
            cursor.faults.push(not_yet(span, "SCTP is not served", "use TCP"));
        }
        Some(Spanned { value: "UDP", span }) => {
            let help = "leave this listener out: tcprelay opens it and forwards nothing";
            cursor.faults.push(not_yet(span, "UDP is not served", help));
        }
        _ => {}
    }
}

fn stream(cursor: &mut Cursor<'_>) {
    const KNOWN: [(&str, bool); 6] = [
        ("DGRAM", false),
        ("SEQPACKET", false),
        ("STREAM", true),
        ("dgram", false),
        ("seqpacket", false),
        ("stream", true),
    ];
    if let Some(Spanned { value: false, span }) = cursor.choice(&KNOWN) {
        cursor.faults.push(not_yet(span, "only streams are served", "write STREAM"));
    }
}

/// Something that the original may do and we do not.
pub(super) fn not_yet(span: Option<Span>, message: &str, help: &str) -> Diagnostic {
    Diagnostic::new(Code::NotYet, span, message).label("not in this version").help(help)
}

fn is(value: Option<Spanned<bool>>) -> bool {
    value.is_some_and(|value| value.value)
}
