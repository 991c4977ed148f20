//! What idle sessions take.

use std::process::Command;

use rig::figures::memory;
use rig::{Backend, Forwarder, Program};

use super::Site;
use crate::path::REPLUG;

const SESSIONS: usize = 300;

/// So many come at a time.
const CROWDS: usize = 100;

/// Most bytes that an idle session may take beyond a plain one.
const MORE_MAX: u64 = 24 * 1024;

const CROWD: &str = "import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
crowd = []
for _ in range(int(sys.argv[2])):
    one = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
    if len(sys.argv) > 3:
        one = context.wrap_socket(one)
    one.sendall(bytes(50000))
    got = 0
    while got < 50000:
        got += len(one.recv(65536))
    crowd.append(one)
print('all')
sys.stdout.flush()
sys.stdin.readline()
";

/// What each of so many sessions takes that have moved something and are idle.
fn each(forwarder: &Forwarder, is_tls: bool) -> u64 {
    let crowd = |count: usize| {
        let (input, told) = std::io::pipe().expect("a pipe");
        let mut command = Command::new("/usr/bin/python3");
        let port = forwarder.address().port().to_string();
        command.args(["-c", CROWD, &port, &count.to_string()]).args(is_tls.then_some("tls"));
        let program = Program::start_on(&mut command, input);
        program.stdout().expect("all");
        (program, told)
    };
    // What the first ones bring about is there once.
    let _few = crowd(20);
    let before = memory(forwarder.pid());
    let _many: Vec<_> = (0..SESSIONS / CROWDS).map(|_| crowd(CROWDS)).collect();
    (memory(forwarder.pid()) - before) / SESSIONS as u64
}

#[test]
fn an_idle_session_takes_little() {
    let echo = Backend::bind();
    let site = Site::start("", "", &echo);
    let target = echo.address().to_string();
    let _echo = echo.serve(|peer| {
        peer.send(&peer.receive(50_000));
        let _ = peer.wait_end();
    });
    let plain = Forwarder::start(REPLUG, &["127.0.0.1:0", &target]);
    let (plain, tls) = (each(&plain, false), each(&site.forwarder, true));
    println!("an idle session takes {plain} bytes, one with TLS {tls}");
    assert!(tls <= plain + MORE_MAX, "{} bytes more", tls - plain);
}
