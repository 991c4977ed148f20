//! A script that decides where the sessions of a listener go.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::unit::bytes::ByteSize;

/// A script, and what it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The path of its file.
    pub file: String,
    /// The language of the file; by the end of its name, unless told.
    pub language: Language,
    /// What becomes of a client for whom the script fails.
    pub on_error: OnScriptError,
    /// How long it may work at one decision, from [`Script::DEADLINE_MIN`] to
    /// [`Language::deadline_max`]; `None`: what is usual for its language.
    pub deadline: Option<Duration>,
    /// How much memory each of its machines may have, from [`Script::MEMORY_MIN`] on; `None`:
    /// [`Script::MEMORY`]. For Lua only.
    pub memory: Option<ByteSize>,
    /// What its blocks mean. For Ruby only.
    pub compat: Compat,
    /// How many processes run it, at most [`Script::WORKERS_MAX`]; `None`: one. For Ruby only.
    pub workers: Option<NonZeroU32>,
}

impl Script {
    /// Shortest time for a decision.
    pub const DEADLINE_MIN: Duration = Duration::from_millis(1);
    /// Memory of a machine, unless told, in bytes.
    pub const MEMORY: u32 = 16 * 1024 * 1024;
    /// Least memory of a machine, in bytes.
    pub const MEMORY_MIN: u32 = 1024 * 1024;
    /// Most processes.
    pub const WORKERS_MAX: u32 = 64;

    /// A script with every default.
    pub fn new(file: impl Into<String>, language: Language) -> Self {
        Self {
            file: file.into(),
            language,
            on_error: OnScriptError::default(),
            deadline: None,
            memory: None,
            workers: None,
            compat: Compat::default(),
        }
    }

    /// How long it may work at one decision.
    pub fn deadline(&self) -> Duration {
        self.deadline.unwrap_or_else(|| self.language.deadline())
    }

    /// How much memory each of its machines may have, in bytes.
    pub fn memory(&self) -> u32 {
        self.memory.map_or(Self::MEMORY, ByteSize::get)
    }
}

/// What a script is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Luau, a Lua that runs within replug.
    Lua,
    /// Ruby, which runs in processes of its own.
    Ruby,
}

impl Language {
    /// Both, by what the names of their files end in.
    pub const ENDS: [(&str, Self); 2] = [("lua", Self::Lua), ("rb", Self::Ruby)];

    /// Both, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("lua", Self::Lua), ("ruby", Self::Ruby)];

    /// The language of a file.
    pub fn of(file: &str) -> Option<Self> {
        let (_, end) = file.rsplit_once('.')?;
        Self::ENDS.into_iter().find(|(known, _)| *known == end).map(|(_, language)| language)
    }

    /// The longest that may be told. While Lua works nobody else of its shard is served.
    pub const fn deadline_max(self) -> Duration {
        match self {
            Self::Lua => Duration::from_secs(1),
            Self::Ruby => Duration::from_secs(60),
        }
    }

    /// How long a script may work at one decision, unless told. A Ruby script may wait for others.
    pub const fn deadline(self) -> Duration {
        match self {
            Self::Lua => Duration::from_millis(10),
            Self::Ruby => Duration::from_secs(5),
        }
    }
}

/// What the blocks of a Ruby file mean where ProxyMachine differs from what its users expect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// What its README says: `return` leaves a block, and `nil` waits for more.
    #[default]
    Replug,
    /// Exactly what they do in version 1.2.4.
    ProxyMachine,
}

impl Compat {
    /// Both, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("replug", Self::Replug), ("1.2.4", Self::ProxyMachine)];
}

/// What becomes of a client for whom a script fails: it has an error, or exceeds what it may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnScriptError {
    /// It is turned away.
    #[default]
    Close,
    /// It goes where it would go without a script.
    Default,
}

impl OnScriptError {
    /// Both, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("close", Self::Close), ("default", Self::Default)];
}
