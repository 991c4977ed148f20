//! `script = "route.lua"` on a listener: who decides about its sessions.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use model::{ByteSize, Code, Compat, Diagnostic, Language, OnScriptError, Script, Spanned, unit};
use toml::de::DeValue;

use super::Reader;
use super::keys::{self, Key, Schema, Takes};
use super::table::{Entry, Table};
use super::text::Text;
use crate::term::value;

pub(super) const SCRIPT: Schema = Schema {
    place: "script",
    keys: &[
        Key::new(
            "file",
            Takes::Text("route.lua"),
            "The script: a path in full, or from the folder of this file on. It ends in `.lua` or `.rb`.",
        )
        .required(),
        Key::new(
            "language",
            Takes::Choice(&keys::names(&Language::NAMES)),
            "What it is written in, if the end of its name does not say so.",
        ),
        Key::new(
            "on_error",
            Takes::Choice(&keys::names(&OnScriptError::NAMES)),
            "What becomes of a client for whom the script fails: it is turned away, or goes where it \
             would go without the script.",
        )
        .default("\"close\""),
        Key::new(
            "deadline",
            Takes::Time,
            "How long the script may work at one decision. Lua: from `1ms` to `1s`, `10ms` if it is \
             left out, of the processor's time, in which nobody else of the shard is served. Ruby: \
             from `1ms` to `1m`, `5s` if it is left out, and others are served meanwhile.",
        ),
        Key::new(
            "memory",
            Takes::Size,
            "How much memory it may have on each shard, `1MiB` at least; `16MiB` if it is left out. \
             For Lua.",
        ),
        Key::new(
            "workers",
            Takes::Count(Script::WORKERS_MAX as usize),
            "How many processes run it; one if it is left out. For Ruby.",
        ),
        Key::new(
            "compat",
            Takes::Choice(&keys::names(&Compat::NAMES)),
            "What its blocks mean: what ProxyMachine's README says, or exactly what they do in its \
             version 1.2.4. For Ruby.",
        )
        .default("\"replug\""),
    ],
    also: &[],
    later: &[],
};

impl Reader<'_> {
    pub(super) fn script(&mut self, listener: &Table<'_>) -> Option<Spanned<Script>> {
        listener.get("script")?;
        let script = self.read_script(listener);
        self.unsure |= script.is_none();
        script
    }

    fn read_script(&mut self, listener: &Table<'_>) -> Option<Spanned<Script>> {
        let entry = listener.get("script")?;
        let Some(table) = entry.as_table() else {
            if !matches!(entry.value(), DeValue::String(_)) {
                let help = "write `script = \"route.lua\"`, or `script = { file = \"route.lua\" }`";
                self.wrong(entry, "a file, or a table", help);
                return None;
            }
            let file = self.text(listener, "script")?;
            let (file, language) = self.script_file(&file, None)?;
            return Some(Spanned::at(Script::new(file, language), entry.value_span()));
        };
        self.keys(&table, &SCRIPT);
        if table.get("file").is_none() {
            let message = "`script` names no file".to_owned();
            self.missing(&table, message, "write `file = \"route.lua\"`");
        }
        let on_error = self.choice(&table, "on_error", &OnScriptError::NAMES, &[]);
        let told = self.choice(&table, "language", &Language::NAMES, &[]);
        let compat = self.choice(&table, "compat", &Compat::NAMES, &[]);
        let file = self.text(&table, "file").and_then(|file| self.script_file(&file, told));
        let language = file.as_ref().map_or(Language::Lua, |(_, language)| *language);
        let deadline = self.script_deadline(&table, language);
        let memory = self.script_memory(&table);
        let workers = self.count(&table, "workers", Script::WORKERS_MAX as usize);
        let workers = workers.and_then(|count| NonZeroU32::try_from(count).ok());
        let (file, _) = file?;
        self.only_for(&table, language);
        let span = table.get("file").map_or(table.span, Entry::value_span);
        let script = Script {
            on_error: on_error.unwrap_or_default(),
            deadline,
            memory,
            workers,
            compat: compat.unwrap_or_default(),
            ..Script::new(file, language)
        };
        Some(Spanned::at(script, span))
    }

    /// The path as it is opened, and what is written there.
    fn script_file(
        &mut self,
        text: &Text<'_>,
        told: Option<Language>,
    ) -> Option<(String, Language)> {
        let Some(language) = told.or_else(|| Language::of(&text.value)) else {
            let message = format!("`{}` is in no language that scripts have", text.value);
            let fault = Diagnostic::new(Code::Script, text.span, message).label("not a script");
            self.faults.push(fault.help("name a file that ends in `.lua` or `.rb`"));
            return None;
        };
        let file = Path::new(&self.sources.get(text.span.source).name);
        let place = file.with_file_name("").join(&*text.value);
        // It was text, and so was the name of the file that names it.
        Some((place.to_string_lossy().into_owned(), language))
    }

    fn script_deadline(&mut self, table: &Table<'_>, language: Language) -> Option<Duration> {
        let most = language.deadline_max();
        let why = "a decision that never comes would hold everybody else";
        let time = self.duration(table, "deadline", |word| value::duration_not_zero(word, why))?;
        if (Script::DEADLINE_MIN..=most).contains(&time) {
            return Some(time);
        }
        let span = table.get("deadline").map_or(table.span, Entry::value_span);
        let message = format!("a script cannot have {} for a decision", unit::show(time));
        let fault = Diagnostic::new(Code::Duration, span, message).label("out of range");
        let help = format!("write `\"1ms\"` to `\"{}\"`", unit::show(most));
        self.faults.push(fault.help(help));
        None
    }

    fn script_memory(&mut self, table: &Table<'_>) -> Option<ByteSize> {
        let size = self.size(table, "memory")?;
        if size.get() >= Script::MEMORY_MIN {
            return Some(size);
        }
        let span = table.get("memory").map_or(table.span, Entry::value_span);
        let message = format!("{size} is too little for any script");
        let fault = Diagnostic::new(Code::Number, span, message).label("out of range");
        self.faults.push(fault.help("write `\"1MiB\"` at least; `\"16MiB\"` is usual"));
        None
    }

    /// Keys that say nothing for a language.
    fn only_for(&mut self, table: &Table<'_>, language: Language) {
        const LUA: &[(&str, &str)] =
            &[("workers", "Lua runs on every shard"), ("compat", "it is for Ruby")];
        const RUBY: &[(&str, &str)] = &[("memory", "Ruby runs in processes of its own")];
        let idle = match language {
            Language::Lua => LUA,
            Language::Ruby => RUBY,
        };
        for (key, why) in idle {
            let Some(entry) = table.get(key) else { continue };
            let message = format!("`{key}` says nothing here: {why}");
            let fault = Diagnostic::new(Code::Conflict, entry.span(), message);
            self.faults.push(fault.label("without effect").help("leave it out"));
        }
    }
}
