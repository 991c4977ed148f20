//! Clients that speak SOCKS.

use std::net::IpAddr;

use wire::Parse;
use wire::socks::v5::{Method, Reply};
use wire::socks::{Command, Foreign, MESSAGE_BYTES_MAX, Target, v4, v5};

use super::{Declined, Destination, Host, Talk};
use crate::phase::account::Reason;

impl Talk<'_> {
    /// The request of version 4 or 4A. It knows no passwords: where those are wanted, nobody gets
    /// through by it.
    pub(super) async fn socks4(&mut self) -> Result<Destination, Declined> {
        let read = |bytes: &[u8]| match v4::read_request(bytes) {
            Parse::Whole { value, length } => {
                let value = (value.command, destination(value.target));
                Parse::Whole { value, length }
            }
            Parse::Partial => Parse::Partial,
            Parse::Foreign(_) => Parse::Foreign(Declined::bad(reply_4(false))),
        };
        match self.hear(MESSAGE_BYTES_MAX, read).await? {
            _ if self.served.has_users() => {
                let mut reply = Vec::new();
                v4::write_reply(&mut reply, v4::REJECTED_USER);
                Err(Declined::denied(reply))
            }
            (Command::Connect, Some(destination)) => Ok(destination),
            _ => Err(Declined::bad(reply_4(false))),
        }
    }

    /// Greeting, sign-in and request of version 5.
    pub(super) async fn socks5(&mut self) -> Result<Destination, Declined> {
        let wanted = match self.served.has_users() {
            true => Method::Password,
            false => Method::Open,
        };
        let read = |bytes: &[u8]| match v5::read_greeting(bytes) {
            Parse::Whole { value, length } => Parse::Whole { value: value.has(wanted), length },
            Parse::Partial => Parse::Partial,
            Parse::Foreign(_) => Parse::Foreign(Declined::bad(Vec::new())),
        };
        let mut choice = Vec::new();
        if !self.hear(MESSAGE_BYTES_MAX, read).await? {
            v5::write_choice(&mut choice, None);
            return Err(Declined::denied(choice));
        }
        v5::write_choice(&mut choice, Some(wanted));
        self.say(&choice).await?;
        if wanted == Method::Password {
            self.sign_in().await?;
        }
        let read = |bytes: &[u8]| match v5::read_request(bytes) {
            Parse::Whole { value: (command, target), length } => {
                Parse::Whole { value: (command, destination(target)), length }
            }
            Parse::Partial => Parse::Partial,
            Parse::Foreign(why) => Parse::Foreign(Declined::bad(reply_5(match why {
                Foreign::AddressKind => Reply::AddressKind,
                _ => Reply::Failed,
            }))),
        };
        match self.hear(MESSAGE_BYTES_MAX, read).await? {
            (Command::Connect, Some(destination)) => Ok(destination),
            (Command::Connect, None) => Err(Declined::bad(reply_5(Reply::Failed))),
            _ => Err(Declined::bad(reply_5(Reply::Command))),
        }
    }

    async fn sign_in(&mut self) -> Result<(), Declined> {
        let served = self.served;
        let read = |bytes: &[u8]| match v5::read_credentials(bytes) {
            Parse::Whole { value: (user, password), length } => {
                Parse::Whole { value: served.known(user, password), length }
            }
            Parse::Partial => Parse::Partial,
            Parse::Foreign(_) => Parse::Foreign(Declined::bad(Vec::new())),
        };
        *self.user = self.hear(MESSAGE_BYTES_MAX, read).await?;
        let mut verdict = Vec::new();
        v5::write_verdict(&mut verdict, self.user.is_some());
        if self.user.is_none() {
            self.pause().await;
            return Err(Declined::denied(verdict));
        }
        self.say(&verdict).await
    }
}

fn destination(target: Target<'_>) -> Option<Destination> {
    match target {
        Target::Ip(address) => {
            let ip: IpAddr = address.ip().to_canonical();
            Some(Destination { host: Host::Ip(ip), port: address.port() })
        }
        Target::Name(host, port) => Destination::new(host, port),
    }
}

pub(super) fn reply_4(is_granted: bool) -> Vec<u8> {
    let mut reply = Vec::new();
    v4::write_reply(&mut reply, if is_granted { v4::GRANTED } else { v4::REJECTED });
    reply
}

pub(super) fn reply_5(code: Reply) -> Vec<u8> {
    let mut reply = Vec::new();
    // What the way leaves from is nobody's business.
    v5::write_reply(&mut reply, code, None);
    reply
}

/// What a client is told about a session that ends so.
pub(super) fn reply_to(reason: Reason) -> Reply {
    match reason {
        Reason::Denied => Reply::Denied,
        Reason::Refused => Reply::Refused,
        Reason::Unreachable | Reason::NoBackend => Reply::HostUnreachable,
        Reason::ConnectTimeout => Reply::Expired,
        _ => Reply::Failed,
    }
}
