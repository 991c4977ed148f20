//! Clients by their addresses, in a file or in a list of their own: one a line, `#` before a comment.
//!
//! A list is read once however many listeners name it, and its faults are told at their lines.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use model::{Clients, Code, Diagnostic, Severity, SourceId, Span, Spanned};

use super::Reader;
use super::table::Table;
use super::text::Text;
use crate::line::Word;
use crate::term::{Dialect, clients};

/// Faults of one list that are told; a file of something else has one in every line.
const FAULTS_MAX: usize = 5;

/// The key under which an empty list does no harm.
const DENY: &str = "deny";

/// Gives the text of a file, or why it cannot be read.
pub type Lists<'a> = &'a dyn Fn(&Path) -> Result<String, String>;

/// The lists that were read, by path. `None`: with errors.
pub(super) type Known = HashMap<String, Option<Vec<Spanned<Clients>>>>;

impl Reader<'_> {
    /// The ranges that a key names, where patterns cannot stand.
    pub(super) fn ranges(&mut self, table: &Table<'_>, key: &str) -> Vec<Spanned<IpNet>> {
        let clients = self.clients(table, key).into_iter();
        let range = |clients: Spanned<Clients>| match clients.value {
            Clients::Range(range) => Some(Spanned { value: range, span: clients.span }),
            Clients::Pattern(pattern) => {
                let message = format!("`{pattern}` is not a range of addresses");
                self.faults.push(
                    Diagnostic::new(Code::Cidr, clients.span, message).label("a pattern").help(
                        format!(
                            "`{key}` goes by ranges, as in `10.0.0.0/16`; patterns are for \
                                 `allow` and `deny`"
                        ),
                    ),
                );
                None
            }
        };
        clients.filter_map(range).collect()
    }

    /// The clients that a key names, those of its lists among them.
    pub(super) fn clients(&mut self, table: &Table<'_>, key: &str) -> Vec<Spanned<Clients>> {
        let mut all = Vec::new();
        let mut empty = None;
        let faults = self.faults.len();
        for text in self.texts(table, key).unwrap_or_default() {
            let word = text.word();
            if let Some(path) = path(word.text) {
                match self.list(path, &text) {
                    Some(listed) if listed.is_empty() => empty = Some((path.to_owned(), word.span)),
                    listed => all.extend(listed.unwrap_or_default()),
                }
                continue;
            }
            match clients::read(word, Dialect::Native) {
                Ok((clients, warning)) => {
                    self.faults.extend(warning);
                    all.push(Spanned::at(clients, word.span));
                }
                Err(fault) => self.faults.push(fault),
            }
        }
        let is_sound = self.faults.len() == faults;
        if let Some((path, span)) = empty.filter(|_| is_sound && all.is_empty() && key != DENY) {
            let message = format!("the list `{path}` names no range");
            self.faults.push(
                Diagnostic::new(Code::Cidr, span, message).label("nothing in it").help(format!(
                    "`{key}` without a range is for everybody; if you mean that, leave it out"
                )),
            );
        }
        all
    }

    /// Where a file is that is named in another: its path begins in the folder of that.
    fn beside(&self, named: &Text<'_>, path: &str) -> PathBuf {
        let file = Path::new(&self.sources.get(named.span.source).name);
        file.parent().map_or_else(|| path.into(), |folder| folder.join(path))
    }

    /// The text of a file with secrets, which is shown nowhere.
    pub(super) fn secret_file(&mut self, named: &Text<'_>, path: &str) -> Result<String, String> {
        let place = self.beside(named, path);
        let name = place.display().to_string();
        if !self.lists.contains(&name) {
            self.lists.push(name);
        }
        (self.read_list)(&place)
    }

    /// The clients of the list at `path`; `None`: it has errors, which are told.
    fn list(&mut self, path: &str, named: &Text<'_>) -> Option<Vec<Spanned<Clients>>> {
        let place = self.beside(named, path);
        let name = place.display().to_string();
        if let Some(known) = self.known_lists.get(&name) {
            return known.clone();
        }
        self.lists.push(name.clone());
        let read = match (self.read_list)(&place) {
            Ok(text) => {
                let source = self.sources.add(name.clone(), text);
                let text = self.sources.get(source).text.clone();
                let (clients, faults) = listed(source, &text);
                let is_sound = faults.iter().all(|fault| fault.severity() < Severity::Error);
                self.faults.extend(faults);
                is_sound.then_some(clients)
            }
            Err(why) => {
                let message = format!("cannot read {name}: {why}");
                self.faults.push(
                    Diagnostic::new(Code::File, named.span, message)
                        .label("a list of ranges")
                        .help("write its path in full, or from the folder of this file on"),
                );
                None
            }
        };
        self.known_lists.insert(name, read.clone());
        read
    }
}

/// The path of a list, if it is one that is named.
fn path(text: &str) -> Option<&str> {
    text.strip_prefix("file:").or_else(|| text.starts_with('/').then_some(text))
}

/// The clients of a list, and its faults.
fn listed(source: SourceId, text: &str) -> (Vec<Spanned<Clients>>, Vec<Diagnostic>) {
    let (mut all, mut faults) = (Vec::new(), Vec::new());
    let mut untold: Option<(Span, usize)> = None;
    for line in text.split_inclusive('\n') {
        let written = line.split('#').next().unwrap_or_default().trim();
        if written.is_empty() {
            continue;
        }
        let start = written.as_ptr().addr() - text.as_ptr().addr();
        let span = Span::new(source, start..start + written.len());
        let fault = match one(Word::of_file(written, span, true)) {
            Ok((clients, warning)) => {
                all.push(Spanned::at(clients, span));
                warning
            }
            Err(fault) => Some(fault),
        };
        match fault {
            Some(fault) if faults.len() < FAULTS_MAX => faults.push(fault),
            Some(_) => untold.get_or_insert((span, 0)).1 += 1,
            None => {}
        }
    }
    if let Some((span, count)) = untold {
        let message = format!("{count} more lines of this list have faults");
        faults.push(
            Diagnostic::new(Code::Cidr, span, message)
                .label("the first of them")
                .help("a list has an address or a range in each line, and `#` before comments"),
        );
    }
    (all, faults)
}

fn one(word: Word<'_>) -> Result<(Clients, Option<Diagnostic>), Diagnostic> {
    let apart = word.text.find(|c: char| c == ',' || c.is_whitespace());
    match apart {
        None => clients::read(word, Dialect::Native),
        Some(at) => {
            let message = format!("`{}` is more than a range", word.text);
            Err(Diagnostic::new(Code::Cidr, word.from(at).span, message)
                .label("too much")
                .help("write each range on a line of its own, and `#` before a comment"))
        }
    }
}
