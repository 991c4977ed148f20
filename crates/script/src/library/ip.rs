//! `ip`: addresses, and ranges of them.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use engine::ranges::Ranges;
use ipnet::IpNet;
use mlua::{Lua, LuaString, MetaMethod, Result, Table, UserData, UserDataMethods, Value};

use super::blame;

/// Ranges in a list that is read at each call.
const LIST_MAX: usize = 1_000;

/// Ranges in all sets of a VM, which are compiled once. They lie outside of its memory, some hundred
/// bytes each.
const SETS_MAX: usize = 100_000;

/// The table `ip`.
pub(super) fn table(lua: &Lua) -> Result<Table> {
    let ip = lua.create_table()?;
    ip.set(
        "parse",
        lua.create_function(|_, text: LuaString| {
            let (address, port) = endpoint(&text).unzip();
            let family = address.map(|address| if address.is_ipv4() { 4 } else { 6 });
            Ok((address.map(|address| address.to_string()), family, port.flatten()))
        })?,
    )?;
    ip.set("in_cidr", lua.create_function(in_cidr)?)?;
    let alive = Rc::new(Cell::new(0));
    let set = move |lua: &Lua, list: Value| {
        let ranges = ranges(&list, SETS_MAX).map_err(|why| blame(lua, why))?;
        if alive.get() + ranges.len() > SETS_MAX {
            // Those that nobody holds any more are not gone yet.
            lua.gc_collect()?;
        }
        if alive.get() + ranges.len() > SETS_MAX {
            let why = format!("ip.set: more than {SETS_MAX} ranges in the sets of a script");
            return Err(blame(lua, why));
        }
        alive.set(alive.get() + ranges.len());
        let count = Count { ranges: ranges.len(), alive: Rc::clone(&alive) };
        let labelled = ranges.into_iter().map(|range| (range, 0));
        lua.create_userdata(Set(Ranges::new(labelled, |within| !within.is_empty()), count))
    };
    ip.set("set", lua.create_function(set)?)?;
    Ok(ip)
}

/// Ranges, compiled.
struct Set(Ranges<bool>, #[expect(dead_code, reason = "counts until it is dropped")] Count);

/// The ranges of a set, among those of all.
struct Count {
    ranges: usize,
    alive: Rc<Cell<usize>>,
}

impl Drop for Count {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - self.ranges);
    }
}

impl UserData for Set {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        let has = |_: &Lua, set: &Self, text: LuaString| {
            Ok(address(&text).is_some_and(|address| *set.0.get(address)))
        };
        methods.add_method("has", has);
        methods.add_meta_method(MetaMethod::ToString, |_, _, ()| Ok("ip.set"));
    }
}

/// An address that is none is in no range.
fn in_cidr(lua: &Lua, (text, list): (LuaString, Value)) -> Result<bool> {
    // Read in any case: a mistake shows with the first client, not with the first that matches.
    let ranges = ranges(&list, LIST_MAX).map_err(|why| blame(lua, why))?;
    Ok(address(&text).is_some_and(|address| ranges.iter().any(|range| range.contains(&address))))
}

fn address(text: &LuaString) -> Option<IpAddr> {
    endpoint(text).map(|(address, _)| address)
}

/// An address, with a port or without; one of IPv4 that is mapped into IPv6 is what it stands for.
fn endpoint(text: &LuaString) -> Option<(IpAddr, Option<u16>)> {
    let bytes = text.as_bytes();
    let text = std::str::from_utf8(&bytes).ok()?;
    let alone = text.parse::<IpAddr>().ok().map(|address| (address.to_canonical(), None));
    alone.or_else(|| {
        let endpoint = text.parse::<SocketAddr>().ok()?;
        Some((endpoint.ip().to_canonical(), Some(endpoint.port())))
    })
}

/// One range, or a list of them.
fn ranges(list: &Value, most: usize) -> std::result::Result<Vec<IpNet>, String> {
    match list {
        Value::String(text) => range(text).map(|range| vec![range]),
        Value::Table(list) if list.raw_len() > most => {
            Err(format!("ip: a list of {} ranges; {most} at the most", list.raw_len()))
        }
        Value::Table(list) => {
            let texts = list.sequence_values::<LuaString>();
            texts.map(|text| range(&text.map_err(|error| error.to_string())?)).collect()
        }
        _ => Err("ip: give a range or a list of ranges".to_owned()),
    }
}

fn range(text: &LuaString) -> std::result::Result<IpNet, String> {
    let text = text.to_string_lossy();
    let net = text.parse::<IpNet>().ok().map(|net| net.trunc());
    let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
    net.or_else(single).ok_or_else(|| {
        format!("ip: `{text}` is no range; write 10.0.0.0/8, 2001:db8::/32 or one address")
    })
}
