//! `shared`: the words by which a script uses the [`Dictionary`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use mlua::{Lua, LuaString, Result, Table, Value};

use super::dictionary::{self, Refused};
use super::{Library, blame};

/// Longest time for an entry, in seconds: a year.
const TTL_MAX: f64 = 31_536_000.0;

/// The table `shared`.
pub(super) fn table(lua: &Lua, library: &Arc<Library>) -> Result<Table> {
    let shared = lua.create_table()?;
    let known = Arc::clone(library);
    let get = move |lua: &Lua, key: LuaString| match known
        .dictionary
        .get(&key.as_bytes(), Instant::now())
    {
        Some(dictionary::Value::Text(text)) => lua.create_string(&text).map(Value::String),
        Some(dictionary::Value::Number(number)) => Ok(Value::Number(number)),
        Some(dictionary::Value::Flag(flag)) => Ok(Value::Boolean(flag)),
        None => Ok(Value::Nil),
    };
    shared.set("get", lua.create_function(get)?)?;
    let known = Arc::clone(library);
    let set = move |lua: &Lua, (key, value, ttl): (LuaString, Value, Option<f64>)| {
        let value = match &value {
            Value::String(text) => dictionary::Value::Text(text.as_bytes().as_ref().into()),
            #[expect(clippy::cast_precision_loss, reason = "as numbers of Lua are")]
            Value::Integer(number) => dictionary::Value::Number(*number as f64),
            Value::Number(number) => dictionary::Value::Number(*number),
            Value::Boolean(flag) => dictionary::Value::Flag(*flag),
            Value::Nil => {
                known.dictionary.remove(&key.as_bytes(), Instant::now());
                return Ok(());
            }
            other => {
                let why = format!("shared.set: a {} cannot be shared", other.type_name());
                return Err(blame(lua, why));
            }
        };
        let ttl = duration(lua, ttl)?;
        let set = known.dictionary.set(&key.as_bytes(), value, ttl, Instant::now());
        set.map_err(|why| refused(lua, "set", why))
    };
    shared.set("set", lua.create_function(set)?)?;
    let known = Arc::clone(library);
    let incr = move |lua: &Lua, (key, by, ttl): (LuaString, Option<f64>, Option<f64>)| {
        let (by, ttl) = (by.unwrap_or(1.0), duration(lua, ttl)?);
        let sum = known.dictionary.add(&key.as_bytes(), by, ttl, Instant::now());
        sum.map_err(|why| refused(lua, "incr", why))
    };
    shared.set("incr", lua.create_function(incr)?)?;
    let known = Arc::clone(library);
    let delete =
        move |_: &Lua, key: LuaString| Ok(known.dictionary.remove(&key.as_bytes(), Instant::now()));
    shared.set("delete", lua.create_function(delete)?)?;
    Ok(shared)
}

fn duration(lua: &Lua, seconds: Option<f64>) -> Result<Option<Duration>> {
    match seconds {
        None => Ok(None),
        Some(seconds) if seconds > 0.0 && seconds <= TTL_MAX => {
            Ok(Some(Duration::from_secs_f64(seconds)))
        }
        Some(_) => Err(blame(lua, "shared: a time is more than 0 seconds and at most a year")),
    }
}

fn refused(lua: &Lua, call: &str, why: Refused) -> mlua::Error {
    let why = match why {
        Refused::Key => format!("a name of more than {} bytes", dictionary::KEY_BYTES_MAX),
        Refused::Value => format!("a string of more than {} bytes", dictionary::VALUE_BYTES_MAX),
        Refused::NoNumber => "what is there is no number".to_owned(),
    };
    blame(lua, format!("shared.{call}: {why}"))
}
