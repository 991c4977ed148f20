//! Syslog and the terminal.

use rig::{Address, Backend, Closed, Peer};

use crate::start::{Logged, Redir, end, words};

/// A redir with these options before its addresses, and what it leads to.
#[track_caller]
fn logged(options: &[&str]) -> (Logged, Backend) {
    let backend = Backend::bind();
    let target = backend.address().to_string();
    let line = |port: u16| words(&[options, &[&format!("127.0.0.1:{port}"), &target]].concat());
    (Logged::start(line), backend)
}

#[test]
fn r3_01_at_the_usual_level_nothing_is_said() {
    let (logged, backend) = logged(&["-n"]);
    logged.redir.serves(&backend);
    assert!(logged.is_silent());
    assert_eq!(logged.redir.program.stderr().so_far(), [""; 0]);
}

#[test]
fn r3_02_what_a_session_is_told_of() {
    let (logged, backend) = logged(&["-n", "-l", "info"]);
    let (client, peer) = logged.redir.session(&backend);
    let (from, target) = (client.local_address(), backend.address());
    let connecting = format!("Connecting {from} to {target}");
    end(&client, &peer);
    let disconnect = "Disconnect after 0 sec, 6 bytes in, 3 bytes out";
    assert_eq!(logged.next(), format!("<30>redir[PID]: {connecting}"));
    assert_eq!(logged.next(), format!("<30>redir[PID]: {disconnect}"));
    logged.redir.program.stderr().expect(disconnect);
    assert_eq!(logged.redir.program.stderr().so_far(), [&*connecting, disconnect]);
}

/// redir 3 has a bug there: the client stands in both places.
#[test]
fn r3_03_the_target_is_the_target() {
    let backend = Backend::bind_to(&Address::parse("127.0.0.9:0"));
    let redir = Redir::start(&["-l", "info"], backend.address());
    let from = "127.0.0.2".parse().expect("an address");
    let client = Peer::connect_from(from, &redir.address);
    let told = redir.program.stderr().expect("Connecting 127.0.0.2:");
    assert!(told.ends_with(&format!("to {}", backend.address())), "{told}");
    drop(client);
}

/// With `none` redir logs all there is, by mistake.
#[test]
fn r3_12_levels() {
    let (silent, backend) = logged(&["-n", "-l", "none"]);
    silent.redir.serves(&backend);
    assert!(silent.is_silent());
    assert_eq!(silent.redir.program.stderr().so_far(), [""; 0]);
    let redir = Redir::start(&["-l", "7"], backend.address());
    redir.serves(&backend);
    for line in ["listening on ", "peer IP is 127.0.0.1", "target IP address is 127.0.0.1"] {
        redir.program.stderr().expect(line);
    }
    Redir::start(&["-l", "warning"], backend.address()).serves(&backend);
}

#[test]
fn r3_13_how_often_s_stands_there() {
    let (both, backend) = logged(&["-n", "-s", "-l", "info"]);
    both.redir.serves(&backend);
    both.redir.program.stderr().expect("Disconnect");
    assert!(both.next().contains("Connecting"));
    let (one, backend) = logged(&["-n", "-s", "-s", "-l", "info"]);
    one.redir.serves(&backend);
    assert!(one.next().contains("Connecting") && one.next().contains("Disconnect"));
    assert_eq!(one.redir.program.stderr().so_far(), [""; 0]);
}

#[test]
fn r3_14_the_name_in_syslog() {
    for options in [&["-I", "foo"][..], &["--ident=foo"], &["--name=foo"]] {
        let (logged, backend) = logged(&[&["-n", "-l", "info"], options].concat());
        logged.redir.serves(&backend);
        assert!(logged.next().starts_with("<30>foo[PID]: Connecting"));
    }
}

#[test]
fn r3_27_a_target_that_refuses() {
    let dead = Closed::bind();
    let target = dead.address().to_string();
    let line = |port: u16| words(&["-n", &format!("127.0.0.1:{port}"), &target]);
    let logged = Logged::start(line);
    Peer::connect(&logged.redir.address).expect_fin();
    let told = "Failed connecting to target 127.0.0.1: Connection refused";
    assert_eq!(logged.next(), format!("<27>redir[PID]: {told}"));
    logged.redir.program.stderr().expect(told);
}

#[test]
fn r2_05_debug_lines() {
    let backend = Backend::bind();
    let port = backend.address().port();
    let redir = Redir::start_line(|lport| {
        words(&["--debug", &format!("--lport={lport}"), &format!("--cport={port}")])
    });
    redir.serves(&backend);
    for line in ["peer IP is 127.0.0.1", "connected to 127.0.0.1:", "disconnect 0 secs, 6 in 3 out"]
    {
        redir.program.stderr().expect(line);
    }
}

/// Up to 2.2.1 the ports were turned round.
#[test]
fn r2_06_syslog() {
    let backend = Backend::bind();
    let target = backend.address().port();
    let logged = Logged::start(|port| {
        let (lport, cport) = (format!("--lport={port}"), format!("--cport={target}"));
        words(&["--syslog", "--name=foo", &lport, &cport])
    });
    let (client, peer) = logged.redir.session(&backend);
    let from = client.local_address().port();
    end(&client, &peer);
    let connecting = format!("<29>foo[PID]: connecting 127.0.0.1/{from} to 127.0.0.1/{target}");
    assert_eq!(logged.next(), connecting);
    assert_eq!(logged.next(), "<29>foo[PID]: disconnect 0 secs, 6 in 3 out");
    assert_eq!(logged.redir.program.stderr().so_far(), [""; 0]);
}
