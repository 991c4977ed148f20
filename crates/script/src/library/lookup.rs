//! Look-ups: questions to others, which a script waits for while its shard goes on.
//!
//! To a script they are ordinary calls ([`crate::pending`]) that return a value, or `nil` and why
//! there is none. Each has a time, and so many are under way at the most.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::Lookups;
use mlua::{Function, IntoLua, IntoLuaMulti, Lua, LuaString, MultiValue, Result, Table, Value};
use tokio::time::timeout;

use super::redis::Connections;
use super::{Around, Library, blame, http, redis};
use crate::pending::{Pending, waits};

/// How long a look-up may take, unless told.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Longest time that may be told, in seconds.
const TIMEOUT_MAX: f64 = 30.0;

/// Most look-ups under way at a time, of all shards.
pub(super) const LOOKUPS_MAX: usize = 1_024;

/// What comes of a look-up.
type Answer<T> = std::result::Result<T, String>;

/// An answer as the script gets it: the value, or `nil` and why.
struct Told<T>(Answer<T>);

impl<T: IntoLua> IntoLuaMulti for Told<T> {
    fn into_lua_multi(self, lua: &Lua) -> Result<MultiValue> {
        match self.0 {
            Ok(value) => value.into_lua(lua)?.into_lua_multi(lua),
            Err(why) => (Value::Nil, why).into_lua_multi(lua),
        }
    }
}

/// Puts the calls into the globals.
pub(super) fn install(lua: &Lua, library: &Arc<Library>, around: &Around) -> Result<()> {
    let (known, names) = (Arc::clone(library), around.names.clone());
    let dns = move |lua: &Lua, (host, options): (String, Option<Table>)| {
        let within = time(lua, "dns", options.as_ref())?;
        let names = names.clone();
        Ok(known.look_up(within, async move {
            let addresses = addresses(&names, &host).await?;
            Ok(addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>())
        }))
    };
    add(lua, "dns", lua.create_function(dns)?)?;
    let known = Arc::clone(library);
    let get = move |lua: &Lua, (url, options): (String, Option<Table>)| {
        let within = time(lua, "http_get", options.as_ref())?;
        let request = http::Request::new(url, options.as_ref(), within)
            .map_err(|why| blame(lua, format!("http_get: {why}")))?;
        let library = Arc::clone(&known);
        Ok(known.look_up(within, async move { library.get(request).await }))
    };
    add(lua, "http_get", lua.create_function(get)?)?;
    let (known, names) = (Arc::clone(library), around.names.clone());
    let connections = Rc::new(Connections::default());
    let ask = move |lua: &Lua, (address, words): (String, mlua::Variadic<LuaString>)| {
        let question = redis::Question::new(&address, &words)
            .map_err(|why| blame(lua, format!("redis: {why}")))?;
        let (names, connections) = (names.clone(), Rc::clone(&connections));
        Ok(known.look_up(TIMEOUT, async move { question.ask(&names, &connections).await }))
    };
    add(lua, "redis", lua.create_function(ask)?)
}

fn add(lua: &Lua, name: &str, begin: Function) -> Result<()> {
    lua.globals().set(name, waits(lua, begin)?)
}

/// `timeout`, in seconds.
fn time(lua: &Lua, call: &str, options: Option<&Table>) -> Result<Duration> {
    let seconds = match options {
        Some(options) => options.get::<Option<f64>>("timeout")?,
        None => None,
    };
    match seconds {
        None => Ok(TIMEOUT),
        Some(seconds) if seconds > 0.0 && seconds <= TIMEOUT_MAX => {
            Ok(Duration::from_secs_f64(seconds))
        }
        Some(_) => {
            Err(blame(lua, format!("{call}: timeout is more than 0 seconds and at most 30")))
        }
    }
}

/// A place among the [`LOOKUPS_MAX`].
struct Place(Arc<Library>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lookups.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Library {
    fn look_up<T: IntoLua + 'static>(
        self: &Arc<Self>,
        within: Duration,
        question: impl Future<Output = Answer<T>> + 'static,
    ) -> Pending {
        let library = Arc::clone(self);
        Pending::new(async move {
            let before = library.lookups.fetch_add(1, Ordering::Relaxed);
            let _place = Place(library);
            if before >= LOOKUPS_MAX {
                return Told(Err("too many look-ups at a time".to_owned()));
            }
            let answer = timeout(within, question).await;
            Told(answer.unwrap_or_else(|_| Err(late(within))))
        })
    }
}

/// What is told when there was no answer in time.
pub(super) fn late(within: Duration) -> String {
    format!("no answer within {} s", within.as_secs_f64())
}

/// The addresses of a host; that of an address is itself. For as long as the look-up may take.
pub(super) async fn addresses(names: &Lookups, host: &str) -> Answer<Arc<[IpAddr]>> {
    let patience = Duration::from_secs_f64(TIMEOUT_MAX);
    names.addresses(host, patience).await.map_err(|why| why.to_string())
}

/// A place in the count of all look-ups.
pub(super) type Count = AtomicUsize;
