//! One direction of a session: receive from one socket, deliver to the other.
//!
//! ```text
//!            FIN received                held delivered, FIN sent
//!   Open ─────────────────────▶ Fin ─────────────────────────────▶ Ended
//!     │                          ▲ a cipher has told the end, behind which it broke
//!     │ the receiving socket     │
//!     └───── broke ──────────▶ Cut ──────────────────────────────▶ Lost
//!                                     what was received is delivered
//! ```
//! `Last` stands between `Cut` and `Lost` while something is held.
//!
//! What the receiver would not take is held, and nothing is read meanwhile: that
//! is the back-pressure. Held bytes are at most one buffer or one pipe.
//!
//! Bytes are copied through the thread's buffer until three reads in a row were
//! bulk; then they go through a pipe (`splice(2)`), until three moves in a row
//! were small. When a direction has moved its share (see [`turn`]) it gives way, so
//! that bulk does not keep small messages waiting. A direction whose bandwidth is limited
//! asks its [`Throttle`] before each read, and reads no more than that grants. One that has a
//! [`Rewrite`] copies, and delivers what that makes of the bytes.

use std::io;
use std::task::{Context, Poll, ready};

use crate::buffer::{self, BUFFER_BYTES};
use crate::delay::Delay;
use crate::pace::Pace;
use crate::pipe::Pipe;
use crate::rewrite::{Next, Rewrite};
use crate::ring::{self, Left, Way};
use crate::socket::{Found, Socket};
use crate::throttle::Throttle;
use crate::turn;

/// The state of one direction.
#[derive(Debug, Default)]
pub struct Direction {
    delivered: u64,
    /// Boxed: most directions hold nothing, and every idle session has two of them.
    held: Option<Box<Held>>,
    /// Boxed for the same reason; most directions have none.
    treatment: Option<Box<Treatment>>,
    phase: Phase,
    pace: Pace,
}

/// What else is done with the bytes than to move them.
#[derive(Debug, Default)]
struct Treatment {
    delay: Option<Delay>,
    throttle: Option<Throttle>,
    rewriter: Option<Box<dyn Rewrite>>,
}

/// What was received and not yet taken by the receiver.
#[derive(Debug)]
enum Held {
    /// Not offered yet.
    Prefix(Box<[u8]>),
    Bytes {
        bytes: Box<[u8]>,
        taken: usize,
    },
    Pipe(Pipe),
    /// Until somebody says what becomes of it, nothing moves.
    Kept(Box<[u8]>),
}

/// How far this direction has come; drawn above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    Fin,
    Cut,
    Last,
    Lost,
    Ended,
}

/// A direction cannot go on: one of its two sockets is broken, or what its sender has sent is
/// refused.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) end: Socketward,
    pub(crate) fault: Fault,
}

/// What a peer has done.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Its socket says so.
    Socket(io::Error),
    /// It has sent what the rewriter refuses.
    Refused,
}

/// Which socket of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socketward {
    /// The one it receives from.
    From,
    /// The one it delivers to.
    To,
}

impl Direction {
    /// A direction that begins with `prefix`, received earlier and owed to the receiver.
    pub fn with_prefix(prefix: Box<[u8]>) -> Self {
        let held = (!prefix.is_empty()).then(|| Held::Prefix(prefix).into());
        Self { held, ..Self::default() }
    }

    /// The same direction, never using a pipe.
    #[must_use]
    pub fn copy_only(self) -> Self {
        Self { pace: Pace::CopyOnly, ..self }
    }

    /// The same direction, moving bytes as `throttle` lets it.
    #[must_use]
    pub fn throttled(mut self, throttle: Option<Throttle>) -> Self {
        if throttle.is_some() {
            self.treatment.get_or_insert_default().throttle = throttle;
        }
        self
    }

    /// The same direction, delivering what `rewriter` makes of its bytes, the prefix included.
    #[must_use]
    pub fn rewritten(mut self, rewriter: Option<Box<dyn Rewrite>>) -> Self {
        if rewriter.is_some() {
            self.treatment.get_or_insert_default().rewriter = rewriter;
        }
        self
    }

    /// The same direction, with a pause before what it moves.
    #[must_use]
    pub fn delayed(mut self, delay: Option<Delay>) -> Self {
        if delay.is_some() {
            self.treatment.get_or_insert_default().delay = delay;
        }
        self
    }

    fn throttle(&mut self) -> Option<&mut Throttle> {
        self.treatment.as_deref_mut()?.throttle.as_mut()
    }

    fn rewriter(&mut self) -> Option<&mut Box<dyn Rewrite>> {
        self.treatment.as_deref_mut()?.rewriter.as_mut()
    }

    /// Whether bytes wait for nothing but bandwidth or the end of a pause.
    pub(crate) fn is_held_back(&self) -> bool {
        self.treatment.as_deref().is_some_and(Treatment::is_waiting)
    }

    /// Bytes that the receiving socket has taken.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Whether the sender's FIN was received.
    pub(crate) fn has_fin(&self) -> bool {
        matches!(self.phase, Phase::Fin | Phase::Ended)
    }

    /// Whether there is nothing left to do.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Lost | Phase::Ended)
    }

    /// What the rewriter has kept.
    pub(crate) fn kept(&self) -> Option<&[u8]> {
        match self.held.as_deref()? {
            Held::Kept(bytes) => Some(bytes),
            Held::Prefix(_) | Held::Bytes { .. } | Held::Pipe(_) => None,
        }
    }

    /// Goes on with `bytes` in the place of what was kept; nothing if nothing was.
    pub(crate) fn release(&mut self, bytes: Box<[u8]>) {
        if self.kept().is_some() {
            self.held = (!bytes.is_empty()).then(|| Held::Prefix(bytes).into());
        }
    }

    /// Whether something waits for the receiver to take it.
    pub(crate) fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// Whether bytes go as they come.
    pub(crate) fn is_untreated(&self) -> bool {
        self.treatment.is_none()
    }

    /// Delivers what it begins with, as far as that is taken at once. An error shows again when
    /// more is sent.
    pub(crate) fn begin(&mut self, to: &mut Socket) {
        let Some(Held::Prefix(prefix)) = self.held.as_deref() else { return };
        let Ok(sent @ 1..) = to.send_now(prefix) else { return };
        if let Some(held) = self.held.take()
            && let Held::Prefix(bytes) = *held
        {
            self.held = Some(Held::Bytes { bytes, taken: 0 }.into());
        }
        self.account(sent);
    }

    /// Whether it is at a point from which the ring may go on.
    pub(crate) fn may_ride(&self) -> bool {
        self.phase == Phase::Open && self.held.is_none()
    }

    /// Goes on from where the ring has left it.
    pub(crate) fn go_on(&mut self, way: Way) {
        let Way { left: Left { delivered, has_fin, has_ended, .. }, pending } = way;
        self.delivered = delivered;
        self.phase = match (has_ended, has_fin) {
            (true, _) => Phase::Ended,
            (false, true) => Phase::Fin,
            (false, false) => Phase::Open,
        };
        if !pending.is_empty() {
            self.held = Some(Held::Prefix(pending.into()).into());
        }
    }

    /// The sender's socket is broken: only what was received before is still delivered, and
    /// no FIN follows it.
    pub(crate) fn cut(&mut self) {
        if !matches!(self.phase, Phase::Last | Phase::Lost | Phase::Ended) {
            self.phase = Phase::Cut;
        }
    }

    /// The receiver is gone: what is held for it is thrown away.
    pub(crate) fn abandon(&mut self) {
        self.held = None;
        self.treatment = None;
        self.phase = Phase::Lost;
    }

    /// Goes on as far as it can. Ready when the direction has ended.
    ///
    /// `fin_by_close`: the receiver gets its FIN by the closing of its socket, because the
    /// other direction has ended already; that saves a system call per session.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Socket,
        to: &mut Socket,
        fin_by_close: bool,
    ) -> Poll<Result<(), Broken>> {
        let turn_ends = self.delivered + turn::bytes() as u64;
        loop {
            match self.deliver(cx, to) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            match self.phase {
                Phase::Open | Phase::Cut => {}
                Phase::Fin => {
                    // Closing does not send the end of a cipher.
                    if !(fin_by_close && to.is_plain()) {
                        ready!(to.poll_shutdown(cx)).map_err(Broken::receiver)?;
                    }
                    self.phase = Phase::Ended;
                    return Poll::Ready(Ok(()));
                }
                Phase::Last | Phase::Lost => {
                    self.phase = Phase::Lost;
                    return Poll::Ready(Ok(()));
                }
                Phase::Ended => return Poll::Ready(Ok(())),
            }
            if self.delivered >= turn_ends {
                give_way(cx);
                return Poll::Pending;
            }
            match self.take(cx, from, to) {
                Poll::Ready(Ok(Took::Bytes(_))) => {}
                Poll::Ready(Ok(Took::Fin)) => {
                    self.finish(to)?;
                    self.phase = Phase::Fin;
                }
                Poll::Ready(Ok(Took::Last)) => {
                    self.finish(to)?;
                    self.phase = Phase::Last;
                }
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Delivers what is held; ready when nothing is, neither here nor before the wire.
    fn deliver(&mut self, cx: &mut Context<'_>, to: &mut Socket) -> Poll<Result<(), Broken>> {
        loop {
            let Some(held) = &mut self.held else {
                return to.poll_flush(cx).map_err(Broken::receiver);
            };
            let sent = match &mut **held {
                Held::Prefix(prefix) => {
                    // Readiness may have been forgotten before the relay began.
                    let prefix = std::mem::take(prefix);
                    self.held = None;
                    self.pass_on(to, &prefix)?;
                    continue;
                }
                Held::Bytes { bytes, taken } => to.poll_send(cx, &bytes[*taken..]),
                Held::Pipe(pipe) => to.poll_write(cx, |socket| pipe.empty_into(socket)),
                Held::Kept(_) => return Poll::Pending,
            };
            match sent {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(sent)) => self.account(sent),
                Poll::Ready(Err(error)) if self.pipe_is_refused(&error) => {
                    self.leave_pipe().map_err(Broken::receiver)?;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::receiver(error))),
            }
        }
    }

    /// Counts what the receiver took, and lets go of what holds nothing any more.
    fn account(&mut self, sent: usize) {
        self.delivered += sent as u64;
        let empty = match self.held.as_deref_mut() {
            None => true,
            Some(Held::Bytes { bytes, taken }) => {
                *taken += sent;
                *taken >= bytes.len()
            }
            Some(Held::Pipe(pipe)) => pipe.is_empty(),
            Some(Held::Prefix(prefix)) => prefix.is_empty(),
            Some(Held::Kept(_)) => false,
        };
        if empty {
            self.held = None;
        }
    }

    fn take(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Socket,
        to: &mut Socket,
    ) -> Poll<Result<Took, Broken>> {
        if self.treatment.is_none() {
            return self.take_up_to(usize::MAX, cx, from, to);
        }
        let limit = ready!(self.poll_grant(cx, from)).map_err(Broken::sender)?;
        let took = self.take_up_to(limit, cx, from, to);
        let holds = self.holds() || to.is_flushing();
        if let (Some(treatment), Poll::Ready(Ok(Took::Bytes(_)))) = (&mut self.treatment, &took)
            && let Some(delay) = &mut treatment.delay
        {
            delay.moved();
        }
        if let Some(throttle) = self.throttle() {
            match took {
                Poll::Ready(Ok(Took::Bytes(bytes))) => throttle.moved(bytes),
                _ => throttle.release(),
            }
            if holds {
                throttle.release();
            }
        }
        took
    }

    /// Ready when something may be read, with how much. Bandwidth is asked for, and a pause
    /// begins, only when there is something to read; a broken sender is known to have something,
    /// or to end.
    fn poll_grant(&mut self, cx: &mut Context<'_>, from: &mut Socket) -> Poll<io::Result<usize>> {
        let is_open = self.phase == Phase::Open;
        let Some(treatment) = &mut self.treatment else { return Poll::Ready(Ok(usize::MAX)) };
        if is_open && treatment.holds_back() && !treatment.is_waiting() {
            match from.poll_readable(cx) {
                Poll::Ready(readable) => readable?,
                Poll::Pending => {
                    if let Some(throttle) = &mut treatment.throttle {
                        throttle.release();
                    }
                    return Poll::Pending;
                }
            }
        }
        let mut limit = usize::MAX;
        if let Some(delay) = &mut treatment.delay {
            limit = ready!(delay.poll_chunk(cx));
        }
        if let Some(throttle) = &mut treatment.throttle {
            limit = limit.min(ready!(throttle.poll_grant(cx)));
        }
        Poll::Ready(Ok(limit))
    }

    fn take_up_to(
        &mut self,
        limit: usize,
        cx: &mut Context<'_>,
        from: &mut Socket,
        to: &mut Socket,
    ) -> Poll<Result<Took, Broken>> {
        if self.phase == Phase::Cut {
            return Poll::Ready(self.take_the_rest(limit, from, to));
        }
        // Splice stops at urgent data and cannot go past it; receiving can.
        if matches!(self.pace, Pace::Splice { .. })
            && from.is_plain()
            && to.is_plain()
            && !from.has_urgent()
            && self.rewriter().is_none()
            && let Some(pipe) = Pipe::take()
        {
            return self.take_by_pipe(limit, cx, from, to, pipe);
        }
        self.take_by_copy(limit, cx, from, to)
    }

    /// Receives into the thread's buffer and sends from it at once; holds what is not taken.
    fn take_by_copy(
        &mut self,
        limit: usize,
        cx: &mut Context<'_>,
        from: &mut Socket,
        to: &mut Socket,
    ) -> Poll<Result<Took, Broken>> {
        buffer::with(|buffer| {
            let buffer = &mut buffer[..limit.min(BUFFER_BYTES)];
            let received = match from.poll_receive(cx, buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Took::Fin)),
                Poll::Ready(Ok(received)) => received,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::sender(error))),
            };
            self.pace.note_read(received, limit);
            self.pass_on(to, &buffer[..received])?;
            Poll::Ready(Ok(Took::Bytes(received)))
        })
    }

    fn take_by_pipe(
        &mut self,
        limit: usize,
        cx: &mut Context<'_>,
        from: &mut Socket,
        to: &mut Socket,
        mut pipe: Pipe,
    ) -> Poll<Result<Took, Broken>> {
        from.be_non_blocking().map_err(Broken::sender)?;
        to.be_non_blocking().map_err(Broken::receiver)?;
        // A small move does not mean that the socket is drained: small segments fill the pipe's
        // slots long before its bytes. Only `EAGAIN` says so.
        let most = limit.min(turn::bytes());
        let moved = match from.poll_read(cx, |socket| pipe.fill(socket, most).map(Found::More)) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Took::Fin)),
            Poll::Ready(Ok(moved)) => {
                self.pace.note_read(moved, limit);
                moved
            }
            Poll::Ready(Err(error)) if refuses_splice(&error) => {
                self.pace = Pace::CopyOnly;
                0
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::sender(error))),
        };
        self.empty_or_hold(to, pipe).map_err(Broken::receiver)?;
        Poll::Ready(Ok(Took::Bytes(moved)))
    }

    /// Receives what a broken socket still has. Its error was taken already, so whatever ends
    /// the reading now (an error, an end of stream, nothing there) ends the direction.
    fn take_the_rest(
        &mut self,
        limit: usize,
        from: &mut Socket,
        to: &mut Socket,
    ) -> Result<Took, Broken> {
        buffer::with(|buffer| {
            let buffer = &mut buffer[..limit.min(BUFFER_BYTES)];
            match from.receive_rest(buffer) {
                Ok(0) | Err(_) if from.has_told_end() => Ok(Took::Fin),
                Ok(0) | Err(_) => Ok(Took::Last),
                Ok(received) => {
                    self.pass_on(to, &buffer[..received])?;
                    Ok(Took::Bytes(received))
                }
            }
        })
    }

    /// Delivers from `pipe` until the receiver would block; holds what is left then.
    fn empty_or_hold(&mut self, to: &mut Socket, mut pipe: Pipe) -> io::Result<()> {
        while !pipe.is_empty() {
            match to.write_now(|socket| pipe.empty_into(socket)) {
                Ok(0) => break,
                Ok(sent) => self.delivered += sent as u64,
                Err(error) if refuses_splice(&error) => {
                    self.held = Some(Held::Pipe(pipe).into());
                    return self.leave_pipe();
                }
                Err(error) => return Err(error),
            }
        }
        if !pipe.is_empty() {
            self.held = Some(Held::Pipe(pipe).into());
        }
        Ok(())
    }

    /// Delivers what was received, or what the rewriter makes of it.
    fn pass_on(&mut self, to: &mut Socket, received: &[u8]) -> Result<(), Broken> {
        let Some(rewriter) = self.rewriter() else {
            return self.send_or_hold(to, received).map_err(Broken::receiver);
        };
        let mut out = Vec::new();
        let next = rewriter.rewrite(received, &mut out);
        if next != Next::Rewrite {
            self.drop_rewriter();
        }
        if next == Next::Keep {
            self.held = Some(Held::Kept(out.into()).into());
            return Ok(());
        }
        self.pass_on_rewritten(to, &out)?;
        match next {
            Next::Rewrite | Next::Pass | Next::Keep => Ok(()),
            Next::Refuse => {
                self.phase = Phase::Last;
                Err(Broken { end: Socketward::From, fault: Fault::Refused })
            }
        }
    }

    /// Delivers what the rewriter has held back: nothing more is received.
    fn finish(&mut self, to: &mut Socket) -> Result<(), Broken> {
        let Some(mut rewriter) = self.drop_rewriter() else { return Ok(()) };
        let mut out = Vec::new();
        rewriter.finish(&mut out);
        self.pass_on_rewritten(to, &out)
    }

    fn pass_on_rewritten(&mut self, to: &mut Socket, out: &[u8]) -> Result<(), Broken> {
        match out.is_empty() {
            true => Ok(()),
            false => self.send_or_hold(to, out).map_err(Broken::receiver),
        }
    }

    fn drop_rewriter(&mut self) -> Option<Box<dyn Rewrite>> {
        self.treatment.as_deref_mut()?.rewriter.take()
    }

    fn send_or_hold(&mut self, to: &mut Socket, bytes: &[u8]) -> io::Result<()> {
        let sent = to.send_now(bytes)?;
        self.delivered += sent as u64;
        if sent < bytes.len() {
            let bytes = bytes[sent..].into();
            self.held = Some(Held::Bytes { bytes, taken: 0 }.into());
        }
        Ok(())
    }

    fn pipe_is_refused(&self, error: &io::Error) -> bool {
        matches!(self.held.as_deref(), Some(Held::Pipe(_))) && refuses_splice(error)
    }

    /// The receiver takes no splice: what is in the pipe is delivered by copying.
    fn leave_pipe(&mut self) -> io::Result<()> {
        self.pace = Pace::CopyOnly;
        if let Some(Held::Pipe(pipe)) = self.held.as_deref_mut() {
            let bytes = pipe.read_out()?;
            self.held = Some(Held::Bytes { bytes, taken: 0 }.into());
        }
        Ok(())
    }
}

impl Treatment {
    /// Whether bytes may have to wait.
    fn holds_back(&self) -> bool {
        self.delay.is_some() || self.throttle.is_some()
    }

    /// Whether bytes wait now.
    fn is_waiting(&self) -> bool {
        self.delay.as_ref().is_some_and(Delay::is_waiting)
            || self.throttle.as_ref().is_some_and(Throttle::is_waiting)
    }
}

/// What taking from the sender came to.
enum Took {
    /// So many bytes; none at a change of mechanism. Go on.
    Bytes(usize),
    /// The sender's FIN.
    Fin,
    /// All that a broken sender had.
    Last,
}

/// Whether a socket (or the kernel behind it) takes no splice at all: splice(2).
fn refuses_splice(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | libc::ENOMEM)
    )
}

/// Has this task polled again once the runtime has looked for events, and every session that
/// has some has had its turn. Waking it at once would put it before the events: the runtime
/// looks for those only when nothing is ready, or every sixty polls, and sixty turns are many
/// milliseconds.
fn give_way(cx: &mut Context<'_>) {
    // The runtime may not wait for events for long.
    ring::turn();
    let yielding = std::pin::pin!(tokio::task::yield_now());
    // Its first poll does what is wanted and is always pending.
    let _ = yielding.poll(cx);
}

impl Broken {
    fn sender(error: io::Error) -> Self {
        Self { end: Socketward::From, fault: Fault::Socket(error) }
    }

    fn receiver(error: io::Error) -> Self {
        Self { end: Socketward::To, fault: Fault::Socket(error) }
    }
}
