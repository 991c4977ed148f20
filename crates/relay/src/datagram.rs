//! Datagrams, received and sent in batches.
//!
//! A [`Batch`] is what was received, in slots that hold any datagram whole. A thread
//! has one or two, and what lies in them is sent on before they are used again, so
//! a flow at rest holds no buffer. Where sender or network have joined datagrams of
//! one size (GRO), a slot holds them as one [`Parcel`]; parcels of one size are
//! joined again to be sent (GSO), and cut apart where the path does not take them
//! so. Boundaries are never lost: each datagram leaves with the size it came with.
//!
//! A datagram that cannot be sent at once is lost, as in any network, and
//! counted. Nothing here waits for room.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use crate::sys::{self, Arrived, Outgoing};

pub use crate::sys::Local;

/// Parcels of a batch at the most.
pub const BATCH: usize = sys::BATCH;

/// Room for a parcel in bytes: more than any datagram or joined datagrams have.
const SLOT_BYTES: usize = 64 * 1024;

/// From slot to slot: a few cache lines more, or all slots would begin in the same set of the cache.
const STRIDE: usize = SLOT_BYTES + 17 * 64;

/// Slots that are offered to a socket that has had little to give: few, since each costs some
/// preparation, but enough to see that there is no more.
const SLOTS_LEAST: usize = 2;

/// Bytes of joined datagrams: the most that fit in one IPv4 packet.
const JOINED_BYTES_MAX: usize = 65_507;

/// Datagrams that the kernel cuts apart at the most (`UDP_MAX_SEGMENTS` of Linux before 6.9).
const JOINED_MAX: usize = 64;

/// One datagram, or several of one size, the last of which may be shorter.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    bytes: &'a [u8],
    /// Size of each but the last; never 0.
    size: usize,
}

impl<'a> Parcel<'a> {
    /// One datagram.
    pub fn single(bytes: &'a [u8]) -> Self {
        Self { bytes, size: bytes.len().max(1) }
    }

    /// How many datagrams.
    pub fn datagrams(&self) -> usize {
        self.bytes.len().div_ceil(self.size).max(1)
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The first of them.
    pub fn first(&self) -> &'a [u8] {
        &self.bytes[..self.size.min(self.bytes.len())]
    }

    /// Those behind the first, if there are any.
    pub fn behind_first(&self) -> Option<Self> {
        let bytes = self.bytes.get(self.size..).filter(|bytes| !bytes.is_empty())?;
        Some(Self { bytes, size: self.size })
    }

    /// Each datagram by itself.
    fn apart(self) -> impl Iterator<Item = &'a [u8]> {
        // An empty datagram has no chunk, but is one all the same.
        let empty = self.bytes.is_empty().then_some(self.bytes);
        empty.into_iter().chain(self.bytes.chunks(self.size))
    }
}

/// What was received and not sent on yet.
#[derive(Debug)]
pub struct Batch {
    slots: Box<[u8]>,
    arrived: [Arrived; BATCH],
    count: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            // Memory that is never written to is never there.
            slots: vec![0; BATCH * STRIDE].into_boxed_slice(),
            arrived: [Arrived::default(); BATCH],
            count: 0,
        }
    }
}

impl Batch {
    /// Parcels that are in it.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether it has no room.
    pub fn is_full(&self) -> bool {
        self.count == BATCH
    }

    /// Forgets what is in it.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    /// A parcel; `None` if it was too large for its slot, and is lost.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn parcel(&self, at: usize) -> Option<Parcel<'_>> {
        let Arrived { bytes, segment, is_cut, .. } = *self.arrived(at);
        let bytes = &self.slots[at * STRIDE..][..bytes];
        let size = segment.map_or_else(|| bytes.len().max(1), |segment| segment.get());
        (!is_cut).then_some(Parcel { bytes, size })
    }

    /// Who sent it, if that is told.
    ///
    /// # Panics
    /// When there are not so many parcels.
    pub fn from(&self, at: usize) -> Option<SocketAddr> {
        self.arrived(at).from
    }

    /// The address of ours that it was sent to, if that is told.
    ///
    /// # Panics
    /// When there are not so many parcels.
    pub fn local(&self, at: usize) -> Option<Local> {
        self.arrived(at).local
    }

    /// Datagrams that the socket has lost for want of room since it was opened, modulo 2^32, if
    /// the last parcels tell.
    pub fn overflow(&self) -> Option<u32> {
        self.arrived[..self.count].iter().rev().find_map(|arrived| arrived.overflow)
    }

    fn arrived(&self, at: usize) -> &Arrived {
        &self.arrived[..self.count][at]
    }
}

/// What a receive says about what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// There may be more.
    Maybe,
    /// That was all: see [`Edge::wait_for_more`].
    Nothing,
}

/// A parcel with where it goes, and what it leaves from.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// What is sent.
    pub parcel: Parcel<'a>,
    /// Where to; `None`: where the socket is connected to.
    pub to: Option<SocketAddr>,
    /// The address that it leaves from; `None`: as the kernel chooses.
    pub from: Option<Local>,
}

/// What became of a letter, or of a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was sent.
    Sent {
        /// Datagrams.
        datagrams: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// The kernel did not take it.
    Lost {
        /// Datagrams.
        datagrams: usize,
    },
}

/// The peer that a socket is connected to is not there.
#[derive(Debug)]
pub struct Unreachable {
    /// The first letter that nothing became of; neither of those behind it.
    pub at: usize,
    /// What the network has told.
    pub error: io::Error,
}

/// A non-blocking datagram socket, registered with the runtime of this thread.
#[derive(Debug)]
pub struct DatagramSocket {
    registered: AsyncFd<OwnedFd>,
    /// Slots to offer next time.
    slots: Cell<usize>,
    /// Size of datagrams that may be joined; those larger have been refused.
    join_max: Cell<usize>,
}

/// The news that something may have come.
#[derive(Debug)]
pub struct Edge<'a>(AsyncFdReadyGuard<'a, OwnedFd>);

impl Edge<'_> {
    /// Nothing is left: the next [`DatagramSocket::ready`] waits until something comes.
    pub fn wait_for_more(&mut self) {
        self.0.clear_ready();
    }
}

/// Has a socket that is to be a [`DatagramSocket`] take joined datagrams, as far as the kernel can.
pub fn take_joined(socket: impl AsFd) {
    // Without it datagrams come one by one.
    let _ = sys::take_joined(socket.as_fd());
}

/// Has each datagram tell where it was sent to. Not needed where the socket is bound to one
/// address.
///
/// # Errors
/// As `setsockopt(2)`.
pub fn tell_local(socket: impl AsFd, is_ipv6: bool) -> io::Result<()> {
    sys::tell_local(socket.as_fd(), is_ipv6)
}

/// Has datagrams tell of those that were lost before them: see [`Batch::overflow`].
///
/// # Errors
/// As `setsockopt(2)`.
pub fn tell_overflow(socket: impl AsFd) -> io::Result<()> {
    sys::tell_overflow(socket.as_fd())
}

/// Gives a socket room for `bytes` that were not received yet, or as much as the system allows.
///
/// # Errors
/// As `setsockopt(2)`.
pub fn make_room(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    use rustix::net::sockopt;
    // Beyond the system's limit only with CAP_NET_ADMIN.
    if sockopt::set_socket_recv_buffer_size_force(&socket, bytes).is_err() {
        sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
    }
    Ok(())
}

/// The same for what was not sent yet.
///
/// # Errors
/// As `setsockopt(2)`.
pub fn make_room_to_send(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_send_buffer_size(socket, bytes)?)
}

impl DatagramSocket {
    /// Registers `socket`, which must be non-blocking.
    ///
    /// # Errors
    /// When the kernel has no room for one more registration.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        static JOINS: OnceLock<bool> = OnceLock::new();
        let joins = *JOINS.get_or_init(|| sys::can_send_joined(socket.as_fd()).is_ok());
        // Room to send is no news: it is not waited for, and would wake us with each datagram
        // that the network takes.
        let registered =
            sys::register_for(socket, Interest::READABLE).map_err(|(_, error)| error)?;
        Ok(Self {
            registered,
            slots: Cell::new(SLOTS_LEAST),
            join_max: Cell::new(if joins { JOINED_BYTES_MAX } else { 0 }),
        })
    }

    /// The socket itself.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.registered.as_fd()
    }

    /// Waits until there may be something to receive, or an error.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub async fn ready(&self) -> io::Result<Edge<'_>> {
        Ok(Edge(self.registered.ready(Interest::READABLE | Interest::ERROR).await?))
    }

    /// Takes what the network has told of datagrams sent earlier, if it has.
    pub fn take_error(&self) -> Option<io::Error> {
        rustix::net::sockopt::socket_error(self.descriptor()).ok()?.err().map(Into::into)
    }

    /// Receives what is there, as far as `batch` has room, behind what is in it. Which parcels
    /// these are.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; else what the network has told of earlier datagrams.
    pub fn receive(&self, batch: &mut Batch) -> io::Result<(Range<usize>, Left)> {
        let first = batch.count;
        let room = batch.slots.chunks_exact_mut(STRIDE).map(|slot| &mut slot[..SLOT_BYTES]);
        let slots = self.slots.get().min(BATCH - first);
        let received = sys::receive_datagrams(
            self.descriptor(),
            room.skip(first).take(slots),
            &mut batch.arrived[first..],
        )?;
        batch.count += received;
        let left = if received < slots { Left::Nothing } else { Left::Maybe };
        self.slots.set(match left {
            Left::Maybe => (2 * slots).clamp(SLOTS_LEAST, BATCH),
            Left::Nothing => (slots - 1).max(received + 1).max(SLOTS_LEAST),
        });
        Ok((first..batch.count, left))
    }

    /// Sends the letters `letter(0)` to `letter(count - 1)`, at most [`BATCH`], in order. What
    /// becomes of each is told, perhaps in parts.
    ///
    /// # Errors
    /// When the socket is connected and its peer is not there.
    pub fn send<'a>(
        &self,
        count: usize,
        letter: impl Fn(usize) -> Letter<'a>,
        mut tell: impl FnMut(usize, Fate),
    ) -> Result<(), Unreachable> {
        let count = count.min(BATCH);
        if count == 1 && letter(0).is_plain() {
            return self.send_plain(letter(0).parcel, |fate| tell(0, fate));
        }
        let mut slices = [IoSlice::new(&[]); BATCH];
        for (at, slice) in slices[..count].iter_mut().enumerate() {
            *slice = IoSlice::new(letter(at).parcel.bytes);
        }
        let mut at = 0;
        while at < count {
            let first = letter(at);
            if self.must_be_cut(&first.parcel) {
                self.send_apart(first, at, &mut tell)?;
                at += 1;
                continue;
            }
            let mut groups = [0; BATCH];
            let groups = self.put_together(at..count, &letter, &mut groups);
            at = self.send_groups(at, groups, &slices, &letter, &mut tell)?;
        }
        Ok(())
    }

    /// Sends one datagram on a connected socket, which takes the least preparation.
    fn send_plain(&self, parcel: Parcel<'_>, tell: impl FnOnce(Fate)) -> Result<(), Unreachable> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let send = || rustix::net::send(self.descriptor(), parcel.bytes, flags);
        match rustix::io::retry_on_intr(send).map_err(io::Error::from) {
            Ok(_) => tell(Fate::sent(&parcel)),
            Err(error) if is_unreachable(&error) => return Err(Unreachable { at: 0, error }),
            Err(_) => tell(Fate::lost(1)),
        }
        Ok(())
    }

    /// Whether it came joined, and cannot be sent so.
    fn must_be_cut(&self, parcel: &Parcel<'_>) -> bool {
        parcel.datagrams() > 1 && parcel.size > self.join_max.get()
    }

    /// Joins letters to groups as far as may be: how many letters each group has.
    fn put_together<'a, 'g>(
        &self,
        letters: Range<usize>,
        letter: &impl Fn(usize) -> Letter<'a>,
        groups: &'g mut [usize; BATCH],
    ) -> &'g [usize] {
        let (mut at, mut count) = (letters.start, 0);
        while at < letters.end && !self.must_be_cut(&letter(at).parcel) {
            groups[count] = self.joined(at..letters.end, letter);
            at += groups[count];
            count += 1;
        }
        &groups[..count]
    }

    /// How many of these letters go as one message, from the first on.
    fn joined<'a>(&self, letters: Range<usize>, letter: &impl Fn(usize) -> Letter<'a>) -> usize {
        let first = letter(letters.start);
        let (size, mut bytes) = (first.parcel.size, first.parcel.bytes());
        let mut datagrams = first.parcel.datagrams();
        if size > self.join_max.get() || bytes == 0 {
            return 1;
        }
        let goes_on = |at: &usize| {
            let Letter { parcel, to, from } = letter(*at);
            let last_is_whole = bytes.is_multiple_of(size);
            bytes += parcel.bytes();
            datagrams += parcel.datagrams();
            last_is_whole
                && !parcel.bytes.is_empty()
                && (parcel.size == size || parcel.bytes() <= size)
                && bytes <= JOINED_BYTES_MAX
                && datagrams <= JOINED_MAX
                && (to, from) == (first.to, first.from)
        };
        1 + (letters.start + 1..letters.end).take_while(goes_on).count()
    }

    /// Sends the groups that begin with the letter `at`; gives the letter to go on with.
    fn send_groups<'a>(
        &self,
        mut at: usize,
        mut groups: &[usize],
        slices: &[IoSlice<'_>],
        letter: &impl Fn(usize) -> Letter<'a>,
        tell: &mut impl FnMut(usize, Fate),
    ) -> Result<usize, Unreachable> {
        while let Some(&first) = groups.first() {
            let mut next = at;
            let messages = groups.iter().map(|&count| {
                let Letter { parcel, to, from } = letter(next);
                let parts = &slices[next..next + count];
                next += count;
                let is_joined = count > 1 || parcel.datagrams() > 1;
                let segment = u16::try_from(parcel.size).ok().filter(|_| is_joined);
                Outgoing { parts, segment, to, from }
            });
            let error = match sys::send_datagrams(self.descriptor(), messages) {
                Ok(sent) => {
                    let behind = at + groups[..sent].iter().sum::<usize>();
                    (at..behind).for_each(|at| tell(at, Fate::sent(&letter(at).parcel)));
                    (at, groups) = (behind, &groups[sent..]);
                    continue;
                }
                Err(error) => error,
            };
            let Letter { parcel, to, .. } = letter(at);
            let is_joined = first > 1 || parcel.datagrams() > 1;
            let lost = match Refusal::of(&error, is_joined, to.is_none()) {
                Refusal::Joined => {
                    self.forbid_joining(parcel.size, &error);
                    return Ok(at);
                }
                Refusal::Peer => return Err(Unreachable { at, error }),
                // Neither is there room for the others.
                Refusal::Room => groups.iter().sum(),
                Refusal::This => first,
            };
            (at..at + lost).for_each(|at| tell(at, Fate::lost(letter(at).parcel.datagrams())));
            at += lost;
            groups = if lost == first { &groups[1..] } else { &[] };
        }
        Ok(at)
    }

    /// Sends the datagrams of one letter, the one at `at`, each by itself.
    fn send_apart(
        &self,
        letter: Letter<'_>,
        at: usize,
        tell: &mut impl FnMut(usize, Fate),
    ) -> Result<(), Unreachable> {
        let Letter { parcel, to, from } = letter;
        let mut is_begun = false;
        for (index, bytes) in parcel.apart().enumerate() {
            let parts = [IoSlice::new(bytes)];
            let message = Outgoing { parts: &parts, segment: None, to, from };
            let left = parcel.datagrams() - index;
            let Err(error) = sys::send_datagrams(self.descriptor(), std::iter::once(message))
            else {
                tell(at, Fate::Sent { datagrams: 1, bytes: bytes.len() });
                is_begun = true;
                continue;
            };
            match Refusal::of(&error, false, to.is_none()) {
                Refusal::Joined | Refusal::This => tell(at, Fate::lost(1)),
                Refusal::Room => {
                    tell(at, Fate::lost(left));
                    return Ok(());
                }
                // One of which nothing is gone can be sent elsewhere as a whole.
                Refusal::Peer if !is_begun => return Err(Unreachable { at, error }),
                Refusal::Peer => {
                    tell(at, Fate::lost(left));
                    return Err(Unreachable { at: at + 1, error });
                }
            }
            is_begun = true;
        }
        Ok(())
    }

    fn forbid_joining(&self, size: usize, error: &io::Error) {
        self.join_max.set(match Errno::from_io_error(error) {
            // The device cannot do it with any size.
            Some(Errno::IO) => 0,
            _ => self.join_max.get().min(size.saturating_sub(1)),
        });
    }
}

impl<'a> Letter<'a> {
    /// One for a connected socket.
    pub fn plain(parcel: Parcel<'a>) -> Self {
        Self { parcel, to: None, from: None }
    }

    /// Whether it is one datagram for a connected socket.
    fn is_plain(&self) -> bool {
        self.to.is_none() && self.from.is_none() && self.parcel.datagrams() == 1
    }
}

impl Fate {
    fn sent(parcel: &Parcel<'_>) -> Self {
        Self::Sent { datagrams: parcel.datagrams(), bytes: parcel.bytes() }
    }

    fn lost(datagrams: usize) -> Self {
        Self::Lost { datagrams }
    }
}

/// What an error of sending calls for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// Joined datagrams are not taken: send them one by one.
    Joined,
    /// The peer is not there.
    Peer,
    /// No room for this or any other datagram.
    Room,
    /// This message cannot be sent; others may.
    This,
}

impl Refusal {
    /// `is_connected`: whether the error may be of datagrams sent earlier.
    fn of(error: &io::Error, is_joined: bool, is_connected: bool) -> Self {
        match Errno::from_io_error(error) {
            // Larger than the path takes in one piece, or a device without checksums.
            Some(Errno::INVAL | Errno::IO | Errno::MSGSIZE) if is_joined => Self::Joined,
            Some(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => Self::Room,
            _ if is_connected && is_unreachable(error) => Self::Peer,
            _ => Self::This,
        }
    }
}

/// Whether an error of a connected socket says that its peer is not there.
pub fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNREFUSED
                | Errno::CONNRESET
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::NETDOWN
        )
    )
}

#[cfg(test)]
mod tests;
