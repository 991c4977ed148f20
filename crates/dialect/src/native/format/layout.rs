//! Tables, keys and comments, in their order, as lines of text.

use toml_edit::{Array, InlineTable, Value};

use super::{Level, Written};

/// Columns that a line has before a list goes on several.
const COLUMNS: usize = 100;

/// Columns by which the items of a list are set in.
const INDENT: usize = 4;

/// A line between keys or tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'t> {
    Blank,
    /// With its `#`.
    Comment(&'t str),
}

/// A table with a header, or the keys before the first one.
pub(super) struct Section<'t, 'd> {
    /// `[name]` or `[[name]]`; `None` for the root.
    pub(super) header: Option<String>,
    /// Where it stood among the others.
    pub(super) position: isize,
    /// What stands above the header.
    pub(super) lead: Vec<Line<'t>>,
    /// The comment behind the header.
    pub(super) beside: Option<&'t str>,
    pub(super) entries: Vec<Entry<'t, 'd>>,
    /// What stands below the last key.
    pub(super) tail: Vec<Line<'t>>,
}

/// A key with its value.
pub(super) struct Entry<'t, 'd> {
    pub(super) written: Written<'t>,
    /// Of the value, if that is a table.
    pub(super) level: Level,
    /// Where the key stood.
    pub(super) start: usize,
    /// What stands above it.
    pub(super) lead: Vec<Line<'t>>,
    /// As it is written.
    pub(super) key: String,
    pub(super) value: &'d Value,
    /// The comment behind the value.
    pub(super) beside: Option<&'t str>,
}

/// The whole text; what is not empty ends with a line feed.
pub(super) fn lay_out(
    head: &[Line<'_>],
    sections: &[Section<'_, '_>],
    trailing: &[Line<'_>],
) -> String {
    let mut blocks = vec![lines(head)];
    for section in sections {
        let mut block = lines(&section.lead);
        if section.lead.last() == Some(&Line::Blank) && !block.is_empty() {
            block.push(String::new());
        }
        if let Some(header) = &section.header {
            block.push(beside(header.clone(), section.beside));
        }
        for (at, group) in groups(&section.entries).into_iter().enumerate() {
            let lead = &group[0].lead;
            let above = lines(lead);
            if at > 0 && lead.first() == Some(&Line::Blank) {
                block.push(String::new());
            }
            let is_apart = lead.last() == Some(&Line::Blank) && !above.is_empty();
            block.extend(above);
            if is_apart {
                block.push(String::new());
            }
            block.extend(laid_out(group));
        }
        block.extend(lines(&section.tail));
        blocks.push(block);
    }
    blocks.push(lines(trailing));
    let blocks = blocks.into_iter().filter(|block| !block.is_empty());
    let blocks: Vec<_> = blocks.map(|block| block.join("\n") + "\n").collect();
    blocks.join("\n")
}

/// Comments with at most one blank line between two, none at the ends.
fn lines(lines: &[Line<'_>]) -> Vec<String> {
    let mut texts = Vec::new();
    for line in lines {
        match line {
            Line::Comment(text) => texts.push((*text).to_owned()),
            Line::Blank if texts.last().is_some_and(|last| !last.is_empty()) => {
                texts.push(String::new());
            }
            Line::Blank => {}
        }
    }
    if texts.last().is_some_and(String::is_empty) {
        texts.pop();
    }
    texts
}

/// Entries that nothing stands between.
fn groups<'e, 't, 'd>(entries: &'e [Entry<'t, 'd>]) -> Vec<&'e [Entry<'t, 'd>]> {
    entries.chunk_by(|_, next| next.lead.is_empty()).collect()
}

/// A group of entries as lines.
fn laid_out(group: &[Entry<'_, '_>]) -> Vec<String> {
    let width = group.iter().map(|entry| columns(&entry.key)).max().unwrap_or_default();
    let texts = group.iter().map(|entry| {
        let pad = " ".repeat(width - columns(&entry.key));
        let value =
            entry.written.value(entry.value, entry.level, COLUMNS.saturating_sub(width + 3), 0);
        (format!("{}{pad} = {value}", entry.key), entry.beside)
    });
    let texts: Vec<_> = texts.collect();
    let mut shown = Vec::new();
    // Comments stand below each other as long as each line has one.
    let in_row = |(text, beside): &(String, Option<&str>)| beside.is_some() && !text.contains('\n');
    for row in texts.chunk_by(|one, next| in_row(one) && in_row(next)) {
        let width = row.iter().map(|(text, _)| columns(text)).max().unwrap_or_default();
        for (text, comment) in row {
            let pad = match in_row(&(text.clone(), *comment)) {
                true => width - columns(text),
                false => 0,
            };
            shown.push(beside(format!("{text}{}", " ".repeat(pad)), *comment));
        }
    }
    shown
}

fn beside(text: String, comment: Option<&str>) -> String {
    match comment {
        Some(comment) => format!("{text}  {comment}"),
        None => text,
    }
}

fn columns(text: &str) -> usize {
    text.chars().count()
}

impl Written<'_> {
    /// A value in a place of `room` columns; further lines of it are set in by `indent`.
    fn value(self, value: &Value, level: Level, room: usize, indent: usize) -> String {
        let raw = || value.span().map_or_else(String::new, |span| self.text[span].to_owned());
        match value {
            Value::Array(array) => self.array(array, room, indent),
            Value::InlineTable(table) if !self.has_comment(value) => {
                self.inline(table, level, indent)
            }
            _ => raw(),
        }
    }

    /// Whether a comment stands within a value.
    fn has_comment(self, value: &Value) -> bool {
        let decor = value.decor();
        let around = [decor.prefix(), decor.suffix()].map(|raw| self.raw(raw).contains('#'));
        around.contains(&true)
            || match value {
                Value::Array(array) => {
                    self.raw(Some(array.trailing())).contains('#')
                        || array.iter().any(|value| self.has_comment(value))
                }
                Value::InlineTable(table) => {
                    self.raw(Some(table.trailing())).contains('#')
                        || table.get_values().into_iter().any(|(path, value)| {
                            let decors = path.iter().flat_map(|key| {
                                [key.leaf_decor().prefix(), key.leaf_decor().suffix()]
                            });
                            decors.into_iter().any(|raw| self.raw(raw).contains('#'))
                                || self.has_comment(value)
                        })
                }
                _ => false,
            }
    }

    fn inline(self, table: &InlineTable, level: Level, indent: usize) -> String {
        let mut entries = Vec::new();
        self.entries(table, level, &mut Vec::new(), &mut entries);
        let pair = |entry: &Entry<'_, '_>| {
            let value = self.value(entry.value, entry.level, COLUMNS, indent);
            format!("{} = {value}", entry.key)
        };
        let pairs: Vec<_> = entries.iter().map(pair).collect();
        match pairs.is_empty() {
            true => "{}".to_owned(),
            false => format!("{{ {} }}", pairs.join(", ")),
        }
    }

    fn array(self, array: &Array, room: usize, indent: usize) -> String {
        let mut gaps = self.raw(Some(array.trailing())).to_owned();
        for value in array {
            gaps += self.raw(value.decor().prefix());
            gaps += self.raw(value.decor().suffix());
        }
        if !gaps.contains('#') && (array.is_empty() || !gaps.contains('\n')) {
            let items =
                array.iter().map(|value| self.value(value, Level::Unknown, COLUMNS, indent));
            let line = format!("[{}]", items.collect::<Vec<_>>().join(", "));
            if columns(&line) <= room || line.contains('\n') {
                return line;
            }
        }
        let mut rows = Vec::new();
        for value in array {
            remark(&mut rows, self.raw(value.decor().prefix()));
            let room = COLUMNS.saturating_sub(indent + INDENT + 1);
            let item = self.value(value, Level::Unknown, room, indent + INDENT);
            rows.push((format!("{item},"), None));
            remark(&mut rows, self.raw(value.decor().suffix()));
        }
        remark(&mut rows, self.raw(Some(array.trailing())));
        let set_in = " ".repeat(indent + INDENT);
        let rows = rows.into_iter().map(|(text, comment)| beside(set_in.clone() + &text, comment));
        format!("[\n{}\n{}]", rows.collect::<Vec<_>>().join("\n"), " ".repeat(indent))
    }
}

/// Puts the comments of a gap within a list behind the item on whose line they begin, or on
/// lines of their own.
fn remark<'t>(rows: &mut Vec<(String, Option<&'t str>)>, gap: &'t str) {
    for (at, comment) in gap.split('\n').map(str::trim).enumerate() {
        match rows.last_mut() {
            _ if comment.is_empty() => {}
            Some((item, beside @ None)) if at == 0 && !item.starts_with('#') => {
                *beside = Some(comment);
            }
            _ => rows.push((comment.to_owned(), None)),
        }
    }
}
