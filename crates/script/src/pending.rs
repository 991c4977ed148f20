//! How a script waits for others while its shard goes on.
//!
//! A script runs as a coroutine. A function that asks others returns a [`Pending`], and [`waits`]
//! makes one of it that yields that: whoever runs the script awaits it on the shard, and resumes
//! the coroutine with what came of it. To the script it was an ordinary call.

use std::pin::Pin;

use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Result, UserData};

/// What a script waits for. Dropped, it is not wanted any more.
pub struct Pending(Pin<Box<dyn Future<Output = Answer>>>);

/// What the call returns in the end: made within the VM of the script.
type Answer = Box<dyn FnOnce(&Lua) -> Result<MultiValue>>;

impl UserData for Pending {}

impl Pending {
    /// What comes of `work`, which runs on the thread of a shard and bounds its own time.
    pub fn new<A: IntoLuaMulti + 'static>(work: impl Future<Output = A> + 'static) -> Self {
        Self(Box::pin(async move {
            let answer = work.await;
            let answer: Answer = Box::new(move |lua| answer.into_lua_multi(lua));
            answer
        }))
    }

    /// Waits.
    ///
    /// # Errors
    /// When the VM has no memory left for the answer.
    pub async fn answer(self, lua: &Lua) -> Result<MultiValue> {
        let answer = self.0.await;
        answer(lua)
    }
}

/// Makes a function that waits of one that returns a [`Pending`].
///
/// # Errors
/// When the VM has no memory left.
pub fn waits(lua: &Lua, begin: Function) -> Result<Function> {
    let wrap: Function = lua
        .load("local begin, yield = ... return function(...) return yield(begin(...)) end")
        .set_name("=replug")
        .into_function()?;
    let coroutine: mlua::Table = lua.globals().get("coroutine")?;
    wrap.call((begin, coroutine.get::<Function>("yield")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlua::{AnyUserData, Value};

    #[tokio::test]
    async fn a_call_that_waits_is_an_ordinary_call() {
        let lua = Lua::new();
        let begin = |_: &Lua, number: i64| {
            Ok(Pending::new(async move {
                tokio::task::yield_now().await;
                (number + 1, "more")
            }))
        };
        let begin = lua.create_function(begin).expect("memory");
        let ask = waits(&lua, begin).expect("memory");
        lua.globals().set("ask", ask).expect("memory");
        let chunk = "local n, more = ask(6) local ok, again = pcall(ask, n) return again, more, ok";
        let thread = lua.create_thread(lua.load(chunk).into_function().expect("legal"));
        let thread = thread.expect("memory");
        let mut given = MultiValue::new();
        let mut waits = 0;
        let last = loop {
            let said: MultiValue = thread.resume(given).expect("no error");
            if !thread.is_resumable() {
                break said;
            }
            let [Value::UserData(data)] = said.as_slices().0 else { panic!("{said:?}") };
            let pending = AnyUserData::take::<Pending>(data).expect("what is waited for");
            given = pending.answer(&lua).await.expect("memory");
            waits += 1;
        };
        assert_eq!(waits, 2);
        let last: (i64, String, bool) = lua.unpack_multi(last).expect("three values");
        assert_eq!(last, (8, "more".to_owned(), true));
    }
}
