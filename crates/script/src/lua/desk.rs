//! A script on one shard: its machine, which is made anew when it has used up its memory.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::script::{About, Answers, Counsel, Desk, Failure};

use super::Text;
use super::machine::{Machine, Missing};
use super::talk::Talk;
use crate::library::{Around, Library};

/// Least time between two attempts to make a machine that does not come up.
const REST: Duration = Duration::from_secs(1);

/// See the head of this file.
pub(super) struct LuaDesk(Rc<Seat>);

/// What the desk shares with those who talk at it.
pub(super) struct Seat {
    text: Arc<Text>,
    library: Arc<Library>,
    around: Around,
    state: RefCell<State>,
}

enum State {
    Empty,
    Running(Rc<Machine>),
    /// It could not be made, and is not tried again before that.
    Broken(Failure, Instant),
}

impl LuaDesk {
    pub(super) fn new(text: Arc<Text>, library: Arc<Library>, around: Around) -> Self {
        let seat = Seat { text, library, around, state: RefCell::new(State::Empty) };
        // One that does not come up is told to the first session.
        let _ = seat.machine(Instant::now);
        Self(Rc::new(seat))
    }
}

impl Desk for LuaDesk {
    fn answers(&self) -> Answers {
        self.0.text.answers
    }

    fn attend(&self, about: About) -> Box<dyn Counsel> {
        Box::new(Talk::new(Rc::clone(&self.0), about))
    }
}

impl Seat {
    /// The machine to ask. The clock is looked at only if there is none.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn machine(&self, now: fn() -> Instant) -> Result<Rc<Machine>, Failure> {
        match &*self.state.borrow() {
            State::Running(machine) if !machine.is_spent() => return Ok(Rc::clone(machine)),
            State::Broken(why, until) if now() < *until => return Err(why.clone()),
            State::Empty | State::Running(_) | State::Broken(..) => {}
        }
        let modules = Rc::new(self.text.modules.clone());
        let made = Machine::new(
            &modules,
            self.text.limits,
            (&self.library, &self.around),
            &Missing::default(),
        );
        let (state, made) = match made {
            Ok(machine) => {
                let machine = Rc::new(machine);
                (State::Running(Rc::clone(&machine)), Ok(machine))
            }
            Err(why) => (State::Broken(why.clone(), now() + REST), Err(why)),
        };
        self.state.replace(state);
        made
    }
}
