//! Diagnostics as JSON, for editors and scripts.
//!
//! An array with an object for each fault, in the order of the text form. Every key is always
//! there; `null` stands where there is nothing to say. Keys may be added, none changes its meaning.
//!
//! | key | value |
//! |---|---|
//! | `code` | `E0112`; what it means is stable over versions |
//! | `severity` | `error` or `warning` |
//! | `message` | the fault in one line |
//! | `label` | a few words about the place |
//! | `file` | the name of the file, or `command line` |
//! | `line`, `column` | where the place begins, from 1; columns count characters |
//! | `end_line`, `end_column` | where it ends; the column behind its last character |
//! | `start`, `end` | the same in bytes from the start of the file, from 0 |
//! | `related` | further places that matter: `label`, and the keys of a place |
//! | `help` | what to write instead |

use model::{Diagnostic, Severity, Sources, Span};
use serde_json::{Map, Value, json};

/// All `diagnostics` as a JSON array; ends with a line feed. Spans must be of `sources`.
pub fn write(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let all = diagnostics.iter().map(|diagnostic| Value::Object(object(diagnostic, sources)));
    format!("{:#}\n", Value::Array(all.collect()))
}

fn object(diagnostic: &Diagnostic, sources: &Sources) -> Map<String, Value> {
    let severity = match diagnostic.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut object = Map::new();
    object.insert("code".to_owned(), diagnostic.code.as_str().into());
    object.insert("severity".to_owned(), severity.into());
    object.insert("message".to_owned(), diagnostic.message.as_str().into());
    let label = (!diagnostic.label.is_empty()).then_some(diagnostic.label.as_str());
    object.insert("label".to_owned(), label.into());
    object.extend(place(diagnostic.span, sources));
    let related = diagnostic.related.iter().map(|(span, label)| {
        let mut object = Map::new();
        object.insert("label".to_owned(), label.as_str().into());
        object.extend(place(Some(*span), sources));
        Value::Object(object)
    });
    object.insert("related".to_owned(), related.collect());
    object.insert("help".to_owned(), diagnostic.help.as_deref().into());
    object
}

/// The keys that say where something is.
fn place(span: Option<Span>, sources: &Sources) -> Map<String, Value> {
    const KEYS: [&str; 7] = ["file", "line", "column", "end_line", "end_column", "start", "end"];
    let values = match span {
        None => KEYS.map(|_| Value::Null),
        Some(span) => {
            let source = sources.get(span.source);
            let (line, column) = position(&source.text, span.start);
            let (end_line, end_column) = position(&source.text, span.end);
            let name = json!(source.name);
            let numbers = [line, column, end_line, end_column, span.start, span.end];
            let [line, column, end_line, end_column, start, end] = numbers.map(Value::from);
            [name, line, column, end_line, end_column, start, end]
        }
    };
    KEYS.into_iter().map(str::to_owned).zip(values).collect()
}

/// Line and column of a byte, from 1; the column in characters.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = &text[..byte];
    let start = before.rfind('\n').map_or(0, |feed| feed + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Code;

    #[test]
    fn every_place_is_told_in_characters_and_in_bytes() {
        let mut sources = Sources::default();
        let file = sources.add("a.toml", "x = 1\né = \"ü\" # two\nlast");
        let fault = Diagnostic::new(Code::Type, Span::new(file, 11..15), "wrong \"x\"")
            .label("here")
            .related(Span::new(file, 6..8), "and here")
            .help("mend it");
        let nowhere = Diagnostic::new(Code::PoolUnused, None, "unused");
        let text = write(&[fault, nowhere], &sources);
        let read: Value = serde_json::from_str(&text).expect("it is JSON");
        let place = json!({
            "code": "E0007", "severity": "error", "message": "wrong \"x\"", "label": "here",
            "file": "a.toml", "line": 2, "column": 5, "end_line": 2, "end_column": 8,
            "start": 11, "end": 15,
            "related": [{
                "label": "and here", "file": "a.toml", "line": 2, "column": 1, "end_line": 2,
                "end_column": 2, "start": 6, "end": 8,
            }],
            "help": "mend it",
        });
        assert_eq!(read[0], place);
        assert_eq!(read[1]["severity"], "warning");
        for key in ["label", "file", "line", "end_column", "start", "help"] {
            assert_eq!(read[1].get(key), Some(&Value::Null), "{key}");
        }
        assert_eq!(read[1]["related"], json!([]));
        assert!(text.starts_with("[\n  {\n    \"code\": \"E0007\",\n    \"severity\""), "{text}");
        assert_eq!(write(&[], &sources), "[]\n");
    }
}
