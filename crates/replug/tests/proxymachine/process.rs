//! 64 to 73: words, signals, logs.

use std::fs;

use rig::wait::until;
use rig::{Backend, Peer, Scratch, figures};
use rustix::process::Signal;

use crate::start::{Proxymachine, naming, run, to};

/// 64: QUIT refuses new clients and serves those there are to their end.
#[test]
fn pm64_quit() {
    let one = Backend::bind();
    let mut tool = Proxymachine::start(&to(&one));
    let client = tool.connect();
    client.send(b"a");
    let peer = one.accept();
    tool.program.signal(Signal::QUIT);
    until("the port to be free", || !figures::is_listened_on(tool.address.tcp()));
    tool.told("Waiting for 1 connections to finish.");
    peer.send(b"answer");
    peer.half_close();
    client.expect(b"answer");
    client.half_close();
    tool.program.expect_exit(0);
}

/// 65, 66: TERM and INT wait for ten seconds at most, and a second one does not wait. Either is an end
/// in order: 0. In ProxyMachine it is 1 if somebody was cut off.
#[test]
fn pm65_terminate() {
    let one = Backend::bind();
    for signal in [Signal::TERM, Signal::INT] {
        let mut tool = Proxymachine::start(&to(&one));
        let client = tool.connect();
        client.send(b"a");
        let peer = one.accept();
        tool.program.signal(signal);
        tool.told("Waiting for 1 connections to finish.");
        peer.send(b"still");
        client.expect(b"still");
        tool.program.signal(signal);
        client.expect_reset();
        tool.program.expect_exit(0);
    }
}

/// 67: HUP reads the file again: who is connected stays, and a file with a fault changes nothing. It
/// ended ProxyMachine.
#[test]
fn pm67_hangup() {
    let (one, two) = (Backend::bind(), Backend::bind());
    let tool = Proxymachine::start(&to(&one));
    let client = tool.connect();
    client.send(b"a");
    let peer = one.accept();
    fs::write(&tool.file, "proxy { |data").expect("a file can be written");
    tool.program.signal(Signal::HUP);
    tool.told("not reloaded, all is as it was");
    tool.connect().send(b"b");
    one.accept().expect(b"b");
    fs::write(&tool.file, to(&two)).expect("a file can be written");
    tool.program.signal(Signal::HUP);
    tool.told("script: its text");
    let other = tool.connect();
    other.send(b"c");
    two.accept().expect(b"c");
    peer.send(b"still");
    client.expect(b"still");
}

/// 68: the title of the process that runs Ruby says how many there are, were at most, and in all.
#[test]
fn pm68_title() {
    let one = Backend::bind();
    let text =
        "proxy { |data| data == 's' ? { :close => ProxyMachine.stats } : { :remote => 'ONE' } }";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    let [worker] = tool.children()[..] else { panic!("one worker") };
    let title = |numbers: &str| {
        let expected =
            format!("proxymachine 1.2.4 - route {} - {numbers} cur/max/tot conns", tool.address);
        until(&expected, || {
            fs::read(format!("/proc/{worker}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).starts_with(&expected))
        });
    };
    title("0/0/0");
    let clients: Vec<_> = (0..2).map(|_| tool.connect()).collect();
    clients.iter().for_each(|client| client.send(b"a"));
    let peers: Vec<_> = clients.iter().map(|_| one.accept()).collect();
    title("2/2/2");
    clients.into_iter().zip(peers).for_each(|(client, peer)| {
        client.close();
        peer.close();
    });
    title("0/2/2");
    assert_eq!(tool.ask(b"s"), b"0/2/2");
}

/// 69: what is in the log, and what clients send is not.
#[test]
fn pm69_lines_of_the_log() {
    let one = Backend::bind();
    let text = "proxy { |data| { :remote => 'ONE', :data => data, :reply => data } }";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    let client = tool.connect();
    let name = client.local_address().to_string();
    client.send(b"secret");
    let peer = one.accept();
    peer.expect(b"secret");
    peer.close();
    client.expect(b"secret");
    client.expect_fin();
    client.close();
    tool.told(&format!("Disconnected {name}"));
    let lines = tool.program.stdout().so_far();
    let line = |words: &str| {
        let found = lines.iter().find(|line| line.contains(words));
        found.unwrap_or_else(|| panic!("no line says {words}: {lines:#?}"))
    };
    assert!(line("Listening on").starts_with("I, [20"));
    assert!(
        line("Accepted").ends_with(&format!("]  INFO -- : Accepted {name}"))
            || line("Accepted").ends_with(&format!(" INFO -- : Accepted {name}"))
    );
    let decided = line(&format!("{name} {{"));
    assert!(decided.contains("(6 bytes)"), "{decided}");
    line(&format!("Establishing new connection with {}", one.address()));
    line(&format!("Successful connection to {}", one.address()));
    assert!(!lines.iter().any(|line| line.contains("secret")), "{lines:#?}");
}

/// 70: words, and how it ends that does not start: with 1 where ProxyMachine ends with 0.
#[test]
fn pm70_words() {
    let scratch = Scratch::new();
    let file = scratch.join("route.rb");
    fs::write(&file, "proxy { { :close => 'x' } }").expect("a file can be written");
    let taken = Backend::bind();
    let port = taken.address().port().to_string();
    for (words, code, said) in [
        (&["--help"][..], 0, "-c, --config CONFIG"),
        (&["-v"], 0, "1.2.4"),
        (&[], 1, "no configuration file is named"),
        (&["-c", "/no/such/file.rb"], 1, "/no/such/file.rb"),
        (&["-c", &file, "-p", "x"], 1, "invalid argument: -p x"),
        (&["-c", &file, "--daemon"], 1, "invalid option: --daemon"),
        (&["-c", &file, "-h"], 1, "missing argument: -h"),
        (&["-c", &file, "-h", "127.0.0.1", "-p", &port], 1, &port),
        (&["--conf", &file, "--po=81", "--expl"], 0, "[listener.\"proxymachine\"]"),
    ] {
        let output = run(words);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
        assert!(text.contains(said), "{words:?}: {text}");
    }
}

/// 71: IPv6.
#[test]
fn pm71_listens_on_ipv6() {
    let one = Backend::bind();
    let text = "proxy { |data, conn| { :remote => 'ONE', :data => conn.client_ip } }";
    let tool = Proxymachine::start_with(&naming(text, &[&one]), &["-h", "::1"]);
    let client = Peer::connect(&tool.address);
    client.send(b"a");
    one.accept().expect(b"::1");
}

/// 73: `proxyfilter` of a fork: what it makes of the first bytes of the backend, and the rest as it is.
#[test]
fn pm73_proxyfilter() {
    let one = Backend::bind();
    let text = "proxy { { :remote => 'ONE' } }\nproxyfilter { |data| data.upcase + '!' }";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    let client = tool.connect();
    client.send(b"a");
    let peer = one.accept();
    peer.expect(b"a");
    client.send(b"b");
    peer.expect(b"b");
    peer.send(b"abc");
    client.expect(b"ABC!");
    peer.send(b"def");
    peer.half_close();
    client.expect(b"def");
    client.expect_fin();
    // One that fails ends its session, and never looks like an end in order.
    let text = "proxy { { :remote => 'ONE' } }\nproxyfilter { |data| raise 'no' }";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    let client = tool.connect();
    client.send(b"a");
    one.accept().send(b"abc");
    client.expect_reset();
    tool.told("RuntimeError - no");
}
