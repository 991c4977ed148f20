//! One direction of a session: receive from one socket, deliver to the other.
//!
//! ```text
//!            FIN received                held delivered, FIN sent
//!   Open ─────────────────────▶ Fin ─────────────────────────────▶ Ended
//!     │                                                              ▲
//!     │ the receiving socket broke                                   │
//!     └───────────────────────▶ Cut ─────────────────────────────────┘
//!                                     what was received is delivered
//! ```
//!
//! What the receiver would not take is held, and nothing is read meanwhile: that
//! is the back-pressure. Held bytes are at most one buffer or one pipe.
//!
//! Bytes are copied through the thread's buffer until three reads in a row were
//! bulk; then they go through a pipe (`splice(2)`), until three moves in a row
//! were small. When a direction has moved its share (see [`turn`]) it gives way, so
//! that bulk does not keep small messages waiting. A direction whose bandwidth is limited
//! asks its [`Throttle`] before each read, and reads no more than that grants.

use std::io;
use std::task::{Context, Poll, ready};

use crate::buffer::{self, BUFFER_BYTES};
use crate::pace::Pace;
use crate::pipe::Pipe;
use crate::socket::{self, Found, Socket};
use crate::throttle::Throttle;
use crate::turn;

/// The state of one direction.
#[derive(Debug, Default)]
pub struct Direction {
    delivered: u64,
    /// Boxed: most directions hold nothing, and every idle session has two of them.
    held: Option<Box<Held>>,
    /// Boxed for the same reason; most directions have none.
    throttle: Option<Box<Throttle>>,
    phase: Phase,
    pace: Pace,
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
}

/// How far this direction has come; drawn above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    Fin,
    Cut,
    Ended,
}

/// One of the two sockets of a direction is broken.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) end: Socketward,
    pub(crate) error: io::Error,
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
    pub fn throttled(self, throttle: Option<Box<Throttle>>) -> Self {
        Self { throttle, ..self }
    }

    /// Whether bytes wait for nothing but bandwidth.
    pub(crate) fn waits_for_bandwidth(&self) -> bool {
        self.throttle.as_deref().is_some_and(Throttle::is_waiting)
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
        self.phase == Phase::Ended
    }

    /// Whether something waits for the receiver to take it.
    pub(crate) fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// The sender's socket is broken: only what was received before is still delivered, and
    /// no FIN follows it.
    pub(crate) fn cut(&mut self) {
        if self.phase != Phase::Ended {
            self.phase = Phase::Cut;
        }
    }

    /// The receiver is gone: what is held for it is thrown away.
    pub(crate) fn abandon(&mut self) {
        self.held = None;
        self.throttle = None;
        self.phase = Phase::Ended;
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
                Poll::Ready(Err(error)) => return broken(Socketward::To, error),
                Poll::Pending => return Poll::Pending,
            }
            match self.phase {
                Phase::Open | Phase::Cut => {}
                Phase::Fin => {
                    self.phase = Phase::Ended;
                    return match fin_by_close {
                        true => Poll::Ready(Ok(())),
                        false => Poll::Ready(to.shutdown_write())
                            .map_err(|error| Broken { end: Socketward::To, error }),
                    };
                }
                Phase::Ended => return Poll::Ready(Ok(())),
            }
            if self.delivered >= turn_ends {
                give_way(cx);
                return Poll::Pending;
            }
            match self.take(cx, from, to) {
                Poll::Ready(Ok(Took::Bytes(_))) => {}
                Poll::Ready(Ok(Took::Fin)) => self.phase = Phase::Fin,
                Poll::Ready(Ok(Took::Last)) => self.phase = Phase::Ended,
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Delivers what is held; ready when nothing is.
    fn deliver(&mut self, cx: &mut Context<'_>, to: &mut Socket) -> Poll<io::Result<()>> {
        loop {
            let Some(held) = &mut self.held else { return Poll::Ready(Ok(())) };
            let sent = match &mut **held {
                Held::Prefix(prefix) => {
                    // Readiness may have been forgotten before the relay began.
                    let prefix = std::mem::take(prefix);
                    self.held = None;
                    self.send_or_hold(to, &prefix)?;
                    continue;
                }
                Held::Bytes { bytes, taken } => {
                    to.poll_write(cx, |socket| socket::send(socket, &bytes[*taken..]))
                }
                Held::Pipe(pipe) => to.poll_write(cx, |socket| pipe.empty_into(socket)),
            };
            match sent {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(sent)) => self.account(sent),
                Poll::Ready(Err(error)) if self.pipe_is_refused(&error) => self.leave_pipe()?,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
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
        };
        if empty {
            self.held = None;
        }
    }

    fn take(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Socket,
        to: &Socket,
    ) -> Poll<Result<Took, Broken>> {
        if self.throttle.is_none() {
            return self.take_up_to(usize::MAX, cx, from, to);
        }
        let limit = match ready!(self.poll_grant(cx, from)) {
            Ok(limit) => limit,
            Err(error) => return broken(Socketward::From, error),
        };
        let took = self.take_up_to(limit, cx, from, to);
        if let Some(throttle) = &mut self.throttle {
            match took {
                Poll::Ready(Ok(Took::Bytes(bytes))) => throttle.moved(bytes),
                _ => throttle.release(),
            }
            if self.held.is_some() {
                throttle.release();
            }
        }
        took
    }

    /// Ready when something may be read, with how much. Bandwidth is asked for only when there
    /// is something to spend it on; a broken sender is known to have something, or to end.
    fn poll_grant(&mut self, cx: &mut Context<'_>, from: &mut Socket) -> Poll<io::Result<usize>> {
        let Some(throttle) = &mut self.throttle else { return Poll::Ready(Ok(usize::MAX)) };
        if self.phase == Phase::Open && !throttle.is_waiting() {
            match from.poll_readable(cx) {
                Poll::Ready(readable) => readable?,
                Poll::Pending => {
                    throttle.release();
                    return Poll::Pending;
                }
            }
        }
        throttle.poll_grant(cx).map(Ok)
    }

    fn take_up_to(
        &mut self,
        limit: usize,
        cx: &mut Context<'_>,
        from: &mut Socket,
        to: &Socket,
    ) -> Poll<Result<Took, Broken>> {
        if self.phase == Phase::Cut {
            return Poll::Ready(self.take_the_rest(limit, from, to));
        }
        // Splice stops at urgent data and cannot go past it; receiving can.
        if matches!(self.pace, Pace::Splice { .. })
            && !from.has_urgent()
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
        to: &Socket,
    ) -> Poll<Result<Took, Broken>> {
        buffer::with(|buffer| {
            let buffer = &mut buffer[..limit.min(BUFFER_BYTES)];
            let received = match from.poll_read(cx, |socket| socket::receive(socket, buffer)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Took::Fin)),
                Poll::Ready(Ok(received)) => received,
                Poll::Ready(Err(error)) => return broken(Socketward::From, error),
            };
            self.pace.note_read(received, limit);
            match self.send_or_hold(to, &buffer[..received]) {
                Ok(()) => Poll::Ready(Ok(Took::Bytes(received))),
                Err(error) => broken(Socketward::To, error),
            }
        })
    }

    fn take_by_pipe(
        &mut self,
        limit: usize,
        cx: &mut Context<'_>,
        from: &mut Socket,
        to: &Socket,
        mut pipe: Pipe,
    ) -> Poll<Result<Took, Broken>> {
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
            Poll::Ready(Err(error)) => return broken(Socketward::From, error),
        };
        match self.empty_or_hold(to, pipe) {
            Ok(()) => Poll::Ready(Ok(Took::Bytes(moved))),
            Err(error) => broken(Socketward::To, error),
        }
    }

    /// Receives what a broken socket still has. Its error was taken already, so whatever ends
    /// the reading now (an error, an end of stream, nothing there) ends the direction.
    fn take_the_rest(&mut self, limit: usize, from: &Socket, to: &Socket) -> Result<Took, Broken> {
        buffer::with(|buffer| {
            let buffer = &mut buffer[..limit.min(BUFFER_BYTES)];
            match socket::receive(from.descriptor(), buffer).map(|found| found.bytes()) {
                Ok(0) | Err(_) => Ok(Took::Last),
                Ok(received) => match self.send_or_hold(to, &buffer[..received]) {
                    Ok(()) => Ok(Took::Bytes(received)),
                    Err(error) => Err(Broken { end: Socketward::To, error }),
                },
            }
        })
    }

    /// Delivers from `pipe` until the receiver would block; holds what is left then.
    fn empty_or_hold(&mut self, to: &Socket, mut pipe: Pipe) -> io::Result<()> {
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

    fn send_or_hold(&mut self, to: &Socket, bytes: &[u8]) -> io::Result<()> {
        let sent = to.write_now(|socket| socket::send(socket, bytes))?;
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
    let yielding = std::pin::pin!(tokio::task::yield_now());
    // Its first poll does what is wanted and is always pending.
    let _ = yielding.poll(cx);
}

fn broken<T>(end: Socketward, error: io::Error) -> Poll<Result<T, Broken>> {
    Poll::Ready(Err(Broken { end, error }))
}
