//! The program as a user meets it: exit codes, what goes where, the demo.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for an answer of the demo. Only a failing test waits so long.
const ANSWER_MAX: Duration = Duration::from_secs(20);

fn replug(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_replug"));
    command.args(words).stdin(Stdio::null());
    command
}

fn output(words: &[&str]) -> Output {
    replug(words).output().expect("replug can be started")
}

/// Checks that `words` are refused with exit code 2, with `expected` on standard error alone.
#[track_caller]
fn check_refused(words: &[&str], expected: &[&str]) {
    let output = output(words);
    let told = String::from_utf8(output.stderr).expect("messages are text");
    assert_eq!(output.status.code(), Some(2), "{words:?}: {told}");
    assert_eq!(output.stdout, b"", "{words:?}");
    for expected in expected {
        assert!(told.contains(expected), "{words:?}: no {expected:?} in\n{told}");
    }
    assert!(!told.contains('\x1b'), "no terminal, no colour: {told:?}");
}

#[test]
fn wrong_words_are_refused_with_code_2() {
    check_refused(&[], &["error[E0001]", "LISTEN and TARGET are missing"]);
    check_refused(&["8080"], &["TARGET is missing", "replug 8080 10.0.0.11:80"]);
    check_refused(&["demp"], &["did you mean `replug demo`?"]);
    check_refused(
        &["8080", "10.0.0.11:80000", "--idle", "30"],
        &["E0101", "^^^^^ ports end", "E0112", "write `30s`", "2 errors"],
    );
}

#[test]
fn complaints_about_commands_look_the_same() {
    check_refused(
        &["demo", "--onec"],
        &["error[E0001]", "1 | replug demo --onec", "^^^^^^", "did you mean `--once`?"],
    );
    check_refused(&["demo", "8080"], &["`8080` is one word too many"]);
    check_refused(&["demo", "--once=yes"], &["`--once` takes no value"]);
    check_refused(&["help", "bar"], &["`bar` is one word too many"]);
}

#[test]
fn a_warning_is_shown_and_does_not_stop() {
    // A port that cannot be bound ends the run right behind the warning.
    let output = output(&["--allow", "10.0.0.5/8", "192.0.2.1:0", "10.0.0.11:80"]);
    let told = String::from_utf8(output.stderr).expect("messages are text");
    assert!(told.contains("warning[W0301]"), "{told}");
    assert_eq!(output.status.code(), Some(4), "{told}");
}

#[test]
fn help_and_version_go_to_standard_output() {
    for words in [&["--help"][..], &["-h"], &["help"], &["8080", "--bogus", "--help"]] {
        let output = output(words);
        let said = String::from_utf8(output.stdout).expect("the help is text");
        assert!(output.status.success() && output.stderr.is_empty(), "{words:?}");
        let (examples, usage) = (said.find("Examples:"), said.find("Usage:"));
        assert!(examples.is_some() && examples < usage, "examples come first: {said}");
        assert!(said.contains("Exit codes:") && said.contains("Signals:"), "{said}");
    }
    for words in [["--version"], ["-V"]] {
        let output = output(&words);
        assert_eq!(output.stdout, b"replug 0.1.0\n");
        assert!(output.status.success());
    }
    let output = output(&["demo", "--help"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("--once"));
}

#[test]
fn the_demo_tries_itself_out() {
    let output = output(&["demo", "--once"]);
    let said = String::from_utf8(output.stdout).expect("answers are text");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = |name: &str| said.lines().filter(|line| line.contains(name)).count();
    assert_eq!((answers("backend A"), answers("backend B")), (2, 2), "{said}");
}

/// A demo under way; killed if a test ends early.
struct Demo {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Demo {
    fn start() -> Self {
        let mut child = replug(&["demo"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("replug can be started");
        let stdout = child.stdout.take().expect("standard output is piped");
        Self { child, stdout: BufReader::new(stdout) }
    }

    /// Reads the invitation; returns the address it tells.
    fn address(&mut self) -> String {
        let mut address = None;
        let mut line = String::new();
        while self.stdout.read_line(&mut line).expect("the demo writes text") > 0 {
            if let Some((_, rest)) = line.split_once("curl http://") {
                let end = rest.find('/').expect("a URL with a path");
                address = Some(rest[..end].to_owned());
            }
            if line.contains("Ctrl-C") {
                break;
            }
            line.clear();
        }
        address.expect("the demo says what to try")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_demo_serves_browsers_and_ends_with_ctrl_c() {
    let mut demo = Demo::start();
    let address = demo.address();
    let mut stream = TcpStream::connect(&address).expect("the listener is open");
    stream.set_read_timeout(Some(ANSWER_MAX)).expect("a socket takes a timeout");
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nAccept: text/html,*/*\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the demo takes requests");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the demo answers with text");
    assert!(answer.contains("text/html") && answer.contains("<h1>Backend A</h1>"), "{answer}");
    // An open client would be waited for.
    drop(stream);
    let pid = Pid::from_child(&demo.child);
    kill_process(pid, Signal::INT).expect("the demo is running");
    let status = demo.child.wait().expect("the demo can be waited for");
    assert_eq!(status.code(), Some(0));
}
