//! 74 to 82: the processes that run Ruby.

use std::collections::HashSet;
use std::fs;

use rig::wait::until;
use rig::{Backend, Forwarder, Peer, Scratch};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::start::{Proxymachine, children, naming, run, to};

/// 75: a worker that is killed while it decides: its question is put to the next one.
#[test]
fn pm75_a_worker_that_is_killed() {
    let one = Backend::bind();
    let gate = Backend::bind();
    let text = "proxy do |data|
          TCPSocket.new('127.0.0.1', PORT).read unless File.exist?('seen')
          File.write('seen', '')
          { :remote => 'ONE' }
        end";
    let text = naming(text, &[&one]).replace("PORT", &gate.address().port().to_string());
    let tool = Proxymachine::start(&text);
    let client = tool.connect();
    client.send(b"hello");
    let held = gate.accept();
    fs::write(tool.scratch.join("seen"), "").expect("a file can be written");
    for child in tool.children() {
        kill(child);
    }
    one.accept().expect(b"hello");
    tool.told("has ended (signal: 9 (SIGKILL)");
    drop(held);
}

fn kill(id: i32) {
    let id = Pid::from_raw(id).expect("ids are positive");
    kill_process(id, Signal::KILL).expect("it runs");
}

/// 77, 82: files that cannot be loaded: Ruby's own words, and not 0.
#[test]
fn pm77_files_that_cannot_be_loaded() {
    let scratch = Scratch::new();
    let file = scratch.join("route.rb");
    for (text, said) in [
        ("proxy { |data", "SyntaxError"),
        ("raise 'what a file'", "RuntimeError: what a file"),
        ("require 'no/such/library'", "cannot load such file -- no/such/library"),
        ("exit 7", "exit(7)"),
        ("exit", "exit(0)"),
        ("x = 1", "no `proxy` block"),
    ] {
        fs::write(&file, text).expect("a file can be written");
        let output = run(&["-c", &file, "-h", "127.0.0.1", "-p", "0"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}: {told}");
        assert!(told.contains(said), "{text}: {told}");
    }
}

/// Without Ruby it says what to install.
#[test]
fn pm77_without_ruby() {
    let scratch = Scratch::new();
    let file = scratch.join("route.rb");
    fs::write(&file, "proxy { { :close => true } }").expect("a file can be written");
    let output = std::process::Command::new(crate::start::REPLUG)
        .args(["proxymachine", "-c", &file, "-h", "127.0.0.1", "-p", "0"])
        .env("PATH", scratch.path())
        .output()
        .expect("it can be started");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("apt install ruby"), "{told}");
}

/// 78: a callback may change what the block goes by.
#[test]
fn pm78_state_that_blocks_share() {
    let one = Backend::bind();
    let text = "@backends = ['DEAD', 'ONE']
        proxy { |data| { :remote => @backends.first, :retries => 0 } }
        proxy_connect_error { |remote| @backends.delete(remote) }";
    let tool = Proxymachine::start(&naming(text, &[&one]));
    assert_eq!(tool.ask(b"a"), b"");
    let client = tool.connect();
    client.send(b"b");
    one.accept().expect(b"b");
}

/// 79: what a file says reaches the log.
#[test]
fn pm79_what_a_file_says() {
    let text = "LOGGER.info 'while it is loaded'
        proxy { |data| puts 'plain'; p :shown; $stderr.puts 'wrong'; LOGGER.warn(\"of #{data}\")
                { :close => 'x' } }";
    let tool = Proxymachine::start(text);
    assert_eq!(tool.ask(b"me"), b"x");
    for words in ["while it is loaded", "plain", ":shown", "wrong"] {
        tool.told(words);
    }
    let line = tool.told("of me");
    assert!(line.starts_with("W, [") && line.contains(" WARN -- : "), "{line}");
}

/// 80: when replug has gone, however it went, no Ruby is left.
#[test]
fn pm80_no_ruby_is_left() {
    let tool = Proxymachine::start_with("proxy { |data| loop {} }", &["--workers", "2"]);
    // One of them is busy.
    let client = tool.connect();
    client.send(b"a");
    tool.told("Accepted");
    let all = tool.children();
    assert_eq!(all.len(), 2);
    tool.program.signal(Signal::KILL);
    let gone = |id: &i32| test_kill_process(Pid::from_raw(*id).expect("positive")).is_err();
    until("all Ruby to end", || all.iter().all(gone));
    let mut tool = Proxymachine::start("proxy { |data| { :noop => true } }");
    let all = tool.children();
    tool.program.signal(Signal::TERM);
    tool.program.expect_exit(0);
    assert!(all.iter().all(gone));
}

/// 81: several workers, each with clients of its own.
#[test]
fn pm81_several_workers() {
    let tool = Proxymachine::start_with("proxy { { :close => $$.to_s } }", &["--workers", "3"]);
    let mut seen = HashSet::new();
    until("each to have answered", || {
        seen.insert(tool.ask(b"a"));
        seen.len() == 3
    });
    assert_eq!(tool.children().len(), 3);
}

/// 82: what a file finds around it.
#[test]
fn pm82_what_a_file_finds() {
    let scratch = Scratch::new();
    fs::write(scratch.join("other.rb"), "OTHER = 'other'").expect("a file can be written");
    let text = format!(
        "require 'proxymachine'
        require '{}/other'
        require_relative 'beside'
        @own = 'own'
        proxy do |data|
          {{ :close => [OTHER, BESIDE, @own, ENV['PM_TEST'], ARGV.size, self.to_s, ProxyMachine::VERSION,
                        File.basename(__FILE__), defined?(EM) ? 'EM' : ''].join(' ') }}
        end",
        scratch.path().display()
    );
    let dir = Scratch::new();
    let file = dir.join("route.rb");
    fs::write(dir.join("beside.rb"), "BESIDE = 'beside'").expect("a file can be written");
    fs::write(&file, text).expect("a file can be written");
    let tool = Proxymachine::start_with("proxy {}", &["-c", &file]);
    let said = String::from_utf8(tool.ask(b"a")).expect("it is text");
    let expected = "other beside own of the environment 0 main 1.2.4 route.rb";
    assert_eq!(said.trim_end_matches(" EM").trim_end(), expected);
}

/// Timers of EventMachine run, if that is installed.
#[test]
fn pm82_timers_of_eventmachine() {
    let text = "require 'eventmachine'
        EM.next_tick { EM.add_timer(0.01) { @ticked = true } }
        proxy { |data| { :close => @ticked ? 'ticked' : 'not yet' } }";
    let tool = Proxymachine::start(text);
    until("the timer", || tool.ask(b"a") == b"ticked");
}

/// A worker that ends while nobody asks is replaced.
#[test]
fn pm76_an_idle_worker_that_is_killed() {
    let one = Backend::bind();
    let tool = Proxymachine::start(&to(&one));
    let [child] = tool.children()[..] else { panic!("one worker") };
    kill(child);
    let client = tool.connect();
    client.send(b"a");
    one.accept().expect(b"a");
    let next = children(tool.program.pid());
    assert!(next.len() == 1 && next != [child]);
}

/// The same file as the script of a listener in a native file, which may name pools of that.
#[test]
fn pm74_in_a_native_file() {
    let (one, two) = (Backend::bind(), Backend::bind());
    let scratch = Scratch::new();
    let text = "proxy { |data| data == 'p' ? { :pool => 'two' } : { :remote => 'ONE' } }";
    fs::write(scratch.join("route.rb"), naming(text, &[&one])).expect("a file can be written");
    let file = scratch.join("replug.toml");
    let native = format!(
        "[listener.git]\nbind = \"127.0.0.1:0\"\nscript = \"route.rb\"\notherwise = \"close\"\n\n\
         [pool.two]\nbackends = \"{}\"\n",
        two.address()
    );
    fs::write(&file, native).expect("a file can be written");
    let mut command = std::process::Command::new(crate::start::REPLUG);
    let forwarder = Forwarder::start_command(command.args(["run", "-c", &file]), 1);
    for (sent, backend) in [(b"p", &two), (b"o", &one)] {
        let client = Peer::connect(forwarder.address());
        client.send(sent);
        backend.accept().expect(sent);
    }
}

/// What docs/scripts.md shows does what it says.
#[test]
fn pm74_the_file_that_a_document_shows() {
    let (one, two) = (Backend::bind(), Backend::bind());
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/scripts.md");
    let document = fs::read_to_string(document).expect("the document reads");
    let file = document.split("```ruby\n").nth(1).and_then(|rest| rest.split("```").next());
    let file = file.expect("it shows a file in Ruby");
    let file = file.replace("10.0.0.21:9418", "ONE").replace("10.0.0.22:9418", "TWO");
    let tool = Proxymachine::start(&naming(&file, &[&one, &two]));
    for (owner, backend) in [("mojombo", &one), ("defunkt", &two)] {
        let request = format!("0032git-upload-pack /{owner}/bert.git\0host=git.example\0");
        let (begin, rest) = request.split_at(30);
        let client = tool.connect();
        client.send(begin.as_bytes());
        client.send(rest.as_bytes());
        backend.accept().expect(request.as_bytes());
    }
}
