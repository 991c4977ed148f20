//! Thousands of clients that never say enough.

use std::io::Write;
use std::net::TcpStream;

use rig::{Backend, Peer, figures};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{records, start};

/// How many.
const CROWD: usize = 5_000;

/// What one of them may cost, in bytes.
const EACH_MAX: u64 = 4 * 1024;

#[test]
fn a_crowd_that_trickles_is_turned_away_and_harms_nobody() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("it only grows");
    let (own, other) = (Backend::bind(), Backend::bind());
    let forwarder = start(
        "pool = \"own\"\ntimeouts = { sniff = \"10s\" }\n\
         [[route]]\nwhen = { client = \"127.0.0.9\" }\npool = \"other\"\n\
         [[route]]\nwhen = { sni = \"*\" }\npool = \"own\"\n",
        &[("own", &own), ("other", &other)],
    );
    let friend = Peer::connect_from([127, 0, 0, 9].into(), forwarder.address());
    let served = other.accept();
    let before = figures::memory(forwarder.pid());

    let to = forwarder.address().tcp();
    let connect = |_| TcpStream::connect(to).expect("it takes everybody");
    let mut crowd: Vec<TcpStream> = (0..CROWD).map(connect).collect();
    for byte in [0x16, 3, 1] {
        for client in &mut crowd {
            client.write_all(&[byte]).expect("its time is not over yet");
        }
        friend.send(b"still");
        served.expect(b"still");
        served.send(b"served");
        friend.expect(b"served");
    }
    let each = (figures::memory(forwarder.pid()) - before) / CROWD as u64;
    assert!(each <= EACH_MAX, "{each} bytes for each of them");

    for record in records(&forwarder, CROWD) {
        assert_eq!(record.reason(), "sniff_timeout");
    }
    drop(crowd);
    friend.send(b"and now");
    served.expect(b"and now");
    assert!(!own.somebody_waits());
}
