//! The io_uring of a thread, and the memory that the kernel may touch for it.
//!
//! What is asked of the kernel names descriptors and buffers of this ring, never memory of the
//! caller, so nothing that a caller does can have the kernel write where it must not. Memory is
//! given up only when the kernel has nothing in flight; if it does not let go, the memory is
//! leaked.
#![expect(unsafe_code, reason = "memory that is shared with the kernel")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering, fence};

use io_uring::types::{BufRingEntry, CancelBuilder, Fd, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};

use socket2::SockAddr;

use crate::ring::buffers::{BYTES, BufferId, COUNT, Part};

/// Operations that may be given to the kernel at a time.
const SUBMISSIONS: u32 = 256;

/// Completions that the kernel may leave; it keeps more aside, which costs.
const COMPLETIONS: u32 = 4096;

/// The only group of buffers.
const GROUP: u16 = 0;

/// The alignment that the kernel asks for.
const PAGE: usize = 4096;

/// Marks the completion of a cancelling that found nothing: nobody waits for it.
const NOBODY: u64 = u64::MAX;

/// Pieces of its own work that the kernel does at a time; a piece is about an operation in flight.
const WORK_AT_A_TIME: u32 = 16;

/// How long the kernel may take to let go of what is in flight, in seconds.
const PATIENCE: u64 = 2;

/// Something that the kernel is to do. The descriptor must stay open until it is done.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Connect to this address.
    Connect(RawFd, SockAddr),
    /// Receive into any buffer, again and again.
    Receive(RawFd),
    /// Send all of this.
    Send(RawFd, Part),
    /// Cancel the operation of this token.
    Cancel(u64),
}

/// Something that the kernel is to do without telling what came of it.
#[derive(Debug)]
enum Quietly {
    Cancel(u64),
    Close(OwnedFd),
}

/// What has come of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    /// The one it was begun with.
    pub(crate) token: u64,
    /// How many bytes.
    pub(crate) result: Result<u16, Errno>,
    /// Where they are; the caller has this buffer now.
    pub(crate) buffer: Option<BufferId>,
    /// Whether more will come of the same.
    pub(crate) goes_on: bool,
}

/// Why there is no ring.
#[derive(Debug)]
pub struct Unavailable {
    /// What the kernel has not, or does not let us do.
    pub(crate) step: &'static str,
    /// What it says.
    pub(crate) error: io::Error,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.error)
    }
}

/// The ring of this thread.
pub(crate) struct Kernel {
    uring: ManuallyDrop<IoUring>,
    memory: ManuallyDrop<Memory>,
    /// Becomes readable when there is something, if that is asked for.
    event: OwnedFd,
    in_flight: u32,
    /// Where it connects to, by the tokens: the kernel may read them until that is done.
    addresses: HashMap<u64, Box<SockAddr>>,
    /// What was begun while the kernel took nothing.
    backlog: VecDeque<squeue::Entry>,
}

impl Kernel {
    /// Sets it up, on the thread that is going to use it.
    ///
    /// # Errors
    /// When the kernel is too old for it, or does not let us.
    pub(crate) fn new() -> Result<Self, Unavailable> {
        Self::with_room(SUBMISSIONS, COMPLETIONS)
    }

    /// The same for so many operations, and at least as many completions; powers of two.
    ///
    /// # Errors
    /// As [`Kernel::new`].
    pub(crate) fn with_room(submissions: u32, completions: u32) -> Result<Self, Unavailable> {
        let failed = |step| move |error| Unavailable { step, error };
        let uring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(completions)
            .dontfork()
            .build(submissions)
            .map_err(failed("io_uring_setup(2)"))?;
        let memory = Memory::new();
        let base = memory.ring.base.as_ptr() as u64;
        // SAFETY: the ring of buffers is as long as said, aligned to a page, zeroed, and outlives
        // the registration: it is freed after the uring is closed, or never.
        unsafe { uring.submitter().register_buf_ring_with_flags(base, COUNT, GROUP, 0) }
            .map_err(failed("a ring of buffers"))?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| failed("an eventfd")(errno.into()))?;
        uring
            .submitter()
            .register_eventfd(event.as_raw_fd())
            .map_err(failed("the eventfd of the ring"))?;
        let (uring, memory) = (ManuallyDrop::new(uring), ManuallyDrop::new(memory));
        let (addresses, backlog) = (HashMap::new(), VecDeque::new());
        let mut kernel = Self { uring, memory, event, in_flight: 0, addresses, backlog };
        for number in 0..COUNT {
            kernel.memory.give(number);
        }
        kernel.quiet();
        Ok(kernel)
    }

    /// Does once with a pair of sockets what sessions need.
    ///
    /// # Errors
    /// When something of it does not work: a filter (seccomp(2)) may let a ring be set up and
    /// refuse its use.
    pub(crate) fn try_out(&mut self) -> Result<(), Unavailable> {
        let failed = |step| move |errno: Errno| Unavailable { step, error: errno.into() };
        let unexpected = |step| Unavailable { step, error: io::ErrorKind::Unsupported.into() };
        let (near, far) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .map_err(failed("a pair of sockets"))?;
        self.alert();
        self.begin(0, Operation::Receive(near.as_raw_fd()));
        rustix::net::send(&far, b"ping", SendFlags::NOSIGNAL).map_err(failed("send(2)"))?;
        let received = self.awaited("io_uring_enter(2)")?;
        let (Ok(4), Some(buffer), true) = (received.result, received.buffer, received.goes_on)
        else {
            return Err(unexpected("receiving again and again, into given buffers"));
        };
        let mut signalled = [0; 8];
        rustix::io::read(&self.event, &mut signalled).map_err(failed("signals by the eventfd"))?;
        self.quiet();
        let part = Part { buffer, from: 0, length: 4 };
        self.begin(1, Operation::Send(near.as_raw_fd(), part));
        let sent = self.awaited("io_uring_enter(2)")?;
        self.give_back(buffer);
        if !matches!((sent.token, sent.result), (1, Ok(4))) {
            return Err(unexpected("sending"));
        }
        self.begin(0, Operation::Cancel(0));
        let cancelled = self.awaited("io_uring_enter(2)")?;
        if cancelled.result != Err(Errno::CANCELED) {
            return Err(unexpected("cancelling"));
        }
        self.close(near);
        self.turn().map_err(|error| Unavailable { step: "io_uring_enter(2)", error })?;
        match rustix::net::recv(&far, &mut [0; 5], RecvFlags::DONTWAIT | RecvFlags::PEEK) {
            // The pong, and then the end of the stream.
            Ok((4, _)) => {}
            _ => return Err(unexpected("sending")),
        }
        match rustix::net::send(&far, b"gone", SendFlags::NOSIGNAL) {
            Err(Errno::PIPE) => Ok(()),
            _ => Err(unexpected("closing")),
        }
    }

    /// Waits for the next completion, which is about to come.
    fn awaited(&mut self, step: &'static str) -> Result<Completion, Unavailable> {
        self.uring.submit_and_wait(1).map_err(|error| Unavailable { step, error })?;
        let none = || Unavailable { step, error: io::ErrorKind::TimedOut.into() };
        self.completion().ok_or_else(none)
    }

    /// What becomes readable when there are completions.
    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.event)
    }

    /// Has `operation` begun, at the next turn or before. What comes of it carries `token`.
    pub(crate) fn begin(&mut self, token: u64, operation: Operation) {
        let entry = match operation {
            Operation::Connect(socket, address) => {
                let address = Box::new(address);
                let (pointer, length) = (address.as_ptr().cast(), address.len());
                self.addresses.insert(token, address);
                opcode::Connect::new(Fd(socket), pointer, length).build()
            }
            Operation::Receive(socket) => opcode::RecvMulti::new(Fd(socket), GROUP).build(),
            Operation::Send(socket, part) => {
                let bytes = self.memory.bytes(part);
                opcode::Send::new(Fd(socket), bytes.as_ptr(), part.length.into())
                    .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
                    .build()
            }
            Operation::Cancel(other) => return self.quietly(Quietly::Cancel(other)),
        };
        self.push(entry.user_data(token));
        self.in_flight += 1;
    }

    /// Closes a socket, at the next turn or before.
    pub(crate) fn close(&mut self, socket: OwnedFd) {
        self.quietly(Quietly::Close(socket));
    }

    fn quietly(&mut self, what: Quietly) {
        let entry = match what {
            Quietly::Cancel(token) => opcode::AsyncCancel::new(token).build(),
            Quietly::Close(socket) => opcode::Close::new(Fd(socket.into_raw_fd())).build(),
        };
        self.push(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(NOBODY));
    }

    /// Gives the kernel what was begun, and has it finish what it can.
    ///
    /// # Errors
    /// As io_uring_enter(2).
    pub(crate) fn turn(&mut self) -> io::Result<()> {
        while let Some(entry) = self.backlog.pop_front() {
            if !self.submit_entry(&entry) {
                self.backlog.push_front(entry);
                break;
            }
        }
        let has_work = {
            let submissions = self.uring.submission();
            !submissions.is_empty() || submissions.taskrun() || submissions.cq_overflow()
        };
        if !has_work {
            return Ok(());
        }
        match self.uring.submit() {
            Ok(_) => Ok(()),
            // What was not taken is given again at the next turn.
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The next completion, if there is one.
    pub(crate) fn completion(&mut self) -> Option<Completion> {
        loop {
            let entry = self.uring.completion().next()?;
            if entry.user_data() == NOBODY {
                continue;
            }
            let goes_on = cqueue::more(entry.flags());
            if !goes_on {
                self.in_flight -= 1;
                if !self.addresses.is_empty() {
                    self.addresses.remove(&entry.user_data());
                }
            }
            let result = entry.result();
            let result = match u16::try_from(result) {
                Ok(bytes) => Ok(bytes),
                Err(_) => Err(Errno::from_raw_os_error(-result)),
            };
            let buffer = cqueue::buffer_select(entry.flags()).and_then(BufferId::new);
            if let Some(buffer) = buffer {
                self.memory.take(buffer, result.unwrap_or_default());
            }
            return Some(Completion { token: entry.user_data(), result, buffer, goes_on });
        }
    }

    /// Bytes that were received.
    ///
    /// # Panics
    /// When the caller has no such bytes.
    pub(crate) fn bytes(&self, part: Part) -> &[u8] {
        self.memory.bytes(part)
    }

    /// Gives a buffer back.
    ///
    /// # Panics
    /// When the caller does not have it.
    pub(crate) fn give_back(&mut self, buffer: BufferId) {
        self.memory.give_back(buffer);
    }

    /// Has the event tell of completions from now on. Whether there is something to do already, of
    /// which it may not tell.
    pub(crate) fn alert(&mut self) -> bool {
        self.uring.completion().enable_eventfd();
        // The kernel looks at the flag after it has left a completion; we look for completions
        // after we have set the flag.
        fence(Ordering::SeqCst);
        for _ in 0..self.in_flight / WORK_AT_A_TIME + 2 {
            let submissions = self.uring.submission();
            let is_busy = !submissions.is_empty() || submissions.cq_overflow();
            let has_work = submissions.taskrun();
            drop(submissions);
            if is_busy || !self.uring.completion().is_empty() {
                return true;
            }
            if !has_work {
                return false;
            }
            // The kernel may say that it has work of which it has none any more: it says so after
            // it has put it down, and we may have had it done in between. Nothing but work takes
            // that back, so it is not believed for long. An error leaves it as it is.
            let _ = self.uring.submit();
        }
        // All that was there before has been done. The event tells of what has come since.
        !self.uring.completion().is_empty()
    }

    /// Has the event be silent: completions are looked for anyway.
    pub(crate) fn quiet(&mut self) {
        self.uring.completion().disable_eventfd();
    }

    fn push(&mut self, entry: squeue::Entry) {
        if !self.backlog.is_empty() || !self.submit_entry(&entry) {
            // As many at most as there are operations of all sessions.
            self.backlog.push_back(entry);
        }
    }

    /// Puts an entry into the queue of the kernel, if there is room or room can be made.
    fn submit_entry(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: an entry names a descriptor, which is not memory, and bytes of a buffer or an
        // address of ours, which are freed only when nothing is in flight that needs them.
        let push = |uring: &mut IoUring| unsafe { uring.submission().push(entry) }.is_ok();
        // An error leaves the queue as it was.
        push(&mut self.uring) || (self.uring.submit().is_ok() && push(&mut self.uring))
    }

    /// Whether the kernel has let go of everything.
    fn let_go(&mut self) -> bool {
        // What was not submitted is not known to the kernel.
        let is_whole = self.backlog.is_empty() && self.uring.submit().is_ok();
        let patience = Timespec::new().sec(PATIENCE);
        // An error says that there was nothing to cancel, or that time is over.
        let _ = self.uring.submitter().register_sync_cancel(Some(patience), CancelBuilder::any());
        let _ = self.turn();
        while self.completion().is_some() {}
        is_whole && self.in_flight == 0
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // Sockets may wait to be closed, and somebody for that.
        let _ = self.turn();
        let is_free = self.in_flight == 0 || self.let_go();
        // SAFETY: neither is used again. The kernel has nothing in flight that could touch the
        // memory when it is freed.
        unsafe {
            ManuallyDrop::drop(&mut self.uring);
            if is_free {
                ManuallyDrop::drop(&mut self.memory);
            } else {
                std::mem::forget(std::mem::take(&mut self.addresses));
            }
        }
    }
}

/// Whether an error of io_uring_enter(2) is over in a moment.
fn is_passing(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AGAIN | Errno::BUSY | Errno::INTR))
}

/// The buffers, and the ring by which the kernel gets them.
struct Memory {
    ring: Pages,
    buffers: Pages,
    /// Where the next buffer is put.
    tail: u16,
    /// Of each buffer, how many bytes the caller has; `None`: the kernel has it.
    ours: Box<[Option<u16>]>,
}

impl Memory {
    fn new() -> Self {
        Self {
            ring: Pages::new(usize::from(COUNT) * size_of::<BufRingEntry>()),
            buffers: Pages::new(usize::from(COUNT) * usize::from(BYTES)),
            tail: 0,
            ours: vec![None; usize::from(COUNT)].into(),
        }
    }

    /// Notes that the kernel has left `buffer` to us, with so many bytes.
    fn take(&mut self, buffer: BufferId, bytes: u16) {
        self.ours[usize::from(buffer.number())] = Some(bytes.min(BYTES));
    }

    fn give_back(&mut self, buffer: BufferId) {
        let number = buffer.number();
        assert!(self.ours[usize::from(number)].take().is_some(), "a buffer comes back once");
        self.give(number);
    }

    /// Gives the kernel a buffer.
    fn give(&mut self, number: u16) {
        let at = usize::from(self.tail & (COUNT - 1));
        let base = self.ring.base.cast::<BufRingEntry>().as_ptr();
        let address = self.address(number);
        // SAFETY: `at` is within the ring; the kernel does not look at an entry beyond the tail,
        // and the entry is plain data that was zeroed at first.
        let entry = unsafe { &mut *base.add(at) };
        entry.set_addr(address as u64);
        entry.set_len(BYTES.into());
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `base` is the first entry of the ring, whose tail is an aligned u16 that the
        // kernel reads; both sides use it as an atomic.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(base).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    fn address(&self, number: u16) -> *mut u8 {
        assert!(number < COUNT, "there are no more buffers");
        // SAFETY: the buffer of a number below COUNT begins within the pages.
        unsafe { self.buffers.base.as_ptr().add(usize::from(number) * usize::from(BYTES)) }
    }

    fn bytes(&self, Part { buffer, from, length }: Part) -> &[u8] {
        let ours = self.ours[usize::from(buffer.number())];
        let end = from.checked_add(length);
        assert!(ours.is_some_and(|bytes| end.is_some_and(|end| end <= bytes)), "not our bytes");
        let address = self.address(buffer.number());
        // SAFETY: these bytes are within the buffer, initialized (zeroed, then received), and the
        // kernel does not write to a buffer that it has left to us.
        unsafe { std::slice::from_raw_parts(address.add(usize::from(from)), usize::from(length)) }
    }
}

/// Zeroed memory that begins at a page.
struct Pages {
    base: NonNull<u8>,
    layout: Layout,
}

impl Pages {
    fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes, PAGE).expect("a few megabytes");
        // SAFETY: the size is not zero.
        let base = unsafe { alloc_zeroed(layout) };
        match NonNull::new(base) {
            Some(base) => Self { base, layout },
            None => handle_alloc_error(layout),
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    impl Kernel {
        /// Operations of which more will be heard.
        pub(crate) fn in_flight(&self) -> u32 {
            self.in_flight
        }

        /// Has the kernel take nothing until it is mended with what this returns.
        pub(crate) fn break_off(&self) -> OwnedFd {
            let nothing = std::fs::File::open("/dev/null").expect("it is there");
            // SAFETY: the descriptor stays open until the ring is closed.
            let ring = unsafe { BorrowedFd::borrow_raw(self.uring.as_raw_fd()) };
            let kept = rustix::io::fcntl_dupfd_cloexec(ring, 0).expect("there are descriptors");
            self.mend(nothing.into());
            kept
        }

        pub(crate) fn mend(&self, kept: OwnedFd) {
            // SAFETY: two descriptors that are open. What the first one names is there meanwhile, and
            // is asked for by nobody but the ring, which takes an error as it comes.
            let result = unsafe { libc::dup2(kept.as_raw_fd(), self.uring.as_raw_fd()) };
            assert!(result >= 0, "a descriptor can stand for another");
        }
    }

    fn next(kernel: &mut Kernel) -> Completion {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            kernel.turn().expect("the ring turns");
            if let Some(completion) = kernel.completion() {
                return completion;
            }
            assert!(kernel.in_flight > 0, "nothing will come");
            assert!(std::time::Instant::now() < deadline, "nothing comes");
            rustix::thread::sched_yield();
        }
    }

    #[test]
    fn bytes_come_into_a_buffer_and_go_out_of_it() {
        let mut kernel = Kernel::new().expect("this kernel has io_uring");
        let (mut near, far) = UnixStream::pair().expect("sockets can be had");
        near.write_all(b"hello").expect("there is room");
        kernel.begin(7, Operation::Receive(far.as_raw_fd()));
        let Completion { token: 7, result: Ok(5), buffer: Some(buffer), goes_on: true } =
            next(&mut kernel)
        else {
            panic!("five bytes were sent");
        };
        let part = Part { buffer, from: 1, length: 4 };
        assert_eq!(kernel.bytes(part), b"ello");
        kernel.begin(8, Operation::Send(far.as_raw_fd(), part));
        let sent = next(&mut kernel);
        assert_eq!((sent.token, sent.result, sent.goes_on), (8, Ok(4), false));
        let mut answer = [0; 4];
        near.read_exact(&mut answer).expect("it was sent");
        assert_eq!(&answer, b"ello");
        kernel.give_back(buffer);
        kernel.begin(0, Operation::Cancel(7));
        let cancelled = next(&mut kernel);
        assert_eq!((cancelled.token, cancelled.result), (7, Err(Errno::CANCELED)));
        assert_eq!(kernel.in_flight, 0);
    }

    #[test]
    fn it_can_be_tried_out() {
        let mut kernel = Kernel::new().expect("this kernel has io_uring");
        kernel.try_out().expect("all of it works");
        assert_eq!(kernel.in_flight, 0);
    }

    #[test]
    fn what_is_in_flight_is_cancelled_at_the_end() {
        let mut kernel = Kernel::new().expect("this kernel has io_uring");
        let (_near, far) = UnixStream::pair().expect("sockets can be had");
        kernel.begin(1, Operation::Receive(far.as_raw_fd()));
        kernel.turn().expect("the ring turns");
        assert!(kernel.let_go());
        assert_eq!(kernel.in_flight, 0);
    }

    /// More operations complete at once than the kernel has room to tell: it keeps the rest until
    /// it is asked.
    #[test]
    fn no_completion_is_lost_that_finds_no_room() {
        const PAIRS: u16 = 64;

        let mut kernel = Kernel::with_room(8, 8).expect("this kernel has io_uring");
        let pairs: Vec<_> = (0..PAIRS).map(|_| UnixStream::pair().expect("sockets")).collect();
        for (token, (near, far)) in pairs.iter().enumerate() {
            (&*near).write_all(b"x").expect("there is room");
            kernel.begin(token as u64, Operation::Receive(far.as_raw_fd()));
        }
        kernel.turn().expect("the ring turns");
        assert!(kernel.uring.submission().cq_overflow(), "there was room for all");
        let mut seen = HashMap::new();
        while seen.len() < pairs.len() {
            let Completion { token, result, buffer, .. } = next(&mut kernel);
            assert_eq!(result, Ok(1));
            let before = seen.insert(token, buffer);
            assert_eq!(before, None, "one byte comes once");
        }
        for (_, buffer) in seen {
            kernel.give_back(buffer.expect("a byte is somewhere"));
        }
        // Those that were told to go on are still there.
        assert!(kernel.let_go());
        assert_eq!(kernel.in_flight, 0);
        assert_eq!(kernel.uring.completion().overflow(), 0, "nothing was thrown away");
    }

    /// The kernel sets its flag late when another processor has brought the work that we had done.
    #[test]
    fn work_that_is_not_there_is_not_waited_for() {
        /// Where the flags of the kernel stand behind the sizes of both queues, in words.
        const SIZES: usize = 6;
        const FLAGS: usize = 9;
        const TASKRUN: u32 = 1 << 2;

        let mut kernel = Kernel::new().expect("this kernel has io_uring");
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a mapping of its own of one page of the queues, which is not unmapped. Its words
        // are used as atomics.
        let words = unsafe {
            let ring = kernel.uring.as_raw_fd();
            let page = libc::mmap(std::ptr::null_mut(), PAGE, protection, flags, ring, 0);
            assert_ne!(page, libc::MAP_FAILED);
            std::slice::from_raw_parts(page.cast::<std::sync::atomic::AtomicU32>(), 16)
        };
        let sizes = [0, 1].map(|at| words[SIZES + at].load(Ordering::Relaxed));
        assert_eq!(sizes, [SUBMISSIONS, COMPLETIONS], "the queues look different");
        let (mut near, far) = UnixStream::pair().expect("sockets can be had");
        kernel.begin(1, Operation::Receive(far.as_raw_fd()));
        kernel.turn().expect("the ring turns");
        assert!(!kernel.alert());
        words[FLAGS].fetch_or(TASKRUN, Ordering::SeqCst);
        assert!(!kernel.alert(), "there is nothing to do");
        assert_eq!(
            words[FLAGS].load(Ordering::SeqCst) & TASKRUN,
            TASKRUN,
            "nothing is known of it"
        );
        // The event tells all the same.
        near.write_all(b"x").expect("there is room");
        let mut count = [0; 8];
        rustix::io::read(&kernel.event, &mut count).expect("it was told");
        assert!(kernel.alert());
        assert_eq!(next(&mut kernel).result, Ok(1));
    }

    #[test]
    fn an_address_is_kept_until_its_connect_is_over() {
        let mut kernel = Kernel::new().expect("this kernel has io_uring");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
        let target: SockAddr = listener.local_addr().expect("it is bound").into();
        let socket = socket2::Socket::new(target.domain(), socket2::Type::STREAM, None);
        let socket = socket.expect("there are descriptors");
        kernel.begin(3, Operation::Connect(socket.as_raw_fd(), target));
        assert_eq!(kernel.addresses.len(), 1);
        let connected = next(&mut kernel);
        assert_eq!((connected.token, connected.result), (3, Ok(0)));
        assert!(kernel.addresses.is_empty());
        assert!(listener.accept().is_ok());
    }

    #[test]
    #[should_panic(expected = "not our bytes")]
    fn a_buffer_of_the_kernel_cannot_be_looked_at() {
        let kernel = Kernel::new().expect("this kernel has io_uring");
        let buffer = BufferId::new(0).expect("it is the first");
        kernel.bytes(Part { buffer, from: 0, length: 1 });
    }
}
