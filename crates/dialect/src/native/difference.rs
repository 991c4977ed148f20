//! What changes from one configuration to the next, key by key.
//!
//! Both are written out in full and held against each other, so that no key can be forgotten and
//! each is called what its user calls it.

use std::collections::BTreeMap;

use model::{Config, Password};
use toml::de::{DeTable, DeValue};

use super::write::{HIDE, write_marked};

/// The differences from `old` to `new`, each on a line of its own without a line feed; none if
/// the two are the same.
///
/// ```text
/// + listener.new
/// - pool.old
/// ~ listener.web.bind: + ":8081" - ":8080"
/// ~ pool.db.balance: "round-robin" -> "maglev"
/// ```
pub fn difference(old: &Config, new: &Config) -> Vec<String> {
    let (old, new) = (write_marked(old), write_marked(new));
    let (old, new) = (tables(&old), tables(&new));
    let mut lines = Vec::new();
    for (name, keys) in &new {
        match old.get(name) {
            Some(before) => changes(name, before, keys, &mut lines),
            None => lines.push(format!("+ {name}")),
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    lines.extend(gone.map(|name| format!("- {name}")));
    lines.iter().map(|line| hidden(line)).collect()
}

/// The keys of one table with their values.
type Keys = BTreeMap<String, Value>;

/// A value: a list of items, or one.
#[derive(Debug, PartialEq, Eq)]
enum Value {
    List(Vec<String>),
    One(String),
}

/// A file by the names of its tables: `pool.db`, `limits`, `log`.
fn tables(text: &str) -> BTreeMap<String, Keys> {
    let (root, _) = DeTable::parse_recoverable(text);
    let mut tables = BTreeMap::new();
    for (name, value) in root.get_ref() {
        let name = name.get_ref();
        match value.get_ref() {
            DeValue::Table(table) if ["listener", "pool"].contains(&&**name) => {
                for (own, value) in table {
                    let path = format!("{name}.{}", own.get_ref());
                    tables.insert(path, keys(value.get_ref()));
                }
            }
            // Several logs, each known by where it goes.
            DeValue::Array(items) if items.iter().all(|item| item.get_ref().is_table()) => {
                for item in items {
                    let to = item.get_ref().get("to").map(|to| shown(to.get_ref()));
                    let path = format!("{name}.{}", to.unwrap_or_default());
                    tables.insert(path, keys(item.get_ref()));
                }
            }
            value => {
                tables.insert(name.to_string(), keys(value));
            }
        }
    }
    tables
}

fn keys(value: &DeValue<'_>) -> Keys {
    let mut keys = Keys::new();
    gather("", value, &mut keys);
    keys
}

/// Puts in what `value` holds, by its path.
fn gather(path: &str, value: &DeValue<'_>, keys: &mut Keys) {
    match value {
        DeValue::Table(table) => {
            for (key, value) in table {
                let dot = if path.is_empty() { "" } else { "." };
                gather(&format!("{path}{dot}{}", key.get_ref()), value.get_ref(), keys);
            }
        }
        DeValue::Array(items) => {
            let items = items.iter().map(|item| shown(item.get_ref())).collect();
            keys.insert(path.to_owned(), Value::List(items));
        }
        value => {
            keys.insert(path.to_owned(), Value::One(shown(value)));
        }
    }
}

fn changes(name: &str, old: &Keys, new: &Keys, lines: &mut Vec<String>) {
    let unset = Value::One("unset".to_owned());
    let all: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for key in all {
        let (before, after) = (old.get(key), new.get(key));
        if before == after {
            continue;
        }
        let path = if key.is_empty() { name.to_owned() } else { format!("{name}.{key}") };
        lines.push(match (before, after) {
            (Some(Value::List(before)), Some(Value::List(after))) => {
                format!("~ {path}:{}", list_change(before, after))
            }
            (before, after) => {
                let [before, after] = [before, after].map(|value| match value.unwrap_or(&unset) {
                    Value::One(text) => text.clone(),
                    Value::List(items) => format!("[{}]", items.join(", ")),
                });
                format!("~ {path}: {before} -> {after}")
            }
        });
    }
}

/// What came and what went, or that only the order is another.
fn list_change(before: &[String], after: &[String]) -> String {
    let mut gone: Vec<_> = before.iter().collect();
    let mut text = String::new();
    for item in after {
        match gone.iter().position(|other| *other == item) {
            Some(at) => drop(gone.remove(at)),
            None => text += &format!(" + {item}"),
        }
    }
    for item in gone {
        text += &format!(" - {item}");
    }
    match text.is_empty() {
        true => " in another order".to_owned(),
        false => text,
    }
}

/// A line without the secrets in it: they were compared, and are not shown.
fn hidden(line: &str) -> String {
    let [begin, end] = HIDE.map(|mark| mark.escape_debug().to_string());
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once(&begin) {
        text += before;
        text += Password::HIDDEN;
        rest = behind.split_once(&end).map_or("", |(_, behind)| behind);
    }
    text + rest
}

/// A value on one line.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| shown(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let items = table
                .iter()
                .map(|(key, value)| format!("{} = {}", key.get_ref(), shown(value.get_ref())));
            format!("{{ {} }}", items.collect::<Vec<_>>().join(", "))
        }
    }
}
