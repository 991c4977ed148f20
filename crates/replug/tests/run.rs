//! Configuration files as a user meets them: forwarding, checking, exit codes.

use std::fs;
use std::process::{Command, Output, Stdio};

use rig::{Backend, Forwarder, Peer, Scratch};

fn replug(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_replug"));
    command.args(words).stdin(Stdio::null());
    command
}

fn output(words: &[&str]) -> Output {
    replug(words).output().expect("replug can be started")
}

fn write(scratch: &Scratch, name: &str, text: &str) -> String {
    let path = scratch.join(name);
    fs::write(&path, text).expect("a scratch file can be written");
    path
}

/// Checks the exit code, and that standard error holds all of `expected`. Returns standard output.
#[track_caller]
fn check(words: &[&str], code: i32, expected: &[&str]) -> String {
    let output = output(words);
    let told = String::from_utf8(output.stderr).expect("messages are text");
    assert_eq!(output.status.code(), Some(code), "{words:?}: {told}");
    for expected in expected {
        assert!(told.contains(expected), "{words:?}: no {expected:?} in\n{told}");
    }
    String::from_utf8(output.stdout).expect("data is text")
}

/// Checks that what comes in at `from` reaches `to`, and what it answers comes back.
#[track_caller]
fn check_forwards(from: &rig::Address, to: &Backend) {
    let client = Peer::connect(from);
    client.send(b"ask");
    let backend = to.accept();
    backend.expect(b"ask");
    backend.send(b"answer");
    client.expect(b"answer");
    client.half_close();
    backend.expect_fin();
    backend.half_close();
    client.expect_fin();
}

#[test]
fn two_listeners_of_a_file_forward() {
    let scratch = Scratch::new();
    let [web, database] = [Backend::bind(), Backend::bind()];
    let path = write(
        &scratch,
        "replug.toml",
        &format!(
            "[listener.web]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\n\
             [listener.db]\nbind = [\"127.0.0.1:0\"]\npool = \"db\"\n\
             [pool.db]\nbackends = [\"{}\"]\n\
             [log]\nformat = \"json\"\nto = \"-\"\n",
            web.address(),
            database.address(),
        ),
    );
    let forwarder = Forwarder::start_command(&mut replug(&["run", "-c", &path]), 2);
    let [to_web, to_database] = forwarder.addresses() else {
        panic!("two listeners have two addresses");
    };
    check_forwards(to_web, &web);
    check_forwards(to_database, &database);
}

#[test]
fn the_files_of_a_directory_are_one_configuration() {
    let scratch = Scratch::new();
    let backend = Backend::bind();
    write(&scratch, "10-web.toml", "[listener.web]\nbind = \"127.0.0.1:0\"\npool = \"web\"\n");
    let pool = format!("[pool.web]\nbackends = \"{}\"\n", backend.address());
    write(&scratch, "20-pool.toml", &pool);
    write(&scratch, "notes.txt", "not TOML at all");
    write(&scratch, "30-log.toml", "[log]\nformat = \"json\"\nto = \"-\"\n");
    let directory = scratch.join("");
    let forwarder = Forwarder::start_command(&mut replug(&["run", "--config", &directory]), 1);
    check_forwards(forwarder.address(), &backend);
    write(&scratch, "40-again.toml", &pool);
    check(&["check", &directory], 3, &["E0206", "20-pool.toml", "40-again.toml"]);
}

#[test]
fn a_thousand_listeners_with_three_thousand_backends_forward() {
    let scratch = Scratch::new();
    let backend = Backend::bind();
    // Nobody is at any of the others; none of them is asked.
    let others = (0..3_000).map(|number| format!("\"10.99.{}.{}:9\"", number / 250, number % 250));
    let others: Vec<_> = others.collect();
    let mut text = format!(
        "[pool.p]\nbalance = \"first\"\nbackends = [\"{}\", {}]\n[log]\nto = \"-\"\n",
        backend.address(),
        others.join(", ")
    );
    for number in 0..1_000 {
        text += &format!("[listener.l{number}]\nbind = \"127.0.0.1:0\"\npool = \"p\"\n");
    }
    let path = write(&scratch, "replug.toml", &text);
    let forwarder = Forwarder::start_command(&mut replug(&["run", "-c", &path]), 1_000);
    for at in [0, 500, 999] {
        check_forwards(&forwarder.addresses()[at], &backend);
    }
}

#[test]
fn check_tells_all_faults_and_starts_nothing() {
    let scratch = Scratch::new();
    let sound = write(&scratch, "sound", "[listener.a]\nbind = \":1\"\nto = \"10.0.0.1:80\"\n");
    assert_eq!(check(&["check", &sound], 0, &[]), "");
    let dumped = check(&["check", "--dump", &sound], 0, &[]);
    assert!(dumped.contains("# timeouts.idle: 1h, for UDP 1m  # default"), "{dumped}");
    let again = write(&scratch, "again", &dumped);
    assert_eq!(check(&["check", &again, "--dump"], 0, &[]), dumped);

    let warned = "[listener.a]\nbind = \":1\"\nto = \"10.0.0.1:80\"\nallow = \"10.0.0.5/8\"\n";
    let warned = write(&scratch, "warned", warned);
    check(&["check", &warned], 0, &["warning[W0301]"]);

    let broken = "[listener.a]\nbnid = \":1\"\nto = \"10.0.0.1:80000\"\n";
    let broken = write(&scratch, "broken", broken);
    let faults = ["did you mean `bind`?", "E0006", "E0101", "3 errors"];
    assert_eq!(check(&["check", "--dump", &broken], 3, &faults), "");
    check(&["run", "-c", &broken], 3, &faults);
}

#[test]
fn what_cannot_be_read_is_told_with_its_path() {
    let scratch = Scratch::new();
    let missing = scratch.join("missing.toml");
    check(&["check", &missing], 3, &["E0003", &missing, "No such file"]);
    check(&["run", "-c", &missing], 3, &["E0003", &missing]);
    check(&["check", &scratch.join("")], 3, &["E0003", "no *.toml"]);
    let binary = scratch.join("binary");
    fs::write(&binary, b"# one\n\xff").expect("a scratch file can be written");
    check(&["check", &binary], 3, &["E0003", "not UTF-8 in line 2"]);
    check(&["run", "--bogus"], 2, &["E0001"]);
}

#[test]
fn variables_come_from_the_environment() {
    let scratch = Scratch::new();
    let text = "[listener.a]\nbind = \":1\"\nto = \"${REPLUG_TEST_BACKEND}\"\n";
    let path = write(&scratch, "a.toml", text);
    check(&["check", &path], 3, &["E0009", "`REPLUG_TEST_BACKEND` is not set"]);
    let mut command = replug(&["check", &path]);
    command.env("REPLUG_TEST_BACKEND", "10.0.0.1:80");
    assert!(command.output().expect("replug can be started").status.success());
}
