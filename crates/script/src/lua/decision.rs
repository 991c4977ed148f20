//! What the answers of a script mean.
//!
//! The keys are those of ProxyMachine, and more. Of several that say where a session goes the
//! first counts, in the order `remote`, `close`, `noop`. A key that is not known fails: it was
//! meant to say something.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use engine::script::{Decision, Failure, REMOTES_MAX, RETRIES_MAX, Way, Whither};
use mlua::{Error, Table, Value};
use model::{BackendAddress, ProxyVersion};

use super::machine::Entry;

type Read<T> = Result<T, Failure>;

/// The keys of a decision, in the order of [`KEYS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Close,
    ConnectTimeout,
    Data,
    Default,
    InactivityTimeout,
    Noop,
    Pool,
    Proxy,
    Remote,
    Reply,
    Retries,
}

impl Key {
    fn name(self) -> &'static str {
        KEYS[self as usize]
    }
}

/// How they are written.
const KEYS: [&str; 11] = [
    "close",
    "connect_timeout",
    "data",
    "default",
    "inactivity_timeout",
    "noop",
    "pool",
    "proxy",
    "remote",
    "reply",
    "retries",
];

/// Longest time that a decision may name.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// What a function of a script has answered.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(entry: Entry, value: &Value) -> Read<Decision> {
    match (value, entry) {
        (Value::Nil, _) => Ok(Decision::Wait),
        (Value::Table(table), _) => Reader::of(entry, table)?.decision(),
        (Value::String(text), Entry::Connect) => Ok(Decision::Greet(text.as_bytes().to_vec())),
        (Value::String(text), Entry::ConnectError | Entry::Inactivity) => {
            Ok(Decision::Close(text.as_bytes().to_vec()))
        }
        (other, Entry::Route) => fault(format!(
            "`route` returned a {}; it returns a table, or nil to wait",
            other.type_name()
        )),
        (other, entry) => fault(format!(
            "`{}` returned a {}; it returns a text, a table, or nil",
            entry.name(),
            other.type_name()
        )),
    }
}

fn fault<T>(why: impl Into<String>) -> Read<T> {
    Err(Failure(why.into()))
}

/// A table that was returned.
struct Reader {
    entry: Entry,
    /// By their keys.
    values: [Value; KEYS.len()],
}

impl Reader {
    /// Takes what is in a table, without the script's own code: its time is over. Every key must be
    /// known.
    fn of(entry: Entry, table: &Table) -> Read<Self> {
        let mut values = [const { Value::Nil }; KEYS.len()];
        let mut unknown = None;
        let taken = table.for_each::<Value, Value>(|key, value| {
            let known = match &key {
                Value::String(key) => KEYS.iter().position(|known| key == known),
                _ => None,
            };
            let Some(known) = known else {
                unknown = Some(key);
                return Err(Error::runtime("one is enough"));
            };
            values[known] = value;
            Ok(())
        });
        let key = match (unknown, taken) {
            (None, Ok(())) => return Ok(Self { entry, values }),
            (None, Err(error)) => return fault(error.to_string()),
            (Some(Value::String(key)), _) => key.to_string_lossy(),
            (Some(other), _) => format!("{other:?}"),
        };
        fault(format!(
            "`{}` returned a table with `{key}`, which means nothing; known are {}",
            entry.name(),
            KEYS.join(", ")
        ))
    }

    fn decision(&self) -> Read<Decision> {
        if let Some(way) = self.way()? {
            return Ok(Decision::Go(Box::new(way)));
        }
        match self.get(Key::Close) {
            Value::Nil | Value::Boolean(false) => {}
            Value::Boolean(true) => return Ok(Decision::Close(Vec::new())),
            _ => return Ok(Decision::Close(self.text(Key::Close)?.unwrap_or_default())),
        }
        match self.get(Key::Noop) {
            Value::Nil | Value::Boolean(false) => {}
            _ => return Ok(Decision::Wait),
        }
        fault(format!(
            "`{}` returned a table that decides nothing: it has none of `remote`, `pool`, \
             `default`, `close` and `noop`",
            self.entry.name()
        ))
    }

    /// Where the session goes, if it goes anywhere.
    fn way(&self) -> Read<Option<Way>> {
        let pool = self.text(Key::Pool)?.map(|name| match String::from_utf8(name) {
            Ok(name) => name,
            Err(other) => String::from_utf8_lossy(other.as_bytes()).into_owned(),
        });
        let is_default = !matches!(self.get(Key::Default), Value::Nil | Value::Boolean(false));
        let to = match (self.remotes()?, pool, is_default) {
            (None, None, false) => return Ok(None),
            (Some(remotes), None, false) => Whither::Remotes(remotes),
            (None, Some(pool), false) => Whither::Pool(pool),
            (None, None, true) => Whither::Default,
            _ => return fault("`remote`, `pool` and `default` exclude each other"),
        };
        let proxy = self.proxy()?;
        if proxy.is_some() && !matches!(to, Whither::Remotes(_)) {
            return fault("`proxy` goes with `remote`; a pool has `send_proxy` of its own");
        }
        Ok(Some(Way {
            proxy,
            data: self.text(Key::Data)?,
            reply: self.text(Key::Reply)?.unwrap_or_default(),
            connect_timeout: self.time(Key::ConnectTimeout)?,
            inactivity_timeout: self.time(Key::InactivityTimeout)?,
            retries: self.retries()?,
            ..Way::new(to)
        }))
    }

    /// The version of a PROXY header.
    fn proxy(&self) -> Read<Option<ProxyVersion>> {
        let Some(name) = self.text(Key::Proxy)? else { return Ok(None) };
        let mut known = ProxyVersion::NAMES.into_iter();
        match known.find(|(known, _)| known.as_bytes() == name) {
            Some((_, version)) => Ok(Some(version)),
            None => fault("`proxy` is \"v1\" or \"v2\""),
        }
    }

    fn remotes(&self) -> Read<Option<Vec<BackendAddress>>> {
        let list = match self.get(Key::Remote) {
            Value::Nil | Value::Boolean(false) => return Ok(None),
            one @ Value::String(_) => return Ok(Some(vec![remote(one)?])),
            Value::Table(list) => (1..=list.raw_len().min(REMOTES_MAX + 1))
                .map(|at| list.raw_get(at))
                .collect::<mlua::Result<Vec<Value>>>()
                .map_err(|error| Failure(error.to_string()))?,
            other => {
                return fault(format!(
                    "`remote` is a {}; write `\"host:port\"`, or a list of such",
                    other.type_name()
                ));
            }
        };
        match list.len() {
            0 => return fault("`remote` is an empty list"),
            many if many > REMOTES_MAX => {
                return fault(format!("`remote` names more than {REMOTES_MAX} backends"));
            }
            _ => {}
        }
        list.iter().map(remote).collect::<Read<_>>().map(Some)
    }

    fn retries(&self) -> Read<u32> {
        match self.number(Key::Retries)? {
            None => Ok(0),
            Some(number) => {
                (0..=RETRIES_MAX).find(|retries| f64::from(*retries) == number).ok_or_else(|| {
                    Failure(format!("`retries` is a whole number from 0 to {RETRIES_MAX}"))
                })
            }
        }
    }

    /// A time in seconds.
    fn time(&self, key: Key) -> Read<Option<Duration>> {
        let Some(seconds) = self.number(key)? else { return Ok(None) };
        match Duration::try_from_secs_f64(seconds) {
            Ok(time) if !time.is_zero() && time <= TIME_MAX => Ok(Some(time)),
            _ => fault(format!(
                "`{}` is a time in seconds, more than 0 and at most a day",
                key.name()
            )),
        }
    }

    /// A number, or a text that is one.
    fn number(&self, key: Key) -> Read<Option<f64>> {
        #[expect(clippy::cast_precision_loss, reason = "what is lost is far out of range")]
        let number = match self.get(key) {
            Value::Nil | Value::Boolean(false) => return Ok(None),
            Value::Integer(number) => Some(*number as f64),
            Value::Number(number) => Some(*number),
            Value::String(text) => text.to_string_lossy().trim().parse().ok(),
            _ => None,
        };
        number.map(Some).ok_or_else(|| Failure(format!("`{}` is not a number", key.name())))
    }

    /// Bytes: a text, or a number as it is written.
    fn text(&self, key: Key) -> Read<Option<Vec<u8>>> {
        match self.get(key) {
            Value::Nil | Value::Boolean(false) => Ok(None),
            Value::String(text) => Ok(Some(text.as_bytes().to_vec())),
            Value::Buffer(buffer) => Ok(Some(buffer.to_vec())),
            Value::Integer(number) => Ok(Some(number.to_string().into_bytes())),
            Value::Number(number) => Ok(Some(number.to_string().into_bytes())),
            other => fault(format!("`{}` is a {}, not a text", key.name(), other.type_name())),
        }
    }

    fn get(&self, key: Key) -> &Value {
        &self.values[key as usize]
    }
}

/// `host:port`, `[v6]:port`, `v6:port`, `unix:/path` or `original`.
fn remote(value: &Value) -> Read<BackendAddress> {
    let Value::String(text) = value else {
        return fault(format!("`remote` has a {} in its list, not a text", value.type_name()));
    };
    let wrong = || format!("`{}` is no remote; write `\"host:port\"`", text.to_string_lossy());
    let Ok(text) = text.to_str() else { return fault(wrong()) };
    if &*text == "original" {
        return Ok(BackendAddress::Original);
    }
    // Its port is behind the last colon.
    if let Some((host, port)) = text.rsplit_once(':')
        && let (Ok(IpAddr::V6(host)), Ok(port @ 1..)) = (host.parse(), port.parse::<u16>())
    {
        return Ok(BackendAddress::Ip(SocketAddr::new(host.into(), port)));
    }
    BackendAddress::parse(&text, None).map_err(|_| Failure(wrong()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlua::Lua;

    fn decided(entry: Entry, text: &str) -> Read<Decision> {
        let lua = Lua::new();
        let value: Value = lua.load(text).eval().expect("a legal value");
        read(entry, &value)
    }

    fn way(text: &str) -> Way {
        match decided(Entry::Route, text) {
            Ok(Decision::Go(way)) => *way,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[track_caller]
    fn check_fault(entry: Entry, text: &str, expected: &str) {
        let Err(Failure(why)) = decided(entry, text) else { panic!("{text} was taken") };
        assert!(why.contains(expected), "{text}: {why}");
    }

    #[test]
    fn remotes_look_as_anywhere() {
        for (text, expected) in [
            ("'db.example:80'", "db.example:80"),
            ("'10.0.0.1:80'", "10.0.0.1:80"),
            ("'::1:80'", "[::1]:80"),
            ("'[::1]:80'", "[::1]:80"),
            ("'unix:/run/x'", "unix:/run/x"),
            ("'original'", "original"),
        ] {
            let Whither::Remotes(remotes) = way(&format!("{{remote = {text}}}")).to else {
                panic!("{text}")
            };
            assert_eq!(remotes.len(), 1);
            assert_eq!(remotes[0].to_string(), expected);
        }
        for text in ["'a'", "'a:b'", "'a:0'", "'a:70000'", "''", "':80'", "'a\\nb:80'", "'\\255:1'"]
        {
            check_fault(Entry::Route, &format!("{{remote = {text}}}"), "is no remote");
        }
        let Whither::Remotes(two) = way("{remote = {'a:1', 'b:2'}}").to else { panic!() };
        assert_eq!(two.len(), 2);
        check_fault(Entry::Route, "{remote = {}}", "empty list");
        check_fault(Entry::Route, "{remote = {1}}", "has a ");
        check_fault(Entry::Route, "{remote = 7}", "`remote` is a ");
        check_fault(Entry::Route, "{remote = table.create(65, 'a:1')}", "more than 64");
    }

    #[test]
    fn what_goes_with_a_remote() {
        let all = way("{remote = 'a:1', data = '', reply = 'r\\0', connect_timeout = 0.5, \
                       inactivity_timeout = '2', retries = 10}");
        assert_eq!(all.data.as_deref(), Some(&b""[..]));
        assert_eq!(all.reply, b"r\0");
        assert_eq!(all.connect_timeout, Some(Duration::from_millis(500)));
        assert_eq!(all.inactivity_timeout, Some(Duration::from_secs(2)));
        assert_eq!(all.retries, 10);
        assert_eq!(way("{remote = 'a:1', proxy = 'v2'}").proxy, Some(ProxyVersion::V2));
        check_fault(Entry::Route, "{pool = 'a', proxy = 'v2'}", "goes with `remote`");
        assert_eq!(way("{pool = 'db'}"), Way::new(Whither::Pool("db".to_owned())));
        assert_eq!(way("{default = true}"), Way::new(Whither::Default));
        assert_eq!(way("{remote = 'a:1', close = true, noop = true}").retries, 0);
        for (wrong, why) in [
            ("connect_timeout = 0", "more than 0"),
            ("connect_timeout = -1", "more than 0"),
            ("connect_timeout = 0/0", "more than 0"),
            ("inactivity_timeout = 'soon'", "not a number"),
            ("inactivity_timeout = 1e9", "at most a day"),
            ("retries = 0.5", "whole number"),
            ("retries = 101", "whole number"),
            ("data = {}", "not a text"),
            ("proxy = 'v3'", "is \"v1\" or \"v2\""),
            ("proxy = true", "not a text"),
            ("pool = 'b'", "exclude each other"),
            ("inactivity_timout = 1", "`inactivity_timout`, which means nothing"),
        ] {
            check_fault(Entry::Route, &format!("{{remote = 'a:1', {wrong}}}"), why);
        }
    }

    #[test]
    fn what_is_no_way() {
        let close = |text: &[u8]| Ok(Decision::Close(text.to_vec()));
        for (text, expected) in [
            ("{close = true}", close(b"")),
            ("{close = ''}", close(b"")),
            ("{close = 'x\\0'}", close(b"x\0")),
            ("{close = 42}", close(b"42")),
            ("{noop = true}", Ok(Decision::Wait)),
            ("{close = false, noop = true}", Ok(Decision::Wait)),
            ("nil", Ok(Decision::Wait)),
        ] {
            assert_eq!(decided(Entry::Route, text), expected, "{text}");
        }
        assert_eq!(decided(Entry::Connect, "'hi'"), Ok(Decision::Greet(b"hi".to_vec())));
        assert_eq!(decided(Entry::ConnectError, "'hi'"), close(b"hi"));
        assert_eq!(decided(Entry::Inactivity, "nil"), Ok(Decision::Wait));
        check_fault(Entry::Route, "{}", "decides nothing");
        check_fault(Entry::Route, "{reply = 'x'}", "decides nothing");
        check_fault(Entry::Route, "{close = false}", "decides nothing");
        check_fault(Entry::Route, "'x'", "returned a string");
        check_fault(Entry::Route, "true", "returned a boolean");
        check_fault(Entry::Route, "{[1] = 'x'}", "means nothing");
        check_fault(Entry::Connect, "7", "a text, a table, or nil");
    }
}
