//! What a script is asked about one session, and how it comes to its answers.
//!
//! Each question is a call of one of its functions, in a coroutine of its own. What such a coroutine
//! waits for is awaited on the shard; its time for the question is that of all its parts together, and
//! does not pass while it waits.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use engine::script::{About, Asking, Counsel, Decision, Failure, Now, Question};
use mlua::{AnyUserData, IntoLuaMulti, Result, Table, Thread, Value};

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
        self.seat.machine(Instant::now)
    }

    /// Asks, as far as that goes without waiting.
    fn begin(&mut self, machine: &Rc<Machine>, question: Question<'_>, now: Now) -> Result<Step> {
        let conn = match &self.conn {
            Some((_, conn)) => {
                conn.raw_set("elapsed", now.elapsed.as_secs_f64())?;
                conn.raw_set("attempt", now.attempt)?;
                conn.raw_set("eof", now.has_ended)?;
                conn.clone()
            }
            None => {
                let conn = machine.introduce(&self.about, now)?;
                self.conn = Some((Rc::clone(machine), conn.clone()));
                conn
            }
        };
        let (entry, first) = match question {
            Question::Connect => (Entry::Connect, None),
            Question::Route(said) => (Entry::Route, Some(said)),
            Question::ConnectError(remote) => (Entry::ConnectError, Some(remote.as_bytes())),
            Question::Inactivity(remote) => (Entry::Inactivity, Some(remote.as_bytes())),
        };
        // The engine asks only what the script answers.
        let Some(thread) = machine.call(entry).transpose()? else {
            return Ok(Step::Decided(Ok(Decision::Wait)));
        };
        let call = Call { entry, thread };
        match first {
            Some(first) => {
                let first = machine.lua().create_string(first)?;
                self.go_on(machine, call, (first, conn))
            }
            None => self.go_on(machine, call, conn),
        }
    }

    /// Has a call go on to its end, or until it waits.
    fn go_on(&self, machine: &Machine, call: Call, given: impl IntoLuaMulti) -> Result<Step> {
        self.introduce_caller(machine);
        let said: Value = call.thread.resume(given)?;
        if !call.thread.is_resumable() {
            machine.spare(call.thread);
            return Ok(Step::Decided(decision::read(call.entry, &said)));
        }
        Ok(match awaited(said) {
            Some(pending) => Step::Waits(call, pending),
            None => {
                let why = "it yields what nobody waits for; only look-ups do";
                Step::Decided(Err(Failure(why.to_owned())))
            }
        })
    }

    /// Says for whom the script goes on.
    fn introduce_caller(&self, machine: &Machine) {
        let (listener, session) = (Arc::clone(&self.about.listener), self.about.id);
        let caller = Caller { listener: Some(listener), session: Some(session) };
        machine.lua().set_app_data(caller);
    }
}

/// A call that has begun.
struct Call {
    entry: Entry,
    thread: Thread,
}

/// How far a call has come.
enum Step {
    Decided(std::result::Result<Decision, Failure>),
    Waits(Call, Pending),
}

impl Counsel for Talk {
    fn ask<'a>(&'a mut self, question: Question<'a>, now: Now) -> Asking<'a> {
        Box::pin(async move {
            let machine = self.machine()?;
            let mut left = machine.deadline();
            let mut step = machine.work(&mut left, || self.begin(&machine, question, now))?;
            loop {
                let (call, pending) = match step {
                    Step::Decided(decision) => return decision,
                    Step::Waits(call, pending) => (call, pending),
                };
                let answer = pending.answer(machine.lua()).await;
                step = machine.work(&mut left, || self.go_on(&machine, call, answer?))?;
            }
        })
    }
}

/// What a coroutine waits for.
fn awaited(said: Value) -> Option<Pending> {
    match said {
        Value::UserData(data) => AnyUserData::take(&data).ok(),
        _ => None,
    }
}
