//! What a script is asked about one session, and how it comes to its answers.
//!
//! Each question is a call of one of its functions, in a coroutine of its own. What such a coroutine
//! waits for is awaited on the shard; its time for the question is that of all its parts together, and
//! does not pass while it waits.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use engine::account::ClientAddress;
use engine::script::{About, Asking, Counsel, Decision, Failure, Now, Question};
use mlua::{AnyUserData, MultiValue, Result, Table, Value};

use super::decision;
use super::desk::Seat;
use super::machine::{Entry, Machine};
use crate::library::Caller;
use crate::pending::Pending;

/// A session, as its script sees it.
pub(super) struct Talk {
    seat: Rc<Seat>,
    about: About,
    /// What the script is given of it, in the machine that it was made in.
    conn: Option<(Rc<Machine>, Table)>,
}

impl Talk {
    pub(super) fn new(seat: Rc<Seat>, about: About) -> Self {
        Self { seat, about, conn: None }
    }

    /// The machine to ask, with what it knows of the session.
    fn machine(&mut self) -> std::result::Result<Rc<Machine>, Failure> {
        // A session stays with the machine that it began with: what the script has noted is there.
        if let Some((machine, _)) = &self.conn
            && !machine.is_spent()
        {
            return Ok(Rc::clone(machine));
        }
        self.conn = None;
        self.seat.machine(Instant::now())
    }

    /// The coroutine, and what it is called with.
    fn begin(&mut self, machine: &Rc<Machine>, question: Question<'_>, now: Now) -> Result<Call> {
        let lua = machine.lua();
        let conn = match &self.conn {
            Some((_, conn)) => conn.clone(),
            None => {
                let conn = self.introduce(machine)?;
                self.conn = Some((Rc::clone(machine), conn.clone()));
                conn
            }
        };
        conn.raw_set("elapsed", now.elapsed.as_secs_f64())?;
        conn.raw_set("attempt", now.attempt)?;
        conn.raw_set("eof", now.has_ended)?;
        let (entry, first) = match question {
            Question::Connect => (Entry::Connect, None),
            Question::Route(said) => (Entry::Route, Some(said)),
            Question::ConnectError(remote) => (Entry::ConnectError, Some(remote.as_bytes())),
            Question::Inactivity(remote) => (Entry::Inactivity, Some(remote.as_bytes())),
        };
        let mut given = MultiValue::new();
        if let Some(first) = first {
            given.push_back(Value::String(lua.create_string(first)?));
        }
        given.push_back(Value::Table(conn));
        let thread = machine.call(entry).transpose()?;
        Ok(Call { entry, thread, given })
    }

    /// Says for whom the script goes on.
    fn introduce_caller(&self, machine: &Machine) {
        let (listener, session) = (Arc::clone(&self.about.listener), self.about.id);
        let caller = Caller { listener: Some(listener), session: Some(session) };
        machine.lua().set_app_data(caller);
    }

    /// What does not change of a session.
    fn introduce(&self, machine: &Machine) -> Result<Table> {
        let conn = machine.lua().create_table()?;
        let About { id, client, local, listener, spoken } = &self.about;
        if let ClientAddress::Ip(client) = client {
            conn.raw_set("peer", client.to_string())?;
        }
        if let Some(local) = local {
            conn.raw_set("local", local.to_string())?;
        }
        conn.raw_set("listener", &**listener)?;
        conn.raw_set("id", *id)?;
        if let Some(sni) = &spoken.sni {
            conn.raw_set("sni", &**sni)?;
        }
        if let Some(alpn) = &spoken.alpn {
            conn.raw_set("alpn", &**alpn)?;
        }
        Ok(conn)
    }
}

/// A call that is about to begin.
struct Call {
    entry: Entry,
    thread: Option<mlua::Thread>,
    given: MultiValue,
}

impl Counsel for Talk {
    fn ask<'a>(&'a mut self, question: Question<'a>, now: Now) -> Asking<'a> {
        Box::pin(async move {
            let machine = self.machine()?;
            let mut left = machine.deadline();
            let Call { entry, thread, mut given } =
                machine.work(&mut left, || self.begin(&machine, question, now))?;
            // The engine asks only what the script answers.
            let Some(thread) = thread else { return Ok(Decision::Wait) };
            loop {
                self.introduce_caller(&machine);
                let said: MultiValue = machine.work(&mut left, || thread.resume(given))?;
                if !thread.is_resumable() {
                    return machine
                        .work(&mut left, || Ok(decision::read(entry, said.iter().next())))?;
                }
                let Some(pending) = awaited(&said) else {
                    let why = "it yields what nobody waits for; only look-ups do";
                    return Err(Failure(why.to_owned()));
                };
                let answer = pending.answer(machine.lua()).await;
                given = machine.work(&mut left, || answer)?;
            }
        })
    }
}

/// What a coroutine waits for.
fn awaited(said: &MultiValue) -> Option<Pending> {
    match said.iter().next() {
        Some(Value::UserData(data)) => AnyUserData::take(data).ok(),
        _ => None,
    }
}
