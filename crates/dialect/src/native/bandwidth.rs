//! Limits of bandwidth: `{ to_backend = "10MiB/s", to_client = "10MiB/s" }`, or one rate for both.

use model::{Bandwidth, ByteRate};
use toml::de::DeValue;

use super::Reader;
use super::keys::{Key, Schema, Takes};
use super::table::Table;
use crate::line::Word;
use crate::term::bytes;

pub(super) const BANDWIDTH: Schema = Schema {
    place: "a bandwidth",
    keys: &[
        Key::new("to_backend", Takes::ByteRate, "How fast from clients to backends."),
        Key::new("to_client", Takes::ByteRate, "How fast from backends to clients."),
    ],
    also: &[],
    later: &[],
};

impl Reader<'_> {
    pub(super) fn bandwidth(&mut self, table: &Table<'_>, key: &str) -> Bandwidth {
        let Some(entry) = table.get(key) else { return Bandwidth::default() };
        match (entry.as_table(), entry.value()) {
            (Some(each), _) => {
                self.keys(&each, &BANDWIDTH);
                Bandwidth {
                    to_backend: self.byte_rate(&each, "to_backend"),
                    to_client: self.byte_rate(&each, "to_client"),
                }
            }
            (None, DeValue::String(_) | DeValue::Integer(_)) => {
                let both = self.byte_rate(table, key);
                Bandwidth { to_backend: both, to_client: both }
            }
            (None, _) => {
                let help = format!(
                    "write `{key} = \"10MiB/s\"`, or `{key} = {{ to_backend = \"10MiB/s\", to_client = \"10MiB/s\" }}`"
                );
                self.wrong(entry, "a rate, or a table of them", help);
                Bandwidth::default()
            }
        }
    }

    fn byte_rate(&mut self, table: &Table<'_>, key: &str) -> Option<ByteRate> {
        let entry = table.get(key)?;
        if let DeValue::Integer(number) = entry.value() {
            let word = Word::of_file(number.as_str(), entry.value_span(), false);
            self.faults.push(bytes::rate_without_unit(word, |rate| format!("`\"{rate}\"`")));
            return None;
        }
        let text = self.text(table, key)?;
        self.told(bytes::rate(text.word()))
    }
}
