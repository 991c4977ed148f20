//! `re`: regular expressions over bytes, in a time that grows with the bytes and no faster.
//!
//! A call cannot be stopped, so what it may cost is bounded beforehand: an expression by the
//! states it is compiled to, and the bytes it is held against by [`BYTES_MAX`]. Expressions are
//! compiled once for each VM and found again by their text.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use mlua::{Lua, LuaString, MultiValue, Result, Table, Value};
use regex_automata::meta::{BuildError, Cache, Config, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, PatternID, Span};

use super::{blame, number};

/// Longest text that an expression is held against, in bytes: the most that is listened to.
const BYTES_MAX: usize = 64 * 1024;

/// Longest expression, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// What the states of an expression may take, in bytes. The slowest way is through all of them at
/// each byte.
const STATES_BYTES_MAX: usize = 32 * 1024;

/// Memory of an expression for the states it has been in, in bytes.
const CACHE_BYTES_MAX: usize = 128 * 1024;

/// Expressions that a VM keeps compiled; the one unused for longest makes room.
const PATTERNS_MAX: usize = 64;

/// What the groups of a match may cost: its bytes, times those of the expression compiled. They are
/// found by going through all states at each byte.
const GROUPS_COST_MAX: usize = 64 * 1024 * 1024;

/// The table `re`.
pub(super) fn table(lua: &Lua) -> Result<Table> {
    let patterns = Rc::new(RefCell::new(Patterns::default()));
    let re = lua.create_table()?;
    let add = |name, answer: fn(&Lua, &mut Search<'_>) -> Result<MultiValue>| {
        let patterns = Rc::clone(&patterns);
        let call = move |lua: &Lua, (pattern, text, from): Call| {
            let mut patterns = patterns.borrow_mut();
            let compiled = patterns.get(&pattern.as_bytes()).map_err(|why| blame(lua, why))?;
            let text = text.as_bytes();
            if text.len() > BYTES_MAX {
                let why = format!("re: a text of {} bytes; {BYTES_MAX} at the most", text.len());
                return Err(blame(lua, why));
            }
            let from = usize::try_from(from.unwrap_or(1).saturating_sub(1)).unwrap_or(0);
            answer(lua, &mut Search { pattern: compiled, text: &text, from: from.min(text.len()) })
        };
        re.set(name, lua.create_function(call)?)
    };
    add("test", |_, search| Ok(single(Value::Boolean(search.find().is_some()))))?;
    add("find", find)?;
    add("match", matched)?;
    add("captures", captures)?;
    Ok(re)
}

/// A pattern, a text, and where to begin, from 1.
type Call = (LuaString, LuaString, Option<i64>);

/// First and last byte, from 1, as `string.find` tells them.
fn find(_: &Lua, search: &mut Search<'_>) -> Result<MultiValue> {
    let Some(at) = search.find() else { return Ok(single(Value::Nil)) };
    Ok([number(at.start + 1), number(at.end)].into_iter().collect())
}

/// The groups, as `string.match` tells them, or all of it where there are none.
fn matched(lua: &Lua, search: &mut Search<'_>) -> Result<MultiValue> {
    if !search.take_apart(lua)? {
        return Ok(single(Value::Nil));
    }
    let groups = search.pattern.regex.captures_len();
    (usize::from(groups > 1)..groups).map(|group| search.group(lua, group)).collect()
}

/// A table of all groups, by number and by name; 0 is all of it.
fn captures(lua: &Lua, search: &mut Search<'_>) -> Result<MultiValue> {
    if !search.take_apart(lua)? {
        return Ok(single(Value::Nil));
    }
    let table = lua.create_table()?;
    let names = search.pattern.groups.group_info().pattern_names(PatternID::ZERO);
    for (group, name) in names.enumerate() {
        let text = search.group(lua, group)?;
        if let Some(name) = name {
            table.set(name, text.clone())?;
        }
        table.set(group, text)?;
    }
    Ok(single(Value::Table(table)))
}

fn single(value: Value) -> MultiValue {
    [value].into_iter().collect()
}

/// One search.
struct Search<'a> {
    pattern: &'a mut Pattern,
    text: &'a [u8],
    from: usize,
}

impl Search<'_> {
    fn find(&mut self) -> Option<Span> {
        let input = Input::new(self.text).span(self.from..self.text.len());
        let Pattern { regex, cache, .. } = &mut *self.pattern;
        regex.search_with(cache, &input).map(|found| found.span())
    }

    /// Finds the groups; whether there is a match.
    fn take_apart(&mut self, lua: &Lua) -> Result<bool> {
        let Some(whole) = self.find() else { return Ok(false) };
        let Pattern { regex, cache, groups, .. } = &mut *self.pattern;
        if regex.captures_len() > 1 && whole.len() > GROUPS_COST_MAX / regex.memory_usage().max(1) {
            let why = format!(
                "re: a match of {} bytes, which is too long for the groups of this expression",
                whole.len()
            );
            return Err(blame(lua, why));
        }
        let input = Input::new(self.text).span(whole).anchored(Anchored::Yes);
        regex.search_captures_with(cache, &input, groups);
        Ok(groups.is_match())
    }

    fn group(&self, lua: &Lua, group: usize) -> Result<Value> {
        match self.pattern.groups.get_group(group) {
            Some(at) => lua.create_string(&self.text[at.range()]).map(Value::String),
            None => Ok(Value::Nil),
        }
    }
}

/// The expressions of a VM.
#[derive(Default)]
struct Patterns {
    compiled: HashMap<Box<[u8]>, Pattern>,
    /// Counts uses.
    uses: u64,
}

/// An expression, and what searches with it go on with.
struct Pattern {
    regex: Regex,
    cache: Cache,
    groups: Captures,
    last_use: u64,
}

impl Patterns {
    fn get(&mut self, text: &[u8]) -> std::result::Result<&mut Pattern, String> {
        self.uses += 1;
        if !self.compiled.contains_key(text) {
            let pattern = Pattern::new(text)?;
            if self.compiled.len() >= PATTERNS_MAX {
                self.forget_oldest();
            }
            self.compiled.insert(text.into(), pattern);
        }
        let pattern = self.compiled.get_mut(text).ok_or("it was put in just now")?;
        pattern.last_use = self.uses;
        Ok(pattern)
    }

    fn forget_oldest(&mut self) {
        let oldest = self.compiled.iter().min_by_key(|(_, pattern)| pattern.last_use);
        if let Some(text) = oldest.map(|(text, _)| text.clone()) {
            self.compiled.remove(&text);
        }
    }
}

impl Pattern {
    fn new(text: &[u8]) -> std::result::Result<Self, String> {
        let wrong = |why: &str| {
            let mut shown = String::from_utf8_lossy(text).into_owned();
            if shown.chars().count() > 60 {
                shown = shown.chars().take(60).chain("...".chars()).collect();
            }
            format!("re: {why} in `{shown}`")
        };
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("re: an expression of more than {TEXT_BYTES_MAX} bytes"));
        }
        let text = std::str::from_utf8(text).map_err(|_| wrong("write bytes as \\xff"))?;
        let config = Config::new()
            .utf8_empty(false)
            .nfa_size_limit(Some(STATES_BYTES_MAX))
            .onepass_size_limit(Some(STATES_BYTES_MAX))
            .hybrid_cache_capacity(CACHE_BYTES_MAX)
            .dfa(false);
        let bytes = syntax::Config::new().unicode(false).utf8(false).nest_limit(50);
        let built = Regex::builder().configure(config).syntax(bytes).build(text);
        let regex = built.map_err(|error| wrong(&explain(&error)))?;
        let (cache, groups) = (regex.create_cache(), regex.create_captures());
        Ok(Self { regex, cache, groups, last_use: 0 })
    }
}

/// What is wrong, in few words.
fn explain(error: &BuildError) -> String {
    if error.size_limit().is_some() {
        return "more states than there may be".to_owned();
    }
    match error.syntax_error() {
        Some(regex_syntax::Error::Parse(error)) => {
            format!("{} at byte {}", error.kind(), error.span().start.offset + 1)
        }
        Some(regex_syntax::Error::Translate(error)) => {
            format!("{} at byte {}", error.kind(), error.span().start.offset + 1)
        }
        _ => error.to_string(),
    }
}
