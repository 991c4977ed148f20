//! What a script is given beside its language.
//!
//! A [`Library`] belongs to the process: what scripts share lives in it and goes on over reloads.
//! [`Library::install`] puts its functions into a VM:
//!
//! | global | file |
//! |---|---|
//! | `re`, `hex` | `re`, `hex` |
//! | `sniff` | `sniff`, over the readers of crate `wire` |
//! | `ip`, `hash` | `ip`, `hash`, over the engine's ranges and rendezvous hashing |
//! | `tables` | `tables` |
//! | `shared` | `shared`, over `dictionary` |
//! | `log`, `time` | `log` |
//! | `dns`, `http_get`, `redis` | `lookup`, with `http` over `workers`, and `redis` |
//!
//! No call can be stopped once it is in Rust, so each is bounded: by limits on what it is given,
//! or, where it asks others, by a time within which the script waits ([`crate::pending`]).

mod dictionary;
mod hash;
mod hex;
mod http;
mod ip;
mod log;
mod lookup;
mod re;
mod redis;
mod shared;
mod sniff;
mod tables;
#[cfg(test)]
mod tests;
mod workers;

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use engine::Lookups;
use engine::journal::{Journal, Level, Notice};
use mlua::{Lua, Result, Value};

/// What the scripts of a process share. See the head of this file.
#[derive(Default)]
pub struct Library {
    dictionary: dictionary::Dictionary,
    files: tables::Files,
    workers: workers::Workers,
    clients: http::Clients,
    lookups: lookup::Count,
}

/// For people: nothing of what scripts have put into it.
impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").finish_non_exhaustive()
    }
}

/// What a VM has around it.
#[derive(Clone, Debug)]
pub struct Around {
    /// The folder of its script.
    pub folder: PathBuf,
    /// What its script has loaded from there.
    pub loaded: Loaded,
    /// Where its lines go.
    pub voice: Arc<dyn Voice>,
    /// Where it has names looked up.
    pub names: Lookups,
}

/// The files that a script has loaded. As long as these are kept, whoever loads one of them again gets
/// what is there, even where the file itself is out of reach.
#[derive(Clone, Debug, Default)]
pub struct Loaded(Arc<Mutex<Vec<Arc<tables::File>>>>);

/// Where lines of scripts go.
pub trait Voice: fmt::Debug + Send + Sync {
    /// Takes a line, without waiting.
    fn say(&self, line: Line);
}

/// A line of a script, or about one of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// The line, as the script has it: it may hold what a client has sent.
    pub text: String,
    /// For whom the script was called.
    pub caller: Caller,
    /// Lines before it that were left out, since there were too many.
    pub unsaid: u64,
}

/// For whom a script is called: put into the VM as its `app_data` before it goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The listener; `None`: for none.
    pub listener: Option<Arc<str>>,
    /// The session.
    pub session: Option<u64>,
}

/// Into the log of the process.
impl Voice for Journal {
    fn say(&self, line: Line) {
        let Line { level, text, caller, unsaid } = line;
        match caller.listener {
            Some(listener) => self.notice(Notice::ScriptSays {
                level,
                listener,
                session: caller.session,
                text,
                unsaid,
            }),
            None => self.notice(Notice::Remark { level, text }),
        }
    }
}

impl Library {
    /// Puts all of it into the globals of a VM.
    ///
    /// # Errors
    /// When the VM has no memory left.
    pub fn install(self: &Arc<Self>, lua: &Lua, around: &Around) -> Result<()> {
        let globals = lua.globals();
        globals.set("re", re::table(lua)?)?;
        globals.set("hex", hex::table(lua)?)?;
        globals.set("sniff", sniff::table(lua)?)?;
        globals.set("ip", ip::table(lua)?)?;
        globals.set("hash", hash::table(lua)?)?;
        globals.set("tables", tables::table(lua, self, around)?)?;
        globals.set("shared", shared::table(lua, self)?)?;
        globals.set("log", log::function(lua, around)?)?;
        let now = |_: &Lua, ()| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            Ok(since.unwrap_or_default().as_secs_f64())
        };
        globals.set("time", lua.create_function(now)?)?;
        lookup::install(lua, self, around)
    }
}

/// What stands between a script and calls that wait is called so in stack traces.
const OURS: &str = "replug";

/// A fault of the script's, at the line that made the call.
fn blame(lua: &Lua, what: impl Display) -> mlua::Error {
    let place = |level| {
        let place = lua.inspect_stack(level, |frame| {
            let source = frame.source().short_src.map(Cow::into_owned);
            source.zip(frame.current_line())
        });
        place.flatten().filter(|(source, _)| source != OURS)
    };
    match place(1).or_else(|| place(2)) {
        Some((source, line)) => mlua::Error::runtime(format!("{source}:{line}: {what}")),
        None => mlua::Error::runtime(what),
    }
}

/// A number for a script.
fn number(number: usize) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
