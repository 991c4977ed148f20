//! The form of a file as JSON Schema (<https://json-schema.org/draft/2020-12>), for editors.
//!
//! Made from the tables that the reader goes by. A string may hold `${NAME}`, of which an
//! editor cannot know what will stand there, so such strings pass. What is kept for later
//! versions is left out: an editor marks it as the reader does.

use serde_json::{Map, Value, json};

use super::ROOT;
use super::keys::{Key, Schema, Takes};
use super::listener::NAME_BYTES_MAX;

/// A time as the reader takes it, or a variable.
const TIME: &str = r"^0$|^([0-9]+(ms|s|m|h|d))+$|\$\{";

/// A rate as the reader takes it, or a variable.
const RATE: &str = r"^[0-9]+/(s|m|h)$|\$\{";

/// The schema as JSON text; ends with a line feed.
pub fn schema() -> String {
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "replug",
        "description": "Configuration of replug: listeners, pools of backends, limits, logs.",
    });
    if let (Value::Object(root), Value::Object(table)) = (&mut root, table(&ROOT)) {
        root.extend(table);
    }
    format!("{root:#}\n")
}

fn table(schema: &Schema) -> Value {
    let properties: Map<_, _> =
        schema.all().map(|key| (key.name.to_owned(), property(key))).collect();
    let mut table = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    let required: Vec<_> = schema.all().filter(|key| key.is_required).map(|key| key.name).collect();
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    if let Some((one, other)) = schema.all().find_map(|key| Some((key.name, key.or?))) {
        table["oneOf"] = json!([{ "required": [one] }, { "required": [other] }]);
    }
    table
}

fn property(key: &Key) -> Value {
    let variable = || json!({ "type": "string", "pattern": r"\$\{" });
    let text = |example: &str| json!({ "type": "string", "examples": [example] });
    let mut property = match key.takes {
        Takes::Text(example) => text(example),
        Takes::Texts(example) => json!({
            "anyOf": [
                text(example),
                { "type": "array", "items": text(example) },
            ],
        }),
        Takes::Time => json!({
            "anyOf": [
                { "type": "string", "pattern": TIME, "examples": ["30s", "1h30m"] },
                { "const": 0 },
            ],
        }),
        Takes::Rate => json!({ "type": "string", "pattern": RATE, "examples": ["20/s"] }),
        Takes::Count(max) => json!({ "type": "integer", "minimum": 1, "maximum": max }),
        Takes::Boolean => json!({ "type": "boolean" }),
        Takes::Choice(words) => json!({ "anyOf": [{ "enum": words }, variable()] }),
        Takes::Table(schema) => table(schema),
        Takes::Named(schema) => json!({
            "type": "object",
            "propertyNames": { "pattern": format!("^[A-Za-z0-9_.-]{{1,{NAME_BYTES_MAX}}}$") },
            "additionalProperties": table(schema),
        }),
    };
    property["description"] = key.says.into();
    if let Some(default) = key.default {
        property["default"] = serde_json::from_str(default)
            .expect("defaults are strings, numbers, booleans and lists, the same in TOML and JSON");
    }
    property
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::{Reading, read};
    use crate::render::{Colour, render};
    use model::{Severity, Sources};

    /// A file in which every kind of table stands once, and `line` in the one that `place` names.
    fn file(place: &str, line: &str) -> String {
        let mut text = String::new();
        let tables = [
            ("listener", "a", "bind = \":1\"\nto = \"10.0.0.1:1\"\n"),
            ("listener", "b", "bind = \":2\"\npool = \"p\"\n"),
            ("pool", "p", "backends = \"10.0.0.1:1\"\n"),
            ("pool", "web", "backends = \"10.0.0.2:1\"\n"),
        ];
        let name = line.split(' ').next().unwrap_or_default();
        for (kind, table, keys) in tables {
            text += &format!("[{kind}.{table}]\n");
            let own = place == format!("{kind}.{table}");
            for key in keys.lines().filter(|key| !own || key.split(' ').next() != Some(name)) {
                text += &format!("{key}\n");
            }
            if own {
                text += &format!("{line}\n");
            }
        }
        if !place.contains('.') && !line.is_empty() {
            text += &format!("[{place}]\n{line}\n");
        }
        text
    }

    #[track_caller]
    fn read_one(text: &str) -> Reading {
        let mut sources = Sources::default();
        let file = sources.add("replug.toml", text);
        let mut reading = read(&[file], &sources, &|_| None);
        reading.diagnostics.retain(|fault| fault.severity() == Severity::Error);
        let shown = render(&reading.diagnostics, &sources, Colour::Never);
        assert_eq!(shown, "", "{text}");
        reading
    }

    /// A value that is not the default.
    fn another(key: &Key) -> Option<String> {
        Some(match key.takes {
            Takes::Text(example) => format!("\"{example}\""),
            Takes::Texts(example) => format!("[\"{example}\"]"),
            Takes::Time => "\"77s\"".to_owned(),
            Takes::Rate => "\"7/s\"".to_owned(),
            Takes::Count(_) => "1".to_owned(),
            Takes::Boolean => (key.default != Some("true")).to_string(),
            Takes::Choice(words) => format!("\"{}\"", words.last()?),
            Takes::Table(_) | Takes::Named(_) => return None,
        })
    }

    /// Calls `visit` with each key that has a value, the table it stands in, and what to put
    /// before and behind it there.
    fn walk(visit: &mut dyn FnMut(&str, &str, &Key, &str)) {
        for top in ROOT.all() {
            let (places, schema) = match top.takes {
                Takes::Named(schema) if top.name == "listener" => (["listener.a"], schema),
                Takes::Named(schema) => (["pool.p"], schema),
                Takes::Table(schema) => ([top.name], schema),
                _ => panic!("{} is no table", top.name),
            };
            for key in schema.all() {
                let place = match key.name {
                    "pool" => "listener.b",
                    _ => places[0],
                };
                let Takes::Table(within) = key.takes else {
                    visit(place, "", key, "");
                    continue;
                };
                for inner in within.all() {
                    let others = within.all().filter(|key| key.is_required);
                    let others = others.filter(|key| key.name != inner.name);
                    let others = others.filter_map(|key| Some((key.name, another(key)?)));
                    let others: String =
                        others.map(|(name, value)| format!("{name} = {value}, ")).collect();
                    visit(place, &format!("{} = {{ {others}", key.name), inner, " }");
                }
            }
        }
    }

    #[test]
    fn each_key_is_read_and_changes_the_configuration() {
        let mut visited = 0;
        walk(&mut |place, before, key, behind| {
            let Some(value) = another(key) else { panic!("{} is a table too deep", key.name) };
            let with = read_one(&file(place, &format!("{before}{} = {value}{behind}", key.name)));
            let without = read_one(&file("listener.a", "")).config;
            assert_ne!(with.config, without, "{place}: {before}{} is not read", key.name);
            visited += 1;
        });
        assert!(visited > 25, "{visited}");
    }

    #[test]
    fn each_default_is_the_one_in_effect() {
        walk(&mut |place, before, key, behind| {
            let Some(default) = key.default else { return };
            let bare = match before.is_empty() {
                true => String::new(),
                // A table that is there without the key.
                false => format!("{}{behind}", before.trim_end_matches(", ")),
            };
            let with = read_one(&file(place, &format!("{before}{} = {default}{behind}", key.name)));
            let without = read_one(&file(place, &bare));
            assert_eq!(with.config, without.config, "{place}: {before}{} = {default}", key.name);
        });
    }

    #[test]
    fn the_schema_is_json_with_every_key_in_its_place() {
        let schema: Value = serde_json::from_str(&schema()).expect("the schema is JSON");
        assert_eq!(schema["additionalProperties"], false);
        let listener = &schema["properties"]["listener"]["additionalProperties"];
        assert_eq!(listener["required"], json!(["bind"]));
        assert_eq!(listener["oneOf"], json!([{ "required": ["to"] }, { "required": ["pool"] }]));
        let connect = &listener["properties"]["timeouts"]["properties"]["connect"];
        assert_eq!(connect["default"], "5s");
        let by = &listener["properties"]["sticky"]["properties"]["by"]["anyOf"][0]["enum"];
        assert_eq!(*by, json!(["client", "network"]));
        assert_eq!(schema["properties"]["limits"]["properties"]["sessions"]["type"], "integer");
        assert_eq!(schema["properties"].as_object().map(Map::len), Some(ROOT.all().count()));
    }
}
