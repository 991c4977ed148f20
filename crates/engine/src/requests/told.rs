//! Who is told of requests: the journal.

use std::sync::Arc;
use std::time::SystemTime;

use wire::http::Foreign;

use crate::journal::{Journal, Notice};
use crate::phase::account::ClientAddress;
use crate::requests::{Listen, Passage};

/// Longest part of a URL that is told, in bytes.
pub const URL_BYTES_MAX: usize = 2 * 1024;

/// A request of a client, seen on its way to a backend.
#[derive(Clone, Debug)]
pub struct Request {
    /// When its head was whole.
    pub at: SystemTime,
    /// The id of its session.
    pub id: u64,
    /// The listener the client came to.
    pub listener: Arc<str>,
    /// Who sent it.
    pub client: ClientAddress,
    /// Which of its session it is, from 1 on.
    pub number: u64,
    /// Its method: visible ASCII, a few bytes.
    pub method: Box<str>,
    /// Its target as it was sent on, cut to [`URL_BYTES_MAX`]: anything a client may send.
    pub url: Box<str>,
    /// What became of it.
    pub passage: Passage,
}

/// Tells a journal of the requests of one session.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) journal: Journal,
    pub(crate) id: u64,
    pub(crate) listener: Arc<str>,
    pub(crate) client: ClientAddress,
    /// Requests so far.
    pub(crate) count: u64,
}

impl Listen for Told {
    fn request(&mut self, method: &[u8], prefix: &str, target: &[u8], passage: Passage) {
        self.count += 1;
        if !self.journal.wants().requests {
            return;
        }
        let mut url = prefix.as_bytes()[..prefix.len().min(URL_BYTES_MAX)].to_vec();
        url.extend_from_slice(&target[..target.len().min(URL_BYTES_MAX - url.len())]);
        self.journal.request(Request {
            at: SystemTime::now(),
            id: self.id,
            listener: Arc::clone(&self.listener),
            client: self.client,
            number: self.count,
            method: String::from_utf8_lossy(method).into(),
            url: String::from_utf8_lossy(&url).into(),
            passage,
        });
    }

    fn refused(&mut self, why: Foreign) {
        self.journal.notice(Notice::RequestRefused { id: self.id, why });
    }
}
