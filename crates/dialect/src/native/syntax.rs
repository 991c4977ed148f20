//! Faults of the TOML itself.
//!
//! The parser says where a key or table is there again, and not where it was first; that is
//! found by its path in what was read.

use std::collections::HashSet;
use std::ops::Range;

use model::{Code, Diagnostic, SourceId, Span};
use toml::de::{DeTable, DeValue, Error};
use toml_edit::Key;

/// The faults of a text, of which the parser has told `errors`.
pub(super) fn faults(
    file: SourceId,
    text: &str,
    root: &DeTable<'_>,
    errors: &[Error],
) -> Vec<Diagnostic> {
    // The keys of a table that is there again are there again too, which goes without saying.
    let mut again = HashSet::new();
    let mut faults = Vec::new();
    for error in errors {
        let range = error.span().unwrap_or(0..text.len());
        let start = text.floor_char_boundary(range.start.min(text.len()));
        let end = text.ceil_char_boundary(range.end.clamp(start, text.len()));
        // Further lines say what the parser would have taken instead.
        let message = error.message().lines().next().unwrap_or_default();
        if !message.starts_with("duplicate") {
            faults.push(not_toml(Span::new(file, start..end), message));
            continue;
        }
        let place = Place::of(text, start);
        match place {
            Place::Header(line) => drop(again.insert(line)),
            Place::Key(Some(header)) if again.contains(&header) => continue,
            Place::Key(_) => {}
        }
        faults.push(twice(file, text, root, start..end, place));
    }
    faults
}

fn not_toml(span: Span, message: &str) -> Diagnostic {
    Diagnostic::new(Code::Syntax, span, format!("this is not TOML: {message}"))
        .label("here")
        .help("texts stand in quotes, lists in brackets: `bind = [\":80\", \":81\"]`; see https://toml.io")
}

fn twice(
    file: SourceId,
    text: &str,
    root: &DeTable<'_>,
    again: Range<usize>,
    place: Place,
) -> Diagnostic {
    let what = match place {
        Place::Header(line) => text[line..].lines().next().unwrap_or_default().trim(),
        Place::Key(_) => &text[again.clone()],
    };
    let message = match what.is_empty() {
        true => "this is there twice".to_owned(),
        false => format!("`{what}` is there twice"),
    };
    let fault = Diagnostic::new(Code::NameTwice, Span::new(file, again.clone()), message)
        .label("again here")
        .help("write each key and each table once; listeners and pools need names of their own");
    let first = path(text, again.clone(), place).and_then(|path| match place {
        Place::Header(line) => find_header(&text[..line], &path),
        Place::Key(_) => find(root, &path),
    });
    match first.filter(|first| first.start < again.start && first.end <= text.len()) {
        Some(first) => fault.related(Span::new(file, first), "first here"),
        None => fault,
    }
}

/// What a byte is part of. Lines within strings may be mistaken for headers; then the path leads
/// nowhere.
#[derive(Clone, Copy)]
enum Place {
    /// The header of a table, by where its line begins.
    Header(usize),
    /// A key, with the header above it.
    Key(Option<usize>),
}

impl Place {
    fn of(text: &str, byte: usize) -> Self {
        let line = line_start(text, byte);
        if is_header(text, line) {
            return Self::Header(line);
        }
        let mut above = line;
        while above > 0 {
            above = line_start(text, above - 1);
            if is_header(text, above) {
                return Self::Key(Some(above));
            }
        }
        Self::Key(None)
    }
}

fn line_start(text: &str, byte: usize) -> usize {
    text[..byte].rfind('\n').map_or(0, |feed| feed + 1)
}

fn is_header(text: &str, line: usize) -> bool {
    text[line..].trim_start_matches([' ', '\t']).starts_with('[')
}

/// The keys from the root to the one that is there again.
fn path(text: &str, again: Range<usize>, place: Place) -> Option<Vec<Key>> {
    let keys = |written: &str| Key::parse(written.trim()).ok();
    match place {
        Place::Header(line) => keys(text[line..again.end].trim_start().trim_start_matches('[')),
        Place::Key(header) => {
            let header = header.map_or("", |line| text[line..].lines().next().unwrap_or_default());
            let header = header.trim_start().trim_start_matches('[').split(']').next();
            let mut path = match header.filter(|header| !header.is_empty()) {
                Some(header) => keys(header)?,
                None => Vec::new(),
            };
            path.extend(keys(&text[line_start(text, again.start)..again.end])?);
            Some(path)
        }
    }
}

/// Where a table with this path begins: its path in the header. Of a table that is there again,
/// what was read no longer says where it was first.
fn find_header(text: &str, path: &[Key]) -> Option<Range<usize>> {
    let lines = text.split_inclusive('\n').map(|line| line.trim_start());
    lines.filter(|line| line.starts_with('[')).find_map(|line| {
        let written = line.trim_start_matches('[').split(']').next()?;
        let keys = Key::parse(written.trim()).ok()?;
        let is_it = keys.iter().map(Key::get).eq(path.iter().map(Key::get));
        let start = written.as_ptr().addr() - text.as_ptr().addr();
        is_it.then(|| start..start + written.len())
    })
}

/// Where the key at the end of a path stands.
fn find(root: &DeTable<'_>, path: &[Key]) -> Option<Range<usize>> {
    let (last, within) = path.split_last()?;
    let mut table = root;
    for key in within {
        table = match table.get(key.get())?.get_ref() {
            DeValue::Table(table) => table,
            DeValue::Array(items) => items.last()?.get_ref().as_table()?,
            _ => return None,
        };
    }
    let (key, _) = table.get_key_value(last.get())?;
    Some(key.span())
}
