//! What a script finds in its VM, and what it does not.
//!
//! The libraries of Luau know nothing of files, programs and the world outside. Beyond that are
//! taken away: what loads code from text, what turns the sandbox inside out, and what writes to
//! standard output. A few functions could work for seconds within a single call, where no interrupt
//! reaches them; these refuse such work.

use mlua::{Lua, LuaOptions, Result, StdLib, Value};

/// Libraries that a script has.
const LIBRARIES: [StdLib; 7] = [
    StdLib::COROUTINE,
    StdLib::TABLE,
    StdLib::STRING,
    StdLib::UTF8,
    StdLib::BIT,
    StdLib::MATH,
    StdLib::BUFFER,
];

/// Globals that it has not.
const TAKEN_AWAY: [&str; 7] =
    ["collectgarbage", "gcinfo", "getfenv", "loadstring", "newproxy", "print", "setfenv"];

/// Functions that do nothing for long, with the most elements of a table that one call may move or
/// sort: a few milliseconds of work.
const GUARDS: &str = r#"
local MOVED_MAX, SORTED_MAX = 1000000, 20000
local move, sort, rep, len = table.move, table.sort, string.rep, string.len
function table.move(from, first, last, at, to)
    if last - first >= MOVED_MAX then
        error("table.move takes at most " .. MOVED_MAX .. " elements", 2)
    end
    if to == nil then
        return move(from, first, last, at)
    end
    return move(from, first, last, at, to)
end
function table.sort(list, less)
    if #list > SORTED_MAX then
        error("table.sort takes at most " .. SORTED_MAX .. " elements", 2)
    end
    return sort(list, less)
end
function string.rep(text, times)
    if len(text) == 0 then
        return ""
    end
    return rep(text, times)
end
"#;

/// A VM that a script may be put into.
///
/// # Errors
/// When there is no memory.
pub(super) fn vm() -> Result<Lua> {
    let libraries = LIBRARIES.into_iter().fold(StdLib::NONE, |all, one| all | one);
    let lua = Lua::new_with(libraries, LuaOptions::new())?;
    lua.load(GUARDS).set_name("=replug").exec()?;
    let globals = lua.globals();
    for name in TAKEN_AWAY {
        globals.raw_set(name, Value::Nil)?;
    }
    Ok(lua)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_the_vm() {
        let lua = vm().expect("memory");
        let known: Vec<String> = lua
            .globals()
            .pairs::<String, Value>()
            .map(|pair| pair.expect("names").0)
            .filter(|name| !name.starts_with('_'))
            .collect();
        let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
        known.sort_unstable();
        let expected = [
            "assert",
            "bit32",
            "buffer",
            "coroutine",
            "error",
            "getmetatable",
            "ipairs",
            "math",
            "next",
            "pairs",
            "pcall",
            "rawequal",
            "rawget",
            "rawlen",
            "rawset",
            "require",
            "select",
            "setmetatable",
            "string",
            "table",
            "tonumber",
            "tostring",
            "type",
            "typeof",
            "unpack",
            "utf8",
            "xpcall",
        ];
        assert_eq!(known, expected);
    }

    #[test]
    fn guarded_functions_do_what_they_did() {
        let lua = vm().expect("memory");
        let test = r#"
            assert(("ab"):rep(3) == "ababab" and string.rep("", 2^30) == "")
            local to = table.move({1, 2, 3}, 1, 3, 2, {9})
            assert(to[1] == 9 and to[2] == 1 and to[4] == 3)
            local moved = table.move({1, 2, 3}, 2, 3, 1)
            assert(moved[1] == 2 and moved[2] == 3)
            local sorted = {3, 1, 2}
            table.sort(sorted)
            assert(sorted[1] == 1 and sorted[3] == 3)
            table.sort(sorted, function(a, b) return a > b end)
            assert(sorted[1] == 3)
            assert(not pcall(table.move, {}, 1, 2^31 - 2, 1, {}))
            assert(not pcall(table.sort, table.create(20001, 1)))
        "#;
        lua.load(test).exec().expect("no error");
    }
}
