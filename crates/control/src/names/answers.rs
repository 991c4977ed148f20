//! Names that sessions ask for, which no configuration has.
//!
//! One task takes the questions. Those for the same name wait for one look-up; so many look-ups
//! run at a time, and the others stand in a line. What was found is used again for its time, what
//! was not for a moment; both are kept within a bound, so that clients who ask for names without
//! end cost neither memory nor the name servers more than that.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::lookup::{NotFound, Question};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::resolver::{Answer, Resolver};

/// Look-ups at a time.
const LOOKUPS_MAX: usize = 64;

/// Longest time of one.
const LOOKUP_MAX: Duration = Duration::from_secs(15);

/// Names whose answers are kept; when there are more, those that are over go, and if that does not
/// help, all.
const KEPT_MAX: usize = 8_192;

/// Least and longest time that an answer is used, whatever its TTL.
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// How long it holds that a name has no addresses.
const FAILURE_TTL: Duration = Duration::from_secs(1);

type Found = Result<Arc<[IpAddr]>, NotFound>;

/// Answers questions until nobody can ask any more.
pub(super) async fn answer(mut questions: mpsc::Receiver<Question>, resolver: Arc<Resolver>) {
    let mut answers = Answers::new(resolver);
    loop {
        tokio::select! {
            question = questions.recv() => match question {
                Some(question) => answers.take(question),
                None => return,
            },
            Some(done) = answers.running.join_next() => {
                // A look-up that has panicked has no name: whoever waits for it has a deadline.
                if let Ok((host, found)) = done {
                    answers.found(&host, found);
                }
                answers.go_on();
            }
        }
    }
}

struct Answers {
    resolver: Arc<Resolver>,
    kept: HashMap<Box<str>, (Found, Instant)>,
    /// Who waits for each name that is looked up or stands in line.
    waiting: HashMap<Box<str>, Vec<Question>>,
    line: VecDeque<Box<str>>,
    running: JoinSet<(Box<str>, Result<Answer, String>)>,
}

impl Answers {
    fn new(resolver: Arc<Resolver>) -> Self {
        let (kept, waiting) = (HashMap::new(), HashMap::new());
        Self { resolver, kept, waiting, line: VecDeque::new(), running: JoinSet::new() }
    }

    fn take(&mut self, mut question: Question) {
        question.host.make_ascii_lowercase();
        let host = question.host.clone();
        if let Some((found, until)) = self.kept.get(&host)
            && Instant::now() < *until
        {
            return question.answer(found.clone());
        }
        let others = self.waiting.entry(host.clone()).or_default();
        others.push(question);
        if others.len() == 1 {
            self.line.push_back(host);
            self.go_on();
        }
    }

    /// Begins the look-ups that there is room for.
    fn go_on(&mut self) {
        while self.running.len() < LOOKUPS_MAX
            && let Some(host) = self.line.pop_front()
        {
            let Some(questions) = self.waiting.get_mut(&host) else { continue };
            questions.retain(|question| !question.is_abandoned());
            if questions.is_empty() {
                self.waiting.remove(&host);
                continue;
            }
            let resolver = Arc::clone(&self.resolver);
            self.running.spawn(async move {
                let answer = timeout(LOOKUP_MAX, resolver.resolve(&host)).await;
                let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
                (host, answer)
            });
        }
    }

    fn found(&mut self, host: &str, answer: Result<Answer, String>) {
        let (found, time): (Found, _) = match answer {
            Ok(answer) => (Ok(answer.addresses.into()), answer.ttl.clamp(*TTL.start(), *TTL.end())),
            Err(why) => (Err(NotFound::Failed(why.into())), FAILURE_TTL),
        };
        for question in self.waiting.remove(host).unwrap_or_default() {
            question.answer(found.clone());
        }
        let now = Instant::now();
        if self.kept.len() >= KEPT_MAX {
            self.kept.retain(|_, (_, until)| now < *until);
            if self.kept.len() >= KEPT_MAX {
                self.kept.clear();
            }
        }
        self.kept.insert(host.into(), (found, now + time));
    }
}
