//! A session of which a script decides where it goes.
//!
//! It is asked when no route takes the session: first when the client has come, then again and
//! again as the client says more, within the time and the bytes that routes have as well. What it
//! decides is carried out here, and what becomes of that is told to its callbacks, which may decide
//! anew. A client that has ended its stream, or said all that is looked at, is decided about for the
//! last time; without a decision it goes where it would go without a script.
//!
//! What the client has said is kept until its backend has answered, if the script may decide anew
//! for one that does not. Nothing that came behind it is ever sent to two backends.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use model::{BackendAddress, OnScriptError};
use relay::{Next, Relay, Rewrite, Side, Socket, Tick};
use tokio::time::{sleep, timeout};

use super::{Carried, Carry, Session};
use crate::journal::Notice;
use crate::phase::account::{By, Event, Reason, Spoken};
use crate::phase::carry::Outcome;
use crate::phase::connect::{FirstWord, Instead, Trail};
use crate::phase::hearing::{self, Hall, Heard};
use crate::phase::route::Routed;
use crate::phase::sniff::{Hello, Looks};
use crate::plan::Pool;
use crate::script::{
    About, Answers, Counsel, Decision, Failure, Now, Question, REMOTES_MAX, RETRIES_MAX,
    RETRY_PAUSE, Way, Whither,
};
use crate::seats::Order;
use crate::socket::original::Original;

/// Decisions that are followed for one client.
const WAYS_MAX: u32 = 16;

/// Longest time that is spent on connecting for one client, all decisions together.
const CONNECT_MAX: Duration = Duration::from_secs(300);

/// How long a client may take for what a script sends it.
const SAY_MAX: Duration = Duration::from_secs(5);

/// How long it may take to end after the last of that.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// Bytes that are still taken from it then.
const LEAVE_BYTES_MAX: usize = 1024 * 1024;

/// What a client has said, and who decides about it.
struct Talk {
    counsel: Box<dyn Counsel>,
    answers: Answers,
    said: Vec<u8>,
    has_ended: bool,
    /// Where it goes without a decision.
    fallback: Routed,
    original: Option<Original>,
    /// What the backend hears first, unless the script says otherwise.
    first_word: FirstWord,
    /// Decisions that were followed.
    attempt: u32,
    /// When the last of them is given up.
    until: Tick,
    /// Whether it was written down that the session has begun.
    is_told: bool,
}

/// What the script wants.
enum Verdict {
    Go(Box<Way>),
    Close(Vec<u8>),
}

/// What came of a way.
enum Followed {
    /// The backend answers, or need not.
    Relayed(Relay),
    /// It has ended with the relay.
    Over(Outcome, Box<Relay>),
    /// There is no backend any more, and this is next.
    Next(Socket, Result<Verdict, Outcome>),
}

/// Keeps the first bytes of a stream.
#[derive(Debug)]
struct KeepFirst;

impl Rewrite for KeepFirst {
    fn rewrite(&mut self, received: &[u8], out: &mut Vec<u8>) -> Next {
        out.extend_from_slice(received);
        Next::Keep
    }

    fn finish(&mut self, _: &mut Vec<u8>) {}
}

/// What has become of a backend that was connected to.
enum Watched {
    Answered,
    /// It has ended its stream, and said nothing.
    Closed,
    Ended(Outcome),
    Silent,
}

/// Phases *sniff* to *connect*, by the script. `None`: the session has ended there, and is
/// accounted. `hello` is what the client has said so far.
pub(super) async fn open(
    mut session: Session,
    mut client: Socket,
    original: Option<Original>,
    hello: Hello,
) -> Option<Carry> {
    let mut talk = Talk::begin(&session, &client, original, hello)?;
    let mut verdict = talk.decide(&session, &mut client).await;
    loop {
        let way = match verdict {
            Ok(Verdict::Go(way)) => way,
            Ok(Verdict::Close(text)) => {
                session.take_leave(&mut client, &text).await;
                return None;
            }
            Err(outcome) => {
                session.turn_away(&mut client, outcome);
                return None;
            }
        };
        match talk.follow(&mut session, client, &way).await {
            Followed::Relayed(relay) => {
                session.forget_introduction();
                let relay = session.let_ride(relay);
                return Some(Carry { session: Box::new(session), relay });
            }
            Followed::Over(outcome, relay) => {
                session.account_relay(outcome, &relay);
                return None;
            }
            Followed::Next(again, next) => (client, verdict) = (again, next),
        }
    }
}

impl Talk {
    /// `None`: the session has no script, which only one without would say.
    fn begin(
        session: &Session,
        client: &Socket,
        original: Option<Original>,
        hello: Hello,
    ) -> Option<Self> {
        let scripted = session.listener.script.as_deref()?;
        let desk = session.shard.desk(&scripted.script);
        let counsel = desk.attend(About {
            id: session.id,
            client: session.client,
            local: session.came_to(client, original),
            listener: Arc::clone(&session.listener.name),
            spoken: session
                .trail
                .as_deref()
                .map_or_else(Spoken::default, |trail| trail.spoken.clone()),
        });
        Some(Self {
            counsel,
            answers: desk.answers(),
            said: hello.early.into(),
            has_ended: false,
            fallback: Routed::None,
            original,
            first_word: hello.first_word,
            attempt: 0,
            until: Tick::now().after(CONNECT_MAX),
            is_told: false,
        })
    }

    /// Listens to the client until the script has decided.
    async fn decide(&mut self, session: &Session, client: &mut Socket) -> Result<Verdict, Outcome> {
        let Session { listener, shard, seat, .. } = session;
        let hall = Hall { listener, shard, seat };
        let mut hearing = hall.hear(listener.timeouts.sniff, self.said.len())?;
        let due = Tick::now().after(listener.timeouts.sniff);
        let most = listener.routing.sniff_bytes;
        let (mut looks, mut is_news) = (Looks::default(), !self.said.is_empty());
        if self.answers.connect && !is_news {
            let decision = self.ask(session, Some(client), Some(Question::Connect), due).await?;
            if let Some(verdict) = greeted(session, client, decision).await? {
                return Ok(verdict);
            }
        }
        loop {
            let is_last = self.has_ended || self.said.len() >= most;
            if is_last || is_news && looks.again(self.said.len()) {
                let decision = self.ask(session, Some(client), None, due).await?;
                if let Some(verdict) = greeted(session, client, decision).await? {
                    return Ok(verdict);
                }
            }
            if is_last {
                return Ok(Verdict::Go(Way::new(Whither::Default).into()));
            }
            is_news = true;
            let heard = hearing.more(client, &mut self.said, most).await?;
            match (heard, listener.routing.on_silence) {
                (Heard::Late | Heard::End, Some(pool)) if self.said.is_empty() => {
                    self.fallback = Routed::Route(pool);
                    return Ok(Verdict::Go(Way::new(Whither::Default).into()));
                }
                (Heard::Late, _) => {
                    return Err(Outcome { reason: Reason::SniffTimeout, by: By::Replug });
                }
                (Heard::End, _) => self.has_ended = true,
                (Heard::More, _) => {}
            }
        }
    }

    /// Asks the script; `None` is the question where the session goes. A script that fails decides
    /// as is configured for that, and about a remote nothing.
    async fn ask(
        &mut self,
        session: &Session,
        client: Option<&mut Socket>,
        question: Option<Question<'_>>,
        due: Tick,
    ) -> Result<Decision, Outcome> {
        let now = Now {
            elapsed: session.accepted.elapsed(),
            attempt: self.attempt,
            has_ended: self.has_ended,
        };
        let is_callback =
            matches!(question, Some(Question::ConnectError(_) | Question::Inactivity(_)));
        let question = question.unwrap_or(Question::Route(&self.said));
        let mut asking = self.counsel.ask(question, now);
        // Most scripts answer at once. Nobody has to be watched then, and no time to be kept.
        let answer = match poll_fn(|cx| Poll::Ready(asking.as_mut().poll(cx))).await {
            Poll::Ready(answer) => Ok(answer),
            Poll::Pending => {
                let asking = timeout(due.since(Tick::now()), asking);
                match client {
                    Some(client) => session.attend(client, Side::Client, asking).await?,
                    None => session.unless_ordered(asking).await?,
                }
            }
        };
        match answer {
            Ok(Ok(decision)) => Ok(decision),
            Ok(Err(failure)) if is_callback => {
                session.script_failed(failure);
                Ok(Decision::Wait)
            }
            Ok(Err(failure)) => match session.script_failed(failure) {
                OnScriptError::Close => Err(failed()),
                OnScriptError::Default => Ok(Decision::Go(Way::new(Whither::Default).into())),
            },
            Err(_) if is_callback => Ok(Decision::Wait),
            Err(_) => Err(Outcome { reason: Reason::SniffTimeout, by: By::Replug }),
        }
    }

    /// Asks a callback about a remote: what is next, if it says so.
    async fn ask_about(
        &mut self,
        session: &Session,
        client: Option<&mut Socket>,
        question: Question<'_>,
    ) -> Result<Option<Verdict>, Outcome> {
        let due = Tick::now().after(session.listener.timeouts.sniff);
        Ok(match self.ask(session, client, Some(question), due).await? {
            Decision::Wait => None,
            Decision::Greet(text) | Decision::Close(text) => Some(Verdict::Close(text)),
            Decision::Go(way) => Some(Verdict::Go(way)),
        })
    }

    /// Goes the way that was decided.
    async fn follow(&mut self, session: &mut Session, mut client: Socket, way: &Way) -> Followed {
        if let Err(outcome) = self.set_out(session, &mut client, way).await {
            return Followed::Next(client, Err(outcome));
        }
        let (backend, early) = match self.connect(session, &mut client, way).await {
            Ok(connected) => connected,
            Err(outcome) => {
                let next = self.not_connected(session, &mut client, outcome).await;
                return Followed::Next(client, next);
            }
        };
        let may_go_on = way.inactivity_timeout.is_some() && self.answers.inactivity;
        let hello = match &way.data {
            Some(data) => data.clone(),
            None if may_go_on => self.said.clone(),
            None => std::mem::take(&mut self.said),
        };
        let length = hello.len();
        let mut rewriters = session.rewriters(&client, &backend, self.original);
        let filters = self.counsel.filters() && rewriters.to_client.is_none();
        if filters {
            rewriters.to_client = Some(Box::new(KeepFirst));
        }
        let mut relay = session.join((client, hello.into()), (backend, early), rewriters);
        if !std::mem::replace(&mut self.is_told, true) && session.shard.journal.wants().start {
            session.write(Event::Start, &Carried::default());
        }
        if way.inactivity_timeout.is_none() && !self.answers.connect_error && !filters {
            return Followed::Relayed(relay);
        }
        match session.watch(&mut relay, way.inactivity_timeout).await {
            Watched::Answered => match self.filter(session, &mut relay).await {
                Ok(()) => Followed::Relayed(relay),
                Err(outcome) => Followed::Over(outcome, Box::new(relay)),
            },
            Watched::Closed => {
                self.told_of_end(session).await;
                Followed::Relayed(relay)
            }
            Watched::Ended(outcome) => {
                if outcome.by == By::Backend && !relay.has_answer() {
                    self.told_of_end(session).await;
                }
                Followed::Over(outcome, Box::new(relay))
            }
            Watched::Silent => self.silent(session, relay, length).await,
        }
    }

    /// Has the script say what becomes of the backend's first bytes, if they are kept for that.
    async fn filter(&mut self, session: &Session, relay: &mut Relay) -> Result<(), Outcome> {
        let Some(first) = relay.kept() else { return Ok(()) };
        let filtered = match session.unless_ordered(self.counsel.filter(first)).await? {
            Ok(filtered) => filtered,
            Err(failure) => match session.script_failed(failure) {
                OnScriptError::Close => return Err(failed()),
                OnScriptError::Default => first.into(),
            },
        };
        relay.release(filtered);
        Ok(())
    }

    /// Settles which pool it is, and sends the client what it is to have before.
    async fn set_out(
        &mut self,
        session: &mut Session,
        client: &mut Socket,
        way: &Way,
    ) -> Result<(), Outcome> {
        self.attempt += 1;
        if self.attempt > WAYS_MAX || Tick::now() > self.until {
            let why = "it decides again and again, and no backend answers".to_owned();
            session.script_failed(Failure(why));
            return Err(failed());
        }
        let pool = match &way.to {
            Whither::Default => {
                session.settle(self.fallback)?;
                Arc::clone(session.listener.pool_of(session.chosen))
            }
            Whither::Pool(name) => {
                let scripted = session.listener.script.as_deref();
                let Some(pool) = scripted.and_then(|scripted| scripted.pool(name)) else {
                    session.script_failed(Failure(format!("there is no pool `{name}`")));
                    return Err(failed());
                };
                Arc::clone(pool)
            }
            Whither::Remotes(_) => return session.say(client, &way.reply).await,
        };
        session.go_instead(pool, way);
        session.say(client, &way.reply).await
    }

    /// Phase *connect*, as often as the way says.
    async fn connect(
        &self,
        session: &mut Session,
        client: &mut Socket,
        way: &Way,
    ) -> Result<(Socket, Box<[u8]>), Outcome> {
        let mut retries = way.retries.min(RETRIES_MAX);
        loop {
            match self.connect_once(session, client, way).await {
                Err(outcome)
                    if retries > 0 && is_of_backend(outcome) && Tick::now() < self.until =>
                {
                    session.attend(client, Side::Client, sleep(RETRY_PAUSE)).await?;
                    retries -= 1;
                }
                result => return result,
            }
        }
    }

    /// Tries the pool, or each remote. A name is looked up when it is its turn.
    async fn connect_once(
        &self,
        session: &mut Session,
        client: &mut Socket,
        way: &Way,
    ) -> Result<(Socket, Box<[u8]>), Outcome> {
        let owed = way.data.as_deref().unwrap_or(&self.said);
        let first_word = match self.first_word {
            FirstWord::TlsRequest => FirstWord::TlsRequest,
            _ if owed.is_empty() => FirstWord::Unknown,
            _ => FirstWord::Client,
        };
        let Whither::Remotes(remotes) = &way.to else {
            return session.connect(client, self.original, first_word).await;
        };
        let mut result = Err(Outcome { reason: Reason::NoBackend, by: By::Replug });
        for remote in remotes.iter().take(REMOTES_MAX) {
            let addresses = match remote {
                BackendAddress::Name { host, .. } => {
                    let patience = way.connect_timeout.unwrap_or(session.listener.timeouts.connect);
                    let looking = session.shard.lookups().addresses(host, patience);
                    session.attend(client, Side::Client, looking).await?.unwrap_or_default()
                }
                _ => Arc::default(),
            };
            session.go_instead(Pool::of_remote(remote, &addresses, way.proxy).into(), way);
            result = session.connect(client, self.original, first_word).await;
            match &result {
                Err(outcome) if is_of_backend(*outcome) && Tick::now() < self.until => {}
                _ => break,
            }
        }
        result
    }

    /// What is next when no remote could be connected to.
    async fn not_connected(
        &mut self,
        session: &Session,
        client: &mut Socket,
        outcome: Outcome,
    ) -> Result<Verdict, Outcome> {
        if !self.answers.connect_error || !is_of_backend(outcome) {
            return Err(outcome);
        }
        let remote = session.last_tried();
        let next = self.ask_about(session, Some(client), Question::ConnectError(&remote)).await?;
        next.ok_or(outcome)
    }

    /// Tells the script of a backend that has gone before its first byte.
    async fn told_of_end(&mut self, session: &Session) {
        if self.answers.connect_error {
            let remote = session.last_tried();
            // Too late for whatever it may want to do.
            let _ = self.ask_about(session, None, Question::ConnectError(&remote)).await;
        }
    }

    /// What is next when the backend, which was to get `length` bytes first, has not answered in
    /// time.
    async fn silent(&mut self, session: &mut Session, relay: Relay, length: usize) -> Followed {
        let remote = session.last_tried();
        let mut next = match self.answers.inactivity {
            true => self.ask_about(session, None, Question::Inactivity(&remote)).await,
            false => Ok(None),
        };
        if let Ok(Some(Verdict::Go(way))) = &next
            && way.data.is_none()
            && (relay.has_more_than(length) || session.listener.http.is_some())
        {
            let why = "the client has said more since, which the next backend would not get; \
                       `data` says what it gets";
            session.script_failed(Failure(why.to_owned()));
            next = Err(failed());
        }
        if let Some(index) = session.backend.take() {
            session.pool().leave(index);
        }
        let (client, _) = relay.part();
        let idle = Outcome { reason: Reason::Idle, by: By::Replug };
        Followed::Next(client, next.and_then(|next| next.ok_or(idle)))
    }
}

/// The end of a session whose script has failed.
fn failed() -> Outcome {
    Outcome { reason: Reason::Script, by: By::Replug }
}

/// Whether another backend might do better.
fn is_of_backend(outcome: Outcome) -> bool {
    matches!(
        outcome.reason,
        Reason::Refused
            | Reason::ConnectTimeout
            | Reason::Unreachable
            | Reason::NoBackend
            | Reason::Limited
    )
}

/// Sends what a decision sends, and tells what is next, if that is not to wait.
async fn greeted(
    session: &Session,
    client: &mut Socket,
    decision: Decision,
) -> Result<Option<Verdict>, Outcome> {
    Ok(match decision {
        Decision::Wait => None,
        Decision::Greet(text) => {
            session.say(client, &text).await?;
            None
        }
        Decision::Go(way) => Some(Verdict::Go(way)),
        Decision::Close(text) => Some(Verdict::Close(text)),
    })
}

impl Session {
    /// Sends something to the client.
    async fn say(&self, client: &mut Socket, text: &[u8]) -> Result<(), Outcome> {
        if text.is_empty() {
            return Ok(());
        }
        match self.unless_ordered(timeout(SAY_MAX, client.send_all(text))).await? {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(hearing::reset(error)),
            Err(_) => Err(Outcome { reason: Reason::SniffTimeout, by: By::Replug }),
        }
    }

    /// The end of a session that its script closes.
    async fn take_leave(&mut self, client: &mut Socket, text: &[u8]) {
        client.close_in_order();
        let (mut outcome, mut carried) = (failed(), Carried::default());
        match self.say(client, text).await {
            Ok(()) if !text.is_empty() => {
                carried.delivered.1 = text.len() as u64;
                // Whether or not it ends as well: the session is over.
                let leaving = timeout(LINGER_MAX, client.take_leave(&[], LEAVE_BYTES_MAX));
                if let Err(ordered) = self.unless_ordered(leaving).await {
                    outcome = ordered;
                }
            }
            Ok(()) => {}
            Err(gone) => outcome = gone,
        }
        self.account(outcome, &carried);
    }

    /// Does `work`, unless there is an order to end.
    async fn unless_ordered<T>(&self, work: impl Future<Output = T>) -> Result<T, Outcome> {
        let mut work = std::pin::pin!(work);
        poll_fn(|cx| {
            if let Some(Order::End(reason)) = self.shard.seats.order(&self.seat) {
                return Poll::Ready(Err(Outcome { reason, by: By::Replug }));
            }
            self.shard.seats.wait(&self.seat, cx, Tick::NEVER);
            work.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// Relays until the backend has answered, or has had its time.
    async fn watch(&self, relay: &mut Relay, time: Option<Duration>) -> Watched {
        let mut time = time.map(|time| Box::pin(sleep(time)));
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = self.poll_relay(cx, relay) {
                return Poll::Ready(Watched::Ended(outcome));
            }
            if relay.has_answer() {
                return Poll::Ready(Watched::Answered);
            }
            if relay.half_closed() == Some(Side::Backend) {
                return Poll::Ready(Watched::Closed);
            }
            match time.as_mut().map(|time| time.as_mut().poll(cx)) {
                Some(Poll::Ready(())) => Poll::Ready(Watched::Silent),
                Some(Poll::Pending) | None => Poll::Pending,
            }
        })
        .await
    }

    /// From now on it goes to this pool.
    fn go_instead(&mut self, pool: Arc<Pool>, way: &Way) {
        self.is_routed = true;
        let trail = self.trail.get_or_insert_with(|| Trail::default().into());
        trail.instead = Some(Instead { pool, patience: way.connect_timeout });
    }

    /// What records call the backend that was tried last.
    fn last_tried(&self) -> Arc<str> {
        let pool = self.pool();
        if let Some(index) = self.backend {
            return Arc::clone(&pool.backend(index).label);
        }
        let attempt = self.trail.as_deref().and_then(|trail| trail.attempts.last());
        attempt.map_or_else(|| pool.target(), |attempt| Arc::clone(&attempt.backend))
    }

    /// Tells, now and then, that the script has failed; and what becomes of its clients.
    fn script_failed(&self, failure: Failure) -> OnScriptError {
        let Some(scripted) = self.listener.script.as_deref() else { return OnScriptError::Close };
        if let Some(times) = scripted.failures.happened(Tick::now()) {
            self.shard.journal.notice(Notice::ScriptFailed {
                listener: Arc::clone(&self.listener.name),
                script: scripted.script.name().into(),
                error: failure.0,
                on_error: scripted.on_error,
                times,
            });
        }
        scripted.on_error
    }
}
