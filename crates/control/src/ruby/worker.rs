//! One worker: keeps a process running, and has it asked.
//!
//! Questions wait in the line until the process has loaded its file and has room for them. One that
//! a process was at when it ended by itself is put to the next, once; those behind it, always. A
//! process that is at one question for too long is killed, and the next one takes its place.

use std::collections::VecDeque;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use engine::journal::{Journal, Level, Notice};
use script::ruby::{Answer, Broken, Decided, Question, Ruby, Title, Unanswered};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use wire::ruby::{Foreign, Said};

use super::LOAD_MAX;
use super::process::{AT_ONCE, Asked, Process};
use crate::program::{Course, Orders, Pace};

/// How long nobody may have asked until a worker ends that is not wanted any more: sessions that
/// began with it may still have something to ask.
const GRACE: Duration = Duration::from_secs(60);

/// Longest sleep, only for the sake of a bound.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Longest line of a file that is told, in bytes.
const LINE_BYTES_MAX: usize = 4_096;

/// A worker of a file.
pub(super) struct Worker {
    ruby: Arc<Ruby>,
    name: Arc<str>,
    journal: Journal,
    questions: mpsc::Receiver<Question>,
    /// Questions that a process was asked and has not answered when it ended.
    line: VecDeque<Asked>,
    process: Option<Process>,
    titles: watch::Receiver<Title>,
    pace: Pace,
    /// Whether the file was ever loaded.
    was_loaded: bool,
    /// Why it was not the last time.
    fatal: Option<Broken>,
    id: u64,
    /// When something was last asked.
    last: Instant,
}

/// Why a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// By itself.
    Itself,
    /// It said what is no frame, or answered what it was not asked.
    Foreign,
    /// It did not answer in time.
    Late,
    /// It did not load its file in time.
    Loading,
}

/// What happens next.
enum Event {
    Orders,
    Title,
    Question(Question),
    Nobody,
    Said(std::io::Result<()>),
    Time,
}

impl Worker {
    pub(super) fn new(
        ruby: Arc<Ruby>,
        questions: mpsc::Receiver<Question>,
        journal: Journal,
    ) -> Self {
        let now = Instant::now();
        let name = ruby.source().path.file_name().unwrap_or_default().to_string_lossy().into();
        Self {
            titles: ruby.titles(),
            ruby,
            name,
            journal,
            questions,
            line: VecDeque::new(),
            process: None,
            pace: Pace::new(now),
            was_loaded: false,
            fatal: None,
            id: 0,
            last: now,
        }
    }

    /// Has a process, and has it asked, until it is ordered to end.
    pub(super) async fn run(mut self, mut orders: watch::Receiver<Orders>) {
        let mut again = 0;
        loop {
            let now = Instant::now();
            let course = Orders::heed(&mut orders, &mut again, &mut self.pace, now);
            if course.is_over(self.is_quiet() && now >= self.last + GRACE) {
                break;
            }
            self.hire(now);
            self.hand_out(now);
            match self.next(&mut orders, course, now).await {
                Event::Orders => {}
                Event::Title => self.entitle(),
                Event::Nobody => break,
                Event::Question(question) => {
                    self.id += 1;
                    self.last = Instant::now();
                    let asked = Asked { question, id: self.id, is_repeated: false };
                    self.line.push_back(asked);
                }
                Event::Said(Ok(())) => self.hear().await,
                Event::Said(Err(_)) => self.part(Why::Itself).await,
                Event::Time => self.look(Instant::now()).await,
            }
        }
        self.end().await;
    }

    async fn next(
        &mut self,
        orders: &mut watch::Receiver<Orders>,
        course: Course,
        now: Instant,
    ) -> Event {
        let next = self.next_look(course, now);
        let takes_more = self.line.len() < AT_ONCE;
        let is_ready = self.process.as_ref().is_some_and(|process| process.is_ready);
        let exchange = async {
            match &mut self.process {
                Some(process) => process.exchange().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = orders.changed() => Event::Orders,
            said = exchange => Event::Said(said),
            Ok(()) = self.titles.changed(), if is_ready => Event::Title,
            question = self.questions.recv(), if takes_more => {
                question.map_or(Event::Nobody, Event::Question)
            }
            () = sleep_until(next) => Event::Time,
        }
    }

    /// Whether nothing is asked and nothing waits.
    fn is_quiet(&self) -> bool {
        let is_idle = |process: &Process| process.asked.is_empty();
        self.line.is_empty()
            && self.questions.is_empty()
            && self.process.as_ref().is_none_or(is_idle)
    }

    /// Starts a process, if there is none and there may be.
    fn hire(&mut self, now: Instant) {
        if self.process.is_some() || now < self.pace.next() {
            return;
        }
        match Process::start(self.ruby.source(), &self.name, &self.journal) {
            Ok(process) => {
                self.pace.started(now);
                self.process = Some(process);
            }
            Err(why) => {
                let pause = model::unit::show(self.pace.failed(now));
                self.lament(Broken(format!("ruby cannot be started: {why}")), pause);
            }
        }
    }

    /// What becomes of a file that cannot be run.
    fn lament(&mut self, why: Broken, pause: impl std::fmt::Display) {
        if self.was_loaded {
            let text = format!("{}: {}; it is tried again in {pause}", self.name, why.0);
            self.remark(Level::Error, text);
        } else {
            // Whoever waits for it says so.
            self.ruby.is_broken(why);
        }
    }

    fn entitle(&mut self) {
        if let Some(process) = &mut self.process {
            let title = self.titles.borrow_and_update();
            // Empty: nobody keeps them.
            if !title.text.is_empty() {
                process.entitle(&title);
            }
        }
    }

    fn hand_out(&mut self, now: Instant) {
        let Some(process) = &mut self.process else { return };
        while process.has_room()
            && let Some(asked) = self.line.pop_front()
        {
            if !asked.question.is_abandoned() {
                process.ask(asked, now);
            }
        }
    }

    /// When there may be something to do that nobody tells of.
    fn next_look(&self, course: Course, now: Instant) -> Instant {
        let mut next = now + SLEEP_MAX;
        match &self.process {
            None => next = next.min(self.pace.next()),
            Some(process) if !process.is_ready => {
                next = next.min(now + LOAD_MAX - process.age(now));
            }
            Some(process) if !process.asked.is_empty() => {
                next = next.min(process.since + self.ruby.source().deadline);
            }
            Some(_) => {}
        }
        if course == Course::Retire && self.is_quiet() {
            next = next.min(self.last + GRACE);
        }
        next
    }

    /// Looks whether the process takes too long.
    async fn look(&mut self, now: Instant) {
        let Some(process) = &mut self.process else { return };
        if !process.is_ready && process.age(now) >= LOAD_MAX {
            return self.part(Why::Loading).await;
        }
        let deadline = self.ruby.source().deadline;
        if !process.asked.is_empty() && now >= process.since + deadline {
            if let Some(asked) = process.asked.pop_front() {
                asked.question.answer(Answer::None(Unanswered::Late(deadline)));
            }
            self.part(Why::Late).await;
        }
    }

    /// Takes what the process has said.
    async fn hear(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let now = Instant::now();
        let heard = process.hear(|process, said| self.take(process, &said, now));
        self.process = Some(process);
        if heard.is_err() {
            self.part(Why::Foreign).await;
        }
    }

    fn take(
        &mut self,
        process: &mut Process,
        said: &Said<'_>,
        now: Instant,
    ) -> Result<(), Foreign> {
        let (id, answer) = match said {
            Said::Ready(ready) => {
                process.is_ready = true;
                self.titles.mark_changed();
                if !self.was_loaded {
                    self.was_loaded = true;
                    self.ruby.is_loaded(ready);
                }
                return Ok(());
            }
            Said::Fatal(text) => {
                self.fatal = Some(Broken(String::from_utf8_lossy(text).into_owned()));
                return Ok(());
            }
            Said::Line { severity, text } => {
                self.tell(*severity, text);
                return Ok(());
            }
            Said::Decided { id, decision } => (*id, Answer::Decided(Decided::of(decision))),
            Said::Filtered { id, data } => (*id, Answer::Filtered((*data).into())),
        };
        let question = process.answered(id, now).ok_or(Foreign::Body)?;
        self.last = now;
        self.pace.reset(now);
        question.answer(answer);
        Ok(())
    }

    /// A line that the file has said by its logger.
    fn tell(&self, severity: u8, text: &[u8]) {
        let level = match severity {
            0 => Level::Debug,
            1 => Level::Info,
            2 => Level::Warning,
            _ => Level::Error,
        };
        let cut = text.len().min(LINE_BYTES_MAX);
        self.journal.notice(Notice::ScriptSays {
            level,
            listener: Arc::clone(&self.name),
            session: None,
            text: String::from_utf8_lossy(&text[..cut]).trim_end().to_owned(),
            unsaid: 0,
        });
    }

    /// Ends the process, and says so.
    async fn part(&mut self, why: Why) {
        let Some(process) = self.process.take() else { return };
        let (pid, life) = (process.pid, process.life());
        let (status, asked) = process.end(why == Why::Itself).await;
        self.take_back(asked, why);
        let now = Instant::now();
        self.pace.ended(now, life);
        let pause = self.pace.next().saturating_duration_since(now);
        let pause = format!("{} ms", pause.as_millis());
        let is_loading = !self.was_loaded || self.fatal.is_some();
        match self.fatal.take() {
            Some(fatal) => return self.lament(fatal, pause),
            None if is_loading => {
                let text = format!("its process {}", what(why, status));
                return self.lament(Broken(text), pause);
            }
            None => {}
        }
        let text = format!(
            "{} (process {pid}) {}; the next begins in {pause}",
            self.name,
            what(why, status)
        );
        self.remark(Level::Warning, text);
    }

    /// What was asked and not answered comes first in the line. It may have been the first question
    /// that ended the process.
    fn take_back(&mut self, mut asked: VecDeque<Asked>, why: Why) {
        if why != Why::Late
            && let Some(first) = asked.front_mut()
        {
            match first.is_repeated || why == Why::Foreign {
                true => {
                    if let Some(first) = asked.pop_front() {
                        first.question.answer(Answer::None(Unanswered::Ended));
                    }
                }
                false => first.is_repeated = true,
            }
        }
        asked.extend(self.line.drain(..));
        self.line = asked;
    }

    /// Ends the process, and answers those who wait.
    async fn end(mut self) {
        self.questions.close();
        let mut asked = VecDeque::new();
        if let Some(process) = self.process.take() {
            (_, asked) = process.end(true).await;
        }
        let stopped = Answer::None(Unanswered::Stopped);
        for asked in asked.into_iter().chain(self.line.drain(..)) {
            asked.question.answer(stopped.clone());
        }
        while let Ok(question) = self.questions.try_recv() {
            question.answer(stopped.clone());
        }
    }

    fn remark(&self, level: Level, text: String) {
        self.journal.notice(Notice::Remark { level, text });
    }
}

/// How a process came to its end, for people.
fn what(why: Why, status: Option<ExitStatus>) -> String {
    match (why, status) {
        (Why::Itself, Some(status)) => format!("has ended ({status})"),
        (Why::Itself, None) => "has ended".to_owned(),
        (Why::Foreign, _) => "was killed: what it said is no answer".to_owned(),
        (Why::Late, _) => "was killed: it did not answer in time".to_owned(),
        (Why::Loading, _) => "was killed: it did not load its file in time".to_owned(),
    }
}
