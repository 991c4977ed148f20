//! The ways a stream can take from a client to a backend.
//!
//! A case of stream semantics is one function over a [`Path`]. It runs for direct TCP too: what
//! the kernel does without us is what it must look like with us.

use std::thread;

use rig::{Backend, Forwarder, Payload, Peer};

/// The program.
pub(crate) const REPLUG: &str = env!("CARGO_BIN_EXE_replug");

/// Bytes that make both directions leave copying for splice.
const BULK_BYTES: usize = 1024 * 1024;

/// How bytes get from one side to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Without replug.
    Direct,
    /// Through replug, never by splice nor by the ring.
    Copy,
    /// Through replug, not by the ring.
    Splice,
    /// The same, after so many bytes in both directions that splice is in use.
    SpliceAfterBulk,
    /// Through replug, by the ring.
    Ring,
    /// The same, after so many bytes in both directions that the session has left the ring.
    RingAfterBulk,
    /// Through replug at a limited rate, never by splice.
    ThrottledCopy,
    /// Through replug at a limited rate, after so many bytes that splice is in use.
    ThrottledAfterBulk,
}

/// Well below what loopback carries, and fast enough for the cases with much to carry.
const THROTTLED: &[&str] = &["--bandwidth", "64MiB/s"];

impl Path {
    const FORWARDED: [Self; 5] =
        [Self::Copy, Self::Splice, Self::SpliceAfterBulk, Self::Ring, Self::RingAfterBulk];
    const THROTTLED: [Self; 2] = [Self::ThrottledCopy, Self::ThrottledAfterBulk];

    /// Runs `case` for all of them at a time. The thread that fails is named after the path.
    pub(crate) fn each(case: impl Fn(Self) + Sync) {
        run(&[&[Self::Direct], &Self::FORWARDED[..], &Self::THROTTLED].concat(), case);
    }

    /// Runs `case` for those that go through replug as fast as they can.
    pub(crate) fn each_forwarded(case: impl Fn(Self) + Sync) {
        run(&Self::FORWARDED, case);
    }
}

fn run(paths: &[Path], case: impl Fn(Path) + Sync) {
    let case = &case;
    thread::scope(|scope| {
        for &path in paths {
            thread::Builder::new()
                .name(format!("{path:?}"))
                .spawn_scoped(scope, move || case(path))
                .expect("there can be a thread");
        }
    });
}

/// One session with both of its ends in our hands.
pub(crate) struct Session {
    /// What is between the ends.
    pub(crate) way: Way,
    /// The end that connected.
    pub(crate) client: Peer,
    /// The end that was connected to.
    pub(crate) backend: Peer,
}

/// What is between a client and a backend.
pub(crate) struct Way {
    /// The program, or nothing.
    pub(crate) forwarder: Forwarder,
    target: Backend,
    path: Path,
    /// Whether bytes wait for bandwidth, so that the ring is not for them.
    is_limited: bool,
}

impl Session {
    /// Starts what the path needs, with more options if there are any, and connects.
    #[track_caller]
    pub(crate) fn open(path: Path, options: &[&str]) -> Self {
        let way = Way::open(path, options);
        let (client, backend) = way.connect();
        Self { way, client, backend }
    }
}

impl Way {
    /// Starts what the path needs, with more options if there are any.
    #[track_caller]
    pub(crate) fn open(path: Path, options: &[&str]) -> Self {
        let target = Backend::bind();
        let address = target.address().to_string();
        let mode: &[&str] = match path {
            Path::Copy | Path::ThrottledCopy => &["--no-splice", "--io", "epoll"],
            Path::Splice | Path::SpliceAfterBulk => &["--io", "epoll"],
            Path::Ring | Path::RingAfterBulk => &["--io", "ring"],
            Path::Direct | Path::ThrottledAfterBulk => &[],
        };
        let rate = match path {
            Path::ThrottledCopy | Path::ThrottledAfterBulk => THROTTLED,
            _ => &[],
        };
        let forwarder = match path {
            Path::Direct => Forwarder::direct(target.address()),
            _ => Forwarder::start(
                REPLUG,
                &[mode, rate, options, &["127.0.0.1:0", &address]].concat(),
            ),
        };
        Self { forwarder, target, path, is_limited: options.contains(&"--bandwidth") }
    }

    /// Connects both ends, and moves the bulk if the path asks for it.
    #[track_caller]
    pub(crate) fn connect(&self) -> (Peer, Peer) {
        let client = Peer::connect(self.forwarder.address());
        let backend = self.target.accept();
        if self.bulk() > 0 {
            exchange(&client, &backend, BULK_BYTES);
        }
        (client, backend)
    }

    /// Checks the record of the only session so far. The bulk in front is not to be counted in.
    #[track_caller]
    pub(crate) fn expect_record(&self, reason: &str, side: &str, to_backend: u64, to_client: u64) {
        if self.forwarder.is_direct() {
            return;
        }
        let record = self.forwarder.record();
        let seen = (
            record.reason(),
            record.side(),
            record.bytes_to_backend() - self.bulk(),
            record.bytes_to_client() - self.bulk(),
        );
        assert_eq!(
            seen,
            (reason, side, to_backend, to_client),
            "reason, side, bytes to backend, bytes to client"
        );
        let relay = record.field("relay").as_str().unwrap_or_default();
        let carried: &[&str] = match self.path {
            _ if self.is_limited => &["epoll"],
            // A half-closed session leaves the ring after a while.
            Path::Ring => &["ring", "both"],
            Path::RingAfterBulk => &["both"],
            _ => &["epoll"],
        };
        assert!(carried.contains(&relay), "{:?} was carried by {relay}", self.path);
    }

    /// Bytes in each direction that each session begins with.
    pub(crate) fn bulk(&self) -> u64 {
        match self.path {
            Path::SpliceAfterBulk | Path::RingAfterBulk | Path::ThrottledAfterBulk => {
                BULK_BYTES as u64
            }
            Path::Direct | Path::Copy | Path::Splice | Path::Ring | Path::ThrottledCopy => 0,
        }
    }
}

/// Sends `length` bytes both ways at once, and checks each byte.
#[track_caller]
pub(crate) fn exchange(client: &Peer, backend: &Peer, length: usize) {
    thread::scope(|scope| {
        scope.spawn(|| client.send_payload(&mut Payload::new(1), length));
        scope.spawn(|| backend.send_payload(&mut Payload::new(2), length));
        scope.spawn(|| backend.expect_payload(&mut Payload::new(1), length));
        client.expect_payload(&mut Payload::new(2), length);
    });
}
