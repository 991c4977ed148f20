//! The lines of a rinetd configuration: rules, who may come, and settings.

use model::{Access, Clients, Code, Diagnostic, SourceId, Sources, Span, Spanned};

use super::cursor::Cursor;
use super::end::{self, End, Host};
use super::option::{self, Said};
use super::{Included, Surroundings, Transport};
use crate::line::Word;
use crate::suggest;
use crate::term::{Dialect, cidr, clients, value};

/// Files within files.
const INCLUDES_DEEP_MAX: usize = 10;

/// Files that are included in all: more is a circle.
const INCLUDES_MAX: usize = 1_000;

const KEYWORDS: [&str; 12] = [
    "allow",
    "buffersize",
    "deny",
    "dns-refresh",
    "include",
    "logcommon",
    "logfile",
    "pidfile",
    "pidlogfile",
    "pool-max-free",
    "pool-min-free",
    "pool-trim-delay",
];

/// What lines say.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) rules: Vec<Rule>,
    /// What holds for all rules.
    pub(super) access: Scope,
    pub(super) log: Option<Spanned<String>>,
    pub(super) is_common: bool,
    pub(super) pidfile: Option<Spanned<String>>,
    pub(super) faults: Vec<Diagnostic>,
}

/// A forwarding rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) bind: End,
    pub(super) bind_span: Span,
    pub(super) target: End,
    pub(super) target_span: Span,
    pub(super) said: Said,
    pub(super) access: Scope,
}

/// Who may come, as it is written.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) access: Access,
    /// Where an `allow` stands that matches no address.
    pub(super) allows_nobody: Option<Span>,
}

/// Reads the file `file` and what it includes.
pub(super) fn read(file: SourceId, sources: &mut Sources, surroundings: Surroundings<'_>) -> Lines {
    let said = Lines::default();
    let mut reader = Reader { sources, surroundings, said, included: 0 };
    reader.file(file, 0);
    reader.said
}

struct Reader<'a> {
    sources: &'a mut Sources,
    surroundings: Surroundings<'a>,
    said: Lines,
    included: usize,
}

impl Reader<'_> {
    fn file(&mut self, file: SourceId, depth: usize) {
        let text = self.sources.get(file).text.clone();
        let mut start = 0;
        for (at, line) in text.split_inclusive('\n').enumerate() {
            let plain = line.strip_suffix('\n').unwrap_or(line);
            let plain = plain.strip_suffix('\r').unwrap_or(plain);
            let mut cursor = Cursor::new(file, start, at + 1, plain);
            let faults = self.said.faults.len();
            if let Err(fault) = self.line(&mut cursor, depth) {
                self.said.faults.push(fault);
            }
            for fault in &mut self.said.faults[faults..] {
                // Whoever has no words of its own says where, and the rest is under it.
                if fault.message.is_empty() {
                    fault.message = cursor.invalid();
                }
            }
            start += line.len();
        }
    }

    /// Faults without a message get that of a line that cannot be read.
    fn line(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Diagnostic> {
        let Some(first) = cursor.word() else { return Ok(()) };
        match first.text {
            "allow" | "deny" => {
                let (is_allow, pattern) = (first.text == "allow", cursor.value("a pattern")?);
                cursor.end()?;
                self.client(is_allow, pattern)?;
            }
            "logfile" => {
                let path = self.path(cursor)?;
                self.said.log = Some(path);
            }
            "pidlogfile" | "pidfile" => {
                let path = self.path(cursor)?;
                self.said.pidfile = Some(path);
            }
            "logcommon" => {
                cursor.end()?;
                self.said.is_common = true;
            }
            "include" => {
                let pattern = cursor.quoted("a file")?;
                cursor.end()?;
                self.include(cursor.file, pattern, depth)?;
            }
            "buffersize" | "pool-min-free" | "pool-max-free" | "pool-trim-delay" => {
                let number = cursor.value("a number")?;
                if number.text.parse::<u32>().is_err() {
                    return Err(
                        Diagnostic::new(Code::Number, number.span, "").label("not a number")
                    );
                }
                cursor.end()?;
                let message = "buffers are as large, and as many, as they are needed";
                self.said.faults.push(
                    Diagnostic::new(Code::Ignored, first.span, message).label("without effect"),
                );
            }
            "dns-refresh" => {
                option::seconds(cursor.value("a number of seconds")?)?;
                cursor.end()?;
                self.said.faults.push(option::refreshed(first));
            }
            _ => self.rule(first, cursor)?,
        }
        Ok(())
    }

    fn path(&mut self, cursor: &mut Cursor<'_>) -> Result<Spanned<String>, Diagnostic> {
        let word = cursor.quoted("a file")?;
        let path = value::path(word)?;
        cursor.end()?;
        // A relative one is never taken for a place that is no file, such as `syslog`; nor is one
        // for an address elsewhere.
        let mut path = if path.starts_with('/') { path } else { format!("./{path}") };
        while path.contains("://") {
            path = path.replace("://", ":/");
        }
        Ok(Spanned::at(path, word.span))
    }

    /// `allow` or `deny`, of all rules or of the last.
    fn client(&mut self, is_allow: bool, word: Word<'_>) -> Result<(), Diagnostic> {
        let (clients, told) = pattern(word)?;
        self.said.faults.extend(told);
        let scope = match self.said.rules.last_mut() {
            Some(rule) => &mut rule.access,
            None => &mut self.said.access,
        };
        match (clients, is_allow) {
            (Some(clients), true) => scope.access.allow.push(Spanned::at(clients, word.span)),
            (Some(clients), false) => scope.access.deny.push(Spanned::at(clients, word.span)),
            (None, true) => scope.allows_nobody = Some(word.span),
            (None, false) => {}
        }
        Ok(())
    }

    fn include(&mut self, file: SourceId, word: Word<'_>, depth: usize) -> Result<(), Diagnostic> {
        let fault = |message: String, label: &str| {
            Diagnostic::new(Code::File, word.span, message).label(label)
        };
        if depth >= INCLUDES_DEEP_MAX {
            let message = format!("files within files, more than {INCLUDES_DEEP_MAX} deep");
            return Err(fault(message, "in a circle?").help("include each file once"));
        }
        let from = self.sources.get(file).name.clone();
        let files = (self.surroundings.include)(&from, word.text);
        if files.is_empty() && !word.text.contains(['*', '?', '[', '{']) {
            let message = format!("could not open configuration file {}.", word.text);
            return Err(fault(message, "there is no such file")
                .help("write its path in full, or from the folder of this file on"));
        }
        for Included { name, text } in files {
            self.included += 1;
            if self.included > INCLUDES_MAX {
                let message = format!("more than {INCLUDES_MAX} files are included");
                return Err(fault(message, "in a circle?").help("include each file once"));
            }
            match text {
                Ok(text) => {
                    let source = self.sources.add(name, text);
                    self.file(source, depth + 1);
                }
                Err(why) => {
                    let message = format!("could not open configuration file {name}. ({why})");
                    self.said.faults.push(fault(message, "cannot be read"));
                }
            }
        }
        Ok(())
    }

    fn rule(&mut self, first: Word<'_>, cursor: &mut Cursor<'_>) -> Result<(), Diagnostic> {
        let lower = first.text.to_ascii_lowercase();
        if KEYWORDS.contains(&&*lower) {
            let fault = Diagnostic::new(Code::KeyUnknown, first.span, "");
            return Err(fault.label("in lower case only").help(format!("write `{lower}`")));
        }
        let faults = self.said.faults.len();
        let bind_host = end::host(first).map_err(|fault| no_keyword(first, fault))?;
        let bind = self.end(first, bind_host, cursor)?;
        let bind_span = first.span;
        if let (Host::Scoped(..), Transport::Udp) = (&bind.host, bind.transport) {
            let message = "UDP by one interface only is not in this version";
            return Err(Diagnostic::new(Code::NotYet, first.span, message)
                .label("not in this version")
                .help("leave `%` and the interface out where the address is not link-local"));
        }
        let Some(word) = cursor.word() else {
            return Err(cursor.missing("where do they go?").help(RULE));
        };
        let target_host = end::host(word)?;
        let target = self.end(word, target_host, cursor)?;
        let target_span = word.span;
        if target.port == 0 && !matches!(target.host, Host::Unix(_)) {
            return Err(Diagnostic::new(Code::Port, cursor.last(), "")
                .label("no connection can go to port 0")
                .help("write the port that the target listens on"));
        }
        let said = match cursor.group()? {
            Some(group) => {
                let surroundings = self.surroundings;
                Said::read(group, surroundings, &mut self.said.faults)
            }
            None => Said::default(),
        };
        cursor.end()?;
        if bind.transport != target.transport {
            return Err(mixed(&bind, &target, cursor));
        }
        let is_sound = self.said.faults[faults..]
            .iter()
            .all(|fault| fault.severity() < model::Severity::Error);
        if is_sound {
            let access = Scope::default();
            self.said.rules.push(Rule { bind, bind_span, target, target_span, said, access });
        }
        Ok(())
    }

    /// An end whose host has been read: its port is next, if it has one.
    fn end(
        &mut self,
        word: Word<'_>,
        host: Host,
        cursor: &mut Cursor<'_>,
    ) -> Result<End, Diagnostic> {
        let written = word.text.trim_matches(['[', ']']).to_owned();
        if let Host::Unix(_) = host {
            return Ok(End { host, written, port: 0, transport: Transport::Tcp });
        }
        let port = match cursor.port() {
            Some(port) => end::port(port, &written, self.surroundings),
            None => Err(cursor.missing("the port is missing").help(RULE)),
        };
        // A keyword with a slip in it is a host with something odd behind it.
        let (port, transport, told) =
            port.map_err(|fault| match suggest::nearest(&written, KEYWORDS) {
                Some(meant) => fault.help(format!("did you mean `{meant}`?")),
                None => fault,
            })?;
        self.said.faults.extend(told);
        Ok(End { host, written, port, transport })
    }
}

const RULE: &str = "a rule is `BINDADDRESS BINDPORT CONNECTADDRESS CONNECTPORT [OPTIONS]`";

/// The first word of a line is no host; it may be a keyword with a slip in it.
fn no_keyword(word: Word<'_>, fault: Diagnostic) -> Diagnostic {
    match suggest::nearest(word.text, KEYWORDS) {
        Some(meant) => fault.help(format!("did you mean `{meant}`?")),
        None => fault,
    }
}

/// Streams cannot become datagrams, nor the other way round.
fn mixed(bind: &End, target: &End, cursor: &Cursor<'_>) -> Diagnostic {
    let (from, to) = (bind.transport.name(), target.transport.name());
    let message = format!("a rule from {from} to {to} is not carried out: {}", cursor.shown());
    Diagnostic::new(Code::Conflict, cursor.whole(), message)
        .label(format!("{from} in front, {to} behind"))
        .help(
            "write `/udp` behind both ports or behind neither: datagrams have edges that a stream \
             loses; for a service that speaks both write a rule for each",
        )
}

/// A pattern of clients. `None`: no address looks like this.
fn pattern(word: Word<'_>) -> Result<(Option<Clients>, Option<Diagnostic>), Diagnostic> {
    let legal = |byte: u8| byte.is_ascii_hexdigit() || b".:[]*?/".contains(&byte);
    if !word.text.bytes().all(legal) {
        return Err(Diagnostic::new(Code::Cidr, word.span, "")
            .label("neither an address nor a pattern")
            .help(
                "write an address, a pattern as in `192.168.2.*`, or a range as in \
                 `192.168.2.0/24`: names are not looked up",
            ));
    }
    let brackets = word.text.starts_with('[') && word.text.ends_with(']');
    let word = if brackets { word.part(1..word.text.len() - 1) } else { word };
    match clients::read(word, Dialect::Native) {
        Ok((Clients::Range(range), told)) => Ok((Some(cidr::unmapped(range).into()), told)),
        Ok((pattern, told)) => Ok((Some(pattern), told)),
        Err(fault) if word.text.contains('/') => {
            Err(Diagnostic { message: String::new(), ..fault })
        }
        Err(_) => {
            let message = format!("no address looks like `{}`", word.text);
            let told = Diagnostic::new(Code::Ignored, word.span, message)
                .label("matches nobody")
                .help("the whole address is compared: write `*` for the rest, as in `127.0.0.*`");
            Ok((None, Some(told)))
        }
    }
}
