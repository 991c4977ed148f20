//! A VM with a script in it, and what it may take.
//!
//! Time is the processor's, not the clock's: a busy machine takes nobody's decision away. Luau asks
//! at every turn of a loop, at calls, and within its pattern matching whether to go on; once the time
//! is over the answer is no, again and again, until the script has given up. Memory is bounded by the
//! allocator of the VM. A machine that has met that bound is not used for other sessions any more.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::script::{About, Answers, Failure, Now};
use mlua::{Error, Function, Lua, Result, Table, Thread, Value, VmState};
use rustix::time::{ClockId, clock_gettime};

use super::introduction::Introduction;
use super::modules::Modules;
use super::{LOAD_MAX, Limits, fence};
use crate::library::{Around, Library};

/// Interrupts between two looks at the clock: some microseconds.
const LOOK_EVERY: u32 = 64;

/// The part of its time in which a script is not watched by the processor's clock, which costs a system
/// call: most have answered long before. Within that the clock on the wall counts.
const UNWATCHED: u32 = 16;

/// Coroutines that are kept for the next questions.
const SPARE_MAX: usize = 16;

/// Longest text of a failure that is told, in bytes.
const FAILURE_BYTES_MAX: usize = 400;

/// The function without which a script cannot be.
const ROUTE: &str = "route";

/// See the head of this file.
pub(super) struct Machine {
    lua: Lua,
    meter: Rc<Meter>,
    limits: Limits,
    functions: Functions,
    introduction: Introduction,
    /// Coroutines that have come to their end.
    spare: RefCell<Vec<Thread>>,
    is_spent: Cell<bool>,
}

/// What a script answers with.
struct Functions {
    route: Function,
    on_connect: Option<Function>,
    on_connect_error: Option<Function>,
    on_inactivity: Option<Function>,
}

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Route,
    Connect,
    ConnectError,
    Inactivity,
}

impl Entry {
    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Route => ROUTE,
            Self::Connect => "on_connect",
            Self::ConnectError => "on_connect_error",
            Self::Inactivity => "on_inactivity",
        }
    }
}

/// A module that was required and is not known.
pub(super) type Missing = Rc<RefCell<Option<String>>>;

impl Machine {
    /// Puts a script into a VM. A module that is not known is told in `missing`.
    ///
    /// # Errors
    /// When it does not load.
    pub(super) fn new(
        modules: &Rc<Modules>,
        limits: Limits,
        (library, around): (&Arc<Library>, &Around),
        missing: &Missing,
    ) -> std::result::Result<Self, Failure> {
        let meter = Rc::new(Meter::new());
        let loading = Limits { deadline: LOAD_MAX, ..limits };
        let made = meter.run(LOAD_MAX, LOAD_MAX, || {
            let lua = fence::vm()?;
            lua.globals().raw_set("require", require(&lua, modules, missing)?)?;
            library.install(&lua, around)?;
            lua.sandbox(true)?;
            lua.set_memory_limit(limits.memory)?;
            let asked = Rc::clone(&meter);
            lua.set_interrupt(move |_| match asked.allows() {
                true => Ok(VmState::Continue),
                false => Err(Error::runtime("its time is over")),
            });
            lua.load(&*modules.main).set_name(format!("={}", modules.file)).exec()?;
            let functions = Functions::of(&lua)?;
            let introduction = Introduction::new(&lua)?;
            Ok((lua, functions, introduction))
        });
        match made {
            Ok((lua, functions, introduction)) => Ok(Self {
                lua,
                meter,
                limits,
                functions,
                introduction,
                spare: RefCell::default(),
                is_spent: Cell::new(false),
            }),
            Err(error) => Err(failure(&error, loading, meter.is_over())),
        }
    }

    pub(super) fn lua(&self) -> &Lua {
        &self.lua
    }

    /// Which callbacks the script has.
    pub(super) fn answers(&self) -> Answers {
        Answers {
            connect: self.functions.on_connect.is_some(),
            connect_error: self.functions.on_connect_error.is_some(),
            inactivity: self.functions.on_inactivity.is_some(),
        }
    }

    /// Whether it has used up its memory.
    pub(super) fn is_spent(&self) -> bool {
        self.is_spent.get()
    }

    /// What the script is given of a session.
    pub(super) fn introduce(&self, about: &About, now: Now) -> Result<Table> {
        self.introduction.table(&self.lua, about, now)
    }

    /// A coroutine that is about to begin; `None`: the script has no such function.
    pub(super) fn call(&self, entry: Entry) -> Option<Result<Thread>> {
        let functions = &self.functions;
        let function = match entry {
            Entry::Route => Some(&functions.route),
            Entry::Connect => functions.on_connect.as_ref(),
            Entry::ConnectError => functions.on_connect_error.as_ref(),
            Entry::Inactivity => functions.on_inactivity.as_ref(),
        }?;
        let spare = self.spare.borrow_mut().pop();
        Some(match spare {
            Some(thread) => thread.reset(function.clone()).map(|()| thread),
            None => self.lua.create_thread(function.clone()),
        })
    }

    /// Takes a coroutine back that has come to its end.
    pub(super) fn spare(&self, thread: Thread) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(thread);
        }
    }

    /// Does `work` in the VM, which has `left` of its time; takes off what it needs.
    ///
    /// # Errors
    /// What the script has done wrong, in words for people.
    pub(super) fn work<T>(
        &self,
        left: &mut Duration,
        work: impl FnOnce() -> Result<T>,
    ) -> std::result::Result<T, Failure> {
        let result = self.meter.run(self.limits.deadline, *left, work);
        *left = left.saturating_sub(self.meter.used());
        result.map_err(|error| {
            if has_no_memory(&error) {
                self.is_spent.set(true);
            }
            failure(&error, self.limits, self.meter.is_over())
        })
    }

    /// The time for one question.
    pub(super) fn deadline(&self) -> Duration {
        self.limits.deadline
    }
}

impl Functions {
    fn of(lua: &Lua) -> Result<Self> {
        let get = |entry: Entry| match lua.globals().get::<Value>(entry.name())? {
            Value::Function(function) => Ok(Some(function)),
            Value::Nil => Ok(None),
            other => Err(Error::runtime(format!(
                "`{}` is not a function but a {}",
                entry.name(),
                other.type_name()
            ))),
        };
        let route = get(Entry::Route)?.ok_or_else(|| {
            Error::runtime("it has no function `route`: write `function route(data, conn) ... end`")
        })?;
        Ok(Self {
            route,
            on_connect: get(Entry::Connect)?,
            on_connect_error: get(Entry::ConnectError)?,
            on_inactivity: get(Entry::Inactivity)?,
        })
    }
}

/// The function by which a script gets its modules.
fn require(lua: &Lua, modules: &Rc<Modules>, missing: &Missing) -> Result<Function> {
    let (modules, missing) = (Rc::clone(modules), Rc::clone(missing));
    let loaded = lua.create_table()?;
    lua.create_function(move |lua, name: String| {
        match loaded.raw_get::<Value>(&*name)? {
            Value::Nil => {}
            Value::Boolean(false) => {
                return Err(Error::runtime(format!("module `{name}` requires itself")));
            }
            value => return Ok(value),
        }
        let text = match modules.get(&name) {
            Some(Ok(text)) => text,
            Some(Err(why)) => return Err(Error::runtime(format!("module `{name}`: {why}"))),
            None => {
                missing.borrow_mut().get_or_insert_with(|| name.clone());
                let why = "it was not required while the script was loaded";
                return Err(Error::runtime(format!("module `{name}`: {why}")));
            }
        };
        loaded.raw_set(&*name, false)?;
        let value = lua.load(&**text).set_name(format!("={name}")).eval::<Value>();
        // One that says nothing of itself is there nevertheless.
        let value = value.map(|value| if value.is_nil() { Value::Boolean(true) } else { value });
        loaded.raw_set(&*name, value.clone().unwrap_or(Value::Nil))?;
        value
    })
}

/// How long a script has worked.
#[derive(Debug)]
struct Meter {
    budget: Cell<Duration>,
    /// As long as it is not watched.
    unwatched: Cell<Duration>,
    begun: Cell<Instant>,
    /// What the processor's clock showed when it began; `None`: nobody has looked yet.
    begun_at: Cell<Option<Duration>>,
    used: Cell<Duration>,
    /// When it is worth to look at the processor's clock.
    look: Cell<Instant>,
    interrupts: Cell<u32>,
    is_over: Cell<bool>,
}

impl Meter {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            budget: Cell::default(),
            unwatched: Cell::default(),
            begun: Cell::new(now),
            begun_at: Cell::default(),
            used: Cell::default(),
            look: Cell::new(now),
            interrupts: Cell::default(),
            is_over: Cell::default(),
        }
    }

    /// Does `work`, which is to take no longer than `left` of its `budget`.
    fn run<T>(
        &self,
        budget: Duration,
        left: Duration,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let now = Instant::now();
        let unwatched = left.min(budget / UNWATCHED);
        self.budget.set(left);
        self.unwatched.set(unwatched);
        self.is_over.set(left.is_zero());
        self.interrupts.set(0);
        self.look.set(now + unwatched);
        self.begun.set(now);
        self.begun_at.set(None);
        let result = work();
        self.used.set(match self.begun_at.get() {
            Some(begun_at) => processor_time().saturating_sub(begun_at),
            None => now.elapsed().min(unwatched),
        });
        result
    }

    fn used(&self) -> Duration {
        self.used.get()
    }

    fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Whether the script may go on.
    fn allows(&self) -> bool {
        if self.is_over.get() {
            return false;
        }
        let interrupts = self.interrupts.get().wrapping_add(1);
        self.interrupts.set(interrupts);
        if !interrupts.is_multiple_of(LOOK_EVERY) {
            return true;
        }
        // The processor's time never passes faster than the clock's, which is cheaper to read.
        let now = Instant::now();
        if now < self.look.get() {
            return true;
        }
        let shown = processor_time();
        let begun_at = self.begun_at.get().unwrap_or_else(|| {
            let unwatched = (now - self.begun.get()).min(self.unwatched.get());
            shown.saturating_sub(unwatched)
        });
        self.begun_at.set(Some(begun_at));
        let left = self.budget.get().saturating_sub(shown.saturating_sub(begun_at));
        self.look.set(now + left);
        self.is_over.set(left.is_zero());
        !left.is_zero()
    }
}

/// What this thread has had of a processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Whether the VM has met the bound of its memory.
fn has_no_memory(error: &Error) -> bool {
    match error {
        Error::MemoryError(_) => true,
        Error::CallbackError { cause, .. } => has_no_memory(cause),
        _ => false,
    }
}

/// A failure in words for people, on one line.
fn failure(error: &Error, limits: Limits, is_over: bool) -> Failure {
    if is_over {
        let time = model::unit::show(limits.deadline);
        return Failure(format!("it works for more than {time}"));
    }
    if has_no_memory(error) {
        return Failure(format!("it needs more than {} MiB of memory", limits.memory >> 20));
    }
    let text = match error {
        Error::RuntimeError(text) | Error::SyntaxError { message: text, .. } => text.clone(),
        Error::CallbackError { cause, .. } => match &**cause {
            Error::RuntimeError(text) => text.clone(),
            cause => cause.to_string(),
        },
        error => error.to_string(),
    };
    Failure(one_line(&text))
}

/// The first line of a text that may hold anything.
fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim_start_matches("runtime error: ");
    let mut shown = String::new();
    for c in line.chars() {
        if shown.len() >= FAILURE_BYTES_MAX {
            shown += "...";
            break;
        }
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}
