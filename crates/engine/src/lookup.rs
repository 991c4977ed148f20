//! Host names that nobody has configured: a client of a proxy asks for one, or a script does.
//!
//! Sessions never resolve anything themselves. They put a question into a bounded queue and wait,
//! for as long as they may; whoever resolves names (`control`) takes the questions out and answers.
//! A session that is gone meanwhile leaves an abandoned question, which nobody needs to answer.
//! Unlike a [`Name`](crate::Name) nothing of it is kept here: names that come from clients are
//! without number.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Sessions that may wait for addresses at a time; more get [`NotFound::Crowded`] at once.
pub const WAITING_MAX: usize = 4_096;

/// Where names are looked up. Clones are the same.
#[derive(Clone, Debug)]
pub struct Lookups(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inlet: mpsc::Sender<Question>,
    /// Until somebody takes it.
    outlet: Mutex<Option<mpsc::Receiver<Question>>>,
    waiting: AtomicUsize,
}

/// A name that somebody waits for.
#[derive(Debug)]
pub struct Question {
    /// The name: any text that a client may send.
    pub host: Box<str>,
    /// When nobody waits any more.
    pub deadline: Instant,
    answer: oneshot::Sender<Result<Arc<[IpAddr]>, NotFound>>,
}

/// Why there are no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// The name has none, or nobody could tell, with the reason in a few words.
    Failed(Arc<str>),
    /// There was no answer in time.
    Timeout,
    /// As many wait as may ([`WAITING_MAX`]).
    Crowded,
    /// Nobody answers any more: the process ends.
    Stopped,
}

impl Question {
    /// Answers it; an answer has at least one address. Whoever asked may be gone.
    pub fn answer(self, answer: Result<Arc<[IpAddr]>, NotFound>) {
        let _ = self.answer.send(answer);
    }

    /// Whether nobody waits for the answer.
    pub fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }
}

impl Default for Lookups {
    fn default() -> Self {
        let (inlet, outlet) = mpsc::channel(WAITING_MAX);
        let outlet = Mutex::new(Some(outlet));
        Self(Arc::new(Shared { inlet, outlet, waiting: AtomicUsize::new(0) }))
    }
}

impl Lookups {
    /// The end that questions come out of; `None`: somebody has it.
    pub fn take_questions(&self) -> Option<mpsc::Receiver<Question>> {
        self.0.outlet.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The addresses of `host`, at least one, in the order in which they are best tried. Waits for
    /// at most `patience`. The text of an address is that address.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn addresses(
        &self,
        host: &str,
        patience: Duration,
    ) -> Result<Arc<[IpAddr]>, NotFound> {
        if let Ok(address) = host.parse() {
            return Ok([address].into());
        }
        if host.is_empty() || host.len() > model::address::HOST_BYTES_MAX {
            return Err(NotFound::Failed("it is no host name".into()));
        }
        let _waiting = Waiting::enter(&self.0.waiting).ok_or(NotFound::Crowded)?;
        let (answer, answered) = oneshot::channel();
        let deadline = Instant::now() + patience;
        match self.0.inlet.try_send(Question { host: host.into(), deadline, answer }) {
            Ok(()) => {}
            // Those who wait are fewer; the others have gone, and were not taken out yet.
            Err(mpsc::error::TrySendError::Full(_)) => return Err(NotFound::Crowded),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(NotFound::Stopped),
        }
        match timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(NotFound::Stopped),
            Err(_) => Err(NotFound::Timeout),
        }
    }
}

/// Counts one who waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        let more = |waiting| (waiting < WAITING_MAX).then_some(waiting + 1);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why, for people.
impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => f.write_str(why),
            Self::Timeout => f.write_str("the name servers did not answer in time"),
            Self::Crowded => write!(f, "{WAITING_MAX} sessions wait for names, as many as may"),
            Self::Stopped => f.write_str("names are not looked up any more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn a_question_is_answered() {
        let lookups = Lookups::default();
        let mut questions = lookups.take_questions().expect("nobody has them");
        assert!(lookups.take_questions().is_none());
        let addresses: Arc<[IpAddr]> = [IpAddr::from([192, 0, 2, 7])].into();
        let answering = async {
            let question = questions.recv().await.expect("a question");
            assert_eq!(&*question.host, "www.example");
            question.answer(Ok(Arc::clone(&addresses)));
        };
        let (answer, ()) = tokio::join!(lookups.addresses("www.example", LONG), answering);
        assert_eq!(answer, Ok(addresses));
    }

    #[tokio::test]
    async fn addresses_and_nonsense_need_nobody() {
        let lookups = Lookups::default();
        for (host, expected) in [
            ("192.0.2.7", Some("192.0.2.7")),
            ("::1", Some("::1")),
            ("", None),
            (&"x".repeat(254), None),
        ] {
            let found = lookups.addresses(host, Duration::ZERO).await;
            match expected {
                Some(address) => assert_eq!(found, Ok([address.parse().unwrap()].into())),
                None => assert!(matches!(found, Err(NotFound::Failed(_))), "{host}"),
            }
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_ever_and_who_goes_frees_its_place() {
        let lookups = Lookups::default();
        let mut questions = lookups.take_questions().expect("nobody has them");
        assert_eq!(lookups.addresses("a.example", SHORT).await, Err(NotFound::Timeout));
        assert!(questions.recv().await.expect("the question").is_abandoned());
        assert_eq!(lookups.0.waiting.load(Ordering::Relaxed), 0);
        drop(questions);
        assert_eq!(lookups.addresses("a.example", LONG).await, Err(NotFound::Stopped));
    }

    #[tokio::test]
    async fn no_more_wait_than_may() {
        let lookups = Lookups::default();
        let enter = || Waiting::enter(&lookups.0.waiting);
        let places: Vec<_> = (0..WAITING_MAX).filter_map(|_| enter()).collect();
        assert_eq!(places.len(), WAITING_MAX);
        assert_eq!(lookups.addresses("a.example", LONG).await, Err(NotFound::Crowded));
        drop(places);
        assert_eq!(lookups.addresses("a.example", SHORT).await, Err(NotFound::Timeout));
    }
}
