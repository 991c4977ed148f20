//! What tables of a file may hold: the one list from which keys are checked, completed by
//! editors, put in order, and explained.
//!
//! A key stands in the [`Schema`] of its table, beside the code that reads it, and nowhere
//! else. Tests hold that its example is read, and that its default is the one in effect.

/// A kind of table.
#[derive(Debug)]
pub(super) struct Schema {
    /// What the table is called in messages.
    pub(super) place: &'static str,
    /// Keys of its own that are read.
    pub(super) keys: &'static [Key],
    /// Keys that it shares with other tables, behind its own.
    pub(super) also: &'static [Key],
    /// Keys whose meaning is settled and that this version cannot carry out.
    pub(super) later: &'static [&'static str],
}

/// A key that is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    /// What it is for, in a sentence or two.
    pub(super) says: &'static str,
    /// The value it has if it is left out, as written; `None`: there is none, or it depends.
    pub(super) default: Option<&'static str>,
    /// Whether it must be there.
    pub(super) is_required: bool,
    /// It or one of these must be there.
    pub(super) or: &'static [&'static str],
}

/// What a key takes. Texts come with an example.
#[derive(Clone, Copy, Debug)]
pub(super) enum Takes {
    /// A string.
    Text(&'static str),
    /// A string, or a list of strings.
    Texts(&'static str),
    /// A string, or a table that says more.
    TextOr(&'static str, &'static Schema),
    /// A string that is a time.
    Time,
    /// A string that is a rate.
    Rate,
    /// A string that is a rate of bytes.
    ByteRate,
    /// The same, or a table of them.
    ByteRates(&'static Schema),
    /// A string that is a number of bytes.
    Size,
    /// A whole number from 0 to `max`, or a string such as `text`.
    Number { max: u32, text: &'static str },
    /// A whole number from 1 to this.
    Count(usize),
    /// A whole number from 1 to this, or a list of them.
    Counts(usize),
    /// `true` or `false`.
    Boolean,
    /// A table of strings, by names that are the user's own; with an example of a name and a value.
    Map(&'static str, &'static str),
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// One of a few words, or a table.
    ChoiceOr(&'static [&'static str], &'static Schema),
    /// One of a few words, or a list of them.
    Choices(&'static [&'static str]),
    /// A table.
    Table(&'static Schema),
    /// A list of tables, `[[NAME]]`.
    Tables(&'static Schema),
    /// A table, or a list of tables.
    OneOrMore(&'static Schema),
    /// A condition of a route, or a list of them.
    Whens,
    /// Tables, each with a name of its own.
    Named(&'static Schema),
}

impl Key {
    pub(super) const fn new(name: &'static str, takes: Takes, says: &'static str) -> Self {
        Self { name, takes, says, default: None, is_required: false, or: &[] }
    }

    /// The same with a default, written as in a file.
    pub(super) const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// The same, which must be there.
    pub(super) const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    /// The same, which must be there unless one of `others` is.
    pub(super) const fn or(self, others: &'static [&'static str]) -> Self {
        Self { or: others, ..self }
    }
}

impl Schema {
    /// All keys that are read, in the order in which they are best written.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.keys.iter().chain(self.also)
    }

    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.all().find(|key| key.name == name)
    }

    /// Where `name` stands among the keys of its table; those that are not known come last.
    pub(super) fn rank(&self, name: &str) -> usize {
        let mut known = self.all().map(|key| key.name).chain(self.later.iter().copied());
        known.position(|known| known == name).unwrap_or(usize::MAX)
    }
}

/// The names of a list of choices.
pub(super) const fn names<T, const N: usize>(
    choices: &[(&'static str, T); N],
) -> [&'static str; N] {
    let mut names = [""; N];
    let mut at = 0;
    while at < N {
        names[at] = choices[at].0;
        at += 1;
    }
    names
}
