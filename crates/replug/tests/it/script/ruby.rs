//! Files of Ruby on the command line, and those that take their time.

use std::fs;
use std::process::Command;

use rig::wait::until;
use rig::{Forwarder, Program, Scratch};
use rustix::process::Signal;

use crate::path::REPLUG;

/// Writes a configuration with this file; gives its path.
pub(super) fn write(scratch: &Scratch, ruby: &str) -> String {
    let path = scratch.join("replug.toml");
    let text = "[listener.in]\nbind = \"127.0.0.1:0\"\nscript = \"route.rb\"\n\
                otherwise = \"close\"\n[runtime]\nshards = 1\n";
    fs::write(&path, text).expect("a scratch file can be written");
    fs::write(scratch.join("route.rb"), ruby).expect("a scratch file can be written");
    path
}

/// A file that tells by `marker` that it is being loaded, and never comes to an end.
fn slow(marker: &str) -> String {
    format!("File.write('{marker}', '')\nsleep\n")
}

fn exists(path: &str) -> bool {
    fs::exists(path).unwrap_or(false)
}

/// Its exit code, and all it says.
fn run(command: &mut Command) -> (i32, String, String) {
    let ran = command.output().expect("replug runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ran.status.code().unwrap_or(-1), text(&ran.stdout), text(&ran.stderr))
}

#[test]
fn a_file_is_tried_on_the_command_line() {
    let scratch = Scratch::new();
    let file = scratch.join("tried.rb");
    let text = r##"
        proxy do |data, conn|
          next { :noop => true } if data.size < 4
          raise 'oh' if data == 'fail'
          LOGGER.info("#{data} from #{conn.client}")
          { :remote => 'a.example:80', :reply => "\0", :connect_timeout => 1 }
        end
    "##;
    fs::write(&file, text).expect("a scratch file can be written");
    let test =
        |words: &[&str]| run(Command::new(REPLUG).args(["script", "test", &file]).args(words));
    let (code, out, log) = test(&["--data", r"abcd\r", "--split", "2", "--peer", "10.0.0.1:7"]);
    assert_eq!(code, 0, "{out}{log}");
    let start = "decision            remote a.example:80\nreply               \\x00\n";
    assert!(out.starts_with(start), "{out}");
    assert!(out.contains("after               4 of 5 bytes, asked 2 times\n"), "{out}");
    assert!(log.contains("info: abcd from 10.0.0.1:7\n"), "{log}");
    let (code, out, _) = test(&["--data", "fail"]);
    assert_eq!(code, 1);
    assert!(out.starts_with("failure             RuntimeError - oh ("), "{out}");
    let (code, out, _) = test(&["--data", "abc", "--json"]);
    assert_eq!(code, 1);
    assert!(out.starts_with(r#"{"decision":"wait","#), "{out}");
    let no_ruby = ["script", "test", &file];
    let (code, _, told) = run(Command::new(REPLUG).args(no_ruby).env("PATH", scratch.path()));
    assert_eq!(code, 3);
    assert!(told.contains("the script cannot run: ruby cannot be started: "), "{told}");
    assert!(told.contains("apt install ruby"), "{told}");
    fs::write(&file, "\nproxy do |data").expect("a scratch file can be written");
    let (code, out, told) = test(&["--data", "x"]);
    assert_eq!((code, &*out), (3, ""));
    assert!(told.contains("the script cannot run: SyntaxError: ") && told.contains("tried.rb:2: "));
}

#[test]
fn a_check_loads_files() {
    for (text, expected) in [
        ("proxy do |data, conn|\n  {", "route.rb:2: syntax error"),
        ("\n\nraise 'not today'", "RuntimeError: not today ("),
        ("\n\nraise 'not today'", "route.rb:3"),
        ("x = 1", "it has no `proxy` block"),
    ] {
        let scratch = Scratch::new();
        let path = write(&scratch, text);
        let (code, _, told) = run(Command::new(REPLUG).args(["check", &path]));
        assert_eq!(code, 3, "{told}");
        assert!(told.contains("error[E0123]: the script `"), "{told}");
        assert!(told.contains(expected), "{told}");
        assert!(told.contains("replug.toml:3:10"), "{told}");
    }
    let scratch = Scratch::new();
    let marker = scratch.join("marker");
    let path = write(&scratch, &format!("File.write('{marker}', '')\nproxy {{ nil }}"));
    let (code, _, told) = run(Command::new(REPLUG).args(["check", &path]));
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("no faults") && exists(&marker), "{told}");
    let mut command = Command::new(REPLUG);
    let (code, out, _) = run(command.args(["check", "--json", &path]).env("PATH", scratch.path()));
    assert_eq!(code, 3);
    assert!(out.contains("E0123") && out.contains("apt install ruby"), "{out}");
}

#[test]
fn a_start_that_waits_for_a_file_can_be_ended() {
    let scratch = Scratch::new();
    let marker = scratch.join("marker");
    let path = write(&scratch, &slow(&marker));
    let mut program = Program::start(Command::new(REPLUG).args(["run", "-c", &path]));
    until("the file is being loaded", || exists(&marker));
    program.signal(Signal::TERM);
    program.expect_exit(0);
}

#[test]
fn a_reload_that_waits_for_a_file_can_be_ended() {
    let scratch = Scratch::new();
    let marker = scratch.join("marker");
    let path = write(&scratch, "proxy { nil }");
    let mut command = Command::new(REPLUG);
    let mut forwarder = Forwarder::start_command(command.args(["run", "-c", &path]), 1);
    write(&scratch, &slow(&marker));
    forwarder.signal(Signal::HUP);
    until("the file is being loaded", || exists(&marker));
    forwarder.signal(Signal::TERM);
    forwarder.messages().expect("not reloaded, all is as it was: it is told to end");
    forwarder.program_mut().expect_exit(0);
}
