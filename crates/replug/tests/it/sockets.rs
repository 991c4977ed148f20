//! Options of sockets, as the kernel shows them from outside.

use std::process::Command;

use rig::wait::until;
use rig::{Backend, Forwarder, Peer, Program, Scratch};

use crate::file;
use crate::path::{REPLUG, exchange};

/// Exit code: cannot listen, or not permitted.
const NOT_PERMITTED: i32 = 4;

/// Connections that `filter` lets through, each with its options, on a line each.
fn connections(filter: &str) -> Vec<String> {
    let shown = Command::new("ss")
        .args(["-HOtine", "--tos", "state", "established", filter])
        .output()
        .expect("ss is there");
    let text = String::from_utf8(shown.stdout).expect("ss writes text");
    text.lines().map(str::to_owned).collect()
}

/// Checks what both sockets of a session show.
#[track_caller]
fn check_both_sides(forwarder: &Forwarder, backend: &Backend, expected: &[&str]) {
    let client = Peer::connect(forwarder.address());
    client.send(b"x");
    let peer = backend.accept();
    peer.expect(b"x");
    let (listen, target) = (forwarder.address().port(), backend.address().port());
    for filter in [format!("sport = :{listen}"), format!("dport = :{target}")] {
        let shown = connections(&filter);
        let [shown] = &*shown else { panic!("one connection has {filter}: {shown:#?}") };
        for expected in expected {
            assert!(shown.contains(expected), "no {expected} in {shown}");
        }
    }
}

#[test]
fn options_of_the_command_line_hold_on_both_sides() {
    let backend = Backend::bind();
    let target = backend.address().to_string();
    let options = ["--dscp", "ef", "--congestion", "reno", "127.0.0.1:0", &target];
    let forwarder = Forwarder::start(REPLUG, &options);
    check_both_sides(&forwarder, &backend, &["tos:0xb8", " reno "]);
}

#[test]
fn a_mark_holds_on_both_sides() {
    assert!(rustix::process::geteuid().is_root(), "marks need root: run this test as root");
    let backend = Backend::bind();
    let target = backend.address().to_string();
    let forwarder = Forwarder::start(REPLUG, &["--mark", "0x2a", "127.0.0.1:0", &target]);
    check_both_sides(&forwarder, &backend, &["fwmark:0x2a"]);
}

#[test]
fn small_buffers_change_no_byte() {
    let backend = Backend::bind();
    let tcp = "{ send_buffer = \"32KiB\", receive_buffer = \"48KiB\", notsent_lowat = \"8KiB\" }";
    let forwarder = file::start(
        &format!(
            "[listener.a]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\ntcp = {tcp}\n",
            backend.address()
        ),
        1,
    );
    let client = Peer::connect(forwarder.address());
    exchange(&client, &backend.accept(), 8 * 1024 * 1024);
    drop(client);
    let memory = Command::new("ss")
        .args(["-HOltm", &format!("sport = :{}", forwarder.address().port())])
        .output()
        .expect("ss is there");
    let memory = String::from_utf8(memory.stdout).expect("ss writes text");
    assert!(memory.lines().count() > 0, "the listening sockets are shown");
    for line in memory.lines() {
        assert!(line.contains("rb98304") && line.contains("tb65536"), "{line}");
    }
}

#[test]
fn a_silent_client_is_kept_from_the_backend() {
    let backend = Backend::bind();
    let forwarder = file::start(
        &format!(
            "[listener.a]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\ntcp.defer_accept = \"60s\"\n",
            backend.address()
        ),
        1,
    );
    let silent = Peer::connect(forwarder.address());
    // This one came later, and is served first.
    let speaks = Peer::connect(forwarder.address());
    speaks.send(b"second");
    backend.accept().expect(b"second");
    assert!(!backend.somebody_waits());
    silent.send(b"first");
    backend.accept().expect(b"first");
}

/// Two in a row speak Multipath TCP between them, and TCP with everybody else.
#[test]
fn several_paths_between_two_of_us() {
    let backend = Backend::bind();
    let near_backend = file::start(
        &format!(
            "[listener.a]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\ntcp.mptcp = \"clients\"\n",
            backend.address()
        ),
        1,
    );
    let near_client = file::start(
        &format!(
            "[listener.a]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\ntcp.mptcp = \"backends\"\n",
            near_backend.address()
        ),
        1,
    );
    let client = Peer::connect(near_client.address());
    let peer = backend.accept();
    let between = near_backend.address().port();
    until("a connection of several paths", || {
        let shown = Command::new("ss")
            .args(["-HM", "state", "established", &format!("sport = :{between}")])
            .output()
            .expect("ss is there");
        !shown.stdout.is_empty()
    });
    exchange(&client, &peer, 8 * 1024 * 1024);
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
    for forwarder in [&near_client, &near_backend] {
        assert_eq!(forwarder.record().reason(), "done");
    }

    // A reset is one on the whole way, behind the bytes before it.
    let cut = Peer::connect(near_client.address());
    let peer = backend.accept();
    exchange(&cut, &peer, 1024 * 1024);
    cut.send(b"before");
    cut.reset();
    peer.expect(b"before");
    peer.expect_reset();

    // Whoever has no Multipath TCP is served as well.
    let plain = Peer::connect(near_backend.address());
    let peer = backend.accept();
    exchange(&plain, &peer, 1024 * 1024);
    plain.reset();
    peer.expect_reset();
}

#[test]
fn what_the_kernel_refuses_is_told_once_at_the_start() {
    let scratch = Scratch::new();
    let mut command = file::command(
        &scratch,
        "[listener.a]\nbind = [\"127.0.0.1:0\", \"[::1]:0\"]\nto = \"127.0.0.1:1\"\n\
         tcp.congestion = \"no-such\"\n",
    );
    let mut program = Program::start(&mut command);
    program.expect_exit(NOT_PERMITTED);
    let told = program.stderr().all_once_closed();
    let [line] = &*told else { panic!("one line: {told:#?}") };
    assert!(line.contains("no congestion control `no-such`; it has: "), "{line}");
}

/// Sessions run as a user who may not set marks, unlike whoever opened the listening sockets.
#[test]
fn what_the_user_of_sessions_may_not_do_is_told_at_the_start() {
    assert!(rustix::process::geteuid().is_root(), "--user needs root: run this test as root");
    let mut command = Command::new(REPLUG);
    command.args(["--user", "nobody", "--mark", "7", "127.0.0.1:0", "127.0.0.1:1"]);
    let mut program = Program::start(&mut command);
    program.expect_exit(NOT_PERMITTED);
    program.stderr().expect("CAP_NET_ADMIN");
}

#[test]
fn less_than_was_asked_for_is_told() {
    let backend = Backend::bind();
    let forwarder = file::start(
        &format!(
            "[listener.a]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\ntcp.send_buffer = \"1GiB\"\n",
            backend.address()
        ),
        1,
    );
    forwarder.messages().expect("sysctl net.core.wmem_max=1073741824");
}
