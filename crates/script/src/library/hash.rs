//! `hash`: the same choice for the same key, on every shard, after every start, on every machine.

use engine::balance::rendezvous;
use engine::chance::{bytes_key, pair_key};
use mlua::{Lua, LuaString, Result, Table, Value};

use super::{blame, number};

/// Most members of a list.
const MEMBERS_MAX: usize = 1_024;

/// The table `hash`.
pub(super) fn table(lua: &Lua) -> Result<Table> {
    let hash = lua.create_table()?;
    hash.set("pick", lua.create_function(pick)?)?;
    hash.set(
        "number",
        lua.create_function(|_, key: LuaString| {
            let bits = bytes_key(&key.as_bytes());
            // The upper half: a number of Lua holds 53 bits exactly.
            Ok(number(usize::try_from(bits >> 32).unwrap_or_default()))
        })?,
    )?;
    Ok(hash)
}

/// The member of `list` that `key` belongs to: where one goes only its keys move. A list of names,
/// or weights by names.
fn pick(lua: &Lua, (key, list): (LuaString, Table)) -> Result<Value> {
    let key = bytes_key(&key.as_bytes());
    let mut best: Option<(LuaString, (f64, u64))> = None;
    for (count, pair) in list.pairs::<Value, Value>().enumerate() {
        if count == MEMBERS_MAX {
            let why = format!("hash.pick: more than {MEMBERS_MAX} members");
            return Err(blame(lua, why));
        }
        let (name, weight) = match pair? {
            (Value::String(name), Value::Integer(weight)) if weight >= 0 => {
                (name, f64::from(i32::try_from(weight).unwrap_or(i32::MAX)))
            }
            (Value::String(name), Value::Number(weight)) if weight >= 0.0 => (name, weight),
            (Value::Integer(_) | Value::Number(_), Value::String(name)) => (name, 1.0),
            (at, what) => {
                let why = format!(
                    "hash.pick: a {} at a {}; give names, as {{\"a\", \"b\"}}, or weights by \
                     names, as {{a = 1, b = 3}}",
                    kind(&what),
                    kind(&at)
                );
                return Err(blame(lua, why));
            }
        };
        // Out of turn, as for a backend of weight 0.
        if weight == 0.0 {
            continue;
        }
        let bid = (weight, pair_key(key, bytes_key(&name.as_bytes())));
        if best.as_ref().is_none_or(|(_, best)| rendezvous::outbids(bid, *best)) {
            best = Some((name, bid));
        }
    }
    Ok(best.map_or(Value::Nil, |(name, _)| Value::String(name)))
}

/// What scripts call it.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        value => value.type_name(),
    }
}
