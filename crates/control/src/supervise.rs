//! Signals, from readiness to the end.
//!
//! ```text
//!             TERM, INT                    TERM, INT or the time is over
//!   serving ─────────────▶ draining 10 s ─────────────────────────────▶ ending
//!      │                       ▲   │ no session is left                   │
//!      │ QUIT                  │   ▼                                      ▼
//!      └───────▶ draining ─────┘  end ◀───────────────────────────────────┘
//!                without limit  TERM, INT
//! ```
//!
//! HUP, USR1 and USR2 are answered in every state but the last. While it serves, HUP, an order by
//! the socket of [`crate::admin`], or a change of a watched file reload the configuration. A
//! personality may give signals other meanings ([`crate::manners`]).

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use engine::Engine;
use engine::account::Reason;
use engine::journal::{Level, Notice};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::admin::{Answer, Asked, Order};
use crate::exit::Exit;
use crate::manners::{self, Ask};
use crate::reload::{Extent, Refusal, Reloaded, Running, Why};
use crate::watch::Watch;

/// How long sessions may go on after TERM or INT.
const DRAIN: Duration = Duration::from_secs(10);

/// Longest wait for sessions that have been reset to be accounted.
const END_MAX: Duration = Duration::from_secs(5);

/// How a life under supervision ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Every session has ended and is accounted.
    Clean,
    /// Sessions did not end although they were reset.
    Stuck,
}

/// What is supervised, and what it is done with.
pub(crate) struct Supervisor<'a> {
    pub(crate) running: Running<'a>,
    pub(crate) signals: Signals,
    /// What comes in by the socket for orders.
    pub(crate) orders: mpsc::Receiver<Asked>,
    pub(crate) watch: Watch,
}

impl Supervisor<'_> {
    /// Serves until told to end, and drains.
    pub(crate) async fn run(mut self) -> (End, Engine) {
        let end = self.serve().await;
        self.leave(end).await
    }

    /// Ends what sessions needed, now that there is none.
    async fn leave(mut self, end: End) -> (End, Engine) {
        self.running.authorities.end().await;
        self.running.rubies.end().await;
        (end, self.running.engine)
    }

    async fn serve(&mut self) -> End {
        let mut all_shards_live = true;
        let limit = loop {
            tokio::select! {
                ask = self.signals.next() => match self.heard(ask) {
                    Ask::End => break Some(DRAIN),
                    Ask::EndWhenDone | Ask::EndWhenDoneOrNow => break None,
                    Ask::EndNow => return self.end_sessions(Reason::Killed).await,
                    Ask::Reload => self.hang_up().await,
                    ask => self.answer(ask),
                },
                Some(asked) = self.orders.recv() => self.obey(asked).await,
                () = self.watch.changed() => {
                    self.reload(Extent::All, Why::Watched).await;
                }
                () = self.running.missing.are_due() => self.running.open_missing().await,
                () = self.running.engine.shard_lost(), if all_shards_live => {
                    all_shards_live = false;
                    let text = "a shard has died and its sessions with it; the others go on, \
                                restart replug when it suits";
                    self.remark(Level::Error, text.to_owned());
                }
            }
        };
        self.running.engine.stop_accepting();
        self.running.certificates.order_no_more();
        self.tell_draining(limit);
        self.drain(limit.map(|limit| Instant::now() + limit)).await
    }

    /// Says what is to be said about a signal, and gives what it asks for.
    fn heard(&self, signal: Heard) -> Ask {
        if let Some(words) = signal.words {
            self.remark(Level::Info, words.to_owned());
        }
        signal.ask
    }

    /// SIGHUP: whatever may have changed outside is looked at again.
    async fn hang_up(&mut self) {
        self.running.log.reopen();
        self.running.names.resolve_again();
        self.running.certificates.try_again();
        self.running.authorities.try_again();
        self.running.rubies.try_again();
        match self.running.files {
            Some(_) => drop(self.reload(Extent::All, Why::Ordered).await),
            None => {
                let text = "SIGHUP: names are resolved again and log files opened anew";
                self.running.manager.reloading();
                self.remark(Level::Info, text.to_owned());
                self.tell_ready();
            }
        }
    }

    async fn reload(&mut self, extent: Extent, why: Why) -> Reloaded {
        if extent == Extent::DryRun {
            return self.running.reload(extent, self.signals.until_end()).await;
        }
        self.running.manager.reloading();
        self.watch.take_note();
        let reloaded = self.running.reload(extent, self.signals.until_end()).await;
        self.running.report(&reloaded, why);
        if let Some(files) = &self.running.files {
            self.watch.follow(&files.watched);
        }
        self.tell_ready();
        reloaded
    }

    /// Tells the service manager that clients are served, after whatever has become of a reload.
    fn tell_ready(&self) {
        let Running { engine, manager, .. } = &self.running;
        manager.ready(format_args!("accepts clients on {} addresses", engine.addresses().len()));
    }

    async fn obey(&mut self, asked: Asked) {
        let Order::Reload(extent) = asked.order;
        let (exit, text) = match self.reload(extent, Why::Ordered).await {
            Reloaded::Done(lines) => {
                (Exit::Done, lines.into_iter().map(|line| line + "\n").collect())
            }
            Reloaded::Refused(refusal) => (refusal.exit, refusal.told),
        };
        // Whoever asked may have gone.
        let _ = asked.answer.send(Answer { exit, text });
    }

    /// While it drains there is nothing to reload any more.
    fn refuse(asked: Asked) {
        let refusal = Refusal::of("it is draining; nothing has changed", Exit::Failed);
        let _ = asked.answer.send(Answer { exit: refusal.exit, text: refusal.told });
    }

    /// Serves the sessions there are until they have ended; no others will come.
    pub(crate) async fn run_out(mut self) -> (End, Engine) {
        self.running.certificates.order_no_more();
        let end = self.drain(None).await;
        self.leave(end).await
    }

    async fn drain(&mut self, mut until: Option<Instant>) -> End {
        loop {
            let time_is_over = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.running.engine.drained() => return End::Clean,
                () = time_is_over => return self.end_sessions(Reason::Drained).await,
                Some(asked) = self.orders.recv() => Self::refuse(asked),
                ask = self.signals.next() => match self.heard(ask) {
                    Ask::End if until.is_some() => return self.end_sessions(Reason::Killed).await,
                    Ask::End => {
                        until = Some(Instant::now() + DRAIN);
                        self.tell_draining(Some(DRAIN));
                    }
                    Ask::EndNow | Ask::EndWhenDoneOrNow => {
                        return self.end_sessions(Reason::Killed).await;
                    }
                    // It drains already, and a limit once set stays.
                    Ask::EndWhenDone => {}
                    ask => self.answer(ask),
                },
            }
        }
    }

    async fn end_sessions(&self, reason: Reason) -> End {
        self.running.engine.end_sessions(reason);
        match timeout(END_MAX, self.running.engine.drained()).await {
            Ok(()) => End::Clean,
            Err(_) => {
                let sessions = self.running.engine.sessions();
                self.remark(Level::Error, format!("{sessions} sessions do not end; giving up"));
                End::Stuck
            }
        }
    }

    /// Does what does not lead to the end.
    fn answer(&self, ask: Ask) {
        match ask {
            Ask::Reload => {
                self.running.log.reopen();
                let text = "SIGHUP: it is draining; log files are opened anew, and no more";
                self.remark(Level::Info, text.to_owned());
            }
            Ask::Reopen => {
                self.running.log.reopen();
            }
            Ask::Upgrade => {
                let text = "SIGUSR2: this version cannot be upgraded in place; nothing is done";
                self.remark(Level::Warning, text.to_owned());
            }
            Ask::End | Ask::EndWhenDone | Ask::EndWhenDoneOrNow | Ask::EndNow | Ask::Nothing => {}
        }
    }

    fn tell_draining(&self, within: Option<Duration>) {
        let sessions = self.running.engine.sessions();
        self.running.manager.stopping(format_args!("waits for {sessions} sessions to end"));
        self.running.log.journal().notice(Notice::Draining { sessions, within });
    }

    fn remark(&self, level: Level, text: String) {
        self.running.log.journal().notice(Notice::Remark { level, text });
    }
}

/// A signal that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    ask: Ask,
    words: Option<&'static str>,
}

/// The signals that mean something.
#[derive(Debug)]
pub(crate) struct Signals {
    taken: [(Signal, Heard); 6],
    /// What [`Signals::until_end`] has heard.
    end: Option<Heard>,
}

impl Signals {
    /// Takes the signals over from their defaults, which would end the process. Must be called in
    /// a runtime. Signals that come before [`Signals::next`] is called are kept.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn take(
        meanings: manners::Signals,
        words: &'static manners::Words,
    ) -> io::Result<Self> {
        let take = |kind, ask, words| Ok::<_, io::Error>((signal(kind)?, Heard { ask, words }));
        Ok(Self {
            taken: [
                take(SignalKind::terminate(), meanings.terminate, words.terminate)?,
                take(SignalKind::interrupt(), meanings.interrupt, words.interrupt)?,
                take(SignalKind::quit(), meanings.quit, words.quit)?,
                take(SignalKind::hangup(), meanings.hangup, words.hangup)?,
                take(SignalKind::user_defined1(), meanings.user_1, words.user_1)?,
                take(SignalKind::user_defined2(), meanings.user_2, words.user_2)?,
            ],
            end: None,
        })
    }

    /// The next one. Loses none when it is dropped before it is ready.
    pub(crate) async fn next(&mut self) -> Heard {
        match self.end.take() {
            Some(heard) => heard,
            None => poll_fn(|cx| self.poll(cx, |_| true)).await,
        }
    }

    /// Waits for one that leads to the end; [`Signals::next`] tells which.
    pub(crate) async fn until_end(&mut self) {
        if self.end.is_none() {
            self.end = Some(poll_fn(|cx| self.poll(cx, Ask::is_end)).await);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, is_meant: fn(Ask) -> bool) -> Poll<Heard> {
        for (signal, heard) in self.taken.iter_mut().filter(|(_, heard)| is_meant(heard.ask)) {
            if signal.poll_recv(cx).is_ready() {
                return Poll::Ready(*heard);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal as Number, getpid, kill_process};

    /// Longest wait for a signal that this process has sent to itself.
    const DEADLINE: Duration = Duration::from_secs(10);

    /// One test for all: signals belong to the process, so two tests would hear each other's.
    #[tokio::test]
    async fn signals_are_told_apart() {
        const WORDS: manners::Words =
            manners::Words { hangup: Some("again"), ..manners::Words::NONE };
        let taken = Signals::take(manners::Signals::default(), &WORDS);
        let mut signals = taken.expect("signals can be taken");
        for (number, expected) in [
            (Number::TERM, Ask::End),
            (Number::INT, Ask::End),
            (Number::QUIT, Ask::EndWhenDone),
            (Number::HUP, Ask::Reload),
            (Number::USR1, Ask::Reopen),
            (Number::USR2, Ask::Upgrade),
        ] {
            kill_process(getpid(), number).expect("a process may signal itself");
            let heard = timeout(DEADLINE, signals.next()).await.expect("the signal comes");
            let words = (expected == Ask::Reload).then_some("again");
            assert_eq!(heard, Heard { ask: expected, words });
        }
        kill_process(getpid(), Number::HUP).expect("a process may signal itself");
        kill_process(getpid(), Number::INT).expect("a process may signal itself");
        // Whoever waits for the end takes nothing from others, and loses nothing.
        timeout(DEADLINE, signals.until_end()).await.expect("the signal comes");
        timeout(DEADLINE, signals.until_end()).await.expect("it has come");
        for expected in [Ask::End, Ask::Reload] {
            let heard = timeout(DEADLINE, signals.next()).await.expect("it has come");
            assert_eq!(heard.ask, expected);
        }
    }
}
