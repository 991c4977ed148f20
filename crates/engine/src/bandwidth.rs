//! How fast the sessions of a listener may move bytes: each, all of them, and those of the process.

use model::ByteRate;
use relay::{Meter, Throttle};

/// The limits that sessions of one listener are under.
#[derive(Clone, Debug, Default)]
pub struct Bandwidth {
    /// Of each session.
    pub session: model::Bandwidth,
    /// Of all sessions of the listener.
    pub listener: Shared,
    /// Of all sessions of the process.
    pub process: Shared,
}

/// A limit that sessions share, on whichever shard they are.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    to_backend: Option<Meter>,
    to_client: Option<Meter>,
}

impl Shared {
    /// The limit of `rates`. It goes on with what is booked under the `previous` one.
    pub fn new(rates: model::Bandwidth, previous: Option<&Self>) -> Self {
        let meter = |rate: Option<ByteRate>, previous: Option<&Meter>| {
            let rate = rate?.get();
            Some(previous.map_or_else(|| Meter::new(rate), |previous| previous.at_rate(rate)))
        };
        let to_backend = previous.and_then(|previous| previous.to_backend.as_ref());
        let to_client = previous.and_then(|previous| previous.to_client.as_ref());
        Self {
            to_backend: meter(rates.to_backend, to_backend),
            to_client: meter(rates.to_client, to_client),
        }
    }
}

impl Bandwidth {
    /// The limits of a listener in a process that has those of `process`, as configured and as
    /// shared. They go on with what is
    /// booked under the `previous` ones of this listener.
    pub fn new(
        listener: &model::Limits,
        process: (&model::Limits, &Shared),
        previous: Option<&Self>,
    ) -> Self {
        let (of_process, process) = process;
        let [one, other] = [listener.session_bandwidth, of_process.session_bandwidth];
        let least = |one: Option<ByteRate>, other| one.into_iter().chain(other).min();
        Self {
            session: model::Bandwidth {
                to_backend: least(one.to_backend, other.to_backend),
                to_client: least(one.to_client, other.to_client),
            },
            listener: Shared::new(listener.bandwidth, previous.map(|previous| &previous.listener)),
            process: process.clone(),
        }
    }

    /// What holds a new session's bytes to the backend.
    pub fn to_backend(&self) -> Option<Throttle> {
        let session = self.session.to_backend.map(|rate| Meter::new(rate.get()));
        let shared = [&self.listener.to_backend, &self.process.to_backend];
        Throttle::new(session.into_iter().chain(shared.into_iter().flatten().cloned()))
    }

    /// What holds a new session's bytes to the client.
    pub fn to_client(&self) -> Option<Throttle> {
        let session = self.session.to_client.map(|rate| Meter::new(rate.get()));
        let shared = [&self.listener.to_client, &self.process.to_client];
        Throttle::new(session.into_iter().chain(shared.into_iter().flatten().cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Limits;

    fn limits(session: Option<u64>) -> Limits {
        let to_client = session.and_then(ByteRate::new);
        let session_bandwidth = model::Bandwidth { to_client, to_backend: None };
        Limits { session_bandwidth, ..Limits::default() }
    }

    #[test]
    fn the_tighter_limit_of_a_session_holds_and_none_costs_nothing() {
        for (listener, process, expected) in [
            (None, None, None),
            (Some(2_000), None, Some(2_000)),
            (None, Some(3_000), Some(3_000)),
            (Some(2_000), Some(3_000), Some(2_000)),
            (Some(4_000), Some(3_000), Some(3_000)),
        ] {
            let (listener, process) = (limits(listener), limits(process));
            let bandwidth = Bandwidth::new(&listener, (&process, &Shared::default()), None);
            assert_eq!(bandwidth.session.to_client, expected.and_then(ByteRate::new));
            assert_eq!(bandwidth.to_client().is_some(), expected.is_some());
            assert!(bandwidth.to_backend().is_none());
        }
    }
}
