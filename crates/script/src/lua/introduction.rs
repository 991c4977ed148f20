//! What a script is given of a session: the table `conn`.
//!
//! It is made by one call into the machine, and what most sessions have in common with the one before,
//! their listener and the address they came to, is there already: each text that is put into a machine
//! costs as much as a short script.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use engine::account::ClientAddress;
use engine::script::{About, Now};
use mlua::{Function, Lua, LuaString, Result, Table};

/// Makes the table at once: each of these keys has the same shape.
const MAKE: &str = r#"
local id, listener, peer, here, sni, alpn, elapsed, attempt, eof = ...
return {
    id = id, listener = listener, peer = peer, ["local"] = here, sni = sni, alpn = alpn,
    elapsed = elapsed, attempt = attempt, eof = eof,
}
"#;

/// Introduces sessions to the script of one machine.
pub(super) struct Introduction {
    make: Function,
    last: RefCell<Option<Place>>,
}

/// Where a session came to, and the texts for that.
struct Place {
    listener: Arc<str>,
    local: Option<SocketAddr>,
    texts: (LuaString, Option<LuaString>),
}

impl Introduction {
    /// The one for this machine.
    ///
    /// # Errors
    /// When it has no memory left.
    pub(super) fn new(lua: &Lua) -> Result<Self> {
        let make = lua.load(MAKE).set_name("=replug").into_function()?;
        Ok(Self { make, last: RefCell::default() })
    }

    /// What is known of a session.
    ///
    /// # Errors
    /// When the machine has no memory left.
    pub(super) fn table(&self, lua: &Lua, about: &About, now: Now) -> Result<Table> {
        let About { id, client, local, listener, spoken } = about;
        let mut last = self.last.borrow_mut();
        let place = match last.take() {
            Some(place) if place.is_of(listener, *local) => last.insert(place),
            _ => last.insert(Place::new(lua, listener, *local)?),
        };
        let (listener, local) = &place.texts;
        let peer = match client {
            ClientAddress::Ip(client) => Some(client.to_string()),
            ClientAddress::Unix => None,
        };
        let (sni, alpn) = (spoken.sni.as_deref(), spoken.alpn.as_deref());
        let (elapsed, attempt, eof) = (now.elapsed.as_secs_f64(), now.attempt, now.has_ended);
        self.make.call((*id, listener, peer, local.as_ref(), sni, alpn, elapsed, attempt, eof))
    }
}

impl Place {
    fn new(lua: &Lua, listener: &Arc<str>, local: Option<SocketAddr>) -> Result<Self> {
        let text = local.map(|local| lua.create_string(local.to_string())).transpose()?;
        let texts = (lua.create_string(&**listener)?, text);
        Ok(Self { listener: Arc::clone(listener), local, texts })
    }

    fn is_of(&self, listener: &Arc<str>, local: Option<SocketAddr>) -> bool {
        Arc::ptr_eq(&self.listener, listener) && self.local == local
    }
}
