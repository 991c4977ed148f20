//! Asking a program whether clients may come.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

/// How the clients of a listener are asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorize {
    /// Who decides. Listeners that name the same program share its children.
    pub program: Program,
    /// How long a client waits for the decision. Never unlimited.
    pub timeout: Duration,
    /// What becomes of a client about which there is none.
    pub on_error: OnError,
    /// What the listener is called in questions; `None`: by its name.
    pub realm: Option<String>,
}

impl Authorize {
    /// How long a client waits, unless told.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// Longest name of a realm, in bytes.
    pub const REALM_BYTES_MAX: usize = 255;

    /// With every default.
    pub fn new(program: Program) -> Self {
        Self { program, timeout: Self::TIMEOUT, on_error: OnError::default(), realm: None }
    }
}

/// What becomes of a client about which nothing was decided: the program did not answer in time,
/// it died, or it said neither yes nor no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// It is turned away.
    #[default]
    Deny,
    /// It may come.
    Allow,
}

impl OnError {
    /// Both, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("deny", Self::Deny), ("allow", Self::Allow)];
}

/// A program that decides, and how it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its path from the root, and its arguments.
    pub exec: Vec<String>,
    /// The name that it is given as its first word; `None`: its path.
    pub arg0: Option<String>,
    /// How many of it run.
    pub children: Children,
    /// Questions that one child may have at a time. A program that is given several answers them
    /// in any order.
    pub at_once: NonZeroU32,
    /// The user, by name or number, that it runs as; `None`: as replug does.
    pub user: Option<String>,
    /// The group, by name or number; `None`: that of the user.
    pub group: Option<String>,
    /// The directory that it starts in; `None`: that of replug.
    pub home: Option<String>,
    /// Variables of its environment, beside those of replug.
    pub env: BTreeMap<String, String>,
}

impl Program {
    /// Most words of a command.
    pub const WORDS_MAX: usize = 256;
    /// Longest word of a command, and longest value of a variable, in bytes.
    pub const WORD_BYTES_MAX: usize = 4_096;
    /// Most variables.
    pub const VARIABLES_MAX: usize = 256;
    /// Most questions that one child may have at a time.
    pub const AT_ONCE_MAX: u32 = 1_024;

    /// A program with every default.
    pub fn new(exec: Vec<String>) -> Self {
        Self {
            exec,
            arg0: None,
            children: Children::default(),
            at_once: NonZeroU32::MIN,
            user: None,
            group: None,
            home: None,
            env: BTreeMap::new(),
        }
    }

    /// Its path, as messages call it.
    pub fn path(&self) -> &str {
        self.exec.first().map_or("", String::as_str)
    }
}

/// How many children of a program run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Children {
    min: NonZeroU32,
    max: NonZeroU32,
}

impl Children {
    /// The greatest number.
    pub const COUNT_MAX: u32 = 1_000;
    /// How many run always, unless told.
    pub const MIN: u32 = 4;
    /// How many run at the most, unless told.
    pub const MAX: u32 = 20;

    /// At least `min`, and up to `max` as they are needed, if that is at least as many. What is not
    /// told is as usual, as far as the other allows it.
    pub fn new(min: Option<NonZeroU32>, max: Option<NonZeroU32>) -> Option<Self> {
        let usual = Self::default();
        let children = match (min, max) {
            (None, None) => usual,
            (Some(min), None) => Self { min, max: usual.max.max(min) },
            (None, Some(max)) => Self { min: usual.min.min(max), max },
            (Some(min), Some(max)) => Self { min, max },
        };
        (children.min <= children.max).then_some(children)
    }

    /// One, and no other.
    pub const ONE: Self = Self { min: NonZeroU32::MIN, max: NonZeroU32::MIN };

    /// How many run always.
    pub fn min(self) -> NonZeroU32 {
        self.min
    }

    /// How many run at the most.
    pub fn max(self) -> NonZeroU32 {
        self.max
    }
}

impl Default for Children {
    fn default() -> Self {
        let count = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Self { min: count(Self::MIN), max: count(Self::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_fits_what_is() {
        let children = |min: u32, max: u32| {
            let children = Children::new(NonZeroU32::new(min), NonZeroU32::new(max))?;
            Some((children.min.get(), children.max.get()))
        };
        assert_eq!(children(0, 0), Some((4, 20)));
        assert_eq!(children(30, 0), Some((30, 30)));
        assert_eq!(children(0, 2), Some((2, 2)));
        assert_eq!(children(2, 2), Some((2, 2)));
        assert_eq!(children(3, 2), None);
    }
}
