//! Native TOML put in order: tables and keys as the schema lists them, `=` and comments
//! aligned, lists with even spaces. What it means and every comment stay.
//!
//! - Tables go in the order of the [schema](super::keys), listeners and pools among
//!   themselves as they were written. One blank line stands between two tables.
//! - Within a table, keys go in the order of the schema. Blank lines and lines of comments divide
//!   it into groups; in each the `=` stand below each other, and the comments behind values too.
//! - A list that was written on several lines, or is too long for one, has a line for each item.
//! - A comment belongs to what is below it. What stands directly below a table's last key, with
//!   a blank line behind it, belongs to that table; what opens the file, with a blank line
//!   behind it, stays at the top.

mod layout;

use model::{Code, Diagnostic, SourceId, Sources, Span};
use toml::de::DeTable;
use toml_edit::{Document, Item, Key, RawString, Table, TableLike};

use super::keys::{Schema, Takes};
use super::when::WHEN;
use super::{ROOT, syntax};
use layout::{Entry, Line, Section};

/// Puts the text of `file` in order; doing it again changes nothing.
///
/// # Errors
/// All faults of a text that is not TOML. Of keys and values nothing is asked.
pub fn format(file: SourceId, sources: &Sources) -> Result<String, Vec<Diagnostic>> {
    let text = &*sources.get(file).text;
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(syntax::faults(file, text, root.get_ref(), &errors));
    }
    let document = Document::parse(text).map_err(|error| {
        let span = Span::new(file, error.span().unwrap_or(0..text.len()));
        vec![Diagnostic::new(Code::Syntax, span, format!("this is not TOML: {}", error.message()))]
    })?;
    let written = Written { text };
    let mut sections = Vec::new();
    written.sections(document.as_table(), Level::Table(&ROOT), &mut Vec::new(), &mut sections);
    let mut trailing = written.lines(Some(document.trailing()));
    let head = settle(&mut sections, &mut trailing);
    Ok(layout::lay_out(&head, &sections, &trailing))
}

/// What a table is, as far as the order of its keys is concerned.
#[derive(Clone, Copy)]
enum Level {
    Table(&'static Schema),
    /// Tables of this kind by names, which have no order.
    Named(&'static Schema),
    Unknown,
}

impl Level {
    fn within(self, key: &str) -> Self {
        match self {
            Self::Table(schema) => match schema.key(key).map(|key| key.takes) {
                Some(
                    Takes::Table(schema)
                    | Takes::Tables(schema)
                    | Takes::OneOrMore(schema)
                    | Takes::ByteRates(schema)
                    | Takes::ChoiceOr(_, schema)
                    | Takes::TextOr(_, schema),
                ) => Self::Table(schema),
                Some(Takes::Whens) => Self::Table(&WHEN),
                Some(Takes::Named(schema)) => Self::Named(schema),
                _ => Self::Unknown,
            },
            Self::Named(schema) => Self::Table(schema),
            Self::Unknown => Self::Unknown,
        }
    }

    fn rank(self, key: &str) -> usize {
        match self {
            Self::Table(schema) => schema.rank(key),
            Self::Named(_) | Self::Unknown => 0,
        }
    }

    /// The items of a table in their order.
    fn sorted(self, table: &dyn TableLike) -> Vec<(&Key, &Item)> {
        let items = table.iter().filter_map(|(name, item)| Some((table.key(name)?, item)));
        let mut items: Vec<_> = items.collect();
        items.sort_by_key(|(key, _)| self.rank(key.get()));
        items
    }
}

/// The text that the spans of a document are of.
#[derive(Clone, Copy)]
struct Written<'t> {
    text: &'t str,
}

impl<'t> Written<'t> {
    /// The text that the parser has left as it was.
    fn raw(self, raw: Option<&RawString>) -> &'t str {
        raw.and_then(RawString::span).map_or("", |span| &self.text[span])
    }

    /// Comments and blank lines above something; what is left of the last line is its indent.
    fn lines(self, raw: Option<&RawString>) -> Vec<Line<'t>> {
        let raw = self.raw(raw);
        let whole = raw.rfind('\n').map_or("", |end| &raw[..end]);
        let rest = raw[whole.len()..].trim();
        let line = |line: &'t str| match line.trim() {
            "" => Line::Blank,
            comment => Line::Comment(comment),
        };
        let mut lines: Vec<_> = match raw.contains('\n') {
            true => whole.split('\n').map(line).collect(),
            false => Vec::new(),
        };
        // The last line of a file need not end.
        if !rest.is_empty() {
            lines.push(Line::Comment(rest));
        }
        lines
    }

    /// A key as it is best written.
    fn key(self, key: &Key) -> String {
        let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let name = key.get();
        match key.span() {
            Some(span) if name.is_empty() || !name.bytes().all(bare) => self.text[span].to_owned(),
            _ => name.to_owned(),
        }
    }

    fn path(self, path: &[&Key]) -> String {
        path.iter().map(|key| self.key(key)).collect::<Vec<_>>().join(".")
    }

    /// The tables with a header of their own, and the root, in their order.
    fn sections<'d>(
        self,
        table: &'d Table,
        level: Level,
        path: &mut Vec<&'d Key>,
        sections: &mut Vec<Section<'t, 'd>>,
    ) {
        let header = match path.is_empty() {
            true => None,
            false => Some(format!("[{}]", self.path(path))),
        };
        if !table.is_implicit() && !table.is_dotted() {
            sections.push(self.section(table, level, header));
        }
        for (key, item) in level.sorted(table) {
            path.push(key);
            let level = level.within(key.get());
            match item {
                Item::Table(table) => self.sections(table, level, path, sections),
                Item::ArrayOfTables(tables) => {
                    for table in tables {
                        let header = format!("[[{}]]", self.path(path));
                        sections.push(self.section(table, level, Some(header)));
                        self.sections_within(table, level, path, sections);
                    }
                }
                Item::Value(_) | Item::None => {}
            }
            path.pop();
        }
    }

    /// The tables within one of an array, whose own section is there already.
    fn sections_within<'d>(
        self,
        table: &'d Table,
        level: Level,
        path: &mut Vec<&'d Key>,
        sections: &mut Vec<Section<'t, 'd>>,
    ) {
        let own = sections.len();
        self.sections(table, level, path, sections);
        sections.remove(own);
    }

    fn section<'d>(
        self,
        table: &'d Table,
        level: Level,
        header: Option<String>,
    ) -> Section<'t, 'd> {
        let mut entries = Vec::new();
        self.entries(table, level, &mut Vec::new(), &mut entries);
        Section {
            header,
            position: table.position().unwrap_or_default(),
            lead: self.lines(table.decor().prefix()),
            beside: comment(self.raw(table.decor().suffix())),
            entries,
            tail: Vec::new(),
        }
    }

    /// The keys with values that stand in a table, dotted ones among them, in their order.
    fn entries<'d>(
        self,
        table: &'d dyn TableLike,
        level: Level,
        path: &mut Vec<&'d Key>,
        entries: &mut Vec<Entry<'t, 'd>>,
    ) {
        for (key, item) in level.sorted(table) {
            path.push(key);
            let level = level.within(key.get());
            match (item, item.as_table_like()) {
                (_, Some(table)) if table.is_dotted() => self.entries(table, level, path, entries),
                (Item::Value(value), _) => entries.push(Entry {
                    written: self,
                    level,
                    start: key.span().map_or(0, |span| span.start),
                    lead: self.lines(key.leaf_decor().prefix()),
                    key: self.path(path),
                    value,
                    beside: comment(self.raw(value.decor().suffix())),
                }),
                _ => {}
            }
            path.pop();
        }
    }
}

/// The comment in what stands behind something on its line.
fn comment(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty()).then_some(text)
}

/// Gives comments to those they belong to; returns the ones that stay at the top of the file.
fn settle<'t>(sections: &mut [Section<'t, '_>], trailing: &mut Vec<Line<'t>>) -> Vec<Line<'t>> {
    let mut order: Vec<_> = (0..sections.len()).collect();
    order.sort_by_key(|at| sections[*at].position);
    order.retain(|at| sections[*at].header.is_some() || !sections[*at].entries.is_empty());
    let Some(&first) = order.first() else { return Vec::new() };
    for pair in order.windows(2) {
        let lead = &mut sections[pair[1]].lead;
        let blank = lead.iter().position(|line| *line == Line::Blank);
        if let Some(blank) = blank {
            let rest = lead.split_off(blank);
            sections[pair[0]].tail = std::mem::replace(&mut sections[pair[1]].lead, rest);
        }
    }
    if let Some(&last) = order.last() {
        let blank = trailing.iter().position(|line| *line == Line::Blank);
        let rest = trailing.split_off(blank.unwrap_or(trailing.len()));
        sections[last].tail = std::mem::replace(trailing, rest);
    }
    let section = &mut sections[first];
    let lead = match section.header.is_some() {
        true => Some(&mut section.lead),
        false => {
            section.entries.iter_mut().min_by_key(|entry| entry.start).map(|entry| &mut entry.lead)
        }
    };
    let Some(lead) = lead else { return Vec::new() };
    match lead.iter().rposition(|line| *line == Line::Blank) {
        Some(blank) => {
            let rest = lead.split_off(blank + 1);
            std::mem::replace(lead, rest)
        }
        None => Vec::new(),
    }
}
