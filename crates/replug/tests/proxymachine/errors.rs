//! 34 to 42: blocks that fail, hang or take too much.

use std::net::Ipv4Addr;

use rig::{Backend, Peer};

use crate::start::{Proxymachine, naming};

/// A block that does what it is told, and sends the others to `ONE`.
const OBEYS: &str = "proxy { |data| eval(data[1..]) if data[0] == '!'; { :remote => 'ONE' } }";

#[track_caller]
fn still_serves(tool: &Proxymachine, one: &Backend) {
    let client = tool.connect();
    client.send(b"fine");
    let peer = one.accept();
    peer.expect(b"fine");
    peer.send(b"answer");
    client.expect(b"answer");
}

/// 34, 35: what is raised ends that client and no other; an exception that ended ProxyMachine ends the
/// process that runs Ruby, and the next one takes its place.
#[test]
fn pm34_whatever_is_raised() {
    let one = Backend::bind();
    let tool = Proxymachine::start(&naming(OBEYS, &[&one]));
    for raised in [
        "!raise 'one'",
        "!throw :two",
        "!raise Exception, 'three'",
        "!exit 3",
        "!abort",
        "!raise NotImplementedError",
        "!Process.exit!(4)",
    ] {
        assert_eq!(tool.ask(raised.as_bytes()), b"", "{raised}");
        still_serves(&tool, &one);
    }
    tool.told("RuntimeError - one");
    tool.told("has ended");
}

/// 36, 37: an endless loop, and a pattern that never ends, are stopped.
#[test]
fn pm36_a_block_that_hangs() {
    let one = Backend::bind();
    let tool = Proxymachine::start(&naming(OBEYS, &[&one]));
    let loops = tool.connect();
    loops.send(b"!loop {}");
    let relayed = tool.connect();
    assert_eq!(loops.receive_to_fin(), b"");
    tool.told("did not answer in time");
    relayed.send(b"later");
    one.accept().expect(b"later");
    assert_eq!(tool.ask(b"!('a' * 60_000 + '!') =~ /\\A(a|aa)+\\z/"), b"");
    still_serves(&tool, &one);
}

/// 38: one that takes all memory gets no more than it may.
#[test]
fn pm38_a_block_that_takes_memory() {
    let one = Backend::bind();
    let tool = Proxymachine::start(&naming(OBEYS, &[&one]));
    assert_eq!(tool.ask(b"!'x' * (3 << 30)"), b"");
    still_serves(&tool, &one);
}

/// 39: a look-up that takes its time holds up nobody whose bytes move already.
#[test]
fn pm39_a_block_that_waits() {
    let one = Backend::bind();
    let tool = Proxymachine::start(&naming(OBEYS, &[&one]));
    let client = tool.connect();
    client.send(b"before");
    let peer = one.accept();
    peer.expect(b"before");
    let slow = tool.connect();
    // It waits until somebody connects.
    let gate = Backend::bind();
    slow.send(format!("!TCPSocket.new('127.0.0.1', {}).read", gate.address().port()).as_bytes());
    let held = gate.accept();
    client.send(b"there");
    peer.expect(b"there");
    peer.send(b"back");
    client.expect(b"back");
    held.close();
    one.accept().expect(b"!TCPSocket");
}

/// 40: a callback that raises is told, and no more.
#[test]
fn pm40_a_callback_that_raises() {
    let one = Backend::bind();
    let text = "proxy { |data| { :remote => data == 'x' ? 'DEAD' : 'ONE' } }
                proxy_connect_error { |remote| raise \"lost #{remote}\" }";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    assert_eq!(tool.ask(b"x"), b"");
    tool.told("RuntimeError - lost 127.0.0.1:");
    still_serves(&tool, &one);
}

/// 41: clients that reset at once, which ended ProxyMachine.
#[test]
fn pm41_clients_that_reset_at_once() {
    let one = Backend::bind();
    let tool = Proxymachine::start(&naming(OBEYS, &[&one]));
    for _ in 0..50 {
        Peer::connect_from(Ipv4Addr::LOCALHOST.into(), &tool.address).reset();
    }
    still_serves(&tool, &one);
}

/// 42: many silent clients.
#[test]
fn pm42_silent_clients() {
    let one = Backend::bind();
    let tool = Proxymachine::start(&naming(OBEYS, &[&one]));
    let silent: Vec<_> = (0..300).map(|_| tool.connect()).collect();
    still_serves(&tool, &one);
    drop(silent);
}
