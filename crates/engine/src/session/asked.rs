//! Clients of a listener that is a proxy: they are heard before phase *route*, and answered when
//! their backend is there, or when it is clear that there will be none.

use std::time::Duration;

use relay::Socket;
use tokio::time::timeout;

use super::Session;
use crate::phase::account::Reason;
use crate::phase::asked::{self, Asked};
use crate::phase::carry::Outcome;
use crate::phase::hearing::{self, Hall};

/// How long a client may take for the last words that it is sent.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// Bytes that are still taken from it then.
const LEAVE_BYTES_MAX: usize = 1024 * 1024;

impl Session {
    /// Where the client wants to go, if the listener is a proxy. `early`: what has come of it
    /// already, and then what is left for the backend.
    pub(super) async fn greet(
        &mut self,
        client: &mut Socket,
        early: &mut Vec<u8>,
    ) -> Result<Option<Box<Asked>>, Outcome> {
        let Some(served) = self.listener.proxy.as_deref() else { return Ok(None) };
        let hall = Hall { listener: &self.listener, shard: &self.shard, seat: &self.seat };
        let mut user = None;
        let asked = asked::greet(client, early, hall, served, &mut user).await;
        if user.is_some() {
            self.trail.get_or_insert_default().spoken.user = user;
        }
        match asked {
            Ok(asked) => Ok(Some(Box::new(asked))),
            Err(declined) => {
                Self::part(client, &declined.reply).await;
                Err(declined.outcome)
            }
        }
    }

    /// Tells the client that its way is open.
    pub(super) async fn grant(&self, client: &mut Socket, asked: &Asked) -> Result<(), Outcome> {
        let reply = asked.granted();
        match timeout(LEAVE_MAX, client.send_all(&reply)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(hearing::reset(error)),
            Err(_) => Err(hearing::reset(std::io::ErrorKind::TimedOut.into())),
        }
    }

    /// Tells the client that it gets no backend, and why.
    pub(super) async fn decline(&self, client: &mut Socket, asked: &Asked, outcome: Outcome) {
        match outcome.reason {
            // Cut short, or gone.
            Reason::Killed | Reason::Drained | Reason::ClientReset => {}
            reason => Self::part(client, &asked.declined(reason)).await,
        }
    }

    /// The last words to a client, and its end in good order, so that it can read them.
    async fn part(client: &mut Socket, words: &[u8]) {
        if words.is_empty() {
            return;
        }
        // Whether or not they are taken: the session is over.
        let _ = timeout(LEAVE_MAX, client.take_leave(words, LEAVE_BYTES_MAX)).await;
    }
}
