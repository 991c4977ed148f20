//! Who holds which of the buffers that the kernel receives into.
//!
//! The kernel picks a buffer when bytes arrive, so a session at rest has none. What it picked
//! stands in the queue of a direction until it is sent, and goes back to the kernel then. Queues
//! are lists through one table: a session has no memory of its own for them.

/// Buffers of a thread. A power of two (io_uring_register_buf_ring(3)).
pub(crate) const COUNT: u16 = 128;

/// Size of each, in bytes.
pub(crate) const BYTES: u16 = 16 * 1024;

const NONE: u16 = u16::MAX;

/// One of the buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BufferId(u16);

impl BufferId {
    /// The buffer of this number, if there is one.
    pub(crate) fn new(number: u16) -> Option<Self> {
        (number < COUNT).then_some(Self(number))
    }

    /// Its number, below [`COUNT`].
    pub(crate) fn number(self) -> u16 {
        self.0
    }
}

/// A part of a buffer that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The buffer.
    pub(crate) buffer: BufferId,
    /// Its first byte that was not sent.
    pub(crate) from: u16,
    /// How many there are.
    pub(crate) length: u16,
}

/// What the buffers hold, and in which order.
#[derive(Debug)]
pub(super) struct Buffers {
    links: Box<[Link]>,
    held: u16,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    next: u16,
    length: u16,
}

/// The buffers that one direction has received and not sent, the oldest first.
#[derive(Debug)]
pub(super) struct Queue {
    head: u16,
    tail: u16,
    count: u16,
    /// Bytes of the first one that were sent.
    sent: u16,
}

impl Default for Queue {
    fn default() -> Self {
        Self { head: NONE, tail: NONE, count: 0, sent: 0 }
    }
}

impl Queue {
    /// How many buffers it has.
    pub(super) fn count(&self) -> u16 {
        self.count
    }

    /// Whether it has none.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Default for Buffers {
    fn default() -> Self {
        let links = vec![Link { next: NONE, length: 0 }; usize::from(COUNT)];
        Self { links: links.into(), held: 0 }
    }
}

impl Buffers {
    /// How many stand in queues.
    pub(super) fn held(&self) -> u16 {
        self.held
    }

    /// Puts `buffer`, in which the kernel has put `length` bytes, behind those of `queue`.
    pub(super) fn push(&mut self, queue: &mut Queue, buffer: BufferId, length: u16) {
        let number = buffer.number();
        self.links[usize::from(number)] = Link { next: NONE, length };
        match queue.tail {
            NONE => queue.head = number,
            tail => self.links[usize::from(tail)].next = number,
        }
        queue.tail = number;
        queue.count += 1;
        self.held += 1;
    }

    /// What is to be sent next.
    pub(super) fn first(&self, queue: &Queue) -> Option<Part> {
        let buffer = BufferId::new(queue.head)?;
        let length = self.links[usize::from(queue.head)].length - queue.sent;
        Some(Part { buffer, from: queue.sent, length })
    }

    /// Counts `bytes` of the first one as sent; the buffer, if that was all of it.
    ///
    /// # Panics
    /// When that is more than it holds.
    pub(super) fn sent(&mut self, queue: &mut Queue, bytes: u16) -> Option<BufferId> {
        let first = self.first(queue)?;
        assert!(bytes <= first.length, "no more is sent than there is");
        if bytes < first.length {
            queue.sent += bytes;
            return None;
        }
        queue.head = self.links[usize::from(queue.head)].next;
        if queue.head == NONE {
            queue.tail = NONE;
        }
        queue.sent = 0;
        queue.count -= 1;
        self.held -= 1;
        Some(first.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> BufferId {
        BufferId::new(number).expect("it is small")
    }

    #[test]
    fn queues_share_the_table_and_keep_their_order() {
        let mut buffers = Buffers::default();
        let (mut one, mut other) = (Queue::default(), Queue::default());
        buffers.push(&mut one, id(7), 10);
        buffers.push(&mut other, id(0), 5);
        buffers.push(&mut one, id(3), BYTES);
        assert_eq!((one.count(), other.count(), buffers.held()), (2, 1, 3));
        assert_eq!(buffers.first(&one), Some(Part { buffer: id(7), from: 0, length: 10 }));
        assert_eq!(buffers.sent(&mut one, 4), None);
        assert_eq!(buffers.first(&one), Some(Part { buffer: id(7), from: 4, length: 6 }));
        assert_eq!(buffers.sent(&mut one, 6), Some(id(7)));
        assert_eq!(buffers.first(&one), Some(Part { buffer: id(3), from: 0, length: BYTES }));
        assert_eq!(buffers.sent(&mut one, BYTES), Some(id(3)));
        assert!(one.is_empty() && buffers.first(&one).is_none());
        buffers.push(&mut one, id(7), 1);
        assert_eq!(buffers.sent(&mut one, 1), Some(id(7)));
        assert_eq!(buffers.sent(&mut other, 5), Some(id(0)));
        assert_eq!(buffers.held(), 0);
    }

    #[test]
    fn there_are_only_so_many() {
        assert!(BufferId::new(COUNT).is_none() && BufferId::new(NONE).is_none());
    }
}
