//! 1 to 19: what blocks return, and what becomes of the client.

use rig::wait::until;
use rig::{Backend, Peer};

use crate::start::{Proxymachine, naming};

/// What ProxyMachine's own tests run with, in words of our own.
const UPSTREAM: &str = r##"
def note(text)
  File.write('noted', text)
end

proxy do |data|
  case data
  when /\Aa/ then { :remote => 'ONE' }
  when /\Ab/ then { :remote => 'TWO' }
  when /\Ac/ then { :remote => 'ONE', :data => 'ccc' }
  when /\Ad/ then { :close => 'ddd' }
  when /\Ae+\z/ then { :noop => true }
  when /\Ae+f\z/ then { :remote => 'ONE' }
  when /\Ag/ then { :remote => 'ONE', :data => 'g2', :reply => 'g3-' }
  when /\Aslow/ then { :remote => 'ONE', :inactivity_timeout => 1.0 }
  when /\Arefused/ then { :remote => 'DEAD' }
  else { :close => true }
  end
end

proxy_connect_error { |remote| note("connect error: #{remote}") }
proxy_inactivity_error { |remote| note("activity error: #{remote}") }
"##;

/// Connects a client that sends `bytes`; the backend that it comes to, once that has had `expected`.
#[track_caller]
fn reaches(tool: &Proxymachine, backend: &Backend, bytes: &[u8], expected: &[u8]) -> (Peer, Peer) {
    let client = tool.connect();
    client.send(bytes);
    let peer = backend.accept();
    peer.expect(expected);
    (client, peer)
}

/// The client gets what its backend says, and the backend's end.
#[track_caller]
fn answered((client, peer): (Peer, Peer), text: &[u8]) {
    peer.send(text);
    peer.half_close();
    client.expect(text);
    client.expect_fin();
}

/// 1 to 9: ProxyMachine's own tests.
#[test]
fn pm01_its_own_tests() {
    let (one, two) = (Backend::bind(), Backend::bind());
    let tool = Proxymachine::start(&naming(UPSTREAM, &[&one, &two]));
    answered(reaches(&tool, &one, b"a", b"a"), b"9980:a");
    answered(reaches(&tool, &two, b"b", b"b"), b"9981:b");
    // 2: no match.
    assert_eq!(tool.ask(b"xxx"), b"");
    // 3: other data.
    answered(reaches(&tool, &one, b"c", b"ccc"), b"9980:ccc");
    // 4: a last word.
    assert_eq!(tool.ask(b"d"), b"ddd");
    // 5: a reply and other data.
    answered_with_reply(&tool, &one);
    // 6: more and more, until it is enough.
    let client = tool.connect();
    let many = [b'e'; 2048];
    client.send(&many);
    client.send(b"f");
    let peer = one.accept();
    peer.expect(&[&many[..], b"f"].concat());
    answered((client, peer), b"9980:all");
}

#[track_caller]
fn answered_with_reply(tool: &Proxymachine, one: &Backend) {
    let (client, peer) = reaches(tool, one, b"g", b"g2");
    client.expect(b"g3-");
    answered((client, peer), b"9980:g2");
}

/// 7: a closed port, and the callback about it.
#[test]
fn pm07_a_dead_backend_is_told_to_the_callback() {
    let one = Backend::bind();
    let tool = Proxymachine::start(&naming(UPSTREAM, &[&one, &one]));
    assert_eq!(tool.ask(b"refused"), b"");
    until("the callback", || tool.written("noted").is_some_and(|text| !text.is_empty()));
    let noted = tool.written("noted").expect("it is there");
    assert!(noted.starts_with("connect error: 127.0.0.1:"), "{noted}");
}

/// 8, 9: a silent backend is told to the callback; a client that goes first is not.
#[test]
fn pm08_a_silent_backend_is_told_to_the_callback() {
    let one = Backend::bind();
    let tool = Proxymachine::start(&naming(UPSTREAM, &[&one, &one]));
    let gone = reaches(&tool, &one, b"slow", b"slow");
    gone.0.close();
    let gone = gone.1;
    let (client, peer) = reaches(&tool, &one, b"slow", b"slow");
    assert_eq!(client.receive_to_fin(), b"");
    drop(peer);
    until("the callback", || tool.written("noted").is_some());
    assert_eq!(tool.written("noted"), Some(format!("activity error: {}", one.address())));
    drop(gone);
}

/// 10: a remote comes before a close, and that before a noop.
#[test]
fn pm10_which_key_counts() {
    let one = Backend::bind();
    let text = "proxy { |data| data == 'r' ? { :noop => true, :close => 'no', :remote => 'ONE' } :
                               { :noop => true, :close => 'yes' } }";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    answered(reaches(&tool, &one, b"r", b"r"), b"fine");
    assert_eq!(tool.ask(b"c"), b"yes");
}

/// 11, 12: data takes the place of what came, and what comes behind follows; empty data is nothing.
#[test]
fn pm11_data_in_the_place_of_what_came() {
    let one = Backend::bind();
    let text = "proxy { |data| { :remote => 'ONE', :data => data[0] == 'n' ? '' : 7 } }";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    let (client, peer) = reaches(&tool, &one, b"first", b"7");
    client.send(b"second");
    peer.expect(b"second");
    // 12: it is connected although nothing is sent.
    let client = tool.connect();
    client.send(b"nothing");
    let peer = one.accept();
    client.send(b"more");
    peer.expect(b"more");
}

/// 13, 14: a reply comes once, before the backend's bytes, and also if there is no backend.
#[test]
fn pm13_replies() {
    let one = Backend::bind();
    let text = "proxy { |data| { :remote => data == 'x' ? 'DEAD' : 'ONE', :reply => 'hello ' } }";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    let (client, peer) = reaches(&tool, &one, b"a", b"a");
    peer.send(b"world");
    client.expect(b"hello world");
    assert_eq!(tool.ask(b"x"), b"hello ");
    // Without a remote it is no reply.
    let tool = Proxymachine::start("proxy { |data| { :reply => 'hello' } }");
    assert_eq!(tool.ask(b"a"), b"");
}

/// 15: what the last word can be.
#[test]
fn pm15_ways_to_close() {
    let text = "proxy { |data| { :close => { 'n' => 42, 't' => true, 'e' => '', 'f' => false,
                                             's' => 'x', 'y' => :sym }[data] } }";
    let tool = Proxymachine::start(text);
    for (sent, expected) in
        [("n", "42"), ("t", ""), ("e", ""), ("s", "x"), ("y", "sym"), ("f", ""), ("?", "")]
    {
        assert_eq!(tool.ask(sent.as_bytes()), expected.as_bytes(), "{sent}");
    }
}

/// 16: what is no decision ends the client and nobody else. `nil` has a client wait, as most files
/// mean it; it ended the client in ProxyMachine.
#[test]
fn pm16_what_is_no_decision() {
    let one = Backend::bind();
    let text = "proxy { |data| eval(data) }";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    for returned in
        ["{}", "{ :other => 1 }", "{ 'remote' => 'a:1' }", "true", "'a:1'", ":a", "[1]", "[]"]
    {
        assert_eq!(tool.ask(returned.as_bytes()), b"", "{returned}");
    }
    tool.told("the block has returned true instead of a Hash");
    let client = tool.connect();
    client.send(b"nil\n");
    client.send(b"{ :close => 'waited' }");
    assert_eq!(client.receive_to_fin(), b"waited");
    let strict = Proxymachine::start_with(text, &["--compat", "1.2.4"]);
    assert_eq!(strict.ask(b"nil"), b"");
}

/// 17: of a subclass of Hash the remote counts. In ProxyMachine the client is closed as well, and the
/// backend gets a connection without data: nobody can want that.
#[test]
fn pm17_a_subclass_of_hash() {
    let one = Backend::bind();
    let text = "class Mine < Hash; end; proxy { Mine[:remote => 'ONE'] }";
    for words in [&[][..], &["--compat", "1.2.4"]] {
        let tool = Proxymachine::start_with(&naming(text, &[&one]), words);
        answered(reaches(&tool, &one, b"a", b"a"), b"fine");
    }
}

/// 18: what a remote can look like. A unix socket, and IPv6 in brackets, are more than there was.
#[test]
fn pm18_remotes() {
    let one = Backend::bind();
    let six = Backend::bind_to(&rig::Address::parse("[::1]:0"));
    let unix = Backend::bind_to(&rig::Address::parse(&format!(
        "unix:@replug-proxymachine-{}",
        std::process::id()
    )));
    let tool = Proxymachine::start("proxy { |data| { :remote => eval(data) } }");
    let port = one.address().port();
    for remote in [
        format!("'127.0.0.1:{port}'"),
        format!("'localhost:{port}'"),
        format!(":'127.0.0.1:{port}'"),
        format!("\"nothing\\n127.0.0.1:{port}\""),
        format!("['127.0.0.1:1', '127.0.0.1:{port}']"),
    ] {
        answered(reaches(&tool, &one, remote.as_bytes(), remote.as_bytes()), b"fine");
    }
    let port = six.address().port();
    for remote in [format!("'::1:{port}'"), format!("'[::1]:{port}'")] {
        answered(reaches(&tool, &six, remote.as_bytes(), remote.as_bytes()), b"fine");
    }
    let remote = format!("'{}'", unix.address());
    answered(reaches(&tool, &unix, remote.as_bytes(), remote.as_bytes()), b"fine");
    for remote in
        ["'localhost'", "'127.0.0.1:x'", "'127.0.0.1:0'", "'127.0.0.1:70000'", "':1'", "7"]
    {
        assert_eq!(tool.ask(remote.as_bytes()), b"", "{remote}");
    }
    tool.told("has no port");
}

/// 19: all bytes there are come through matching, data, reply and close.
#[test]
fn pm19_any_bytes() {
    let one = Backend::bind();
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let text = "ALL = (0..255).map(&:chr).join.b
        proxy do |data|
          if data == ALL then { :remote => 'ONE', :data => data.reverse, :reply => data }
          elsif data == ALL.reverse then { :close => data }
          end
        end";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    let reversed: Vec<u8> = all.iter().rev().copied().collect();
    let (client, _peer) = reaches(&tool, &one, &all, &reversed);
    client.expect(&all);
    assert_eq!(tool.ask(&reversed), reversed);
}
