//! Scripts that are loaded at the start and at a reload.

use std::fs;
use std::process::Command;

use rig::{Program, Scratch};
use rustix::process::Signal;

use super::Scripted;
use crate::path::REPLUG;

fn says(word: &str) -> String {
    format!(
        "local count = 0
        function route() count += 1 return {{close = '{word} ' .. count}} end"
    )
}

/// What the script says to a client.
fn asked(scripted: &Scripted) -> String {
    let client = scripted.connect();
    client.send(b"x");
    String::from_utf8(client.receive_to_fin()).expect("a text")
}

#[test]
fn a_script_that_does_not_load_refuses_the_start_and_the_check() {
    for (script, expected) in [
        ("function route( end", "route.lua:1: "),
        ("x = 1", "it has no function `route`"),
        ("\nerror('not today')\n", "route.lua:2: not today"),
        ("while true do end", "it works for more than 1s"),
        ("require('../secret')", "modules stand in the folder of the script"),
    ] {
        let scratch = Scratch::new();
        let path = Scripted::write(&scratch, script, "");
        for words in [["check", &path].as_slice(), &["run", "-c", &path]] {
            let mut program = Program::start(Command::new(REPLUG).args(words));
            program.expect_exit(3);
            let told = program.stderr().all_once_closed().join("\n");
            assert!(told.contains("error[E0123]: the script `"), "{told}");
            assert!(told.contains(expected), "{told}");
            assert!(told.contains("replug.toml:3:15"), "{told}");
        }
    }
    let scratch = Scratch::new();
    let path = Scripted::write(&scratch, "", "");
    fs::remove_file(scratch.join("route.lua")).expect("it is there");
    let mut program = Program::start(Command::new(REPLUG).args(["check", &path]));
    program.expect_exit(3);
    assert!(program.stderr().all_once_closed().join("\n").contains("cannot read it: "));
}

#[test]
fn a_new_script_is_taken_and_a_broken_one_is_not() {
    let scripted = Scripted::start(&says("old"), "");
    let file = scripted.scratch.join("route.lua");
    let reload = |words: &str| {
        scripted.forwarder.signal(Signal::HUP);
        scripted.forwarder.messages().expect(words);
    };
    assert_eq!(asked(&scripted), "old 1");
    fs::write(&file, "function route( end").expect("it can be written");
    reload("not reloaded, all is as it was");
    assert_eq!(asked(&scripted), "old 2");
    fs::write(&file, says("old")).expect("it can be written");
    reload("nothing has changed");
    assert_eq!(asked(&scripted), "old 3", "it goes on with what it knows");
    fs::write(&file, says("new")).expect("it can be written");
    let waiting = scripted.connect();
    reload("~ listener.in.script: its text");
    assert_eq!(asked(&scripted), "new 1");
    drop(waiting);
}

#[test]
fn modules_are_read_at_the_start() {
    let scratch = Scratch::new();
    let script = "local lib = require('lib/words')
        function route(data) return {close = lib.word .. require('lib/words').word} end";
    Scripted::write(&scratch, script, "");
    fs::create_dir(scratch.join("lib")).expect("a new folder");
    fs::write(scratch.join("lib/words.lua"), "return {word = 'hi'}").expect("a new file");
    let path = scratch.join("replug.toml");
    let forwarder =
        rig::Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &path]), 1);
    fs::remove_file(scratch.join("lib/words.lua")).expect("it is there");
    let scripted = Scripted { forwarder, scratch };
    assert_eq!(asked(&scripted), "hihi");
}
