//! Backends that say who they are, and clients that ask.

use std::net::IpAddr;

use rig::{Backend, Closed, Forwarder, Peer, Serving};

/// A backend that says one letter and waits for the client's FIN.
pub(crate) struct Named(Serving);

impl Named {
    /// Starts one.
    #[track_caller]
    pub(crate) fn start(letter: char) -> Self {
        Self::at(letter, Backend::bind())
    }

    /// Starts one on a port that refused until now.
    #[track_caller]
    pub(crate) fn open(letter: char, closed: Closed) -> Self {
        Self::at(letter, closed.open())
    }

    #[track_caller]
    fn at(letter: char, backend: Backend) -> Self {
        let letter = u8::try_from(letter).expect("letters are ASCII");
        // A client may reset instead, or be gone already: not what is tested with these.
        Self(backend.serve(move |peer| {
            if peer.try_send(&[letter]).is_ok() {
                let _ = peer.wait_end();
            }
        }))
    }

    /// Its address, as a TARGET.
    pub(crate) fn target(&self) -> String {
        self.0.address().to_string()
    }

    /// How many sessions it has had.
    pub(crate) fn sessions(&self) -> usize {
        self.0.accepted()
    }

    /// Refuses from now on.
    #[track_caller]
    pub(crate) fn close(self) -> Closed {
        self.0.close()
    }
}

/// One client: which backend it got.
#[track_caller]
pub(crate) fn ask(forwarder: &Forwarder) -> char {
    finish(&Peer::connect(forwarder.address()))
}

/// One client that comes from `source`.
#[track_caller]
pub(crate) fn ask_from(source: &str, forwarder: &Forwarder) -> char {
    let source: IpAddr = source.parse().expect("an address");
    finish(&Peer::connect_from(source, forwarder.address()))
}

/// One client that comes from `source` and is reset.
#[track_caller]
pub(crate) fn turned_away(source: &str, forwarder: &Forwarder) {
    let source: IpAddr = source.parse().expect("an address");
    Peer::expect_turned_away(Some(source), forwarder.address());
}

/// So many clients, one after the other.
#[track_caller]
pub(crate) fn ask_times(times: usize, forwarder: &Forwarder) -> String {
    (0..times).map(|_| ask(forwarder)).collect()
}

/// Hears the name, and ends the session.
#[track_caller]
pub(crate) fn finish(client: &Peer) -> char {
    let letter = client.receive(1)[0];
    client.half_close();
    client.expect_fin();
    char::from(letter)
}
