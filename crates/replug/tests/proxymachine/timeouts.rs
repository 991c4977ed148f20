//! 52 to 56: backends that do not answer.

use std::time::{Duration, Instant};

use rig::Backend;
use rig::wait::{pause, until};

use crate::start::{Proxymachine, naming};

const TEXT: &str = "proxy { |data| { :remote => 'ONE', :inactivity_timeout => '0.4' } }
    proxy_inactivity_error { |remote| File.write('silent', remote) }";

/// 52, 54: whoever does not answer in time is given up, whatever the client sends meanwhile. In
/// ProxyMachine a client that trickles puts it off for ever.
#[test]
fn pm52_a_silent_backend() {
    let one = Backend::bind();
    let tool = Proxymachine::start(&naming(TEXT, &[&one]));
    let begun = Instant::now();
    let client = tool.connect();
    client.send(b"a");
    let peer = one.accept();
    peer.expect(b"a");
    client.send(b"b");
    assert_eq!(client.receive_to_fin(), b"");
    assert!(begun.elapsed() >= Duration::from_millis(400));
    until("the callback", || tool.written("silent").is_some_and(|text| !text.is_empty()));
    assert_eq!(tool.written("silent"), Some(one.address().to_string()));
}

/// 53: after the first byte there is no such time, as the README says. In ProxyMachine there is, and
/// it ends both sides without a word; `--compat` does not bring that back.
#[test]
fn pm53_after_the_first_byte_it_may_be_silent() {
    let one = Backend::bind();
    let tool = Proxymachine::start(&naming(TEXT, &[&one]));
    let client = tool.connect();
    client.send(b"a");
    let peer = one.accept();
    peer.expect(b"a");
    peer.send(b"1");
    client.expect(b"1");
    pause(Duration::from_millis(800));
    peer.send(b"2");
    client.expect(b"2");
    client.send(b"b");
    peer.expect(b"b");
    assert!(tool.written("silent").is_none());
}

/// 55: without the key it never happens.
#[test]
fn pm55_without_a_timeout() {
    let one = Backend::bind();
    let text = TEXT.replace(", :inactivity_timeout => '0.4'", "");
    let tool = Proxymachine::start(&naming(&text, &[&one]));
    let client = tool.connect();
    client.send(b"a");
    let peer = one.accept();
    pause(Duration::from_millis(800));
    peer.send(b"late");
    client.expect(b"late");
    assert!(tool.written("silent").is_none());
}

/// 56: of a client that goes first nobody is told.
#[test]
fn pm56_a_client_that_goes_first() {
    let one = Backend::bind();
    let text = TEXT.replace("0.4", "5");
    let tool = Proxymachine::start(&naming(&text, &[&one]));
    let client = tool.connect();
    client.send(b"a");
    let peer = one.accept();
    peer.expect(b"a");
    client.reset();
    tool.told("Disconnected");
    assert!(tool.written("silent").is_none());
}
