//! Limits at the way in: sessions at a time and new ones in a while, in all and per client.
//!
//! A [`Gate`] has the limits of one listener or of the whole process, and what counts
//! against them; [`Gates`] are the two that a client passes. It passes them twice:
//!
//! - before it is accepted, for limits that make clients wait ([`Gates::enter`],
//!   [`Gates::pass`]): whoever is over them stays in the kernel's queue;
//! - once its address is known, for limits per client ([`Gates::admit`]): whoever
//!   is over these is refused, for waiting it would hold up the others.
//!
//! What a session holds then ([`Held`]) is given back at its end ([`Gates::leave`]).
//! Nothing here knows of TCP, and time is an argument. The counts are words shared by
//! all shards; they outlive the plan that the limits are from.

pub mod clients;
pub mod meter;
pub mod places;
mod slots;
pub mod windows;

use std::fmt;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use model::{Limits, Rate};
use relay::Stamp;

use crate::seldom::Seldom;
use clients::{Clients, Entered};
use meter::Meter;
use places::Places;
use windows::Windows;

pub use slots::CLIENTS_MAX;

/// The limits of one listener or of the whole process. One without limits costs next to nothing.
#[derive(Debug, Default)]
pub struct Gate {
    sessions: Option<Counted<NonZeroUsize, Places>>,
    per_client: Option<Counted<NonZeroU32, Clients>>,
    rate: Option<Counted<Rate, Meter>>,
    rate_per_client: Option<Counted<Rate, Windows>>,
    /// Times that clients had to wait for a place.
    pub(crate) full: Seldom,
    /// Times that clients had to wait because they came too fast.
    pub(crate) fast: Seldom,
    /// Sessions that were not counted per client, for want of room.
    pub(crate) uncounted: Seldom,
}

/// A limit, and what counts against it.
#[derive(Debug)]
struct Counted<L, C> {
    limit: L,
    count: Arc<C>,
}

/// The gates that a client of one listener passes.
#[derive(Debug, Default)]
pub struct Gates {
    listener: Gate,
    process: Arc<Gate>,
}

/// What a session holds of its gates, in one byte: every session keeps it. Give it back with
/// [`Gates::leave`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Held(u8);

/// A place at a listener, given back when it is dropped; see [`Place::keep`].
#[derive(Debug, Default)]
pub struct Place(Option<Arc<Places>>);

/// What becomes of a client at the gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may come.
    In,
    /// It may come, and was not counted everywhere: too many clients are there at a time.
    Uncounted,
    /// It has come too often.
    Over(Limit),
}

/// A limit that a client is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Which one.
    pub kind: LimitKind,
    /// Whose.
    pub scope: Scope,
}

/// A limit per client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// `per_client`
    PerClient(NonZeroU32),
    /// `rate_per_client`
    RatePerClient(Rate),
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The listener's.
    Listener,
    /// The whole process'.
    Process,
}

impl<L, C> Counted<L, C> {
    /// Counts on with what `previous` has counted.
    fn new(limit: L, previous: Option<&Self>, count: impl FnOnce() -> C) -> Self {
        let count = previous.map_or_else(|| Arc::new(count()), |old| Arc::clone(&old.count));
        Self { limit, count }
    }
}

impl Gate {
    /// A gate with these limits. `previous` is the one that it replaces, whose sessions count on.
    pub fn new(limits: &Limits, previous: Option<&Self>) -> Self {
        let sessions = previous.and_then(|old| old.sessions.as_ref());
        let per_client = previous.and_then(|old| old.per_client.as_ref());
        let rate = previous.and_then(|old| old.rate.as_ref());
        let windows = previous.and_then(|old| old.rate_per_client.as_ref());
        Self {
            sessions: limits.sessions.map(|max| Counted::new(max, sessions, Places::default)),
            per_client: limits.per_client.map(|max| Counted::new(max, per_client, Clients::new)),
            rate: limits.rate.map(|max| {
                // What is due by one rate is not by another: the next may be an hour away.
                let rate = rate.filter(|old| old.limit == max);
                Counted::new(max, rate, Meter::default)
            }),
            rate_per_client: limits.rate_per_client.map(|max| {
                // Whiles of another length say nothing about this one.
                let windows = windows.filter(|old| old.count.period() == max.period());
                Counted::new(max, windows, || Windows::new(max.period()))
            }),
            ..Self::default()
        }
    }

    /// Sessions there may be, if there is a limit.
    pub fn sessions_max(&self) -> Option<NonZeroUsize> {
        self.sessions.as_ref().map(|sessions| sessions.limit)
    }

    /// New sessions in a while, if there is a limit.
    pub fn rate(&self) -> Option<Rate> {
        self.rate.as_ref().map(|rate| rate.limit)
    }

    fn pass(&self, now: Stamp) -> Result<(), Duration> {
        self.rate.as_ref().map_or(Ok(()), |rate| rate.count.take(rate.limit, now))
    }

    fn put_back(&self) {
        if let Some(rate) = &self.rate {
            rate.count.put_back(rate.limit);
        }
    }
}

/// Before a client is accepted.
impl Gates {
    /// The gates of a listener with the gate `listener`.
    pub fn new(listener: Gate, process: Arc<Gate>) -> Self {
        Self { listener, process }
    }

    /// The gate of one scope, to tell of it.
    pub fn gate(&self, scope: Scope) -> &Gate {
        match scope {
            Scope::Listener => &self.listener,
            Scope::Process => &self.process,
        }
    }

    /// A place for one more session; `None` if all are taken. The places of the whole process are
    /// those of [`crate::ceiling`].
    pub fn enter(&self) -> Option<Place> {
        let Some(sessions) = &self.listener.sessions else {
            return Some(Place::default());
        };
        let taken = sessions.count.take(sessions.limit.get());
        taken.then(|| Place(Some(Arc::clone(&sessions.count))))
    }

    /// Waits until there may be a place.
    pub async fn has_room(&self) {
        if let Some(sessions) = &self.listener.sessions {
            sessions.count.has_room(|| sessions.limit.get()).await;
        }
    }

    /// Whether there is a rate at all.
    pub fn have_rates(&self) -> bool {
        self.listener.rate.is_some() || self.process.rate.is_some()
    }

    /// Whether one more client may come, by the rates; it is counted.
    ///
    /// # Errors
    /// How long to wait before asking again, and whose rate it is.
    pub fn pass(&self, now: Stamp) -> Result<(), (Duration, Scope)> {
        self.listener.pass(now).map_err(|wait| (wait, Scope::Listener))?;
        self.process.pass(now).map_err(|wait| {
            self.listener.put_back();
            (wait, Scope::Process)
        })
    }

    /// Takes back one [`Gates::pass`]: no client came.
    pub fn put_back(&self) {
        self.listener.put_back();
        self.process.put_back();
    }
}

/// Once a client is known.
impl Gates {
    /// What becomes of `client`; `held` takes what it holds from now on, also when it is refused.
    /// A client without an address (unix socket) is nobody's: limits per client do not bind it.
    pub fn admit(&self, client: Option<IpAddr>, now: Stamp, held: &mut Held) -> Admission {
        let scopes = [(&self.listener, Scope::Listener), (&*self.process, Scope::Process)];
        let mut admission = Admission::In;
        let Some(client) = client else { return admission };
        for (gate, scope) in scopes {
            let Some(Counted { limit, count }) = &gate.per_client else { continue };
            match count.enter(client, *limit) {
                Entered::Counted => held.0 |= Held::client_of(scope),
                Entered::Uncounted => admission = Admission::Uncounted,
                Entered::Full => {
                    return Admission::Over(Limit { kind: LimitKind::PerClient(*limit), scope });
                }
            }
        }
        for (gate, scope) in scopes {
            let Some(Counted { limit, count }) = &gate.rate_per_client else { continue };
            if !count.take(client, limit.count(), now) {
                if let (Scope::Process, Some(own)) = (scope, &self.listener.rate_per_client) {
                    own.count.put_back(client, now);
                }
                return Admission::Over(Limit { kind: LimitKind::RatePerClient(*limit), scope });
            }
        }
        admission
    }

    /// Gives back what a session of `client` holds.
    pub fn leave(&self, held: Held, client: Option<IpAddr>) {
        if held == Held::default() {
            return;
        }
        if let (Some(sessions), true) = (&self.listener.sessions, held.0 & Held::PLACE != 0) {
            sessions.count.give_back();
        }
        for (gate, scope) in [(&self.listener, Scope::Listener), (&*self.process, Scope::Process)] {
            if let (Some(clients), Some(client), true) =
                (&gate.per_client, client, held.0 & Held::client_of(scope) != 0)
            {
                clients.count.leave(client);
            }
        }
    }
}

impl Held {
    const PLACE: u8 = 1;

    fn client_of(scope: Scope) -> u8 {
        match scope {
            Scope::Listener => 2,
            Scope::Process => 4,
        }
    }
}

impl Place {
    /// Leaves the place to a session, which gives it back with [`Gates::leave`].
    pub fn keep(mut self) -> Held {
        Held(self.0.take().map_or(0, |_| Held::PLACE))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(places) = &self.0 {
            places.give_back();
        }
    }
}

/// `per_client = 50 of the listener`
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            LimitKind::PerClient(max) => write!(f, "per_client = {max}")?,
            LimitKind::RatePerClient(rate) => write!(f, "rate_per_client = {rate}")?,
        }
        f.write_str(match self.scope {
            Scope::Listener => " of the listener",
            Scope::Process => " of the process",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const OTHER: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    fn at(millis: u64) -> Stamp {
        Stamp::from_nanos((1_000_000 + millis) * 1_000_000)
    }

    fn limits() -> Limits {
        Limits::default()
    }

    fn per_client(max: u32) -> Limits {
        Limits { per_client: NonZeroU32::new(max), ..limits() }
    }

    fn gates(listener: Limits, process: Limits) -> Gates {
        Gates::new(Gate::new(&listener, None), Arc::new(Gate::new(&process, None)))
    }

    fn rate(text: &str) -> Option<Rate> {
        Some(Rate::parse(text).expect("a rate"))
    }

    #[test]
    fn without_limits_nobody_holds_anything() {
        let gates = gates(limits(), limits());
        let mut held = gates.enter().expect("no limit").keep();
        assert_eq!(gates.pass(at(0)), Ok(()));
        assert_eq!(gates.admit(CLIENT, at(0), &mut held), Admission::In);
        assert_eq!(held, Held::default());
        gates.leave(held, CLIENT);
    }

    #[test]
    fn a_place_is_given_back_by_dropping_it_or_at_the_end() {
        let one = Limits { sessions: NonZeroUsize::new(1), ..limits() };
        let gates = gates(one, limits());
        drop(gates.enter().expect("free"));
        let held = gates.enter().expect("free again").keep();
        assert!(gates.enter().is_none());
        gates.leave(held, None);
        assert!(gates.enter().is_some());
    }

    #[test]
    fn a_client_is_bound_by_its_listener_and_by_the_process() {
        let process = Arc::new(Gate::new(&per_client(2), None));
        let listeners =
            [(); 2].map(|()| Gates::new(Gate::new(&per_client(1), None), Arc::clone(&process)));
        let admit = |at_listener: usize, client| {
            let mut held = Held::default();
            let admission = listeners[at_listener].admit(client, at(0), &mut held);
            (admission, held)
        };
        let over = |scope, max| {
            let kind = LimitKind::PerClient(NonZeroU32::new(max).expect("not zero"));
            Admission::Over(Limit { kind, scope })
        };
        let (admission, first) = admit(0, CLIENT);
        assert_eq!(admission, Admission::In);
        assert_eq!(admit(0, CLIENT), (over(Scope::Listener, 1), Held::default()));
        assert_eq!(admit(0, OTHER).0, Admission::In);
        let second = admit(1, CLIENT);
        assert_eq!(second.0, Admission::In);
        listeners[0].leave(first, CLIENT);
        assert_eq!(admit(0, CLIENT).0, Admission::In);
        // Counted at the listener before the process refused it: it holds that until it is gone.
        listeners[1].leave(second.1, CLIENT);
        let third = admit(1, CLIENT);
        assert_eq!(third.0, Admission::In);
        let other_listener = Gates::new(Gate::new(&per_client(5), None), process);
        let mut held = Held::default();
        assert_eq!(other_listener.admit(CLIENT, at(0), &mut held), over(Scope::Process, 2));
        assert_eq!(held, Held(2));
        other_listener.leave(held, CLIENT);
        let clients = other_listener.listener.per_client.as_ref().expect("a limit");
        assert_eq!(clients.count.sessions(CLIENT.expect("an address")), 0);
    }

    #[test]
    fn who_is_refused_by_the_process_does_not_use_up_the_listeners_rate() {
        let per_client = |text| Limits { rate_per_client: rate(text), ..limits() };
        let process = Arc::new(Gate::new(&per_client("1/s"), None));
        let gates = Gates::new(Gate::new(&per_client("2/m"), None), process);
        let admit = |millis| gates.admit(CLIENT, at(millis), &mut Held::default());
        assert_eq!(admit(0), Admission::In);
        for _ in 0..10 {
            let Admission::Over(limit) = admit(1) else { panic!("one a second") };
            assert_eq!(limit.to_string(), "rate_per_client = 1/s of the process");
        }
        assert_eq!(admit(2_000), Admission::In);
        let Admission::Over(limit) = admit(4_000) else { panic!("two a minute") };
        assert_eq!(limit.to_string(), "rate_per_client = 2/m of the listener");
    }

    #[test]
    fn both_rates_are_kept_and_none_is_used_up_by_the_other() {
        let rates = |text| Limits { rate: rate(text), ..limits() };
        let gates = gates(rates("100/s"), rates("10/s"));
        let came = (0..10_000).filter(|millis| gates.pass(at(*millis)).is_ok()).count();
        assert!((100..=101).contains(&came), "{came}");
        let (_, scope) =
            gates.pass(at(10_000)).and_then(|()| gates.pass(at(10_000))).expect_err("too fast");
        assert_eq!(scope, Scope::Process);
    }

    #[test]
    fn clients_without_an_address_are_not_bound() {
        let gates = gates(per_client(1), limits());
        for _ in 0..3 {
            assert_eq!(gates.admit(None, at(0), &mut Held::default()), Admission::In);
        }
    }

    #[test]
    fn a_gate_that_replaces_another_counts_on() {
        let all = |sessions, count: &str| Limits {
            sessions: NonZeroUsize::new(sessions),
            per_client: NonZeroU32::new(1),
            rate: rate("1/h"),
            rate_per_client: rate(count),
            ..Limits::default()
        };
        let process = Arc::default();
        let old = Gates::new(Gate::new(&all(1, "1/m"), None), Arc::clone(&process));
        let mut held = old.enter().expect("free").keep();
        assert_eq!(old.pass(at(0)), Ok(()));
        assert_eq!(old.admit(CLIENT, at(0), &mut held), Admission::In);

        let gate = Gate::new(&all(2, "2/m"), Some(&old.listener));
        let new = Gates::new(gate, process);
        assert!(new.pass(at(0)).is_err());
        let faster = Limits { rate: rate("10/s"), ..all(2, "2/m") };
        assert_eq!(Gate::new(&faster, Some(&old.listener)).pass(at(0)), Ok(()));
        let place = new.enter().expect("one more");
        assert!(new.enter().is_none());
        assert!(matches!(
            new.admit(CLIENT, at(0), &mut Held::default()),
            Admission::Over(Limit { kind: LimitKind::PerClient(_), scope: Scope::Listener })
        ));
        old.leave(held, CLIENT);
        let mut held = place.keep();
        assert_eq!(new.admit(CLIENT, at(0), &mut held), Admission::In);
        new.leave(held, CLIENT);
        assert!(matches!(
            new.admit(CLIENT, at(0), &mut Held::default()),
            Admission::Over(Limit { kind: LimitKind::RatePerClient(_), .. })
        ));
    }
}
