//! `log`: lines of a script for the log of the process.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::journal::Level;
use mlua::{Function, Lua, LuaString, Result};

use super::{Around, Caller, Line, blame};

/// Longest line, in bytes; more is left out.
const LINE_BYTES_MAX: usize = 1024;

/// Lines that a VM may have said at once.
const LINES_MAX: u32 = 100;

/// Time after which it may say one more.
const LINE_EVERY: Duration = Duration::from_millis(20);

const LEVELS: [(&str, Level); 4] = [
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("warning", Level::Warning),
    ("error", Level::Error),
];

/// The function `log`.
pub(super) fn function(lua: &Lua, around: &Around) -> Result<Function> {
    let (voice, ration) = (Arc::clone(&around.voice), RefCell::new(Ration::new(Instant::now())));
    lua.create_function(move |lua, (level, text): (LuaString, LuaString)| {
        let level = level.to_string_lossy();
        let Some((_, level)) = LEVELS.iter().find(|(name, _)| *name == level) else {
            let why = format!("log: no level `{level}`; one of debug, info, warning, error");
            return Err(blame(lua, why));
        };
        let Some(unsaid) = ration.borrow_mut().take(Instant::now()) else { return Ok(()) };
        let bytes = text.as_bytes();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LINE_BYTES_MAX)]).into_owned();
        let caller = lua.app_data_ref::<Caller>().map(|caller| caller.clone()).unwrap_or_default();
        voice.say(Line { level: *level, text, caller, unsaid });
        Ok(())
    })
}

/// How many lines may be said.
#[derive(Debug)]
struct Ration {
    /// When all of it will be there again.
    full: Instant,
    unsaid: u64,
}

impl Ration {
    fn new(now: Instant) -> Self {
        Self { full: now, unsaid: 0 }
    }

    /// How many were left out before this one; `None`: this one is left out, too.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let full = self.full.max(now) + LINE_EVERY;
        if full > now + LINE_EVERY * LINES_MAX {
            self.unsaid += 1;
            return None;
        }
        self.full = full;
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_at_once_and_then_one_now_and_then() {
        let begin = Instant::now();
        let mut ration = Ration::new(begin);
        let said = (0..150).filter(|_| ration.take(begin).is_some()).count();
        assert_eq!(said, 100);
        assert_eq!(ration.take(begin + Duration::from_millis(19)), None);
        assert_eq!(ration.take(begin + Duration::from_millis(20)), Some(51));
        assert_eq!(ration.take(begin + Duration::from_millis(20)), None);
        assert_eq!(ration.take(begin + Duration::from_secs(60)), Some(1));
    }
}
