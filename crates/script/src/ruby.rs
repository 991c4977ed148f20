//! Ruby files: the half that sessions see.
//!
//! A session puts its question into the bounded line of one worker and waits, for as long as it
//! likes; whoever runs the workers (`control`) takes the questions out and answers. A session asks
//! the same worker every time, so that a file may keep in its variables what it knows of a client.
//! A session that is gone meanwhile leaves an abandoned question, which nobody needs to answer.
//! `counsel` is how the engine sees it.

mod counsel;

use std::any::Any;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::script::Scripts;
use tokio::sync::{mpsc, oneshot, watch};
use wire::ruby::{Field, Kind, Ready};

pub use counsel::File;

/// Sessions that may wait for answers of one worker; more are not decided about.
pub const WAITING_MAX: usize = 1_024;

/// The Ruby files among `scripts`, each once.
pub fn all(scripts: &Scripts) -> Vec<Arc<Ruby>> {
    let mut all: Vec<Arc<Ruby>> = Vec::new();
    for (_, script) in scripts.iter() {
        let script: Arc<dyn Any + Send + Sync> = Arc::clone(script) as _;
        let Ok(file) = script.downcast::<File>() else { continue };
        if !all.iter().any(|ruby| Arc::ptr_eq(ruby, &file.ruby)) {
            all.push(Arc::clone(&file.ruby));
        }
    }
    all
}

/// The listeners whose script is `ruby`.
pub fn listeners_of<'a>(scripts: &'a Scripts, ruby: &Arc<Ruby>) -> Vec<&'a str> {
    let is_it = |script: &Arc<dyn engine::script::Script>| {
        let script: &dyn Any = &**script;
        script.downcast_ref::<File>().is_some_and(|file| Arc::ptr_eq(&file.ruby, ruby))
    };
    scripts.iter().filter(|(_, script)| is_it(script)).map(|(listener, _)| listener).collect()
}

/// What the processes of a file are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Title {
    /// How many sessions there are, were at most at a time, and were in all.
    pub sessions: [u64; 3],
    /// All of it.
    pub text: String,
}

/// A file, and how it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it, so that a file that has changed is another.
    pub text: Arc<str>,
    /// Processes that run it.
    pub workers: NonZeroU32,
    /// How long its blocks may take for one answer.
    pub deadline: Duration,
    /// Whether its blocks mean exactly what they do in ProxyMachine 1.2.4.
    pub strict: bool,
}

impl Source {
    /// What `script` says, whose file holds `text`.
    pub fn new(script: &model::Script, text: &str) -> Self {
        Self {
            path: (&script.file).into(),
            text: text.into(),
            workers: script.workers.unwrap_or(NonZeroU32::MIN),
            deadline: script.deadline(),
            strict: script.compat == model::Compat::ProxyMachine,
        }
    }
}

/// A file that runs.
#[derive(Debug)]
pub struct Ruby {
    source: Source,
    inlets: Box<[mpsc::Sender<Question>]>,
    /// Until somebody takes them.
    outlets: Mutex<Option<Vec<mpsc::Receiver<Question>>>>,
    /// How many workers have loaded it, or why one cannot.
    loaded: watch::Sender<Loaded>,
    titles: watch::Sender<Title>,
    /// Sessions that have begun.
    attended: AtomicU64,
    /// Which blocks there are, as [`Ready`] has them.
    blocks: AtomicU8,
}

/// How far a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// By so many workers.
    By(u32),
    /// It cannot be.
    Failed(Broken),
}

/// Why a file cannot be loaded, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Where a client goes.
    Route {
        /// Where it comes from, as text.
        client: Box<str>,
        /// Where it came to, as text.
        server: Box<str>,
        /// All that it has sent so far.
        data: Box<[u8]>,
    },
    /// What becomes of a client whose backend could not be reached.
    ConnectError(Box<str>),
    /// The same for one whose backend was silent for too long.
    Inactivity(Box<str>),
    /// What the first bytes of a backend become.
    Filter(Box<[u8]>),
}

/// A question that waits for its answer.
#[derive(Debug)]
pub struct Question {
    /// What it is.
    pub ask: Ask,
    answer: oneshot::Sender<Answer>,
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A block has decided.
    Decided(Decided),
    /// A block has made this of the bytes.
    Filtered(Box<[u8]>),
    /// Nothing.
    None(Unanswered),
}

/// What a block has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of `wire::ruby` with its name")]
pub struct Decided {
    pub kind: Kind,
    pub remotes: Vec<String>,
    pub pool: Option<String>,
    pub data: Option<Box<[u8]>>,
    pub reply: Box<[u8]>,
    pub connect_timeout: Option<Duration>,
    pub inactivity_timeout: Option<Duration>,
    pub retries: Option<u32>,
    pub text: Box<[u8]>,
    pub shown: String,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// As many sessions wait as may ([`WAITING_MAX`]).
    Crowded,
    /// The worker did not answer in time.
    Late(Duration),
    /// The worker ended instead of answering, and so did the next.
    Ended,
    /// The file is not run any more.
    Stopped,
}

impl Question {
    /// Answers it. The session may be gone.
    pub fn answer(self, answer: Answer) {
        let _ = self.answer.send(answer);
    }

    /// Whether nobody waits for the answer.
    pub fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }
}

impl Decided {
    /// What `decision` holds; bytes that are no text are shown as well as can be.
    pub fn of(decision: &wire::ruby::Decision<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut decided = Self {
            kind: decision.kind,
            remotes: Vec::new(),
            pool: None,
            data: None,
            reply: Box::default(),
            connect_timeout: None,
            inactivity_timeout: None,
            retries: None,
            text: Box::default(),
            shown: String::new(),
        };
        for field in decision.fields() {
            match field {
                Field::Remote(remote) => decided.remotes.push(text(remote)),
                Field::Pool(pool) => decided.pool = Some(text(pool)),
                Field::Data(data) => decided.data = Some(data.into()),
                Field::Reply(reply) => decided.reply = reply.into(),
                Field::ConnectTimeout(micros) => {
                    decided.connect_timeout = Some(Duration::from_micros(micros));
                }
                Field::InactivityTimeout(micros) => {
                    decided.inactivity_timeout = Some(Duration::from_micros(micros));
                }
                Field::Retries(times) => {
                    decided.retries = Some(u32::try_from(times).unwrap_or(u32::MAX));
                }
                Field::Text(bytes) => decided.text = bytes.into(),
                Field::Shown(value) => decided.shown = text(value),
            }
        }
        decided
    }
}

impl Ruby {
    /// One whose questions nobody has taken yet.
    pub fn new(source: Source) -> Self {
        let lines = (0..source.workers.get()).map(|_| mpsc::channel(WAITING_MAX));
        let (inlets, outlets): (Vec<_>, Vec<_>) = lines.unzip();
        Self {
            source,
            inlets: inlets.into(),
            outlets: Mutex::new(Some(outlets)),
            loaded: watch::channel(Loaded::By(0)).0,
            titles: watch::channel(Title::default()).0,
            attended: AtomicU64::new(0),
            blocks: AtomicU8::new(0),
        }
    }

    /// What is run.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The ends that questions come out of, one for each worker; `None`: somebody has them.
    pub fn take_questions(&self) -> Option<Vec<mpsc::Receiver<Question>>> {
        self.outlets.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// One more worker has loaded the file, for the first time.
    pub fn is_loaded(&self, ready: &Ready<'_>) {
        self.blocks.store(ready.blocks(), Ordering::Relaxed);
        self.loaded.send_modify(|loaded| {
            if let Loaded::By(count) = loaded {
                *count += 1;
            }
        });
    }

    /// A worker cannot load the file.
    pub fn is_broken(&self, why: Broken) {
        self.loaded.send_replace(Loaded::Failed(why));
    }

    /// Waits until all workers have loaded the file, or one cannot.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn ready(&self) -> Result<(), Broken> {
        let mut loaded = self.loaded.subscribe();
        let enough = |loaded: &Loaded| match loaded {
            Loaded::By(count) => *count >= self.source.workers.get(),
            Loaded::Failed(_) => true,
        };
        // The sender is here, so there is always one.
        let state = loaded.wait_for(enough).await.map(|state| state.clone());
        match state {
            Ok(Loaded::Failed(why)) => Err(why),
            Ok(Loaded::By(_)) | Err(_) => Ok(()),
        }
    }

    /// One more session has begun.
    fn attends(&self) {
        self.attended.fetch_add(1, Ordering::Relaxed);
    }

    /// Sessions that have begun.
    pub fn attended(&self) -> u64 {
        self.attended.load(Ordering::Relaxed)
    }

    /// Calls its processes so.
    pub fn entitle(&self, title: Title) {
        self.titles.send_if_modified(|before| {
            let is_new = *before != title;
            *before = title;
            is_new
        });
    }

    /// What they are called, and each change of that.
    pub fn titles(&self) -> watch::Receiver<Title> {
        self.titles.subscribe()
    }

    /// What is in the file, once it is loaded.
    pub fn blocks(&self) -> Ready<'static> {
        Ready::of(self.blocks.load(Ordering::Relaxed))
    }

    /// Asks the worker of the session with this id, and waits for the answer.
    pub async fn ask(&self, session: u64, ask: Ask) -> Answer {
        // It fits: there are as many as a u32 counts.
        let at = usize::try_from(session % self.inlets.len() as u64).unwrap_or_default();
        let (answer, answered) = oneshot::channel();
        match self.inlets[at].try_send(Question { ask, answer }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Answer::None(Unanswered::Crowded),
            Err(mpsc::error::TrySendError::Closed(_)) => return Answer::None(Unanswered::Stopped),
        }
        answered.await.unwrap_or(Answer::None(Unanswered::Stopped))
    }
}

/// Why, for people.
impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crowded => write!(f, "{WAITING_MAX} sessions wait for a worker, as many as may"),
            Self::Late(deadline) => {
                write!(f, "there was no answer within {}", model::unit::show(*deadline))
            }
            Self::Ended => {
                f.write_str("the worker ended instead of answering, and so did the next")
            }
            Self::Stopped => f.write_str("the file is not run any more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruby(workers: u32) -> Ruby {
        Ruby::new(Source {
            path: "/etc/route.rb".into(),
            text: "".into(),
            workers: NonZeroU32::new(workers).expect("some"),
            deadline: Duration::from_secs(5),
            strict: false,
        })
    }

    fn ask() -> Ask {
        Ask::ConnectError("a:1".into())
    }

    #[tokio::test]
    async fn a_session_asks_the_same_worker_every_time() {
        let ruby = ruby(2);
        let mut lines = ruby.take_questions().expect("nobody has them");
        assert!(ruby.take_questions().is_none());
        for session in [3, 4, 3, 5] {
            let line = usize::try_from(session % 2).expect("small");
            let answering = async {
                let question = lines[line].recv().await.expect("a question");
                assert_eq!(question.ask, ask());
                question.answer(Answer::Filtered(Box::default()));
            };
            let (answer, ()) = tokio::join!(ruby.ask(session, ask()), answering);
            assert_eq!(answer, Answer::Filtered(Box::default()));
        }
        drop(lines);
        assert_eq!(ruby.ask(1, ask()).await, Answer::None(Unanswered::Stopped));
    }

    #[tokio::test]
    async fn no_more_wait_than_may_and_who_goes_is_not_answered() {
        let ruby = ruby(1);
        let mut lines = ruby.take_questions().expect("nobody has them");
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(ruby.ask(0, ask()))).collect();
        for one in &mut waiting {
            assert!(futures_poll(one.as_mut()).is_pending());
        }
        assert_eq!(ruby.ask(0, ask()).await, Answer::None(Unanswered::Crowded));
        waiting.clear();
        assert!(lines[0].recv().await.expect("the first").is_abandoned());
    }

    fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }

    #[tokio::test]
    async fn it_is_ready_when_all_workers_are() {
        let ruby = ruby(2);
        let ready = Ready::of(3);
        ruby.is_loaded(&ready);
        let mut waits = Box::pin(ruby.ready());
        assert!(futures_poll(waits.as_mut()).is_pending());
        ruby.is_loaded(&ready);
        assert_eq!(waits.await, Ok(()));
        assert!(ruby.blocks().hears_connect_errors() && !ruby.blocks().filters());
        let why = Broken("SyntaxError".to_owned());
        ruby.is_broken(why.clone());
        assert_eq!(ruby.ready().await, Err(why));
    }
}
