//! A backend's host name and its last good addresses.
//!
//! Whoever resolves names (`control`) posts answers here; sessions read them and
//! never resolve anything. A name without an answer yet makes its sessions wait
//! for the first one, within their connect timeout; a failed look-up keeps the
//! last good answer.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

/// A host name that wants resolving.
#[derive(Debug)]
pub struct Name {
    host: String,
    answer: ArcSwap<Answer>,
    answered: Notify,
    turn: AtomicUsize,
}

#[derive(Debug)]
enum Answer {
    /// Nobody has looked it up yet.
    Awaited,
    /// The last good answer; never empty.
    Good(Vec<IpAddr>),
    /// Every look-up so far has failed.
    None,
}

impl Name {
    /// A name that nobody has looked up yet.
    pub fn new(host: String) -> Self {
        Self {
            host,
            answer: ArcSwap::from_pointee(Answer::Awaited),
            answered: Notify::new(),
            turn: AtomicUsize::new(0),
        }
    }

    /// The name itself.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Takes a good answer; says whether it differs from the last one, order aside. An empty
    /// answer is no answer: see [`Name::fail`].
    pub fn post(&self, addresses: Vec<IpAddr>) -> bool {
        if addresses.is_empty() {
            self.fail();
            return false;
        }
        let sorted = |addresses: &[IpAddr]| {
            let mut sorted = addresses.to_vec();
            sorted.sort_unstable();
            sorted
        };
        let differs = match &**self.answer.load() {
            Answer::Good(last) => sorted(last) != sorted(&addresses),
            Answer::Awaited | Answer::None => true,
        };
        if differs {
            self.answer.store(Answer::Good(addresses).into());
            self.answered.notify_waiters();
        }
        differs
    }

    /// Takes a failed look-up: sessions no longer wait for the first answer. Says whether an
    /// older answer stays in use.
    pub fn fail(&self) -> bool {
        if let Answer::Good(_) = &**self.answer.load() {
            return true;
        }
        self.answer.store(Answer::None.into());
        self.answered.notify_waiters();
        false
    }

    /// The same without waiting: empty also while nobody has looked the name up.
    pub(crate) fn addresses_now(&self) -> Vec<IpAddr> {
        match &**self.answer.load() {
            Answer::Awaited | Answer::None => Vec::new(),
            Answer::Good(addresses) => {
                let mut addresses = addresses.clone();
                let turn = self.turn.fetch_add(1, Ordering::Relaxed) % addresses.len();
                addresses.rotate_left(turn);
                addresses
            }
        }
    }

    /// Waits until somebody has looked it up, with or without success.
    pub async fn looked_up(&self) {
        loop {
            let answered = self.answered.notified();
            if !matches!(&**self.answer.load(), Answer::Awaited) {
                return;
            }
            answered.await;
        }
    }

    /// The addresses to try, in order; each call begins with the next one of the answer, so
    /// that all take their turn. Waits while nobody has looked the name up; empty when every
    /// look-up has failed.
    pub(crate) async fn addresses(&self) -> Vec<IpAddr> {
        self.looked_up().await;
        self.addresses_now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test]
    async fn the_last_good_answer_stays() {
        let name = Name::new("db.example".to_owned());
        assert!(!name.fail());
        assert!(name.addresses().await.is_empty());
        assert!(name.post(vec![ip(1), ip(2)]));
        assert!(!name.post(vec![ip(2), ip(1)]), "the same addresses in another order");
        assert!(name.fail());
        assert_eq!(name.addresses().await, [ip(1), ip(2)]);
        assert_eq!(name.addresses().await, [ip(2), ip(1)], "they take turns");
    }

    #[tokio::test]
    async fn sessions_wait_for_the_first_answer() {
        let name = std::sync::Arc::new(Name::new("db.example".to_owned()));
        let (waiting, answer) = (name.clone(), vec![ip(7)]);
        let waiting = tokio::spawn(async move { waiting.addresses().await });
        tokio::task::yield_now().await;
        name.post(answer.clone());
        assert_eq!(waiting.await.expect("no panic"), answer);
    }
}
