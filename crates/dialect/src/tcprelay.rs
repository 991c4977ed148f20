//! The configuration of tcprelay and spawnd (event-driven-servers): two sections of one file.
//!
//! `words` reads the command line; `lex` makes words of a file and what it includes, `parse` steps
//! through them, `spawnd` and `relay` read the sections, `mavis` the program that decides, and `map` makes a [`Config`] of both. What
//! the published manuals have and the program refuses is read as well.
//! `docs/coming-from-tcprelay.md` lists what differs on purpose.
//!
//! Each section is looked for from the beginning of the file, by itself, and nothing behind it is
//! looked at: in the original two processes read the file, each for its own.

mod access;
mod anywhere;
mod certificate;
mod lex;
mod map;
mod mavis;
mod parse;
mod relay;
mod spawnd;
mod value;
mod words;

use std::collections::HashMap;
use std::fmt;

use model::{Code, Config, Diagnostic, Severity, SourceId, Sources};

use crate::native;
use anywhere::Anywhere;
use lex::{Lexer, Texts};
use parse::{Block, Cursor};

pub use words::{Options, Order, USAGE, Wish, order};

/// What listeners and the pool are called.
pub const NAME: &str = "tcprelay";

/// What a configuration is read in.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The value of an environment variable, if it is set.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The files that a pattern names, as it stands behind `include`: `$CONFDIR/`, `*`, `{a,b}`.
    pub include: &'a dyn Fn(&str) -> Vec<Included>,
    /// The TCP port of a service, if it has one.
    pub service: &'a dyn Fn(&str) -> Option<u16>,
}

/// A file that is included.
#[derive(Clone, Debug)]
pub struct Included {
    /// Its path, under which its text is read once.
    pub name: String,
    /// What it holds, or why that is not known.
    pub text: Result<String, String>,
}

/// What a file says.
#[derive(Debug)]
pub struct Reading {
    /// What to forward, as far as it could be read.
    pub config: Config,
    /// What becomes of the process.
    pub process: Process,
    /// All faults, in the order in which they stand.
    pub diagnostics: Vec<Diagnostic>,
    /// What the configuration cannot hold, a line each.
    pub notes: Vec<String>,
    /// The worst of what is wrong.
    pub verdict: Verdict,
}

/// Whether what was read can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can.
    Sound,
    /// Nothing is wrong with it but that it has no listener.
    NoListener,
    /// Nothing is wrong with it but that sessions have nowhere to go.
    NoRemote,
    /// It cannot.
    Faulty,
}

/// What becomes of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Go to the background.
    pub daemon: bool,
    /// Where the process id is written.
    pub pidfile: Option<String>,
    /// Whom to go on as: `NAME`, `NAME:GROUP` or `:GROUP`.
    pub user: Option<String>,
    /// How long to wait before addresses that cannot be had are tried again.
    pub bind_retry: Option<std::time::Duration>,
}

impl Reading {
    /// The configuration as native TOML, and above it what it cannot hold.
    pub fn explain(&self) -> String {
        let notes: String = self.notes.iter().map(|note| format!("# {note}\n")).collect();
        let config = native::write(&self.config);
        match notes.is_empty() {
            true => config,
            false => format!("{notes}\n{config}"),
        }
    }
}

const TOP: Block = Block {
    name: "a configuration",
    known: &[
        "alias",
        "cleanup",
        "coredump",
        "debug",
        "debug-cmd",
        "gcore",
        "id",
        "include",
        "proctitle",
        "regex-match-case",
        "setenv",
        "syslog",
        "trace",
    ],
};

/// Reads the file `file` and what it includes.
pub fn read(
    file: SourceId,
    options: &Options,
    sources: &mut Sources,
    surroundings: Surroundings<'_>,
) -> Reading {
    let mut reader = Reader {
        sources,
        surroundings,
        texts: Texts::new(),
        anywhere: Anywhere::default(),
        variables: HashMap::new(),
        faults: Vec::new(),
    };
    let spawnd_ids = options.spawnd_ids();
    let spawnd = reader.section(file, &spawnd_ids, |cursor| spawnd::read(cursor, surroundings));
    let spawnd = spawnd.unwrap_or_default();
    let file = match &spawnd.spawn.config {
        Some(other) => reader.other(&other.value).unwrap_or(file),
        None => file,
    };
    let relay_ids = options.relay_ids(&spawnd.spawn);
    let relay = reader.section(file, &relay_ids, |cursor| relay::read(cursor, surroundings));
    let Reader { anywhere, variables, faults, .. } = reader;
    let mechanism = variables.get(map::MECHANISM).cloned();
    let mechanism = mechanism.or_else(|| (surroundings.environment)(map::MECHANISM));
    map::finish(map::Parts {
        spawnd,
        relay: relay.unwrap_or_default(),
        anywhere,
        mechanism,
        faults,
        options,
    })
}

struct Reader<'a> {
    sources: &'a mut Sources,
    surroundings: Surroundings<'a>,
    texts: Texts,
    anywhere: Anywhere,
    variables: HashMap<String, String>,
    faults: Vec<Diagnostic>,
}

impl Reader<'_> {
    /// Reads the first section that is called by the first of `ids` that any is called by.
    fn section<T>(
        &mut self,
        file: SourceId,
        ids: &[&str],
        read: impl Fn(&mut Cursor<'_>) -> T,
    ) -> Option<T> {
        let mut told = None;
        for id in ids {
            let mut lexer = Lexer::new(file, self.sources, &mut self.texts, self.surroundings);
            for (name, value) in &self.variables {
                lexer.set(name.clone(), value.clone());
            }
            let mut cursor = Cursor::new(lexer);
            let mut anywhere = Anywhere::default();
            let found = top(&mut cursor, id, &mut anywhere, &read);
            let mut faults = std::mem::take(&mut cursor.faults);
            let (variables, of_words) = cursor.lexer.into_variables();
            faults.extend(of_words);
            if found.is_some() || told.is_none() {
                told = Some(faults);
            }
            if found.is_some() {
                self.anywhere.add(anywhere);
                self.variables = variables;
                self.faults.extend(told.into_iter().flatten());
                return found;
            }
        }
        self.faults.extend(told.into_iter().flatten());
        None
    }

    /// Another file, as a source.
    fn other(&mut self, name: &str) -> Option<SourceId> {
        let file = (self.surroundings.include)(name).into_iter().next();
        match file {
            Some(Included { name, text: Ok(text) }) => {
                let source = self.sources.add(name.clone(), text);
                self.texts.insert(name, source);
                Some(source)
            }
            Some(Included { name, text: Err(why) }) => {
                let message = format!("cannot read {name}: {why}");
                self.faults.push(Diagnostic::new(Code::File, None, message));
                None
            }
            None => {
                let message = format!("there is no file {name}, which `spawn` names");
                self.faults.push(Diagnostic::new(Code::File, None, message));
                None
            }
        }
    }
}

/// Reads up to the end of the section `wanted`.
fn top<T>(
    cursor: &mut Cursor<'_>,
    wanted: &str,
    anywhere: &mut Anywhere,
    read: impl Fn(&mut Cursor<'_>) -> T,
) -> Option<T> {
    let mut others = Vec::new();
    cursor.enter(TOP);
    loop {
        let token = cursor.peek().clone();
        if token.kind == lex::Kind::End {
            let message = format!("No configuration for id '{wanted}' found.");
            let fault = Diagnostic::new(Code::KeyMissing, token.span, message);
            cursor.faults.push(match &*others {
                [] => fault.label("nothing more").help(format!("write `id = {wanted} {{ ... }}`")),
                others => {
                    fault.label("nothing more").help(format!("there are: {}", others.join(", ")))
                }
            });
            return None;
        }
        if token.kind != lex::Kind::Bare || !TOP.known.contains(&&*token.text) {
            cursor.unknown(&token, TOP);
            continue;
        }
        cursor.take();
        match &*token.text {
            "id" => {
                let Some(name) = cursor.value() else { continue };
                if name.text == wanted {
                    return Some(read(cursor));
                }
                cursor.skip_block();
                others.push(name.text);
            }
            "setenv" => {
                let name = cursor.value();
                if let Some((name, value)) = name.and_then(|name| Some((name, cursor.value()?))) {
                    cursor.lexer.set(name.text, value.text);
                }
            }
            "alias" => cursor.lexer.alias(),
            "cleanup" => {
                if cursor.keyword(&["interval"]).is_some() {
                    cursor.pass_integer();
                }
            }
            "gcore" | "debug-cmd" => cursor.pass(),
            name => anywhere.directive(cursor, name),
        }
    }
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

/// Whether none of `faults` is an error.
fn sound(faults: &[Diagnostic]) -> bool {
    faults.iter().all(|fault| fault.severity() < Severity::Error)
}
