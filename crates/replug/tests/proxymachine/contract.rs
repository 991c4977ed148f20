//! 28 to 33: what ProxyMachine's README promises, and other ways of writing a block.

use rig::{Backend, Payload, Peer};

use crate::start::{Proxymachine, naming};

/// Sends `bytes` in one piece, and then byte by byte; each time a backend is reached with them.
#[track_caller]
fn however_split(tool: &Proxymachine, one: &Backend, bytes: &[u8], expected: &[u8]) {
    let client = tool.connect();
    client.send(bytes);
    one.accept().expect(expected);
    for at in 1..bytes.len() {
        let client = tool.connect();
        client.send(&bytes[..at]);
        until_called(&client);
        client.send(&bytes[at..]);
        one.accept().expect(expected);
    }
}

/// Whether the first piece has been looked at does not matter: both ways have to lead there. The
/// client's kernel has handed it over, so that it is a piece of its own more often than not.
fn until_called(client: &Peer) {
    rig::wait::until("the piece to arrive", || client.unacknowledged() == 0);
}

/// 28: git's clients, by the host that they name.
#[test]
fn pm28_git_router() {
    let one = Backend::bind();
    let text = r##"
        class GitRouter
          ROUTING_MAP = { 'schacon.example.com' => 'ONE' }
          def self.lookup(name) = ROUTING_MAP[name]
        end
        proxy do |data|
          if data =~ %r{^....git-upload-pack (/[\w\-.]+/[\w\-.]+/[\w\-.]+)\0host=(.+)\0}
            { :remote => GitRouter.lookup($2) || 'DEAD' }
          else
            { :noop => true }
          end
        end"##;
    let tool = Proxymachine::start(&naming(text, &[&one]));
    let request = b"003ggit-upload-pack /a/b/c.git\0host=schacon.example.com\0";
    however_split(&tool, &one, request, request);
}

/// What the README shows for SOCKS4: with `return`, which fails in ProxyMachine.
const SOCKS: &str = r##"
proxy do |data|
  return if data.size < 9
  v, c, port, o1, o2, o3, o4, user = data.unpack('CCnC4a*')
  return { :close => "\0\x5b\0\0\0\0\0\0" } if v != 4 or c != 1
  return if ! idx = user.index("\0")
  { :remote => "#{[o1, o2, o3, o4] * '.'}:#{port}",
    :reply => "\0\x5a\0\0\0\0\0\0",
    :data => data[idx + 9..-1] }
end"##;

fn socks_request(one: &Backend, user: &[u8]) -> Vec<u8> {
    let port = one.address().port().to_be_bytes();
    [&[4, 1], &port[..], &[127, 0, 0, 1], user, &[0]].concat()
}

/// 29: SOCKS4, whole and split, refused, with a long user, with a payload behind it.
#[test]
fn pm29_socks4() {
    let one = Backend::bind();
    let tool = Proxymachine::start(SOCKS);
    let request = socks_request(&one, b"me");
    let with_payload = [&request[..], b"payload"].concat();
    for at in 1..request.len() {
        let client = tool.connect();
        client.send(&with_payload[..at]);
        until_called(&client);
        client.send(&with_payload[at..]);
        one.accept().expect(b"payload");
        client.expect(b"\0\x5a\0\0\0\0\0\0");
    }
    let refused = [&[5], &request[1..]].concat();
    assert_eq!(tool.ask(&refused), b"\0\x5b\0\0\0\0\0\0");
    let client = tool.connect();
    client.send(&socks_request(&one, &[b'u'; 4_000]));
    let peer = one.accept();
    client.expect(b"\0\x5a\0\0\0\0\0\0");
    let length = 5_000_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            client.send_payload(&mut Payload::new(1), length);
            client.half_close();
        });
        peer.expect_payload(&mut Payload::new(1), length);
        peer.expect_fin();
    });
    peer.send_payload(&mut Payload::new(2), 100_000);
    peer.half_close();
    client.expect_payload(&mut Payload::new(2), 100_000);
    client.expect_fin();
}

/// 30: a proxy for CONNECT: a reply, and nothing for the backend.
#[test]
fn pm30_connect_proxy() {
    let one = Backend::bind();
    let text = r##"
        proxy do |data|
          next unless data.include?("\r\n\r\n")
          if data =~ /\ACONNECT ([^ ]+) HTTP/
            { :remote => $1, :reply => "HTTP/1.0 200 Connection established\r\n\r\n", :data => '' }
          else
            { :close => "HTTP/1.0 405 Method Not Allowed\r\n\r\n" }
          end
        end"##;
    let tool = Proxymachine::start(text);
    let client = tool.connect();
    client.send(format!("CONNECT {} HTTP/1.1\r\nHost: x\r\n", one.address()).as_bytes());
    client.send(b"\r\n");
    let peer = one.accept();
    client.expect(b"HTTP/1.0 200 Connection established\r\n\r\n");
    client.send(b"ping");
    peer.expect(b"ping");
    assert_eq!(tool.ask(b"GET / HTTP/1.0\r\n\r\n"), b"HTTP/1.0 405 Method Not Allowed\r\n\r\n");
}

/// 31, 32, 33: `next`, lambdas, methods, and blocks of no argument or of two.
#[test]
fn pm31_other_ways_to_write_a_block() {
    let one = Backend::bind();
    for text in [
        "proxy { |data| next if data == 'a'; { :remote => 'ONE' } }",
        "proxy(&lambda { |data| return { :noop => true } if data == 'a'; { :remote => 'ONE' } })",
        "proxy(&->(data) { data == 'a' ? nil : { :remote => 'ONE' } })",
        "def route(data) = (data == 'a' ? nil : { :remote => 'ONE' })\nproxy(&method(:route))",
        "ProxyMachine.set_router(proc { |data| data == 'a' ? nil : { :remote => 'ONE' } })",
        "proxy { { :remote => 'ONE' } }",
        "proxy { |data, conn| { :remote => 'ONE' } if conn.client_ip == '127.0.0.1' && data != 'a' }",
        "proxy { |*all| { :remote => 'ONE' } if all.size == 1 && all[0] != 'a' }",
        "proxy { { :noop => true } }\nproxy { { :remote => 'ONE' } }",
    ] {
        let tool = Proxymachine::start(&naming(text, &[&one]));
        let client = tool.connect();
        client.send(b"a");
        until_called(&client);
        client.send(b"b");
        one.accept().expect(b"ab");
    }
}

/// 29, strictly: `return` in a block fails, as it did.
#[test]
fn pm29_return_fails_with_compat() {
    let tool = Proxymachine::start_with(SOCKS, &["--compat=1.2.4"]);
    assert_eq!(tool.ask(b"\x04\x01"), b"");
    tool.told("LocalJumpError");
}
