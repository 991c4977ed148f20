//! 43 to 51: retries, timeouts and callbacks.

use std::time::{Duration, Instant};

use rig::wait::until;
use rig::{Backend, BlackHole, Closed};

use crate::start::{Proxymachine, naming};

const CALLBACK: &str =
    "proxy_connect_error { |remote| File.open('failed', 'a') { |f| f.puts remote } }";

/// 43: a refused connection is tried ten times again, 0.1 s apart, and told once.
#[test]
fn pm43_a_refused_connection_is_tried_again() {
    let dead = Closed::bind();
    let text = format!("proxy {{ {{ :remote => '{}' }} }}\n{CALLBACK}", dead.address());
    let tool = Proxymachine::start(&text);
    let begun = Instant::now();
    assert_eq!(tool.ask(b"a"), b"");
    // Ten pauses; there is no upper bound on a busy machine.
    assert!(begun.elapsed() >= Duration::from_secs(1));
    until("the callback", || tool.written("failed").is_some_and(|text| text.ends_with('\n')));
    assert_eq!(tool.written("failed"), Some(format!("{}\n", dead.address())));
    tool.told("failed");
}

/// 44: a backend that comes up meanwhile is reached, and gets everything once.
#[test]
fn pm44_a_backend_that_comes_up() {
    let dead = Closed::bind();
    let text = format!("proxy {{ {{ :remote => '{}' }} }}\n{CALLBACK}", dead.address());
    let tool = Proxymachine::start(&text);
    let client = tool.connect();
    client.send(b"hello");
    tool.told("No connection with");
    let backend = dead.open();
    let peer = backend.accept();
    client.half_close();
    assert_eq!(peer.receive_to_fin(), b"hello");
    assert!(tool.written("failed").is_none());
}

/// 45: the time to connect is that of each attempt; of eleven here.
#[test]
fn pm45_the_time_of_each_attempt() {
    let hole = BlackHole::open();
    let text = format!(
        "proxy {{ {{ :remote => '{}', :connect_timeout => '0.1' }} }}\n{CALLBACK}",
        hole.address()
    );
    let tool = Proxymachine::start(&text);
    let begun = Instant::now();
    assert_eq!(tool.ask(b"a"), b"");
    assert!(begun.elapsed() >= Duration::from_millis(2_100));
    assert!(begun.elapsed() < Duration::from_secs(18), "not the usual 20 s for each");
    until("the callback", || tool.written("failed").is_some());
}

/// 46: unless told, an attempt takes 20 s.
#[test]
fn pm46_the_usual_time_of_an_attempt() {
    let tool = Proxymachine::start("proxy { { :close => true } }");
    let shown = crate::start::run(&["-c", &tool.file, "--explain"]);
    let shown = String::from_utf8(shown.stdout).expect("it is text");
    assert!(shown.contains("timeouts.connect = \"20s\""), "{shown}");
}

/// 47: a name that does not exist is told to the callback as well, which ProxyMachine does not do.
#[test]
fn pm47_a_name_that_does_not_exist() {
    let text = format!("proxy {{ {{ :remote => 'no-such-host.invalid:80' }} }}\n{CALLBACK}");
    let tool = Proxymachine::start(&text);
    assert_eq!(tool.ask(b"a"), b"");
    until("the callback", || tool.written("failed").is_some_and(|text| text.ends_with('\n')));
    assert_eq!(tool.written("failed").as_deref(), Some("no-such-host.invalid:80\n"));
}

/// 48: of several remotes the first that can be reached. Before, there was one address of one host.
#[test]
fn pm48_several_remotes() {
    let one = Backend::bind();
    let text = "proxy { |data| data == 'l' ? { :remote => ['DEAD', 'ONE'] } :
                               [{ :remote => 'DEAD' }, { :remote => 'ONE' }] }";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    for sent in [b"l", b"h"] {
        let client = tool.connect();
        client.send(sent);
        one.accept().expect(sent);
    }
}

/// 49, 51: a backend that goes before its first byte is told, and nothing is sent to another.
#[test]
fn pm49_a_backend_that_goes_before_its_first_byte() {
    let one = Backend::bind();
    let text = format!("{}\n{CALLBACK}", crate::start::to(&one));
    let tool = Proxymachine::start(&text);
    let client = tool.connect();
    client.send(b"request");
    let peer = one.accept();
    peer.expect(b"request");
    peer.close();
    assert_eq!(client.receive_to_fin(), b"");
    until("the callback", || tool.written("failed").is_some_and(|text| text.ends_with('\n')));
    assert_eq!(tool.written("failed"), Some(format!("{}\n", one.address())));
    assert!(!one.somebody_waits(), "nothing is sent twice");
}

/// 50: of a client that has gone nobody is told.
#[test]
fn pm50_a_client_that_leaves_while_it_is_tried_again() {
    let hole = BlackHole::open();
    let text = format!("proxy {{ {{ :remote => '{}' }} }}\n{CALLBACK}", hole.address());
    let tool = Proxymachine::start(&text);
    let client = tool.connect();
    client.send(b"a");
    tool.told("Establishing new connection with");
    client.reset();
    tool.told("Disconnected");
    assert!(tool.written("failed").is_none());
}

/// What ProxyMachine's users missed: a callback may decide what becomes of the client. Strictly, what
/// it returns is nothing.
#[test]
fn pm43_a_callback_that_decides() {
    let one = Backend::bind();
    let text = "proxy { |data| { :remote => 'DEAD', :retries => 0 } }
                proxy_connect_error { |remote| { :close => '503' } }";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    assert_eq!(tool.ask(b"a"), b"503");
    let strict = Proxymachine::start_with(&naming(text, &[&one]), &["--compat", "1.2.4"]);
    assert_eq!(strict.ask(b"a"), b"");
    let again = text.replace("{ :close => '503' }", "{ :remote => 'ONE' }");
    let tool = Proxymachine::start(&naming(&again, &[&one]));
    let client = tool.connect();
    client.send(b"again");
    one.accept().expect(b"again");
}
