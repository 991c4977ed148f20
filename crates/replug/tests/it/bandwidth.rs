//! Limits of bandwidth: of a session, of a listener, of the process.
//!
//! Bytes may come later than a limit has it, on a busy machine much later; they may not come earlier.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rig::wait::until;
use rig::{Backend, Payload, Peer};

use crate::file;
use crate::path::{Path, Session, exchange};

const MIB: usize = 1024 * 1024;

/// What a limit may give in advance: its burst, and what the record of time is off by.
const IN_ADVANCE: Duration = Duration::from_millis(200);

#[test]
fn a_session_moves_no_more_than_it_may_either_way() {
    Path::each_forwarded(|path| {
        let options = ["--bandwidth", "1MiB/s"];
        let Session { way, client, backend } = Session::open(path, &options);
        let (begin, before) = (Instant::now(), way.forwarder.cpu_time());
        exchange(&client, &backend, 3 * MIB);
        assert!(begin.elapsed() >= Duration::from_secs(3) - IN_ADVANCE, "{:?}", begin.elapsed());
        // Whoever spins uses all of the time.
        let used = way.forwarder.cpu_time() - before;
        assert!(used < begin.elapsed() / 3, "used {used:?}");
        client.half_close();
        backend.expect_fin();
        backend.half_close();
        client.expect_fin();
        way.expect_record("done", "client", 3 * MIB as u64, 3 * MIB as u64);
    });
}

#[test]
fn one_direction_is_limited_and_the_other_is_not() {
    let backend = Backend::bind();
    let forwarder = file::start(
        &format!(
            "[listener.a]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\n\
             limits.session_bandwidth = {{ to_client = \"100KB/s\" }}\n",
            backend.address()
        ),
        1,
    );
    let client = Peer::connect(forwarder.address());
    let backend = backend.accept();
    thread::scope(|scope| {
        let reply = scope.spawn(|| {
            let begin = Instant::now();
            client.expect_payload(&mut Payload::new(2), 300_000);
            begin.elapsed()
        });
        scope.spawn(|| backend.send_payload(&mut Payload::new(2), 300_000));
        // All of this passes while the reply is on its way: at its rate it would take minutes.
        scope.spawn(|| client.send_payload(&mut Payload::new(1), 32 * MIB));
        backend.expect_payload(&mut Payload::new(1), 32 * MIB);
        let took = reply.join().expect("the reply arrives");
        assert!(took >= Duration::from_secs(3) - IN_ADVANCE, "{took:?}");
    });
}

/// Sessions of two listeners and on two shards, all bulk, under the limit of `config`; each of the
/// four is to have its part when the first has all of its bytes.
#[track_caller]
fn check_shared(limits: [&str; 3]) {
    const BYTES: usize = MIB;
    let backend = Backend::bind();
    let [process, one, two] = limits;
    let listener = |name: &str, limit: &str| {
        format!(
            "[listener.{name}]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\n{limit}\n",
            backend.address()
        )
    };
    let config = format!(
        "{}{}[runtime]\nshards = 2\n[limits]\n{process}",
        listener("one", one),
        listener("two", two)
    );
    let forwarder = file::start(&config, 2);
    let sessions: Vec<_> = (0..4)
        .map(|at| (Peer::connect(&forwarder.addresses()[at % 2]), backend.accept()))
        .collect();
    let arrived: Vec<_> = sessions.iter().map(|_| AtomicUsize::new(0)).collect();
    let begin = Instant::now();
    thread::scope(|scope| {
        for ((client, backend), arrived) in sessions.iter().zip(&arrived) {
            scope.spawn(|| client.send_payload(&mut Payload::new(1), BYTES));
            scope.spawn(|| {
                let mut payload = Payload::new(1);
                while arrived.load(Ordering::SeqCst) < BYTES {
                    backend.expect_payload(&mut payload, BYTES / 64);
                    arrived.fetch_add(BYTES / 64, Ordering::SeqCst);
                }
            });
        }
        until("one session to be through", || {
            arrived.iter().any(|arrived| arrived.load(Ordering::SeqCst) == BYTES)
        });
        let parts: Vec<_> = arrived.iter().map(|arrived| arrived.load(Ordering::SeqCst)).collect();
        assert!(parts.iter().all(|part| *part >= BYTES / 3), "{parts:?}");
    });
    // Four at 2 MiB/s together.
    assert!(begin.elapsed() >= Duration::from_secs(2) - IN_ADVANCE, "{:?}", begin.elapsed());
}

#[test]
fn the_sessions_of_a_process_share_its_bandwidth() {
    check_shared(["bandwidth = { to_backend = \"2MiB/s\" }", "", ""]);
}

#[test]
fn the_sessions_of_a_listener_share_its_bandwidth() {
    let each = "limits = { bandwidth = \"1MiB/s\" }";
    check_shared(["", each, each]);
}

#[test]
fn the_tightest_of_all_limits_holds() {
    let each = "limits = { bandwidth = \"4MiB/s\", session_bandwidth = \"512KiB/s\" }";
    check_shared(["bandwidth = \"3MiB/s\"", each, each]);
}

#[test]
fn waiting_for_bandwidth_is_not_idle() {
    Path::each_forwarded(|path| {
        // A share of this is longer on its way than the timeouts are.
        let options = ["--bandwidth", "1000B/s", "--idle", "500ms", "--half-closed", "500ms"];
        if matches!(path, Path::SpliceAfterBulk | Path::RingAfterBulk) {
            return;
        }
        let Session { way, client, backend } = Session::open(path, &options);
        let bytes = Payload::new(3).take(5_000);
        client.send(&bytes);
        client.half_close();
        assert_eq!(backend.receive_to_fin(), bytes);
        backend.half_close();
        client.expect_fin();
        way.expect_record("done", "client", 5_000, 0);
    });
}

#[test]
fn what_came_before_a_reset_arrives_at_its_rate() {
    let backend = Backend::bind();
    let forwarder = file::start(
        &format!(
            "[listener.a]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\n\
             limits = {{ session_bandwidth = \"200KB/s\" }}\n",
            backend.address()
        ),
        1,
    );
    let client = Peer::connect(forwarder.address());
    let backend = backend.accept();
    let begin = Instant::now();
    // All of it is in the buffers of replug's socket when the reset comes.
    client.send_payload(&mut Payload::new(1), 400_000);
    until("all to be acknowledged", || client.unacknowledged() == 0);
    client.reset();
    backend.expect_payload(&mut Payload::new(1), 400_000);
    backend.expect_reset();
    assert!(begin.elapsed() >= Duration::from_secs(2) - IN_ADVANCE, "{:?}", begin.elapsed());
    assert_eq!(forwarder.record().reason(), "client_reset");
}
