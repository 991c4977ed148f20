//! Whose connection a session is: what a proxy before us tells by a PROXY header, and what backends
//! are told by another one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use model::ProxyTlv;
use relay::Socket;
use wire::proxy_header::Transport;
use wire::tls::ClientHello;

use super::Session;
use crate::phase::account::{By, Reason};
use crate::phase::carry::Outcome;
use crate::phase::connect::Trail;
use crate::phase::proxy_header::{self, About, Ended, Introduction, NOT_LISTED, Standing};
use crate::socket;
use crate::socket::original::Original;

impl Session {
    /// Takes the header that `peer` has to send, if the listener takes headers; `early` gets what
    /// comes behind it.
    pub(super) async fn introduce(
        &mut self,
        peer: &mut Socket,
        early: &mut Vec<u8>,
    ) -> Result<(), Outcome> {
        let Some(accepts) = &self.listener.proxy_protocol else { return Ok(()) };
        match accepts.standing(self.client) {
            Standing::Sender => {}
            Standing::Plain => return Ok(()),
            Standing::Refused => {
                let (journal, name) = (&self.shard.journal, &self.listener.name);
                accepts.tell(journal, name, self.client, NOT_LISTED);
                return Err(Outcome { reason: Reason::ProxyHeader, by: By::Replug });
            }
        }
        let introduction =
            proxy_header::hear(peer, early, self.client, self.hall(), accepts).await?;
        let sender = std::mem::replace(&mut self.client, introduction.client());
        self.trail = Some(Box::new(Trail {
            spoken: introduction.spoken(),
            sender: Some(sender),
            unique_id: introduction.unique_id.clone(),
            introduction: Some(introduction.into()),
            ..Trail::default()
        }));
        Ok(())
    }

    /// What a proxy has told of the client, until that has its backend.
    pub(super) fn introduction(&self) -> Option<&Introduction> {
        self.trail.as_deref()?.introduction.as_deref()
    }

    /// The ClientHello that a proxy has told of.
    pub(super) fn introduced_hello(&self) -> Option<&ClientHello> {
        self.introduction()?.hello.as_ref()
    }

    /// It has its backend for good: most of what was told is of no more use.
    pub(super) fn forget_introduction(&mut self) {
        if let Some(trail) = &mut self.trail {
            trail.introduction = None;
        }
    }

    /// The address that the client came to, or meant to go to.
    pub(super) fn came_to(
        &self,
        client: &Socket,
        original: Option<Original>,
    ) -> Option<SocketAddr> {
        let told = self.introduction().and_then(Introduction::server);
        let meant = || original.and_then(Original::address);
        told.or_else(meant).or_else(|| socket::local_address(client.descriptor()))
    }

    /// The header that the backends of its pool get first, if they do.
    pub(super) fn header(
        &mut self,
        client: &Socket,
        original: Option<Original>,
    ) -> Option<Box<[u8]>> {
        let pool = Arc::clone(self.pool());
        let sends = pool.send_proxy.as_ref()?;
        if sends.tells(ProxyTlv::UniqueId) {
            let name = unique_name(SystemTime::now() - self.accepted.elapsed(), self.id);
            let trail = self.trail.get_or_insert_default();
            trail.unique_id.get_or_insert_with(|| name.into_bytes().into());
        }
        let trail = self.trail.as_deref();
        let ended = Ended::of(client);
        Some(sends.header(&About {
            transport: Transport::Stream,
            client: self.client,
            server: self.came_to(client, original),
            introduction: self.introduction(),
            ended: ended.as_ref(),
            spoken: trail.map(|trail| &trail.spoken),
            unique_id: trail.and_then(|trail| trail.unique_id.as_deref()),
        }))
    }
}

/// What a session is called that nobody has named: by when it began and its id, which tell it from
/// those of other processes, and from others of this one.
pub(crate) fn unique_name(began: SystemTime, id: u64) -> String {
    let micros = began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    format!("{micros:x}-{id:x}")
}
