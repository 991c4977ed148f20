//! Tables of a file: which keys they may have, and values of the right type.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::ops::Range;

use model::{Code, Diagnostic, Rate, SourceId, Span};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Reader;
use super::keys::Schema;
use super::text::Text;
use crate::line::Word;
use crate::suggest;
use crate::term::value;

/// A table of a file.
#[derive(Clone, Copy)]
pub(super) struct Table<'t> {
    file: SourceId,
    text: &'t str,
    entries: &'t DeTable<'t>,
    /// Its name where it begins; for the whole file its first byte.
    pub(super) span: Span,
}

impl<'t> Table<'t> {
    pub(super) fn root(file: SourceId, text: &'t str, entries: &'t DeTable<'t>) -> Self {
        Self { file, text, entries, span: Span::new(file, 0..0) }
    }

    /// The keys and the values, in the order of the file.
    pub(super) fn entries(self) -> impl Iterator<Item = Entry<'t>> {
        self.entries.iter().map(move |(key, value)| Entry { table: self, key, value })
    }

    pub(super) fn get(self, key: &str) -> Option<Entry<'t>> {
        self.entries().find(|entry| entry.name() == key)
    }

    fn at(self, range: Range<usize>) -> Span {
        Span::new(self.file, range)
    }
}

/// A key and its value.
#[derive(Clone, Copy)]
pub(super) struct Entry<'t> {
    table: Table<'t>,
    key: &'t Spanned<Cow<'t, str>>,
    value: &'t Spanned<DeValue<'t>>,
}

impl<'t> Entry<'t> {
    pub(super) fn name(self) -> &'t str {
        self.key.get_ref()
    }

    /// Where the key stands.
    pub(super) fn span(self) -> Span {
        self.table.at(self.key.span())
    }

    pub(super) fn value(self) -> &'t DeValue<'t> {
        self.value.get_ref()
    }

    /// Where the value stands. A table with a header stands where its name does.
    pub(super) fn value_span(self) -> Span {
        match self.value.get_ref() {
            DeValue::Table(_) => self.span(),
            _ => self.table.at(self.value.span()),
        }
    }

    /// The tables of a list of nothing else.
    pub(super) fn as_tables(self) -> Option<Vec<Table<'t>>> {
        let list = self.value.get_ref().as_array()?;
        let table = |item: &'t Spanned<DeValue<'t>>| {
            let entries = item.get_ref().as_table()?;
            Some(Table { entries, span: self.table.at(item.span()), ..self.table })
        };
        list.iter().map(table).collect()
    }

    pub(super) fn as_table(self) -> Option<Table<'t>> {
        let entries = self.value.get_ref().as_table()?;
        Some(Table { entries, span: self.span(), ..self.table })
    }

    /// A table, or all of a list of tables.
    pub(super) fn as_one_or_more(self) -> Option<Vec<Table<'t>>> {
        self.as_table().map(|table| vec![table]).or_else(|| self.as_tables())
    }
}

/// What a value is, in words.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

impl Reader<'_> {
    /// Keys that are not known, or not yet carried out.
    pub(super) fn keys(&mut self, table: &Table<'_>, schema: &Schema) {
        for entry in table.entries() {
            let name = entry.name();
            if schema.later.contains(&name) {
                let message = format!("`{name}` is not in this version");
                self.faults.push(
                    Diagnostic::new(Code::NotYet, entry.span(), message)
                        .label("not in this version")
                        .help("leave it out; this version cannot carry it out"),
                );
            } else if schema.key(name).is_none() {
                self.faults.push(unknown(entry, schema));
                self.unsure = true;
            }
        }
    }

    /// A value of the wrong type.
    pub(super) fn wrong(&mut self, entry: Entry<'_>, wanted: &str, help: impl Into<String>) {
        let fault = wrong(entry.name(), entry.value(), entry.value_span(), wanted, help);
        self.faults.push(fault);
    }

    pub(super) fn table<'t>(&mut self, table: &Table<'t>, key: &str) -> Option<Table<'t>> {
        let entry = table.get(key)?;
        let found = entry.as_table();
        match entry.value() {
            DeValue::Table(_) => {}
            DeValue::Array(_) => {
                self.wrong(entry, "a table", format!("write `[{key}]` with single brackets"));
            }
            _ => self.wrong(entry, "a table", format!("write `{key} = {{ ... }}`")),
        }
        found
    }

    pub(super) fn text<'t>(&mut self, table: &Table<'t>, key: &str) -> Option<Text<'t>> {
        let entry = table.get(key)?;
        let DeValue::String(value) = entry.value() else {
            let written = &entry.table.text[entry.value.span()];
            let help = match entry.value() {
                DeValue::Integer(_) | DeValue::Boolean(_) => {
                    format!("write `{key} = \"{written}\"`")
                }
                DeValue::Array(_) => "write one string instead of a list".to_owned(),
                _ => format!("write `{key} = \"...\"`"),
            };
            self.wrong(entry, "a string", help);
            return None;
        };
        self.expand(value, *table, entry.value_span())
    }

    fn expand<'t>(&mut self, value: &'t str, table: Table<'t>, span: Span) -> Option<Text<'t>> {
        let text = Text::new(value, table.text, span).expand(self.environment);
        self.told(text)
    }

    /// One string, or a list of them. `None`: the key is not there.
    pub(super) fn texts<'t>(&mut self, table: &Table<'t>, key: &str) -> Option<Vec<Text<'t>>> {
        const WANTED: &str = "a string or a list of strings";
        let entry = table.get(key)?;
        let written = |range: Range<usize>| &table.text[range];
        let items = match entry.value() {
            DeValue::Array(items) => items,
            DeValue::String(value) => {
                let text = self.expand(value, *table, entry.value_span());
                return Some(text.into_iter().collect());
            }
            value => {
                let help = match value {
                    DeValue::Integer(_) if key == "bind" => {
                        format!("write `{key} = \"{}\"`", written(entry.value.span()))
                    }
                    _ => format!("write `{key} = [\"...\", \"...\"]`"),
                };
                self.wrong(entry, WANTED, help);
                return Some(Vec::new());
            }
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            let span = table.at(item.span());
            if let DeValue::String(value) = item.get_ref() {
                texts.extend(self.expand(value, *table, span));
            } else {
                let help = format!("write `\"{}\"`", written(item.span()));
                self.faults.push(wrong(key, item.get_ref(), span, "a list of strings", help));
            }
        }
        Some(texts)
    }

    /// A string with a unit, read by `read`.
    pub(super) fn duration<T>(
        &mut self,
        table: &Table<'_>,
        key: &str,
        read: impl FnOnce(Word<'_>) -> Result<T, Diagnostic>,
    ) -> Option<T> {
        let entry = table.get(key)?;
        if let DeValue::Integer(number) = entry.value() {
            let number = number.as_str();
            if number == "0" {
                return self.told(read(Word::of_file("0", entry.value_span(), false)));
            }
            let message = format!("`{number}` has no unit");
            let help = format!("write `\"{number}s\"` for seconds, `\"{number}m\"` for minutes");
            self.faults.push(
                Diagnostic::new(Code::UnitMissing, entry.value_span(), message)
                    .label("seconds or minutes?")
                    .help(help),
            );
            return None;
        }
        let text = self.text(table, key)?;
        let read = read(text.word());
        self.told(read)
    }

    /// A rate, with its unit.
    pub(super) fn rate(&mut self, table: &Table<'_>, key: &str) -> Option<Rate> {
        let entry = table.get(key)?;
        if let DeValue::Integer(number) = entry.value() {
            let number = number.as_str();
            let message = format!("`{number}` has no unit");
            let help =
                format!("write `\"{number}/s\"` for a second, `\"{number}/m\"` for a minute");
            self.faults.push(
                Diagnostic::new(Code::UnitMissing, entry.value_span(), message)
                    .label("in a second or a minute?")
                    .help(help),
            );
            return None;
        }
        let text = self.text(table, key)?;
        let read = value::rate(text.word());
        self.told(read)
    }

    /// A number from 1 to `max`.
    pub(super) fn count(
        &mut self,
        table: &Table<'_>,
        key: &str,
        max: usize,
    ) -> Option<NonZeroUsize> {
        let entry = table.get(key)?;
        self.count_of(key, entry.value(), entry.value_span(), max)
    }

    fn count_of(
        &mut self,
        key: &str,
        value: &DeValue<'_>,
        span: Span,
        max: usize,
    ) -> Option<NonZeroUsize> {
        let DeValue::Integer(number) = value else {
            let text = value.as_str().unwrap_or_default();
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let help = match digits {
                true => format!("write `{key} = {text}`, without quotes"),
                false => format!("write a number from 1 to {max}"),
            };
            self.faults.push(wrong(key, value, span, "a whole number", help));
            return None;
        };
        let plain = u64::from_str_radix(number.as_str(), number.radix());
        let plain = plain.map_or_else(|_| number.as_str().to_owned(), |plain| plain.to_string());
        let read = value::count(Word::of_file(&plain, span, false), max);
        self.told(read)
    }

    /// A number from 1 to `max`, or a list of them.
    pub(super) fn counts(&mut self, table: &Table<'_>, key: &str, max: usize) -> Vec<NonZeroUsize> {
        let Some(entry) = table.get(key) else { return Vec::new() };
        let items = match entry.value() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![entry.value],
        };
        let read = items
            .into_iter()
            .filter_map(|item| self.count_of(key, item.get_ref(), table.at(item.span()), max));
        read.collect()
    }

    /// A number, or a string of which `read` makes the same.
    pub(super) fn number_or_text<T>(
        &mut self,
        table: &Table<'_>,
        key: &str,
        read: impl FnOnce(Word<'_>) -> Result<T, Diagnostic>,
    ) -> Option<T> {
        let entry = table.get(key)?;
        let DeValue::Integer(number) = entry.value() else {
            let text = self.text(table, key)?;
            let read = read(text.word());
            return self.told(read);
        };
        let plain = u64::from_str_radix(number.as_str(), number.radix());
        let plain = plain.map_or_else(|_| number.as_str().to_owned(), |plain| plain.to_string());
        let read = read(Word::of_file(&plain, entry.value_span(), false));
        self.told(read)
    }

    pub(super) fn boolean(&mut self, table: &Table<'_>, key: &str) -> Option<bool> {
        let entry = table.get(key)?;
        if let DeValue::Boolean(value) = entry.value() {
            return Some(*value);
        }
        let help = format!("write `{key} = true` or `{key} = false`, without quotes");
        self.wrong(entry, "true or false", help);
        None
    }

    /// One of a few words; `later` are those whose meaning is settled but not carried out.
    pub(super) fn choice<T: Copy>(
        &mut self,
        table: &Table<'_>,
        key: &str,
        known: &[(&str, T)],
        later: &[&str],
    ) -> Option<T> {
        let text = self.text(table, key)?;
        self.choice_of(key, &text, known, later)
    }

    /// One of a few words, or a list of them.
    pub(super) fn choices<T: Copy>(
        &mut self,
        table: &Table<'_>,
        key: &str,
        known: &[(&str, T)],
    ) -> Vec<T> {
        let texts = self.texts(table, key).unwrap_or_default();
        texts.iter().filter_map(|text| self.choice_of(key, text, known, &[])).collect()
    }

    fn choice_of<T: Copy>(
        &mut self,
        key: &str,
        text: &Text<'_>,
        known: &[(&str, T)],
        later: &[&str],
    ) -> Option<T> {
        let word = &*text.value;
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == word) {
            return Some(*value);
        }
        let names = || known.iter().map(|(name, _)| *name);
        let all = names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let new = |code, message: String| Diagnostic::new(code, text.span, message);
        self.faults.push(if later.contains(&word) {
            new(Code::NotYet, format!("`{key} = \"{word}\"` is not in this version"))
                .label("not in this version")
                .help(format!("this version has {all}"))
        } else {
            let fault = new(Code::Choice, format!("`{key}` cannot be `{word}`")).label("not known");
            match suggest::nearest(word, names().chain(later.iter().copied())) {
                Some(meant) => fault.help(format!("did you mean `{meant}`?")),
                None => fault.help(format!("this version has {all}")),
            }
        });
        None
    }

    /// The value, or its fault told.
    pub(super) fn told<T>(&mut self, read: Result<T, Diagnostic>) -> Option<T> {
        read.map_err(|fault| self.faults.push(fault)).ok()
    }
}

fn wrong(
    name: &str,
    value: &DeValue<'_>,
    span: Span,
    wanted: &str,
    help: impl Into<String>,
) -> Diagnostic {
    let message = format!("`{name}` must be {wanted}");
    Diagnostic::new(Code::Type, span, message).label(kind(value)).help(help)
}

fn unknown(entry: Entry<'_>, schema: &Schema) -> Diagnostic {
    let name = entry.name();
    let message = format!("{} has no key `{name}`", schema.place);
    let fault = Diagnostic::new(Code::KeyUnknown, entry.span(), message).label("not known");
    // `nearest` holds `_` and `-` for the same, and keys are written with `_`.
    let names = || schema.all().map(|key| key.name);
    let known = names().chain(schema.later.iter().copied());
    let known: Vec<_> = known.map(|key| key.replace('_', "-")).collect();
    match suggest::nearest(name, known.iter().map(String::as_str)) {
        Some(meant) => fault.help(format!("did you mean `{}`?", meant.replace('-', "_"))),
        None => fault.help(format!("its keys are {}", names().collect::<Vec<_>>().join(", "))),
    }
}
