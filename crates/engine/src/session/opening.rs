//! The opening of a session at a listener that takes time over it: phases *admit*, *sniff* and
//! *route*, where the client, or somebody about it, has to be asked or listened to.
//!
//! The steps stand in [`Session::decide_in_time`] in the order in which they come, and each is
//! entered only if the listener has it. What was received and not used goes from step to step: a
//! step takes these bytes as the first that came, reads on only when it needs more, takes off what
//! is its own, and hands on the rest. In the end the backend gets what is left.

use model::OnError;
use relay::{Side, Socket};

use super::{Session, this_moment};
use crate::authority::Decision;
use crate::journal::{Level, Notice};
use crate::phase::account::{By, ClientAddress, Reason, Spoken};
use crate::phase::carry::Outcome;
use crate::phase::hearing::Hall;
use crate::phase::route::condition::Around;
use crate::phase::route::{Chosen, Routed};
use crate::phase::sniff::{self, Hello, Inquiry, Sniffed};
use crate::phase::tls::{self, Agreed, Unagreed};
use crate::socket;
use crate::socket::original::Original;

/// What is known once a client was listened to for as long as routes ask for that.
pub(super) enum Opened {
    /// Where the session goes, and what is owed to its backend.
    Routed(Hello),
    /// No route takes it, and a script is to decide.
    ByScript(Hello),
}

impl Session {
    /// Phases *admit*, *sniff* and *route*, with everything that a client may be asked or told before.
    /// Boxed steps: few listeners have them.
    pub(super) async fn decide_in_time(
        &mut self,
        client: &mut Socket,
    ) -> Result<(Option<Original>, Opened), Outcome> {
        let mut early = Vec::new();
        if self.listener.proxy_protocol.is_some() {
            Box::pin(self.introduce(client, &mut early)).await?;
        }
        self.admit()?;
        if self.listener.authorize.is_some() {
            Box::pin(self.authorize(client)).await?;
        }
        let agreed = match self.listener.tls.clone() {
            Some(server) => Box::pin(self.agree(client, &mut early, &server)).await?,
            None => None,
        };
        let agreed = agreed.as_ref();
        let asked = match self.listener.proxy.is_some() {
            true => Box::pin(self.greet(client, &mut early)).await?,
            false => None,
        };
        let original = match &asked {
            // Routes go by where it wants to go.
            Some(asked) => Some(Original::At(asked.address())),
            None => self.original(client),
        };
        let (routed, hello) = match self.route(client, original, agreed) {
            Routed::Wait => self.sniff(client, early, original, agreed).await?,
            routed => (routed, Hello { early: early.into(), ..Hello::default() }),
        };
        if routed == Routed::None && self.listener.script.is_some() {
            return Ok((original, Opened::ByScript(hello)));
        }
        if let Err(outcome) = self.settle(routed) {
            if let Some(asked) = asked {
                Box::pin(self.decline(client, &asked, outcome)).await;
            }
            return Err(outcome);
        }
        Ok((original, Opened::Routed(Hello { asked, ..hello })))
    }

    pub(super) fn hall(&self) -> Hall<'_> {
        Hall { listener: &self.listener, shard: &self.shard, seat: &self.seat }
    }

    /// The rest of phase *admit*, where somebody else decides: what the client sends meanwhile
    /// stays in its socket.
    async fn authorize(&self, client: &mut Socket) -> Result<(), Outcome> {
        let Some(authorize) = &self.listener.authorize else { return Ok(()) };
        let address = match self.client {
            ClientAddress::Ip(address) => Some(address),
            ClientAddress::Unix => None,
        };
        let asking = authorize.ask(address, socket::local_address(client.descriptor()));
        let decision = self.attend(client, Side::Client, asking).await?;
        let (id, journal) = (self.id, &self.shard.journal);
        let program = || authorize.authority.program().path().into();
        let denied = Err(Outcome { reason: Reason::Denied, by: By::Replug });
        match decision {
            Decision::Allow => Ok(()),
            Decision::Deny(comment) => {
                if journal.wants_notices(Level::Debug) {
                    journal.notice(Notice::ClientRefused { id, program: program(), comment });
                }
                denied
            }
            Decision::Undecided(why) => {
                let (program, on_error) = (program(), authorize.on_error);
                journal.notice(Notice::ClientUndecided { id, program, why, on_error });
                match on_error {
                    OnError::Deny => denied,
                    OnError::Allow => Ok(()),
                }
            }
        }
    }

    /// Phase *sniff*: what the client says, as long as its route depends on that.
    async fn sniff(
        &mut self,
        client: &mut Socket,
        early: Vec<u8>,
        original: Option<Original>,
        agreed: Option<&Agreed>,
    ) -> Result<(Routed, Hello), Outcome> {
        let asks = self.listener.routing.routes.asks_for_address;
        let here = if asks { self.came_to(client, original) } else { None };
        let here = || here;
        let inquiry = Inquiry {
            hall: self.hall(),
            told: agreed.map(|agreed| &agreed.hello).or_else(|| self.introduced_hello()),
            around: Around::new(self.client_ip(), &here, &this_moment).proven(agreed),
        };
        let Sniffed { routed, hello, spoken } = sniff::sniff(client, early, inquiry).await?;
        let chosen = if let Routed::Route(chosen) = routed { chosen } else { Chosen::default() };
        let is_told = self.listener.pool_of(chosen).send_proxy.is_some();
        let is_wanted = self.shard.journal.wants().records || self.listener.script.is_some();
        // What was agreed on is known already.
        if agreed.is_none() && spoken != Spoken::default() && (is_told || is_wanted) {
            self.trail.get_or_insert_default().spoken = spoken;
        }
        Ok((routed, hello))
    }

    /// The last step of phase *admit*: TLS with the client, on whatever comes behind `early`. `None`:
    /// it goes on in the clear.
    async fn agree(
        &mut self,
        client: &mut Socket,
        early: &mut Vec<u8>,
        server: &::tls::Server,
    ) -> Result<Option<Agreed>, Outcome> {
        match tls::agree(client, early, self.hall(), server).await {
            Ok(None) => Ok(None),
            Ok(Some(agreed)) => {
                self.trail.get_or_insert_default().spoken = agreed.spoken.clone();
                Ok(Some(agreed))
            }
            Err(Unagreed::Ended(outcome)) => Err(outcome),
            Err(Unagreed::Proven(spoken)) => {
                self.trail.get_or_insert_default().spoken = spoken;
                Err(Outcome { reason: Reason::Done, by: By::Replug })
            }
            Err(Unagreed::Failed(cause)) => {
                let journal = &self.shard.journal;
                if journal.wants_notices(Level::Debug) {
                    journal.notice(Notice::NoTls { id: self.id, why: cause.to_string() });
                }
                Err(cause.outcome())
            }
        }
    }
}
