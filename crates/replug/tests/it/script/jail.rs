//! Scripts of a process that has given up its rights, or most of the file system.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rig::wait::until;
use rig::{Forwarder, Peer, Program, Scratch};
use rustix::process::Signal;

use super::Scripted;
use crate::path::REPLUG;

const SCRIPT: &str = "local words = require('lib/words')
    local table = tables.load('table.txt')
    function route() return {close = words.said .. ' ' .. table.said} end";

/// Writes a script with a module and a table, both of which say `word`.
fn write(scratch: &Scratch, word: &str) -> String {
    fs::create_dir_all(scratch.join("lib")).expect("it is ours");
    let module = format!("return {{said = '{word}'}}");
    fs::write(scratch.join("lib/words.lua"), module).expect("it is ours");
    write_table(scratch, word);
    Scripted::write(scratch, SCRIPT, "")
}

fn write_table(scratch: &Scratch, word: &str) {
    let beside = scratch.join("table.new");
    fs::write(&beside, format!("said {word}\n")).expect("it is ours");
    fs::rename(beside, scratch.join("table.txt")).expect("it is ours");
}

/// Starts a replug that goes on as nobody.
fn start(config: &str, words: &[&str]) -> Forwarder {
    assert!(rustix::process::geteuid().is_root(), "run this test as root: --user needs it");
    let mut command = Command::new(REPLUG);
    Forwarder::start_command(command.args(["run", "-c", config, "--user", "nobody"]).args(words), 1)
}

/// What the script says to a client.
fn asked(forwarder: &Forwarder) -> String {
    let client = Peer::connect(forwarder.address());
    client.send(b"x");
    String::from_utf8(client.receive_to_fin()).expect("a text")
}

fn reload(forwarder: &Forwarder, words: &str) -> String {
    forwarder.signal(Signal::HUP);
    forwarder.messages().expect(words)
}

#[test]
fn what_is_out_of_reach_behind_chroot_was_read_before() {
    let (jail, outside) = (Scratch::new(), Scratch::new());
    let forwarder = start(&write(&outside, "old"), &["--chroot", &jail.join("")]);
    assert_eq!(asked(&forwarder), "old old");
    write(&outside, "new");
    reload(&forwarder, "not reloaded, all is as it was: cannot read ");
    assert_eq!(asked(&forwarder), "old old");
}

#[test]
fn what_is_within_the_new_root_is_read_again_there() {
    let jail = Scratch::new();
    let forwarder = start(&write(&jail, "old"), &["--chroot", &jail.join("")]);
    assert_eq!(asked(&forwarder), "old old");
    write(&jail, "new");
    reload(&forwarder, "reloaded: ~ listener.in.script: its text");
    assert_eq!(asked(&forwarder), "new new");
    write_table(&jail, "newest");
    until("the new table", || asked(&forwarder) == "new newest");
}

#[test]
fn a_script_that_the_user_may_not_read_changes_nothing() {
    let scratch = Scratch::new();
    let forwarder = start(&write(&scratch, "old"), &[]);
    let module = scratch.join("lib/words.lua");
    write(&scratch, "new");
    let allow = |mode| {
        fs::set_permissions(&module, fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    allow(0o600);
    let told = reload(&forwarder, "not reloaded, all is as it was: ");
    assert!(told.contains("Permission denied") && told.contains("lib/words"), "{told}");
    assert!(asked(&forwarder).starts_with("old "));
    allow(0o644);
    reload(&forwarder, "reloaded: ~ listener.in.script: its text");
    // Tables are looked at in their own time.
    assert!(asked(&forwarder).starts_with("new "));
}

#[test]
fn without_ruby_behind_chroot_there_is_no_start() {
    let (jail, scratch) = (Scratch::new(), Scratch::new());
    let config = super::ruby::write(&scratch, "proxy { { :close => 'hi' } }");
    // As another user alone it has all that it needs.
    assert_eq!(asked(&start(&config, &[])), "hi");
    let mut command = Command::new(REPLUG);
    let words = ["run", "-c", &config, "--user", "nobody", "--chroot", &jail.join("")];
    let mut program = Program::start(command.args(words));
    program.expect_exit(3);
    let told = program.stderr().all_once_closed().join("\n");
    assert!(told.contains("route.rb: ruby cannot be started: "), "{told}");
    assert!(told.contains("behind --chroot"), "{told}");
}
