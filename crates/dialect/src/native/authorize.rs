//! `authorize = { exec = ["/usr/local/bin/check"] }` on a listener: who is asked about its clients.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use model::{Authorize, Children, Code, Diagnostic, OnError, Program, Spanned};
use toml::de::DeValue;

use super::Reader;
use super::keys::{self, Key, Schema, Takes};
use super::table::{Entry, Table};
use crate::line::Word;
use crate::term::{program, value};

pub(super) const AUTHORIZE: Schema = Schema {
    place: "authorize",
    keys: &[
        Key::new(
            "exec",
            Takes::Texts("/usr/local/bin/check"),
            "The program that decides, by its path from the root, and its arguments.",
        )
        .required(),
        Key::new(
            "arg0",
            Takes::Text("check"),
            "The name that it is started by; its path if it is left out.",
        ),
        Key::new("children", Takes::Table(&CHILDREN), "How many of it run."),
        Key::new(
            "at_once",
            Takes::Count(Program::AT_ONCE_MAX as usize),
            "Questions that one child may have at a time; more than 1 for a program that answers them \
             in any order.",
        )
        .default("1"),
        Key::new("timeout", Takes::Time, "How long a client waits for the decision.")
            .default("\"5s\""),
        Key::new(
            "on_error",
            Takes::Choice(&keys::names(&OnError::NAMES)),
            "What becomes of a client about which nothing is decided.",
        )
        .default("\"deny\""),
        Key::new(
            "realm",
            Takes::Text("lab"),
            "What the listener is called in questions; by its name if it is left out.",
        ),
        Key::new(
            "user",
            Takes::Text("nobody"),
            "Whom the program runs as, for which replug must be root; as replug if it is left out.",
        ),
        Key::new(
            "group",
            Takes::Text("nogroup"),
            "The group that it runs as; that of the user if it is left out.",
        ),
        Key::new(
            "home",
            Takes::Text("/var/empty"),
            "The directory that it starts in; that of replug if it is left out.",
        ),
        Key::new(
            "env",
            Takes::Map("LANG", "C.UTF-8"),
            "Variables of its environment, beside those of replug.",
        ),
    ],
    also: &[],
    later: &[],
};

const CHILDREN: Schema = Schema {
    place: "children",
    keys: &[
        Key::new(
            "min",
            Takes::Count(Children::COUNT_MAX as usize),
            "How many run always; 4 if it is left out, or as many as `max`.",
        ),
        Key::new(
            "max",
            Takes::Count(Children::COUNT_MAX as usize),
            "How many run at the most, when they are needed; 20 if it is left out, or as many as \
             `min`.",
        ),
    ],
    also: &[],
    later: &[],
};

const HELP: &str = "write `exec = [\"/usr/local/bin/check\", \"ARGUMENT\"]`";

impl Reader<'_> {
    pub(super) fn authorize(&mut self, table: &Table<'_>) -> Option<Spanned<Authorize>> {
        let entry = table.get("authorize")?;
        let Some(table) = entry.as_table() else {
            let help = "write `authorize = { exec = [\"/usr/local/bin/check\"] }`";
            self.wrong(entry, "a table", help);
            return None;
        };
        self.keys(&table, &AUTHORIZE);
        if table.get("exec").is_none() {
            self.missing(&table, "`authorize` names no program".to_owned(), HELP);
        }
        let exec = self.command(&table);
        let children = self.children(&table);
        let at_once = self.count(&table, "at_once", Program::AT_ONCE_MAX as usize);
        let timeout = self.duration(&table, "timeout", |word| {
            value::duration_not_zero(word, "a decision that never comes would hold its client")
        });
        let on_error = self.choice(&table, "on_error", &OnError::NAMES, &[]);
        let mut told = |key, read: fn(Word<'_>) -> Result<String, Diagnostic>| {
            let text = self.text(&table, key)?;
            self.told(read(text.word()))
        };
        let (arg0, realm) = (told("arg0", program::argument), told("realm", program::realm));
        let (user, group) = (told("user", value::owner), told("group", value::owner));
        let home = told("home", value::directory);
        let env = self.variables(&table);
        let runs = Program {
            arg0,
            children,
            at_once: at_once.and_then(|n| n.try_into().ok()).unwrap_or(NonZeroU32::MIN),
            user,
            group,
            home,
            env,
            ..Program::new(exec?)
        };
        let authorize = Authorize {
            timeout: timeout.unwrap_or(Authorize::TIMEOUT),
            on_error: on_error.unwrap_or_default(),
            realm,
            ..Authorize::new(runs)
        };
        Some(Spanned::at(authorize, entry.span()))
    }

    /// The program and its arguments.
    fn command(&mut self, table: &Table<'_>) -> Option<Vec<String>> {
        let entry = table.get("exec")?;
        let texts = self.texts(table, "exec")?;
        let fault = |message: &str, label: String| {
            Diagnostic::new(Code::Program, entry.value_span(), message).label(label)
        };
        let is_one = matches!(entry.value(), DeValue::String(_));
        let fault = match &*texts {
            [text] if is_one && text.value.contains(char::is_whitespace) => {
                let words = text.value.split_whitespace().map(|word| format!("{word:?}"));
                let help = format!("write `exec = [{}]`", words.collect::<Vec<_>>().join(", "));
                fault("a command is a list of words", "in one string".to_owned()).help(help)
            }
            // Those that it had are at fault.
            [] if !is_empty_list(entry) => return None,
            [] => fault("`exec` names no program", "empty".to_owned()).help(HELP),
            all if all.len() > Program::WORDS_MAX => {
                let most = Program::WORDS_MAX;
                fault("this command has too many words", format!("more than {most}"))
                    .help("keep them in a file that the program reads")
            }
            [path, arguments @ ..] => {
                let path = self.told(program::path(path.word()))?;
                let arguments = arguments.iter().map(|text| program::argument(text.word()));
                let arguments = arguments.collect::<Result<Vec<_>, _>>();
                return Some([vec![path], self.told(arguments)?].concat());
            }
        };
        self.faults.push(fault);
        None
    }

    fn children(&mut self, table: &Table<'_>) -> Children {
        let Some(table) = self.table(table, "children") else { return Children::default() };
        self.keys(&table, &CHILDREN);
        let mut count = |key| {
            let count = self.count(&table, key, Children::COUNT_MAX as usize);
            count.and_then(|count| NonZeroU32::try_from(count).ok())
        };
        let (min, max) = (count("min"), count("max"));
        Children::new(min, max).unwrap_or_else(|| {
            let span = table.get("max").map_or(table.span, Entry::value_span);
            let mut fault = Diagnostic::new(Code::Conflict, span, "`max` is less than `min`")
                .label("at the most")
                .help("leave one of them out, or make `max` the larger one");
            if let Some(min) = table.get("min") {
                fault = fault.related(min.value_span(), "and at least");
            }
            self.faults.push(fault);
            Children::default()
        })
    }

    fn variables(&mut self, table: &Table<'_>) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        let Some(table) = self.table(table, "env") else { return variables };
        for entry in table.entries() {
            let name = Word::of_file(entry.name(), entry.span(), false);
            let Some(name) = self.told(program::variable(name)) else { continue };
            let Some(text) = self.text(&table, &name) else { continue };
            if let Some(value) = self.told(program::argument(text.word())) {
                variables.insert(name, value);
            }
        }
        if variables.len() > Program::VARIABLES_MAX {
            let most = Program::VARIABLES_MAX;
            self.faults.push(
                Diagnostic::new(Code::Program, table.span, "these are too many variables")
                    .label(format!("more than {most}"))
                    .help("keep them in a file that the program reads"),
            );
        }
        variables
    }
}

fn is_empty_list(entry: Entry<'_>) -> bool {
    matches!(entry.value(), DeValue::Array(items) if items.is_empty())
}
