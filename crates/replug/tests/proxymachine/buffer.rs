//! 20 to 27: what blocks are given, and what the backend gets.

use rig::wait::until;
use rig::{Backend, Payload};

use crate::start::{Proxymachine, naming};

/// 20, 21: a block is called for each piece with all that has come, and not before anything has.
#[test]
fn pm20_all_that_has_come_each_time() {
    let one = Backend::bind();
    let text = "proxy do |data|
          File.open('seen', 'a') { |file| file.puts data }
          data.end_with?('!') ? { :remote => 'ONE' } : { :noop => true }
        end";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    let client = tool.connect();
    let mut expected = String::new();
    let sent = "abc!";
    for at in 1..=sent.len() {
        client.send(&sent.as_bytes()[at - 1..at]);
        expected += &format!("{}\n", &sent[..at]);
        until("the block to be called", || tool.written("seen").as_deref() == Some(&expected));
    }
    one.accept().expect(sent.as_bytes());
    // 26: it has decided, and is not called again.
    client.send(b"more");
    assert_eq!(tool.written("seen"), Some(expected));
}

/// 22: what a block does to its argument is nothing to the backend.
#[test]
fn pm22_a_block_that_changes_its_argument() {
    let one = Backend::bind();
    let text = "proxy { |data| data.upcase!; data << 'more'; { :remote => 'ONE' } }";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    let client = tool.connect();
    client.send(b"plain");
    client.half_close();
    let peer = one.accept();
    assert_eq!(peer.receive_to_fin(), b"plain");
}

/// 23, 27: what is sent before and behind the decision comes in order, however much it is.
#[test]
fn pm23_much_before_the_decision() {
    let one = Backend::bind();
    let text = "proxy { |data| data.size > 30_000 ? { :remote => 'ONE' } : { :noop => true } }";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    let client = tool.connect();
    client.send_payload(&mut Payload::new(7), 200_000);
    client.half_close();
    let peer = one.accept();
    peer.expect_payload(&mut Payload::new(7), 200_000);
    peer.expect_fin();
}

/// 24: a client that has said 64 KiB and is not decided about is turned away. In ProxyMachine it goes
/// on for ever, and takes all memory.
#[test]
fn pm24_too_much_without_a_decision() {
    let tool = Proxymachine::start("proxy { |data| { :noop => true } }");
    let client = tool.connect();
    client.send(&vec![b'x'; 64 * 1024]);
    assert_eq!(client.receive_to_fin(), b"");
}

/// 25: neither does a client stay undecided for ever; how long is in the configuration.
#[test]
fn pm25_too_long_without_a_decision() {
    let tool = Proxymachine::start("proxy { |data| { :noop => true } }");
    let shown = crate::start::run(&["-c", &tool.file, "--explain"]);
    let shown = String::from_utf8(shown.stdout).expect("it is text");
    assert!(shown.contains("timeouts.sniff = \"1m\""), "{shown}");
}
