//! The form of a file as JSON Schema (<https://json-schema.org/draft/2020-12>), for editors.
//!
//! Made from the tables that the reader goes by. A string may hold `${NAME}`, of which an
//! editor cannot know what will stand there, so such strings pass. What is kept for later
//! versions is left out: an editor marks it as the reader does.

use serde_json::{Map, Value, json};

use super::ROOT;
use super::keys::{Key, Schema, Takes};
use super::listener::NAME_BYTES_MAX;
use super::when::WHEN;

/// A time as the reader takes it, or a variable.
const TIME: &str = r"^0$|^([0-9]+(ms|s|m|h|d))+$|\$\{";

/// A rate as the reader takes it, or a variable.
const RATE: &str = r"^[0-9]+/(s|m|h)$|\$\{";

/// A rate of bytes as the reader takes it, or a variable.
const BYTE_RATE: &str = r"^[0-9]+([KMG]i?B|kB|B|[kKMG]?bit)/s$|\$\{";

/// A number of bytes as the reader takes it, or a variable.
const SIZE: &str = r"^[0-9]+([KMG]i?B|kB|B)$|\$\{";

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
    // Conditions stand within conditions.
    root["$defs"] = json!({ "when": table(&WHEN) });
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
    if let Some(key) = schema.all().find(|key| !key.or.is_empty()) {
        let names = std::iter::once(&key.name).chain(key.or);
        let either: Vec<_> = names.map(|name| json!({ "required": [name] })).collect();
        table["anyOf"] = json!(either);
    }
    table
}

fn property(key: &Key) -> Value {
    let variable = || json!({ "type": "string", "pattern": r"\$\{" });
    let text = |example: &str| json!({ "type": "string", "examples": [example] });
    let byte_rate =
        || json!({ "type": "string", "pattern": BYTE_RATE, "examples": ["10MiB/s", "8Mbit/s"] });
    let mut property = match key.takes {
        Takes::Text(example) => text(example),
        Takes::Texts(example) => json!({
            "anyOf": [
                text(example),
                { "type": "array", "items": text(example) },
            ],
        }),
        Takes::TextOr(example, schema) => json!({ "anyOf": [text(example), table(schema)] }),
        Takes::Time => json!({
            "anyOf": [
                { "type": "string", "pattern": TIME, "examples": ["30s", "1h30m"] },
                { "const": 0 },
            ],
        }),
        Takes::Rate => json!({ "type": "string", "pattern": RATE, "examples": ["20/s"] }),
        Takes::Size => json!({ "type": "string", "pattern": SIZE, "examples": ["256KiB"] }),
        Takes::Number { max, text: example } => json!({
            "anyOf": [{ "type": "integer", "minimum": 0, "maximum": max }, text(example)],
        }),
        Takes::ByteRate => byte_rate(),
        Takes::ByteRates(schema) => json!({ "anyOf": [byte_rate(), table(schema)] }),
        Takes::Count(max) => json!({ "type": "integer", "minimum": 1, "maximum": max }),
        Takes::Counts(max) => {
            let one = json!({ "type": "integer", "minimum": 1, "maximum": max });
            json!({ "anyOf": [one, { "type": "array", "items": one }] })
        }
        Takes::Boolean => json!({ "type": "boolean" }),
        Takes::Map(name, value) => json!({
            "type": "object",
            "additionalProperties": { "type": "string" },
            "examples": [{ name: value }],
        }),
        Takes::Choice(words) => json!({ "anyOf": [{ "enum": words }, variable()] }),
        Takes::ChoiceOr(words, schema) => {
            json!({ "anyOf": [{ "enum": words }, variable(), table(schema)] })
        }
        Takes::Choices(words) => {
            let one = json!({ "anyOf": [{ "enum": words }, variable()] });
            json!({ "anyOf": [one, { "type": "array", "items": one }] })
        }
        Takes::Whens => {
            let one = json!({ "$ref": "#/$defs/when" });
            json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
        }
        Takes::Table(schema) => table(schema),
        Takes::Tables(schema) => json!({ "type": "array", "items": table(schema) }),
        Takes::OneOrMore(schema) => {
            let one = table(schema);
            json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
        }
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
            // Both say where sessions go.
            let gives_way = |key: &str| key == name || (key == "pool" && name == "otherwise");
            for key in
                keys.lines().filter(|key| !own || !key.split(' ').next().is_some_and(gives_way))
            {
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
        let mut reading = read(&[file], &mut sources, &|_| None, &|_| Err(String::new()));
        reading.diagnostics.retain(|fault| fault.severity() == Severity::Error);
        let shown = render(&reading.diagnostics, &sources, Colour::Never);
        assert_eq!(shown, "", "{text}");
        reading
    }

    /// A value that is not the default.
    fn another(key: &Key) -> String {
        match key.takes {
            Takes::Text(example) | Takes::TextOr(example, _) => format!("\"{example}\""),
            Takes::Texts(example) => format!("[\"{example}\"]"),
            Takes::Time => "\"77s\"".to_owned(),
            Takes::Rate => "\"7/s\"".to_owned(),
            Takes::ByteRate | Takes::ByteRates(_) => "\"7KB/s\"".to_owned(),
            Takes::Size => "\"7KiB\"".to_owned(),
            Takes::Number { text, .. } => format!("\"{text}\""),
            Takes::Count(_) => "2".to_owned(),
            Takes::Counts(_) => "[1]".to_owned(),
            Takes::Map(name, value) => format!("{{ {name} = \"{value}\" }}"),
            Takes::Boolean => (key.default != Some("true")).to_string(),
            Takes::Choice(words) | Takes::ChoiceOr(words, _) => {
                format!("\"{}\"", words.last().expect("a choice of some"))
            }
            Takes::Choices(words) => format!("[\"{}\"]", words.first().expect("a choice of some")),
            Takes::Whens => "{ port = 7 }".to_owned(),
            Takes::Table(schema) => {
                let keys: Vec<_> = schema.all().filter(|key| key.is_required).collect();
                let keys = if keys.is_empty() { schema.all().take(1).collect() } else { keys };
                let keys = keys.into_iter().map(|key| format!("{} = {}", key.name, another(key)));
                let terms = terms(schema, key);
                format!("{{ {terms}{} }}", keys.collect::<Vec<_>>().join(", "))
            }
            Takes::Tables(_) | Takes::OneOrMore(_) | Takes::Named(_) => {
                panic!("{} stands at the top", key.name)
            }
        }
    }

    /// What the usual authority wants to be said, or another one that does not.
    fn terms(schema: &Schema, key: &Key) -> &'static str {
        match (schema.place, key.name) {
            ("acme", "agree_to_terms") => "directory = \"https://ca.example/dir\", ",
            ("acme", _) => "agree_to_terms = true, ",
            _ => "",
        }
    }

    /// The line without which a key says nothing.
    fn companion(place: &str, key: &Key) -> &'static str {
        match (place, key.name) {
            ("log", "facility" | "tag" | "severity" | "protocol") => "to = \"syslog\"\n",
            ("listener.a", "on_silence") => {
                "route = [{ when = { regex = \"a\" }, pool = \"web\" }]\n"
            }
            ("listener.a", "proxy") => "allow = \"10.0.0.0/8\"\n",
            ("listener.a", "client_cert" | "san") => {
                "tls = { cert = \"a.pem\", client_ca = \"ca.pem\" }\n"
            }
            _ => "",
        }
    }

    /// The other keys that a table needs for this one to stand there.
    fn beside(schema: &Schema, key: &Key) -> String {
        let is_needed = |other: &&Key| other.is_required || !other.or.is_empty();
        let stands_for = |other: &Key| other.name == key.name || other.or.contains(&key.name);
        let others = schema.all().filter(is_needed).filter(|other| !stands_for(other));
        let others: String =
            others.map(|other| format!("{} = {}, ", other.name, another(other))).collect();
        let others = others + terms(schema, key);
        match key.name {
            "client_auth" | "crl" if schema.key("client_ca").is_some() => {
                others + "client_ca = \"ca.pem\", "
            }
            "key" | "passphrase" if schema.key("cert").is_some() && !others.contains("cert") => {
                others + "cert = \"a.pem\", "
            }
            _ => others,
        }
    }

    /// Takes a key, the table that it stands in, and what makes a line of that table of what is
    /// written for the key.
    type Visit<'a> = &'a mut dyn FnMut(&str, &Key, &dyn Fn(&str) -> String);

    /// Calls `visit` with each key that has a value.
    fn walk(visit: Visit<'_>) {
        for top in ROOT.all() {
            let (place, schema) = match top.takes {
                Takes::Named(schema) if top.name == "listener" => ("listener.a", schema),
                Takes::Named(schema) => ("pool.p", schema),
                Takes::Table(schema) | Takes::OneOrMore(schema) => (top.name, schema),
                _ => panic!("{} is no table", top.name),
            };
            for key in schema.all() {
                let of_pool = ["pool", "otherwise"].contains(&key.name);
                let place = if of_pool { "listener.b" } else { place };
                let beside = companion(place, key);
                within(place, key, &|line| format!("{beside}{line}"), visit);
            }
        }
    }

    fn within(place: &str, key: &'static Key, wrap: &dyn Fn(&str) -> String, visit: Visit<'_>) {
        let (schema, open, close) = match key.takes {
            Takes::ByteRates(schema) | Takes::ChoiceOr(_, schema) => {
                visit(place, key, wrap);
                (schema, "{ ", " }")
            }
            Takes::Table(schema) => (schema, "{ ", " }"),
            Takes::Tables(schema) | Takes::OneOrMore(schema) => (schema, "[{ ", " }]"),
            _ => return visit(place, key, wrap),
        };
        for inner in schema.all() {
            let others = beside(schema, inner);
            let wrap = |line: &str| wrap(&format!("{} = {open}{others}{line}{close}", key.name));
            within(place, inner, &wrap, visit);
        }
    }

    #[test]
    fn each_key_is_read_and_changes_the_configuration() {
        let mut visited = 0;
        walk(&mut |place, key, wrap| {
            let line = wrap(&format!("{} = {}", key.name, another(key)));
            let line = match key.name {
                // Nobody has one without being asked.
                "client_cert" | "san" => companion(place, key).to_owned() + &line,
                _ => line,
            };
            let with = read_one(&file(place, &line));
            let without = read_one(&file(place, companion(place, key))).config;
            assert_ne!(with.config, without, "{place}: {line} is not read");
            visited += 1;
        });
        assert!(visited > 25, "{visited}");
    }

    #[test]
    fn each_default_is_the_one_in_effect() {
        walk(&mut |place, key, wrap| {
            let Some(default) = key.default else { return };
            let line = wrap(&format!("{} = {default}", key.name));
            let (with, without) =
                (read_one(&file(place, &line)), read_one(&file(place, &wrap(""))));
            assert_eq!(with.config, without.config, "{place}: {line}");
        });
    }

    #[test]
    fn the_schema_is_json_with_every_key_in_its_place() {
        let schema: Value = serde_json::from_str(&schema()).expect("the schema is JSON");
        assert_eq!(schema["additionalProperties"], false);
        let listener = &schema["properties"]["listener"]["additionalProperties"];
        assert_eq!(listener["required"], json!(["bind"]));
        assert_eq!(listener["anyOf"][1], json!({ "required": ["pool"] }));
        let not = &schema["$defs"]["when"]["properties"]["not"]["anyOf"][0];
        assert_eq!(*not, json!({ "$ref": "#/$defs/when" }));
        let connect = &listener["properties"]["timeouts"]["properties"]["connect"];
        assert_eq!(connect["default"], "5s");
        let by = &listener["properties"]["sticky"]["properties"]["by"]["anyOf"][0]["enum"];
        assert_eq!(*by, json!(["client", "network"]));
        assert_eq!(schema["properties"]["limits"]["properties"]["sessions"]["type"], "integer");
        assert_eq!(schema["properties"].as_object().map(Map::len), Some(ROOT.all().count()));
    }
}
