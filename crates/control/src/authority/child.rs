//! One child of a program: it is asked on its standard input and answers on its standard output.
//!
//! It may have several questions at a time, if its program answers in any order; the serial number
//! tells them apart. One that says what is no answer, answers what it was not asked, or does not
//! answer in time is killed; one that is not needed any more is asked to end, then told, then made.

use std::collections::HashMap;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::SystemTime;

use engine::authority::{Decision, Question, Undecided};
use engine::journal::Journal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinHandle};
use tokio::time::{Instant, sleep_until};
use wire::Parse;
use wire::mavis::{self, Attribute};

use crate::program::Life;
use crate::program::complaints::{self, Budget};
use crate::program::end;

/// A question on its way to a child.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) question: Question,
    /// What tells it from all others that the program was asked.
    pub(super) serial: u64,
    /// Whether another child was asked before, and ended.
    pub(super) is_repeated: bool,
}

/// What a child has to tell, with the id of its task.
#[derive(Debug)]
pub(super) enum Report {
    /// It has answered one question.
    Answered(Id),
    /// It is not to be asked any more.
    Leaves {
        id: Id,
        why: Why,
        life: Life,
        /// What it was asked and has not answered.
        unanswered: Vec<Errand>,
    },
}

/// How a child ended.
#[derive(Debug)]
pub(super) struct Farewell {
    pub(super) pid: u32,
    pub(super) why: Why,
    /// What the system says of its end; `None`: nothing.
    pub(super) status: Option<ExitStatus>,
}

/// Why a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It was not needed any more.
    Dismissed,
    /// By itself.
    Itself,
    /// It said what is no answer.
    Foreign,
    /// It answered what it was not asked.
    OutOfStep,
    /// It did not answer in time.
    Late,
}

/// A child that runs.
pub(super) struct Child {
    process: tokio::process::Child,
    pid: u32,
    began: Instant,
    stdin: ChildStdin,
    stdout: ChildStdout,
    complaints: JoinHandle<()>,
    /// Questions that it may have at a time.
    at_once: usize,
    asked: HashMap<u64, Asked>,
    /// What is still to be written to it.
    out: Vec<u8>,
    /// What it has said that is not a whole answer yet.
    said: Vec<u8>,
    /// When it last answered.
    answered: Option<Instant>,
}

struct Asked {
    errand: Errand,
    at: Instant,
}

/// What happens next.
enum Event {
    Errand(Option<Errand>),
    Written(std::io::Result<usize>),
    Said(std::io::Result<usize>),
    Deadline,
}

impl Child {
    /// One that was just started, with pipes for streams; `None` if it has lost them.
    pub(super) fn new(
        mut process: tokio::process::Child,
        path: Arc<str>,
        at_once: usize,
        journal: Journal,
    ) -> Option<Self> {
        let (stdin, stdout) = (process.stdin.take()?, process.stdout.take()?);
        let (stderr, pid) = (process.stderr.take()?, process.id()?);
        let complaints = tokio::spawn(complaints::tell(stderr, path, pid, Budget::FEW, journal));
        Some(Self {
            process,
            pid,
            began: Instant::now(),
            stdin,
            stdout,
            complaints,
            at_once,
            asked: HashMap::new(),
            out: Vec::new(),
            said: Vec::new(),
            answered: None,
        })
    }

    /// Asks until nothing more is to be asked, or it ends.
    pub(super) async fn run(
        mut self,
        mut errands: mpsc::Receiver<Errand>,
        reports: mpsc::Sender<Report>,
    ) -> Farewell {
        let why = loop {
            let ended = match self.next(&mut errands).await {
                Event::Errand(None) => Some(Why::Dismissed),
                Event::Errand(Some(errand)) => {
                    self.ask(errand);
                    None
                }
                Event::Written(Ok(length @ 1..)) => {
                    self.out.drain(..length);
                    None
                }
                Event::Said(Ok(1..)) => self.take_answers(&reports).await.err(),
                // It has closed a stream, so it has ended or is about to.
                Event::Written(_) | Event::Said(_) => Some(Why::Itself),
                Event::Deadline => self.is_late(Instant::now()).then_some(Why::Late),
            };
            if let Some(why) = ended {
                break why;
            }
        };
        // What waits in the queue was not asked.
        errands.close();
        let mut unanswered: Vec<_> = self.asked.drain().map(|(_, asked)| asked.errand).collect();
        while let Ok(errand) = errands.try_recv() {
            unanswered.push(errand);
        }
        let life = match self.answered {
            Some(_) => Life::Useful,
            None => Life::Idle(self.began.elapsed()),
        };
        let leaves = Report::Leaves { id: tokio::task::id(), why, life, unanswered };
        // Whoever is told is gone only when the program ends.
        let _ = reports.send(leaves).await;
        self.end(why).await
    }

    async fn next(&mut self, errands: &mut mpsc::Receiver<Errand>) -> Event {
        let now = Instant::now();
        let deadlines = self.asked.values().map(|asked| asked.errand.question.deadline);
        let deadline = deadlines.filter(|deadline| *deadline > now).min();
        let its_time = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            said = self.stdout.read_buf(&mut self.said) => Event::Said(said),
            written = self.stdin.write(&self.out), if !self.out.is_empty() => {
                Event::Written(written)
            }
            () = its_time => Event::Deadline,
            errand = errands.recv() => Event::Errand(errand),
        }
    }

    fn ask(&mut self, errand: Errand) {
        let subject = &errand.question.subject;
        let since = subject.arrived.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let [time, serial] = [since.as_secs(), errand.serial].map(|number| number.to_string());
        let [client, server] =
            [subject.client, subject.server].map(|one| one.map(|one| one.ip().to_string()));
        let all = [
            (Attribute::TYPE, Some(mavis::TYPE_RELAY)),
            (Attribute::TIMESTAMP, Some(&*time)),
            (Attribute::CLIENT, client.as_deref()),
            (Attribute::SERIAL, Some(&*serial)),
            (Attribute::SERVER, server.as_deref()),
            (Attribute::REALM, Some(&*subject.realm)),
        ];
        let there: Vec<_> =
            all.into_iter().filter_map(|(attribute, value)| Some((attribute, value?))).collect();
        mavis::write_request(&mut self.out, &there);
        self.asked.insert(errand.serial, Asked { errand, at: Instant::now() });
    }

    /// Takes the answers that are whole.
    async fn take_answers(&mut self, reports: &mpsc::Sender<Report>) -> Result<(), Why> {
        loop {
            let (serial, decision, length) = match mavis::read_reply(&self.said) {
                Parse::Partial => return Ok(()),
                Parse::Foreign(_) => return Err(Why::Foreign),
                Parse::Whole { value, length } => (serial(&value), decision(&value), length),
            };
            let asked = serial.and_then(|serial| self.asked.remove(&serial));
            let asked = asked.ok_or(Why::OutOfStep)?;
            self.said.drain(..length);
            self.answered = Some(Instant::now());
            asked.errand.question.answer(decision);
            // As above.
            let _ = reports.send(Report::Answered(tokio::task::id())).await;
        }
    }

    /// Whether it is given up. One that has since answered other questions is at work, and a few
    /// that are overdue do not matter.
    fn is_late(&self, now: Instant) -> bool {
        let overdue = || self.asked.values().filter(|one| one.errand.question.deadline <= now);
        let is_silent = overdue().any(|one| self.answered.is_none_or(|last| last < one.at));
        is_silent || 2 * overdue().count() > self.at_once
    }

    async fn end(self, why: Why) -> Farewell {
        let Self { mut process, pid, stdin, stdout, complaints, .. } = self;
        drop((stdin, stdout));
        let status = match why {
            Why::Dismissed | Why::Itself => end::in_order(&mut process).await,
            Why::Foreign | Why::OutOfStep | Why::Late => end::at_once(&mut process).await,
        };
        end::hear_out(complaints).await;
        Farewell { pid, why, status }
    }
}

fn serial(reply: &mavis::Reply<'_>) -> Option<u64> {
    let text = std::str::from_utf8(reply.get(Attribute::SERIAL)?).ok()?;
    // As it was sent: without signs, blanks or zeros before it.
    text.parse().ok().filter(|serial: &u64| serial.to_string() == text)
}

fn decision(reply: &mavis::Reply<'_>) -> Decision {
    let text = |attribute| {
        let value = reply.get(attribute).filter(|value| !value.is_empty())?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let result = text(Attribute::RESULT).unwrap_or_default();
    match (reply.code, result.as_str()) {
        (mavis::FINAL, "ACK") => Decision::Allow,
        (mavis::FINAL, "NAK") => {
            Decision::Deny(text(Attribute::COMMENT).or_else(|| text(Attribute::MESSAGE)))
        }
        (code, _) => Decision::Undecided(Undecided::Said(result, code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, number: Option<u64>, decided: Decision) {
        let Parse::Whole { value, .. } = mavis::read_reply(text.as_bytes()) else {
            panic!("{text:?} is an answer");
        };
        assert_eq!((serial(&value), decision(&value)), (number, decided), "{text:?}");
    }

    #[test]
    fn answers_decide_or_do_not() {
        let undecided =
            |result: &str, code| Decision::Undecided(Undecided::Said(result.to_owned(), code));
        check("6 ACK\n21 7\n=0\n", Some(7), Decision::Allow);
        check("6 NAK\n21 7\n=0\n", Some(7), Decision::Deny(None));
        let banned = Decision::Deny(Some("banned".to_owned()));
        check("6 NAK\n17 banned\n21 7\n32 go away\n=0\n", Some(7), banned);
        check("6 ERR\n21 7\n=0\n", Some(7), undecided("ERR", 0));
        check("6 ack\n21 7\n=0\n", Some(7), undecided("ack", 0));
        check("21 7\n=16\n", Some(7), undecided("", 16));
        check("6 ACK\n21 7\n=16\n", Some(7), undecided("ACK", 16));
        check("6 ACK\n=0\n", None, Decision::Allow);
        check("6 ACK\n21 07\n=0\n", None, Decision::Allow);
        check("6 ACK\n21 +7\n=0\n", None, Decision::Allow);
    }
}
