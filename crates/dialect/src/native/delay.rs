//! `delay = { ... }` on a listener.

use std::time::Duration;

use model::{Code, Delay, Diagnostic, unit};

use super::Reader;
use super::keys::{Key, Schema, Takes};
use super::table::Table;
use crate::line::Word;
use crate::term::value;

pub(super) const DELAY: Schema = Schema {
    place: "delay",
    keys: &[
        Key::new(
            "to_backend",
            Takes::Time,
            "The mean pause before bytes of clients; each is a random time up to twice that.",
        )
        .default("\"0\""),
        Key::new("to_client", Takes::Time, "The same before bytes of backends.").default("\"0\""),
        Key::new("chunk", Takes::Size, "Bytes that pass between two pauses, at most.")
            .default("\"8KiB\""),
    ],
    also: &[],
    later: &[],
};

impl Reader<'_> {
    pub(super) fn delay(&mut self, table: &Table<'_>) -> Delay {
        let mut delay = Delay::default();
        let Some(table) = self.table(table, "delay") else { return delay };
        self.keys(&table, &DELAY);
        delay.to_backend = self.duration(&table, "to_backend", pause).flatten();
        delay.to_client = self.duration(&table, "to_client", pause).flatten();
        if let Some(chunk) = self.size(&table, "chunk") {
            delay.chunk = chunk;
        }
        delay
    }
}

fn pause(word: Word<'_>) -> Result<Option<Duration>, Diagnostic> {
    let pause = value::duration_or_never(word)?;
    match pause.is_some_and(|pause| pause > Delay::MAX) {
        false => Ok(pause),
        true => Err(Diagnostic::new(
            Code::Number,
            word.span,
            format!("a pause of `{}` is too long", word.text),
        )
        .label(format!("more than {}", unit::show(Delay::MAX)))
        .help("write a shorter time, as in `50ms`")),
    }
}
