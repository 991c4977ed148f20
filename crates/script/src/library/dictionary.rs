//! `shared`: what all shards remember together, and over reloads: strings, numbers and flags by
//! their names, each for a time if it is told one.
//!
//! It is cut into parts with a lock each, held for the time of one look. These locks are the
//! price of scripts that use it; sessions without know none. A full part forgets what has not been
//! asked for since its hand last came by (the clock algorithm), so that clients who invent names
//! push out their own.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Parts, each with its share of all limits.
const PARTS: usize = 16;

/// Most entries.
pub(super) const ENTRIES_MAX: usize = 65_536;

/// Most bytes of all names and strings.
pub(super) const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Longest name, in bytes.
pub(super) const KEY_BYTES_MAX: usize = 1024;

/// Longest string, in bytes.
pub(super) const VALUE_BYTES_MAX: usize = 64 * 1024;

/// See the head of this file.
#[derive(Default)]
pub(super) struct Dictionary {
    hasher: RandomState,
    parts: [Mutex<Part>; PARTS],
}

/// What stands under a name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(Box<[u8]>),
    Number(f64),
    Flag(bool),
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The name is longer than [`KEY_BYTES_MAX`].
    Key,
    /// The string is longer than [`VALUE_BYTES_MAX`].
    Value,
    /// What is there cannot be counted.
    NoNumber,
}

#[derive(Default)]
struct Part {
    places: HashMap<Box<[u8]>, usize>,
    entries: Vec<Entry>,
    bytes: usize,
    /// The entry that is looked at next when room is needed.
    hand: usize,
}

struct Entry {
    key: Box<[u8]>,
    value: Value,
    until: Option<Instant>,
    is_used: bool,
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    fn bytes(&self) -> usize {
        let text = match &self.value {
            Value::Text(text) => text.len(),
            Value::Number(_) | Value::Flag(_) => 0,
        };
        self.key.len() + text
    }
}

impl Dictionary {
    /// What stands under a name.
    pub(super) fn get(&self, key: &[u8], now: Instant) -> Option<Value> {
        let mut part = self.part(key);
        part.find(key, now).map(|entry| entry.value.clone())
    }

    /// Puts something there, for so long.
    pub(super) fn set(
        &self,
        key: &[u8],
        value: Value,
        ttl: Option<Duration>,
        now: Instant,
    ) -> Result<(), Refused> {
        check(key, &value)?;
        let mut part = self.part(key);
        part.remove(key);
        part.insert(key, value, ttl.and_then(|ttl| now.checked_add(ttl)), now);
        Ok(())
    }

    /// Adds to a number: from 0 on and for so long, if there is none; as long as before, if there
    /// is one.
    pub(super) fn add(
        &self,
        key: &[u8],
        by: f64,
        ttl: Option<Duration>,
        now: Instant,
    ) -> Result<f64, Refused> {
        check(key, &Value::Number(by))?;
        let mut part = self.part(key);
        match part.find(key, now) {
            Some(Entry { value: Value::Number(number), .. }) => {
                *number += by;
                Ok(*number)
            }
            Some(_) => Err(Refused::NoNumber),
            None => {
                let until = ttl.and_then(|ttl| now.checked_add(ttl));
                part.insert(key, Value::Number(by), until, now);
                Ok(by)
            }
        }
    }

    /// Takes away what stands under a name; says whether there was anything.
    pub(super) fn remove(&self, key: &[u8], now: Instant) -> bool {
        let mut part = self.part(key);
        let is_there = part.find(key, now).is_some();
        part.remove(key);
        is_there
    }

    fn part(&self, key: &[u8]) -> MutexGuard<'_, Part> {
        let hash = self.hasher.hash_one(key);
        let part = usize::try_from(hash % PARTS as u64).unwrap_or_default();
        self.parts[part].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(key: &[u8], value: &Value) -> Result<(), Refused> {
    match value {
        _ if key.len() > KEY_BYTES_MAX => Err(Refused::Key),
        Value::Text(text) if text.len() > VALUE_BYTES_MAX => Err(Refused::Value),
        _ => Ok(()),
    }
}

impl Part {
    fn find(&mut self, key: &[u8], now: Instant) -> Option<&mut Entry> {
        let place = *self.places.get(key)?;
        if self.entries[place].is_over(now) {
            self.forget(place);
            return None;
        }
        let entry = &mut self.entries[place];
        entry.is_used = true;
        Some(entry)
    }

    /// Puts in what is not there.
    fn insert(&mut self, key: &[u8], value: Value, until: Option<Instant>, now: Instant) {
        let entry = Entry { key: key.into(), value, until, is_used: false };
        let bytes = entry.bytes();
        while self.entries.len() >= ENTRIES_MAX / PARTS || self.bytes + bytes > BYTES_MAX / PARTS {
            self.make_room(now);
        }
        self.bytes += bytes;
        self.places.insert(key.into(), self.entries.len());
        self.entries.push(entry);
    }

    /// Forgets one entry; ends, since each that is spared is not used any more.
    fn make_room(&mut self, now: Instant) {
        loop {
            self.hand = if self.hand < self.entries.len() { self.hand } else { 0 };
            let Some(entry) = self.entries.get_mut(self.hand) else { return };
            if entry.is_over(now) || !entry.is_used {
                return self.forget(self.hand);
            }
            entry.is_used = false;
            self.hand += 1;
        }
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some(place) = self.places.get(key).copied() {
            self.forget(place);
        }
    }

    /// The last entry takes the place.
    fn forget(&mut self, place: usize) {
        let gone = self.entries.swap_remove(place);
        self.bytes -= gone.bytes();
        self.places.remove(&gone.key);
        if let Some(moved) = self.entries.get(place)
            && let Some(known) = self.places.get_mut(&moved.key)
        {
            *known = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn entries_live_as_long_as_they_were_told() {
        let (shared, begin) = (Dictionary::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        shared.set(b"a", Value::Flag(true), seconds(5), at(0)).expect("it fits");
        shared.set(b"b", Value::Text(b"x".as_slice().into()), None, at(0)).expect("it fits");
        assert_eq!(shared.get(b"a", at(4)), Some(Value::Flag(true)));
        assert_eq!(shared.get(b"a", at(5)), None);
        assert_eq!(shared.get(b"b", at(1_000_000)), Some(Value::Text(b"x".as_slice().into())));
        assert!(shared.remove(b"b", at(1)));
        assert!(!shared.remove(b"b", at(1)));
    }

    #[test]
    fn a_count_begins_again_after_its_time_and_not_before() {
        let (shared, begin) = (Dictionary::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(shared.add(b"n", 1.0, seconds(10), at(0)), Ok(1.0));
        assert_eq!(shared.add(b"n", 2.0, seconds(10), at(9)), Ok(3.0));
        assert_eq!(shared.add(b"n", 1.0, seconds(10), at(10)), Ok(1.0));
        shared.set(b"n", Value::Flag(false), None, at(10)).expect("it fits");
        assert_eq!(shared.add(b"n", 1.0, None, at(10)), Err(Refused::NoNumber));
    }

    #[test]
    fn it_stays_within_its_bounds_and_keeps_what_is_used() {
        let (shared, now) = (Dictionary::default(), Instant::now());
        let long = Value::Text(vec![7; VALUE_BYTES_MAX].into());
        for n in 0..3 * ENTRIES_MAX {
            shared.add(b"wanted", 1.0, None, now).expect("it is a number");
            shared.set(format!("{n}").as_bytes(), Value::Number(0.0), None, now).expect("it fits");
        }
        let entries = || -> usize {
            shared.parts.iter().map(|part| part.lock().expect("unharmed").entries.len()).sum()
        };
        assert!(entries() <= ENTRIES_MAX, "{}", entries());
        assert!(shared.get(b"wanted", now).is_some());
        for n in 0..1_000 {
            shared.add(b"wanted", 1.0, None, now).expect("it is a number");
            shared.set(format!("long {n}").as_bytes(), long.clone(), None, now).expect("it fits");
        }
        for part in &shared.parts {
            let part = part.lock().expect("unharmed");
            let bytes: usize = part.entries.iter().map(Entry::bytes).sum();
            assert_eq!(bytes, part.bytes);
            assert!(bytes <= BYTES_MAX / PARTS, "{bytes}");
            assert!(
                part.entries.iter().enumerate().all(|(at, entry)| part.places[&entry.key] == at)
            );
            assert_eq!(part.places.len(), part.entries.len());
        }
        assert!(shared.get(b"wanted", now).is_some());
        let key = vec![7; KEY_BYTES_MAX + 1];
        assert_eq!(shared.set(&key, Value::Flag(true), None, now), Err(Refused::Key));
        let longer = Value::Text(vec![7; VALUE_BYTES_MAX + 1].into());
        assert_eq!(shared.set(b"k", longer, None, now), Err(Refused::Value));
    }
}
