//! The children of one program: how many there are, and which of them is asked.
//!
//! One task decides, and never waits for a child: questions wait in its line until a child has a
//! place for them, answers and ends are reported to it. A question whose child ends by itself is put
//! to another, once.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use engine::authority::{Decision, Question, Undecided, WAITING_MAX};
use engine::journal::{Journal, Level, Notice};
use model::Program;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::child::{Child, Errand, Farewell, Report, Why};
use crate::program::start::start;
use crate::program::{Course, Orders, Pace};

/// Reports of children that may wait to be looked at; more make the children wait.
const REPORTS_MAX: usize = 64;

/// How long a child beyond those that always run is kept without a question.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How long a program that is not wanted any more waits for sessions that began before.
const GRACE: Duration = Duration::from_secs(2);

/// A program with its children.
pub(super) struct Children {
    program: Program,
    path: Arc<str>,
    journal: Journal,
    questions: mpsc::Receiver<Question>,
    /// Questions that no child has yet, in the order of their coming.
    line: VecDeque<Errand>,
    /// Children that may be asked, in the order of their start.
    members: Vec<Member>,
    /// All children, those on their way to the end included.
    tasks: JoinSet<Farewell>,
    reports: mpsc::Receiver<Report>,
    /// Handed to children.
    reporter: mpsc::Sender<Report>,
    pace: Pace,
    /// Why the last one could not be started.
    failure: Option<Arc<str>>,
    serial: u64,
    /// When something was last asked or answered.
    last: Instant,
}

struct Member {
    id: Id,
    errands: mpsc::Sender<Errand>,
    /// Questions that it has.
    load: usize,
    /// Since when it has as many as it has.
    since: Instant,
}

impl Children {
    pub(super) fn new(
        program: Program,
        questions: mpsc::Receiver<Question>,
        journal: Journal,
    ) -> Self {
        let (reporter, reports) = mpsc::channel(REPORTS_MAX);
        let now = Instant::now();
        Self {
            path: program.path().into(),
            program,
            journal,
            questions,
            line: VecDeque::new(),
            members: Vec::new(),
            tasks: JoinSet::new(),
            reports,
            reporter,
            pace: Pace::new(now),
            failure: None,
            serial: 0,
            last: now,
        }
    }

    /// Has children, and has them asked, until it is ordered to end.
    pub(super) async fn run(mut self, mut orders: watch::Receiver<Orders>) {
        let mut again = 0;
        loop {
            let now = Instant::now();
            let course = Orders::heed(&mut orders, &mut again, &mut self.pace, now);
            if course.is_over(self.is_quiet() && now >= self.last + GRACE) {
                break;
            }
            self.hire(course, now);
            self.hand_out(now);
            self.give_up(now);
            self.dismiss_idle(now);
            let next = self.next_look(course, now);
            tokio::select! {
                biased;
                _ = orders.changed() => {}
                Some(report) = self.reports.recv() => self.take(report),
                Some(ended) = self.tasks.join_next_with_id() => self.part(ended),
                Some(question) = self.questions.recv(), if self.line.len() < WAITING_MAX => {
                    self.last = Instant::now();
                    self.line.push_back(Errand { question, serial: 0, is_repeated: false });
                }
                () = sleep_until(next) => {}
            }
        }
        self.end().await;
    }

    fn at_once(&self) -> usize {
        self.program.at_once.get() as usize
    }

    /// Whether nothing is asked and nothing waits.
    fn is_quiet(&self) -> bool {
        self.line.is_empty()
            && self.questions.is_empty()
            && self.members.iter().all(|member| member.load == 0)
    }

    /// Starts as many children as are needed and may be.
    fn hire(&mut self, course: Course, now: Instant) {
        self.line.retain(|errand| !errand.question.is_abandoned());
        let min = match course {
            Course::Serve => self.program.children.min().get() as usize,
            Course::Retire | Course::End => 0,
        };
        let max = self.program.children.max().get() as usize;
        while self.tasks.len() < max && now >= self.pace.next() {
            let members = self.members.iter();
            let free: usize = members.map(|one| self.at_once() - one.load).sum();
            if self.members.len() >= min && self.line.len() <= free {
                break;
            }
            let at_once = self.at_once();
            let child = start(&self.program, Stdio::piped()).and_then(|process| {
                // One that has lost them is killed as it is dropped.
                Child::new(process, Arc::clone(&self.path), at_once, self.journal.clone())
                    .ok_or_else(|| "it has lost its streams".to_owned())
            });
            match child {
                Ok(child) => self.welcome(child, now),
                Err(why) => return self.lament(why, now),
            }
        }
    }

    fn welcome(&mut self, child: Child, now: Instant) {
        self.pace.started(now);
        self.failure = None;
        let at_once = self.at_once();
        let (errands, inbox) = mpsc::channel(at_once);
        let task = self.tasks.spawn(child.run(inbox, self.reporter.clone()));
        self.members.push(Member { id: task.id(), errands, load: 0, since: now });
    }

    fn lament(&mut self, why: String, now: Instant) {
        let pause = model::unit::show(self.pace.failed(now));
        let text = format!("{} cannot be started: {why}; it is tried again in {pause}", self.path);
        self.remark(Level::Error, text);
        self.failure = Some(why.into());
    }

    /// Gives the questions that wait to children that have a place, the least busy first.
    fn hand_out(&mut self, now: Instant) {
        let at_once = self.at_once();
        while !self.line.is_empty() {
            let free = self.members.iter_mut().filter(|one| one.load < at_once);
            let Some(member) = free.min_by_key(|one| one.load) else { return };
            let Some(mut errand) = self.line.pop_front() else { return };
            self.serial += 1;
            errand.serial = self.serial;
            self.last = now;
            match member.errands.try_send(errand) {
                Ok(()) => (member.load, member.since) = (member.load + 1, now),
                Err(mpsc::error::TrySendError::Full(errand))
                | Err(mpsc::error::TrySendError::Closed(errand)) => {
                    // It is about to report its end.
                    member.load = at_once;
                    self.line.push_front(errand);
                }
            }
        }
    }

    /// Answers questions that no child can come for in time, while there is none.
    fn give_up(&mut self, now: Instant) {
        if !self.members.is_empty() {
            return;
        }
        let next = self.pace.next();
        let failure = self.failure.clone();
        let (hopeless, others) = self.line.drain(..).partition::<VecDeque<_>, _>(|errand| {
            next > now && (failure.is_some() || errand.question.deadline <= next)
        });
        self.line = others;
        for errand in hopeless {
            let why = failure.clone().map_or(Undecided::Ended, Undecided::NotStarted);
            errand.question.answer(Decision::Undecided(why));
        }
    }

    /// Lets children go that have not been needed for long.
    fn dismiss_idle(&mut self, now: Instant) {
        let min = self.program.children.min().get() as usize;
        let idle = |member: &Member| member.load == 0 && now >= member.since + IDLE_MAX;
        while self.members.len() > min
            && let Some(at) = self.members.iter().rposition(idle)
        {
            // Its questions end, and so it does.
            self.members.remove(at);
        }
    }

    /// When there may be something to do that nobody tells of.
    fn next_look(&self, course: Course, now: Instant) -> Instant {
        // Only for the sake of a bound.
        let mut next = now + IDLE_MAX;
        if self.pace.next() > now {
            next = next.min(self.pace.next());
        }
        // Else it waits for an answer, which is told.
        if course == Course::Retire && self.is_quiet() {
            next = next.min(self.last + GRACE);
        }
        if self.members.len() > self.program.children.min().get() as usize {
            let idle = self.members.iter().filter(|member| member.load == 0);
            let due = idle.map(|member| member.since + IDLE_MAX).min();
            next = next.min(due.unwrap_or(next));
        }
        next
    }

    /// Looks at what a child reports.
    fn take(&mut self, report: Report) {
        let now = Instant::now();
        match report {
            Report::Answered(id) => {
                self.last = now;
                self.pace.reset(now);
                if let Some(member) = self.members.iter_mut().find(|member| member.id == id) {
                    (member.load, member.since) = (member.load.saturating_sub(1), now);
                }
            }
            Report::Leaves { id, why, life, unanswered } => {
                self.members.retain(|member| member.id != id);
                if why != Why::Dismissed {
                    self.pace.ended(now, life);
                }
                unanswered.into_iter().rev().for_each(|errand| self.ask_another(errand, why));
            }
        }
    }

    /// A question whose child has ended: it may have been that of another that ended it.
    fn ask_another(&mut self, errand: Errand, why: Why) {
        if why == Why::Late && errand.question.deadline <= Instant::now() {
            return errand.question.expire();
        }
        let is_blameless =
            matches!(why, Why::Itself | Why::Dismissed) || self.program.at_once.get() > 1;
        if is_blameless && !errand.is_repeated {
            self.line.push_front(Errand { is_repeated: true, ..errand });
            return;
        }
        let why = match why {
            Why::Itself | Why::Dismissed | Why::Late => Undecided::Ended,
            Why::Foreign => Undecided::Foreign,
            Why::OutOfStep => Undecided::OutOfStep,
        };
        errand.question.answer(Decision::Undecided(why));
    }

    /// Tells of the end of a child.
    fn part(&mut self, ended: Result<(Id, Farewell), JoinError>) {
        let Farewell { pid, why, status } = match ended {
            Ok((_, farewell)) => farewell,
            Err(defect) => {
                self.members.retain(|member| member.id != defect.id());
                self.pace.failed(Instant::now());
                return self.remark(Level::Error, format!("{}: {defect}", self.path));
            }
        };
        let what = match (why, status) {
            (Why::Dismissed, _) => return,
            (Why::Itself, Some(status)) => format!("has ended ({status})"),
            (Why::Itself, None) => "has ended".to_owned(),
            (Why::Foreign, _) => "was killed: what it said is no answer".to_owned(),
            (Why::OutOfStep, _) => "was killed: it answered what it was not asked".to_owned(),
            (Why::Late, _) => "was killed: it did not answer in time".to_owned(),
        };
        let mut text = format!("{} (process {pid}) {what}", self.path);
        let pause = self.pace.next().saturating_duration_since(Instant::now());
        if !pause.is_zero() {
            text += &format!("; the next begins in {} ms", pause.as_millis());
        }
        self.remark(Level::Warning, text);
    }

    /// Ends all children, and answers those who wait.
    async fn end(mut self) {
        self.questions.close();
        while let Ok(question) = self.questions.try_recv() {
            question.answer(Decision::Undecided(Undecided::Stopped));
        }
        for errand in self.line.drain(..) {
            errand.question.answer(Decision::Undecided(Undecided::Stopped));
        }
        // With their senders gone the children are dismissed, and have nobody to report to.
        self.members.clear();
        self.reports.close();
        while self.tasks.join_next().await.is_some() {}
    }

    fn remark(&self, level: Level, text: String) {
        self.journal.notice(Notice::Remark { level, text });
    }
}
