//! Programs that are asked whether clients may come: the half that sessions see.
//!
//! A session puts its question into a bounded queue and waits, for as long as its listener says;
//! whoever runs the program (`control`) takes the questions out and answers. A session that is gone
//! meanwhile leaves an abandoned question, which nobody needs to answer. Like what counts and
//! remembers, an authority goes on in the next plan, if that runs the same program.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use model::{OnError, Program};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Sessions that may wait for decisions of one program; more are undecided at once.
pub const WAITING_MAX: usize = 1_024;

/// A program that is asked.
#[derive(Debug)]
pub struct Authority {
    program: Program,
    inlet: mpsc::Sender<Question>,
    /// Until somebody takes it.
    outlet: Mutex<Option<mpsc::Receiver<Question>>>,
    /// Sessions that wait for a decision.
    waiting: AtomicUsize,
}

/// Whom a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Where the client comes from; `None`: by a unix socket.
    pub client: Option<SocketAddr>,
    /// Where it came to; `None`: a unix socket, or not known.
    pub server: Option<SocketAddr>,
    /// What the listener is called.
    pub realm: Arc<str>,
    /// When it came.
    pub arrived: SystemTime,
}

/// A question that waits for its answer.
#[derive(Debug)]
pub struct Question {
    /// Whom it is about.
    pub subject: Subject,
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
    /// How long that was when it was asked.
    patience: Duration,
    answer: oneshot::Sender<Decision>,
}

/// What a program decided about a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may come.
    Allow,
    /// It may not; with the comment of the program, if it made one.
    Deny(Option<String>),
    /// Nothing.
    Undecided(Undecided),
}

/// Why nothing was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// There was no answer within this time.
    Timeout(Duration),
    /// As many sessions wait as may ([`WAITING_MAX`]).
    Crowded,
    /// The program cannot be started.
    NotStarted(Arc<str>),
    /// The program ended instead of answering.
    Ended,
    /// What it said is no answer.
    Foreign,
    /// It answered a question that it was not asked.
    OutOfStep,
    /// It answered with this result and this code, which decide nothing.
    Said(String, u8),
    /// The program is not asked any more.
    Stopped,
}

impl Question {
    /// Answers it. The session may be gone.
    pub fn answer(self, decision: Decision) {
        let _ = self.answer.send(decision);
    }

    /// Answers that there is none in time.
    pub fn expire(self) {
        let patience = self.patience;
        self.answer(Decision::Undecided(Undecided::Timeout(patience)));
    }

    /// Whether nobody waits for the answer.
    pub fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }
}

impl Authority {
    /// One whose questions nobody has taken yet.
    pub fn new(program: Program) -> Self {
        let (inlet, outlet) = mpsc::channel(WAITING_MAX);
        Self { program, inlet, outlet: Mutex::new(Some(outlet)), waiting: AtomicUsize::new(0) }
    }

    /// What is run.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The end that questions come out of; `None`: somebody has it.
    pub fn take_questions(&self) -> Option<mpsc::Receiver<Question>> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits for what the program decides, for at most `patience`.
    async fn ask(&self, subject: Subject, patience: Duration) -> Decision {
        let Some(_waiting) = Waiting::enter(&self.waiting) else {
            return Decision::Undecided(Undecided::Crowded);
        };
        let (answer, decision) = oneshot::channel();
        let deadline = Instant::now() + patience;
        match self.inlet.try_send(Question { subject, deadline, patience, answer }) {
            Ok(()) => {}
            // Those who wait are fewer; the others have gone, and were not taken out yet.
            Err(mpsc::error::TrySendError::Full(_)) => {
                return Decision::Undecided(Undecided::Crowded);
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return Decision::Undecided(Undecided::Stopped);
            }
        }
        match timeout_at(deadline, decision).await {
            Ok(Ok(decision)) => decision,
            Ok(Err(_)) => Decision::Undecided(Undecided::Stopped),
            Err(_) => Decision::Undecided(Undecided::Timeout(patience)),
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

/// How the sessions of a listener ask.
#[derive(Debug)]
pub struct Authorize {
    /// Whom.
    pub authority: Arc<Authority>,
    timeout: Duration,
    /// What becomes of a client about which nothing is decided.
    pub on_error: OnError,
    realm: Arc<str>,
}

impl Authorize {
    /// As `configured` on the listener `name`.
    pub(crate) fn new(
        configured: &model::Authorize,
        name: &str,
        authority: Arc<Authority>,
    ) -> Self {
        Self {
            authority,
            timeout: configured.timeout,
            on_error: configured.on_error,
            realm: configured.realm.as_deref().unwrap_or(name).into(),
        }
    }

    /// Waits for the decision about a client that has just come.
    pub(crate) async fn ask(
        &self,
        client: Option<SocketAddr>,
        server: Option<SocketAddr>,
    ) -> Decision {
        let realm = Arc::clone(&self.realm);
        let subject = Subject { client, server, realm, arrived: SystemTime::now() };
        self.authority.ask(subject, self.timeout).await
    }
}

/// Why, for people.
impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(patience) => {
                write!(f, "there was no answer within {}", model::unit::show(*patience))
            }
            Self::Crowded => write!(f, "{WAITING_MAX} sessions wait for it, as many as may"),
            Self::NotStarted(why) => write!(f, "it cannot be started: {why}"),
            Self::Ended => f.write_str("it ended instead of answering"),
            Self::Foreign => f.write_str("what it said is no answer"),
            Self::OutOfStep => f.write_str("it answered what it was not asked"),
            Self::Said(result, code) => match result.as_str() {
                "" => write!(f, "its answer has no result, and the code {code}"),
                result => write!(f, "its answer was {result}, with the code {code}"),
            },
            Self::Stopped => f.write_str("it is not asked any more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> Authority {
        Authority::new(Program::new(vec!["/bin/check".to_owned()]))
    }

    fn subject() -> Subject {
        Subject { client: None, server: None, realm: "web".into(), arrived: SystemTime::now() }
    }

    #[tokio::test]
    async fn a_question_is_answered() {
        let authority = authority();
        let mut questions = authority.take_questions().expect("nobody has them");
        assert!(authority.take_questions().is_none());
        let answering = async {
            let question = questions.recv().await.expect("a question");
            assert_eq!(&*question.subject.realm, "web");
            question.answer(Decision::Allow);
        };
        let patience = Duration::from_secs(60);
        let (decision, ()) = tokio::join!(authority.ask(subject(), patience), answering);
        assert_eq!(decision, Decision::Allow);
    }

    #[tokio::test]
    async fn nobody_waits_for_ever_and_who_goes_frees_its_place() {
        let authority = authority();
        let mut questions = authority.take_questions().expect("nobody has them");
        let patience = Duration::from_millis(1);
        let decision = authority.ask(subject(), patience).await;
        assert_eq!(decision, Decision::Undecided(Undecided::Timeout(patience)));
        assert!(questions.recv().await.expect("the question").is_abandoned());
        assert_eq!(authority.waiting.load(Ordering::Relaxed), 0);
        drop(questions);
        let decision = authority.ask(subject(), patience).await;
        assert_eq!(decision, Decision::Undecided(Undecided::Stopped));
    }

    #[tokio::test]
    async fn no_more_wait_than_may() {
        let authority = authority();
        let places: Vec<_> =
            (0..WAITING_MAX).filter_map(|_| Waiting::enter(&authority.waiting)).collect();
        assert_eq!(places.len(), WAITING_MAX);
        let patience = Duration::from_millis(1);
        let decision = authority.ask(subject(), patience).await;
        assert_eq!(decision, Decision::Undecided(Undecided::Crowded));
        drop(places);
        let decision = authority.ask(subject(), patience).await;
        assert_eq!(decision, Decision::Undecided(Undecided::Timeout(patience)));
    }
}
