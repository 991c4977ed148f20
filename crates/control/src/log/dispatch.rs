//! From the one queue of the journal to every log.
//!
//! A log that stands alone is written on the thread that empties the journal. Each of several has
//! a thread and a bounded queue of its own, so that one whose disk or server stands still takes
//! nothing from the others: what its queue has no room for is counted, and told there.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use engine::journal::{self, Entry, Journal, Level, Notice, Wants};

use super::writer::{Setup, Writer};
use super::{Logs, Opened};

/// Entries that may wait for one of several logs: a burst that the journal has room for passes.
const WAITING_MAX: usize = journal::ENTRIES_MAX;

/// How long entries are gathered, where one comes so soon after those before.
const GATHER: Duration = Duration::from_millis(2);

/// Logs that are to take the place of those there are, one after the other.
pub(super) type Successors = Arc<Mutex<Vec<Logs>>>;

/// Hands each entry to all logs.
pub(super) struct Dispatcher {
    journal: Journal,
    ways: Vec<Way>,
    successors: Successors,
    /// Logs that were replaced and still write what they have.
    retired: Vec<Receiver<u64>>,
    /// Entries that replaced logs could not write.
    left_over: u64,
}

/// How entries reach a log.
enum Way {
    /// It is written right here.
    Here(Box<Writer>),
    /// It has a thread.
    Aside(Box<Aside>),
}

/// A log on a thread of its own.
struct Aside {
    setup: Setup,
    wants: Wants,
    queue: SyncSender<Parcel>,
    missed: Arc<AtomicU64>,
    /// Its files are to be opened anew, and the queue had no room for saying so.
    reopens: Arc<AtomicBool>,
    /// Gets the number of entries that were not written, at the end.
    ended: Receiver<u64>,
}

/// What is handed to a log's thread.
enum Parcel {
    Entry(Arc<Entry>),
    /// There is something to see to besides entries.
    Nudge,
}

impl Dispatcher {
    /// Starts a thread for each log, unless there is only one.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(logs: Logs, journal: Journal, successors: Successors) -> io::Result<Self> {
        let is_alone = logs.opened.len() == 1;
        let way = |opened| match opened {
            Opened::New(writer) if is_alone => Some(Ok(Way::Here(writer))),
            Opened::New(writer) => {
                Some(Aside::start(writer).map(Way::Aside).map_err(|(_, error)| error))
            }
            Opened::Kept(_) => None,
        };
        let ways = logs.opened.into_iter().filter_map(way).collect::<io::Result<_>>()?;
        Ok(Self { journal, ways, successors, retired: Vec::new(), left_over: 0 })
    }

    /// Hands over entries until [`Entry::Close`]; tells how many were not written.
    pub(super) fn run(mut self, entries: &Receiver<Entry>) -> u64 {
        pump(entries, &mut self);
        self.flush();
        let (mut unwritten, mut waited_for) = (0, self.retired);
        for way in self.ways {
            match way {
                Way::Here(writer) => unwritten += writer.end(),
                // Without its sender a queue ends once it is empty.
                Way::Aside(aside) => waited_for.push(aside.ended),
            }
        }
        unwritten + waited_for.iter().filter_map(|ended| ended.recv().ok()).sum::<u64>()
    }

    fn hand_over(&mut self, entry: Entry) {
        if let [Way::Here(writer)] = &mut *self.ways {
            return writer.take(&entry);
        }
        let entry = Arc::new(entry);
        for way in &mut self.ways {
            match way {
                Way::Here(writer) => writer.take(&entry),
                Way::Aside(aside) => aside.put(&entry),
            }
        }
    }

    fn replace(&mut self, successors: Logs) {
        let wants = successors.wants();
        let mut old = std::mem::take(&mut self.ways);
        let is_alone = successors.opened.len() == 1;
        for opened in successors.opened {
            let way = match opened {
                Opened::New(writer) => Some(Way::Here(writer)),
                Opened::Kept(setup) => {
                    let same = old.iter().position(|way| *way.setup() == setup);
                    same.map(|at| old.swap_remove(at))
                }
            };
            self.ways.extend(way.map(|way| match way {
                Way::Here(writer) if !is_alone => match Aside::start(writer) {
                    Ok(aside) => Way::Aside(aside),
                    // Without a thread it is written here, and the others wait for it.
                    Err((writer, _)) => Way::Here(writer),
                },
                way => way,
            }));
        }
        for way in old {
            let ended = match way {
                Way::Aside(aside) => Ok(aside.ended),
                Way::Here(writer) => Aside::start(writer).map(|aside| aside.ended),
            };
            match ended {
                Ok(ended) => self.retired.push(ended),
                Err((writer, _)) => self.left_over += writer.end(),
            }
        }
        self.journal.want(wants);
    }

    fn look_for_drops(&mut self) {
        let dropped = self.journal.take_dropped();
        for way in self.ways.iter().filter(|_| dropped > 0) {
            way.missed().fetch_add(dropped, Ordering::Relaxed);
            if let Way::Aside(aside) = way {
                // Without room for this it is awake, and will look.
                let _ = aside.queue.try_send(Parcel::Nudge);
            }
        }
        self.retired.retain(|ended| match ended.try_recv() {
            Ok(unwritten) => {
                self.left_over += unwritten;
                false
            }
            Err(mpsc::TryRecvError::Empty) => true,
            Err(mpsc::TryRecvError::Disconnected) => false,
        });
    }
}

impl Consumer for Dispatcher {
    type Item = Entry;

    fn take(&mut self, entry: Entry) -> Next {
        match entry {
            Entry::Close => return Next::End,
            Entry::Replace => {
                let all = std::mem::take(
                    &mut *self.successors.lock().unwrap_or_else(PoisonError::into_inner),
                );
                all.into_iter().for_each(|successors| self.replace(successors));
            }
            entry => self.hand_over(entry),
        }
        Next::Go
    }

    fn flush(&mut self) {
        self.look_for_drops();
        if self.left_over > 0 {
            let lost = std::mem::take(&mut self.left_over);
            let text = format!("{lost} entries are lost of a log that was replaced");
            self.hand_over(Entry::Notice(Notice::Remark { level: Level::Warning, text }));
        }
        for way in &mut self.ways {
            if let Way::Here(writer) = way {
                writer.flush();
            }
        }
    }

    fn due(&mut self) -> Option<Instant> {
        let writers = self.ways.iter_mut().filter_map(|way| match way {
            Way::Here(writer) => writer.due(),
            Way::Aside(_) => None,
        });
        writers.min()
    }
}

impl Way {
    fn setup(&self) -> &Setup {
        match self {
            Self::Here(writer) => writer.setup(),
            Self::Aside(aside) => &aside.setup,
        }
    }

    /// Counts the entries that did not reach it; it tells them.
    fn missed(&self) -> Arc<AtomicU64> {
        match self {
            Self::Here(writer) => writer.missed(),
            Self::Aside(aside) => Arc::clone(&aside.missed),
        }
    }
}

impl Aside {
    /// Gives a log a thread; it comes back if there can be none.
    fn start(writer: Box<Writer>) -> Result<Box<Self>, (Box<Writer>, io::Error)> {
        let (queue, parcels) = mpsc::sync_channel(WAITING_MAX);
        let (last, ended) = mpsc::channel();
        let reopens = Arc::new(AtomicBool::new(false));
        let aside = Self {
            setup: writer.setup().clone(),
            wants: writer.setup().wants(),
            queue,
            missed: writer.missed(),
            reopens: Arc::clone(&reopens),
            ended,
        };
        // Through a channel: what a closure holds that no thread was found for is gone.
        let (hand, take) = mpsc::channel();
        let spawned = thread::Builder::new().name("replug-log-to".to_owned()).spawn(move || {
            let Ok(writer) = take.recv() else { return };
            let mut alone = Alone { writer, reopens };
            pump(&parcels, &mut alone);
            // Nobody waits any more if the process took too long to end.
            let _ = last.send(alone.writer.end());
        });
        if let Err(error) = spawned {
            return Err((writer, error));
        }
        match hand.send(writer) {
            Ok(()) => Ok(aside.into()),
            Err(mpsc::SendError(writer)) => Err((writer, io::Error::other("its thread has died"))),
        }
    }

    fn put(&self, entry: &Arc<Entry>) {
        let is_wanted = match &**entry {
            Entry::Session(_) => self.wants.records,
            Entry::Request(_) => self.wants.requests,
            Entry::Notice(notice) => notice.level() >= self.wants.level,
            Entry::Reopen => true,
            Entry::Replace | Entry::Close => false,
        };
        if !is_wanted {
            return;
        }
        match (self.queue.try_send(Parcel::Entry(Arc::clone(entry))), &**entry) {
            (Ok(()), _) => {}
            (Err(TrySendError::Full(_)), Entry::Reopen) => {
                self.reopens.store(true, Ordering::Release);
            }
            (Err(_), _) => {
                self.missed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A log on its thread.
struct Alone {
    writer: Box<Writer>,
    reopens: Arc<AtomicBool>,
}

impl Consumer for Alone {
    type Item = Parcel;

    fn take(&mut self, parcel: Parcel) -> Next {
        if let Parcel::Entry(entry) = parcel {
            self.writer.take(&entry);
        }
        Next::Go
    }

    fn flush(&mut self) {
        if self.reopens.swap(false, Ordering::AcqRel) {
            self.writer.take(&Entry::Reopen);
        }
        self.writer.flush();
    }

    fn due(&mut self) -> Option<Instant> {
        self.writer.due()
    }
}

/// What a thread does with the items of its queue.
trait Consumer {
    type Item;

    fn take(&mut self, item: Self::Item) -> Next;

    /// Called whenever the queue is empty, and when it is due.
    fn flush(&mut self);

    /// When to flush, though no item comes.
    fn due(&mut self) -> Option<Instant>;
}

/// Whether a thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Go,
    End,
}

/// Feeds items to `consumer` until it ends, or nobody can send any more. One that comes alone is
/// written at once; where many come, they are gathered for a moment, so that not each of them costs a
/// session's thread a call to wake this one.
fn pump<C: Consumer>(items: &Receiver<C::Item>, consumer: &mut C) {
    let mut flushed: Option<Instant> = None;
    loop {
        let first = match consumer.due() {
            None => items.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => items.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        let mut next = match first {
            Ok(item) => Some(item),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if flushed.is_some_and(|flushed| flushed.elapsed() < GATHER) {
            gather();
        }
        while let Some(item) = next {
            if consumer.take(item) == Next::End {
                return;
            }
            next = items.try_recv().ok();
        }
        consumer.flush();
        flushed = Some(Instant::now());
    }
}

#[expect(clippy::disallowed_methods, reason = "to be woken by each entry is what it spares")]
fn gather() {
    thread::sleep(GATHER);
}
