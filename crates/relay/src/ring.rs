//! Sessions whose bytes are moved by io_uring(7): one ring for each thread, beside its runtime.
//!
//! A session boards with two sockets that nobody else waits on, and its task sleeps
//! until it lands: because both directions have ended, or because something is difficult (bulk, a
//! slow receiver, a broken socket) that the relay over epoll does better. So there is one answer to
//! everything difficult, and what the ring has to know is small (`slot`).
//!
//! The ring has no thread. It turns when the runtime is about to wait for events ([`parking`]):
//! what sessions have begun is submitted, what has completed is dealt with, until there is nothing
//! more; then an eventfd is armed, which ends the wait of the runtime. While tasks are ready all
//! the time the runtime never waits; whoever keeps it busy has to give the ring its turn
//! (`turn`), and a task of the ring sees to the rest.

pub(crate) mod buffers;
mod slot;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::Shutdown;
use rustix::net::sockopt::set_socket_linger;
use slab::Slab;
use socket2::SockAddr;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::Side;
use crate::clock::{Stamp, Tick};
use crate::socket::Socket;
use crate::sys;
pub use crate::sys::ring::Unavailable;
use crate::sys::ring::{Completion, Kernel, Operation};
use buffers::Buffers;
use slot::{Received, Slot, Task};

pub(crate) use slot::{Left, Why};

/// Rounds of one turn. Each deals with all that has completed; a peer that answers at once may
/// keep the ring busy, and the runtime has to look for other events.
const ROUNDS_MAX: u32 = 32;

/// Turns before the runtime waits; more than it takes, unless the kernel refuses what it is given.
const TURNS_MAX: u32 = 64;

/// How long the ring leaves such a kernel alone.
const REST: Duration = Duration::from_millis(5);

/// How long one side may be half-closed in the ring, where the death of a peer from which nothing
/// is received any more goes unnoticed.
const HALF_CLOSED_MAX: Duration = Duration::from_millis(200);

thread_local! {
    static CURRENT: RefCell<Option<Ring>> = const { RefCell::new(None) };
}

/// The ring of this thread. Clones are the same.
#[derive(Clone)]
pub struct Ring(Rc<Inner>);

struct Inner {
    state: RefCell<State>,
    /// The task of the ring, which has the runtime look for events.
    attendant: Cell<Option<Waker>>,
    remains: Cell<Remains>,
}

/// What the last turn has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Remains {
    #[default]
    Nothing,
    /// Something that can be done at once.
    Much,
    /// Something that the kernel does not take.
    Refused,
}

struct State {
    kernel: Kernel,
    buffers: Buffers,
    riders: Slab<Rider>,
    connects: Slab<Connecting>,
    /// Those that one side of which has sent its FIN, the oldest first.
    half_closed: VecDeque<(usize, Tick)>,
    /// What is to be done for the slot that is looked at; kept for its room.
    tasks: Vec<Task>,
    /// Whose tasks have to go on.
    landed: Vec<Waker>,
}

/// A session in the ring.
struct Rider {
    slot: Slot,
    client: OwnedFd,
    backend: OwnedFd,
    holder: Holder,
}

/// A connection on its way.
struct Connecting {
    socket: OwnedFd,
    /// What came of it.
    result: Option<Result<(), Errno>>,
    holder: Holder,
}

/// Who wants to know how a session goes on.
enum Holder {
    /// Its task, which has not asked yet.
    Busy,
    /// Its task, which sleeps.
    Asleep(Waker),
    /// Nobody any more.
    Gone,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.try_borrow();
        let sessions = state.as_ref().map_or(0, |state| state.riders.len());
        f.debug_struct("Ring").field("sessions", &sessions).finish_non_exhaustive()
    }
}

/// Turns the ring of this thread, if there is one, before the runtime waits for events; for
/// [`on_thread_park`](tokio::runtime::Builder::on_thread_park).
pub fn parking() {
    if let Some(ring) = current() {
        ring.park();
    }
}

/// The runtime goes on; for [`on_thread_unpark`](tokio::runtime::Builder::on_thread_unpark).
pub fn unparked() {
    if let Some(ring) = current() {
        ring.0.state.borrow_mut().kernel.quiet();
    }
}

/// Turns the ring of this thread, if there is one: for whoever keeps the runtime from waiting.
pub(crate) fn turn() {
    if let Some(ring) = current() {
        ring.turn();
    }
}

/// Closes a socket at the next turn of this thread's ring, together with others; at once where there
/// is none.
pub(crate) fn close(socket: OwnedFd) {
    if let Some(ring) = current()
        && let Ok(mut state) = ring.0.state.try_borrow_mut()
    {
        state.kernel.close(socket);
    }
}

pub(crate) fn current() -> Option<Ring> {
    // A thread that ends has none any more.
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

impl Ring {
    /// Starts the ring of this thread, for as long as its runtime runs. Must be called in a runtime
    /// with [`parking`] and [`unparked`], by a task of it.
    ///
    /// # Errors
    /// When the kernel does not have what it takes, or does not let us.
    pub fn start() -> Result<Self, Unavailable> {
        Self::start_on(Kernel::new()?)
    }

    fn start_on(mut kernel: Kernel) -> Result<Self, Unavailable> {
        kernel.try_out()?;
        let failed = |error| Unavailable { step: "another descriptor", error };
        let event = rustix::io::fcntl_dupfd_cloexec(kernel.event(), 0)
            .map_err(|errno| failed(errno.into()))?;
        let event =
            sys::register_for(event, Interest::READABLE).map_err(|(_, error)| failed(error))?;
        let state = State {
            kernel,
            buffers: Buffers::default(),
            riders: Slab::new(),
            connects: Slab::new(),
            half_closed: VecDeque::new(),
            tasks: Vec::new(),
            landed: Vec::new(),
        };
        let ring = Self(Rc::new(Inner {
            state: RefCell::new(state),
            attendant: Cell::new(None),
            remains: Cell::default(),
        }));
        CURRENT.set(Some(ring.clone()));
        tokio::task::spawn_local(attend(Rc::downgrade(&ring.0), event));
        Ok(ring)
    }

    /// Lets go of this thread's ring. Sessions that are still there are cut.
    pub fn stop() {
        drop(CURRENT.take());
    }

    /// Takes a session in. Both sockets must be in blocking mode, and registered nowhere.
    pub(crate) fn board(&self, client: OwnedFd, backend: OwnedFd, delivered: (u64, u64)) -> Ride {
        let mut state = self.0.state.borrow_mut();
        let state = &mut *state;
        let slot = Slot::begin(delivered, &mut state.tasks);
        let rider = Rider { slot, client, backend, holder: Holder::Busy };
        let key = state.riders.insert(rider);
        state.carry_out(key);
        Ride { ring: self.clone(), key: Some(key) }
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.0.state.borrow().riders.len()
    }

    /// How many connections are on their way.
    pub fn connects(&self) -> usize {
        self.0.state.borrow().connects.len()
    }

    /// Buffers that hold bytes of sessions.
    pub fn buffers_held(&self) -> usize {
        self.0.state.borrow().buffers.held().into()
    }

    /// Turns until there is nothing more to do, then has the event tell of what comes.
    fn park(&self) {
        for _ in 0..TURNS_MAX {
            self.turn();
            if self.0.remains.get() == Remains::Much {
                return;
            }
            if !self.0.state.borrow_mut().kernel.alert() {
                return;
            }
        }
        // The kernel takes nothing for now.
        self.remain(Remains::Refused);
    }

    /// Deals with what there is.
    fn turn(&self) {
        // A turn within a turn has nothing to do.
        let Ok(mut state) = self.0.state.try_borrow_mut() else { return };
        let mut rounds = 0;
        while rounds < ROUNDS_MAX && state.round() {
            rounds += 1;
        }
        state.leave_half_closed(Tick::now());
        let landed = std::mem::take(&mut state.landed);
        drop(state);
        self.remain(if rounds == ROUNDS_MAX { Remains::Much } else { Remains::Nothing });
        for waker in landed {
            waker.wake();
        }
    }

    fn remain(&self, remains: Remains) {
        self.0.remains.set(remains);
        if remains != Remains::Nothing
            && let Some(attendant) = self.0.attendant.take()
        {
            attendant.wake();
        }
    }
}

/// Has the runtime look for events: those of the ring, and others when the ring has enough to do
/// for itself.
async fn attend(ring: std::rc::Weak<Inner>, event: AsyncFd<OwnedFd>) {
    loop {
        let heard = poll_fn(|cx| {
            let Some(ring) = ring.upgrade() else { return Poll::Ready(None) };
            ring.attendant.set(Some(cx.waker().clone()));
            match ring.remains.take() {
                Remains::Nothing => {}
                remains => return Poll::Ready(Some(remains)),
            }
            let Ok(mut guard) = ready!(event.poll_read_ready(cx)) else {
                return Poll::Ready(None);
            };
            let mut count = [0; 8];
            // Whatever it says, the ring turns next.
            let _ = rustix::io::read(&event, &mut count);
            guard.clear_ready();
            Poll::Ready(Some(Remains::Much))
        })
        .await;
        match heard {
            Some(Remains::Refused) => tokio::time::sleep(REST).await,
            Some(_) => tokio::task::yield_now().await,
            None => return,
        }
    }
}

impl State {
    /// Submits, and deals with what has completed; whether there was anything.
    fn round(&mut self) -> bool {
        // An error would be one of ours: what was begun stays begun, and timeouts end sessions.
        let _ = self.kernel.turn();
        let mut was_busy = false;
        while let Some(completion) = self.kernel.completion() {
            was_busy = true;
            self.deal_with(completion);
        }
        was_busy
    }

    fn deal_with(&mut self, completion: Completion) {
        let Completion { token, result, buffer, goes_on } = completion;
        let (key, step) = from_token(token);
        if step == Step::Connect {
            return self.connected(key, result.map(drop));
        }
        let Some(rider) = self.riders.get_mut(key) else { return };
        match step {
            Step::Receive(from) => {
                let received = match (result, buffer) {
                    (Ok(length), Some(buffer)) if length > 0 => Received::Bytes(buffer, length),
                    (Ok(_), buffer) => {
                        self.tasks.extend(buffer.map(Task::GiveBack));
                        Received::End
                    }
                    (Err(Errno::NOBUFS), _) => Received::NoBuffer,
                    (Err(Errno::CANCELED), _) => Received::Cancelled,
                    (Err(errno), _) => Received::Failed(errno),
                };
                let had_fin = rider.slot.first_fin().is_some();
                rider.slot.received(from, received, goes_on, &mut self.buffers, &mut self.tasks);
                if !had_fin && rider.slot.first_fin().is_some() {
                    self.half_closed.push_back((key, Tick::now()));
                }
            }
            Step::Send(to) => {
                rider.slot.sent(to, result, &mut self.buffers, &mut self.tasks);
            }
            Step::Connect => {}
        }
        self.carry_out(key);
    }

    fn connected(&mut self, key: usize, result: Result<(), Errno>) {
        let Some(connecting) = self.connects.get_mut(key) else { return };
        connecting.result = Some(result);
        match std::mem::replace(&mut connecting.holder, Holder::Busy) {
            Holder::Busy => {}
            Holder::Asleep(waker) => self.landed.push(waker),
            Holder::Gone => drop(self.connects.remove(key)),
        }
    }

    /// Does what a slot has asked for; then it may have landed.
    fn carry_out(&mut self, key: usize) {
        let mut tasks = std::mem::take(&mut self.tasks);
        while !tasks.is_empty() {
            for task in tasks.drain(..) {
                self.do_one(key, task);
            }
            std::mem::swap(&mut tasks, &mut self.tasks);
        }
        self.tasks = tasks;
        let Some(rider) = self.riders.get_mut(key) else { return };
        if !rider.slot.is_over() {
            return;
        }
        match std::mem::replace(&mut rider.holder, Holder::Busy) {
            Holder::Busy => {}
            Holder::Asleep(waker) => self.landed.push(waker),
            Holder::Gone => self.cut(key),
        }
    }

    fn do_one(&mut self, key: usize, task: Task) {
        if let Task::GiveBack(buffer) = task {
            return self.kernel.give_back(buffer);
        }
        let Some(rider) = self.riders.get_mut(key) else { return };
        let socket = |side| match side {
            Side::Client => rider.client.as_raw_fd(),
            Side::Backend => rider.backend.as_raw_fd(),
        };
        let (token, operation) = match task {
            Task::Receive(from) => {
                (token(key, Step::Receive(from)), Operation::Receive(socket(from)))
            }
            Task::Send(to, part) => (token(key, Step::Send(to)), Operation::Send(socket(to), part)),
            Task::CancelReceive(from) => (0, Operation::Cancel(token(key, Step::Receive(from)))),
            Task::CancelSend(to) => (0, Operation::Cancel(token(key, Step::Send(to)))),
            Task::Shutdown(to) => {
                let socket = match to {
                    Side::Client => rider.client.as_fd(),
                    Side::Backend => rider.backend.as_fd(),
                };
                if let Err(errno) = rustix::net::shutdown(socket, Shutdown::Write) {
                    rider.slot.broken(to, errno, &mut self.tasks);
                }
                return;
            }
            Task::GiveBack(_) => return,
        };
        self.kernel.begin(token, operation);
    }

    /// Has those leave that are half-closed for long.
    fn leave_half_closed(&mut self, now: Tick) {
        while let Some(&(key, since)) = self.half_closed.front()
            && now >= since.after(HALF_CLOSED_MAX)
        {
            self.half_closed.pop_front();
            // The key may belong to another session by now, which then leaves early.
            if let Some(rider) = self.riders.get_mut(key)
                && rider.slot.first_fin().is_some()
            {
                rider.slot.hand_over(Why::HalfClosed, &mut self.tasks);
                self.carry_out(key);
            }
        }
    }

    /// Ends a session that nobody wants: its peers are reset.
    fn cut(&mut self, key: usize) {
        let mut rider = self.riders.remove(key);
        for side in [Side::Client, Side::Backend] {
            rider.slot.throw_away(side, &mut self.buffers, &mut self.tasks);
        }
        for task in std::mem::take(&mut self.tasks) {
            self.do_one(key, task);
        }
    }
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Receive(Side),
    Send(Side),
    Connect,
}

/// Bits of a token that name the step.
const STEP_BITS: u32 = 3;

/// A word that names an operation. A slot is used again only when nothing of it is in flight, so
/// there is no more to it.
fn token(key: usize, step: Step) -> u64 {
    let step = match step {
        Step::Receive(Side::Client) => 0,
        Step::Receive(Side::Backend) => 1,
        Step::Send(Side::Client) => 2,
        Step::Send(Side::Backend) => 3,
        Step::Connect => 4,
    };
    (key as u64) << STEP_BITS | step
}

fn from_token(token: u64) -> (usize, Step) {
    let step = match token & ((1 << STEP_BITS) - 1) {
        0 => Step::Receive(Side::Client),
        1 => Step::Receive(Side::Backend),
        2 => Step::Send(Side::Client),
        3 => Step::Send(Side::Backend),
        _ => Step::Connect,
    };
    (usize::try_from(token >> STEP_BITS).unwrap_or(usize::MAX), step)
}

/// Connects a socket in blocking mode by the ring of this thread, which must have one. The caller
/// bounds the time; who drops it gives the connection up.
///
/// # Errors
/// As connect(2).
///
/// # Panics
/// When this thread has no ring: see [`is_here`].
pub async fn connect(socket: OwnedFd, target: SockAddr) -> io::Result<Socket> {
    let ring = current().expect("the caller has asked whether there is one");
    let mut attempt = Attempt { key: None, ring };
    attempt.begin(socket, target);
    let (socket, result) = poll_fn(|cx| attempt.poll(cx)).await;
    Socket::dialled(socket, result).map_err(Into::into)
}

/// Whether this thread has a ring.
pub fn is_here() -> bool {
    current().is_some()
}

/// A connection on its way, as its task has it.
struct Attempt {
    ring: Ring,
    /// `None`: it is over.
    key: Option<usize>,
}

impl Attempt {
    fn begin(&mut self, socket: OwnedFd, target: SockAddr) {
        let mut state = self.ring.0.state.borrow_mut();
        let raw = socket.as_raw_fd();
        let connecting = Connecting { socket, result: None, holder: Holder::Busy };
        let key = state.connects.insert(connecting);
        state.kernel.begin(token(key, Step::Connect), Operation::Connect(raw, target));
        self.key = Some(key);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(OwnedFd, Result<(), Errno>)> {
        let mut state = self.ring.0.state.borrow_mut();
        let Some(key) = self.key else { return Poll::Pending };
        let connecting = &mut state.connects[key];
        let Some(result) = connecting.result else {
            connecting.holder.sleep(cx);
            return Poll::Pending;
        };
        self.key = None;
        let Connecting { socket, .. } = state.connects.remove(key);
        Poll::Ready((socket, result))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let mut state = self.ring.0.state.borrow_mut();
        // As when a `Socket` is dropped; it may stand by now.
        let _ = set_socket_linger(&state.connects[key].socket, Some(Duration::ZERO));
        if state.connects[key].result.is_some() {
            drop(state.connects.remove(key));
        } else {
            state.connects[key].holder = Holder::Gone;
            state.kernel.begin(0, Operation::Cancel(token(key, Step::Connect)));
        }
    }
}

impl Holder {
    fn sleep(&mut self, cx: &Context<'_>) {
        match self {
            Self::Asleep(waker) if waker.will_wake(cx.waker()) => {}
            _ => *self = Self::Asleep(cx.waker().clone()),
        }
    }
}

/// A session in the ring, as its task has it. Dropping it cuts the session.
pub(crate) struct Ride {
    ring: Ring,
    /// `None`: it has landed.
    key: Option<usize>,
}

/// A session that has left the ring.
#[derive(Debug)]
pub(crate) struct Landed {
    pub(crate) client: OwnedFd,
    pub(crate) backend: OwnedFd,
    /// `None`: both directions have ended in good order.
    pub(crate) why: Option<Why>,
    pub(crate) to_backend: Way,
    pub(crate) to_client: Way,
    pub(crate) first_fin: Option<Side>,
    pub(crate) first_byte: Stamp,
    pub(crate) last_activity: Tick,
}

/// How far a direction has come.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) left: Left,
    /// What was received and not delivered.
    pub(crate) pending: Vec<u8>,
}

impl Ride {
    /// Ready when it has landed; not to be polled again then.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Landed> {
        let mut state = self.ring.0.state.borrow_mut();
        let Some(key) = self.key else { return Poll::Pending };
        let rider = &mut state.riders[key];
        if !rider.slot.is_over() {
            rider.holder.sleep(cx);
            return Poll::Pending;
        }
        self.key = None;
        Poll::Ready(state.land(key))
    }

    /// Bytes that the backend and the client have taken.
    pub(crate) fn delivered(&self) -> (u64, u64) {
        self.with(|slot| slot.delivered())
    }

    pub(crate) fn last_activity(&self) -> Tick {
        self.with(Slot::last_activity)
    }

    pub(crate) fn first_byte(&self) -> Stamp {
        self.with(Slot::first_byte)
    }

    pub(crate) fn first_fin(&self) -> Option<Side> {
        self.with(Slot::first_fin)
    }

    /// Lends the socket of one side.
    pub(crate) fn with_socket<T>(&self, side: Side, look: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        let state = self.ring.0.state.borrow();
        let rider = &state.riders[self.key.expect("nobody asks one that has landed")];
        look(match side {
            Side::Client => rider.client.as_fd(),
            Side::Backend => rider.backend.as_fd(),
        })
    }

    fn with<T>(&self, look: impl FnOnce(&Slot) -> T) -> T {
        let state = self.ring.0.state.borrow();
        let key = self.key.expect("nobody asks one that has landed");
        look(&state.riders[key].slot)
    }
}

impl State {
    fn land(&mut self, key: usize) -> Landed {
        let Rider { mut slot, client, backend, .. } = self.riders.remove(key);
        let mut way = |from| {
            let mut pending = Vec::new();
            while let Some(part) = slot.next_left(from, &self.buffers) {
                pending.extend_from_slice(self.kernel.bytes(part));
                slot.took(from, part, &mut self.buffers, &mut self.tasks);
            }
            Way { left: slot.left(from), pending }
        };
        let (to_backend, to_client) = (way(Side::Client), way(Side::Backend));
        for task in std::mem::take(&mut self.tasks) {
            self.do_one(key, task);
        }
        Landed {
            client,
            backend,
            why: slot.leaves(),
            to_backend,
            to_client,
            first_fin: slot.first_fin(),
            first_byte: slot.first_byte(),
            last_activity: slot.last_activity(),
        }
    }
}

impl Drop for Ride {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let mut state = self.ring.0.state.borrow_mut();
        let state = &mut *state;
        let Some(rider) = state.riders.get_mut(key) else { return };
        rider.holder = Holder::Gone;
        for socket in [&rider.client, &rider.backend] {
            // As when a `Socket` is dropped; whoever closes it resets.
            let _ = set_socket_linger(socket, Some(Duration::ZERO));
        }
        rider.slot.abort(&mut state.buffers, &mut state.tasks);
        state.carry_out(key);
    }
}

impl fmt::Debug for Ride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ride").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
