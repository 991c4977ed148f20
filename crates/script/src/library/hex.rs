//! `hex`: bytes as digits. Numbers within bytes are for `string.pack` and `string.unpack`.

use mlua::{Lua, LuaString, Result, Table, Value};

/// The table `hex`.
pub(super) fn table(lua: &Lua) -> Result<Table> {
    let hex = lua.create_table()?;
    hex.set(
        "encode",
        lua.create_function(|_, bytes: LuaString| {
            let digits = |byte: &u8| [byte >> 4, byte & 15].map(|four| DIGITS[usize::from(four)]);
            let text: Vec<_> = bytes.as_bytes().iter().flat_map(digits).collect();
            Ok(String::from_utf8_lossy(&text).into_owned())
        })?,
    )?;
    hex.set(
        "decode",
        lua.create_function(|lua, text: LuaString| match decode(&text.as_bytes()) {
            Some(bytes) => lua.create_string(bytes).map(Value::String),
            None => Ok(Value::Nil),
        })?,
    )?;
    Ok(hex)
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Pairs of digits, with blanks between them or not.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    let digits = digits.map(|byte| char::from(*byte).to_digit(16));
    let digits: Vec<u32> = digits.collect::<Option<_>>()?;
    let byte = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}
