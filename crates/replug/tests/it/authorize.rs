//! A program that decides which clients may come: real ones, in Python and in Perl, that answer,
//! hang, die, or talk nonsense.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rig::wait::until;
use rig::{Backend, Forwarder, Peer, Scratch};
use rustix::process::{Signal, geteuid};

use crate::file;
use crate::named::{Named, ask_from, turned_away};

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/authorize/check.py");
const PERL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/authorize/check.pl");

/// A replug that has a program asked, with what that leaves behind.
struct Asking {
    forwarder: Forwarder,
    scratch: Scratch,
}

impl Asking {
    /// The Python program with this `behaviour`; `more` stands beside `exec`.
    #[track_caller]
    fn start(backend: &str, behaviour: &str, more: &str) -> Self {
        Self::run(Scratch::new(), backend, behaviour, more)
    }

    #[track_caller]
    fn run(scratch: Scratch, backend: &str, behaviour: &str, more: &str) -> Self {
        let text = python(&scratch, backend, behaviour, more);
        let forwarder = Forwarder::start_command(&mut file::command(&scratch, &text), 1);
        Self { forwarder, scratch }
    }

    /// Its configuration with another program, read by HUP.
    #[track_caller]
    fn change(&self, backend: &str, behaviour: &str, more: &str, told: &str) {
        let text = python(&self.scratch, backend, behaviour, more);
        file::command(&self.scratch, &text);
        self.forwarder.signal(Signal::HUP);
        self.forwarder.messages().expect(told);
    }

    /// What the program was asked, a line each.
    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.scratch.join("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The children that have begun and were not removed their mark.
    fn children(&self) -> Vec<u32> {
        let files = fs::read_dir(self.scratch.path()).expect("the folder is there");
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        names.filter_map(|name| name.strip_suffix(".pid")?.parse().ok()).collect()
    }

    #[track_caller]
    fn expect_told(&self, words: &str) {
        self.forwarder.messages().expect(words);
    }

    /// The reasons of so many sessions, in the order of their ends.
    #[track_caller]
    fn reasons(&self, count: usize) -> Vec<String> {
        let records = self.forwarder.records(count);
        records.iter().map(|record| record.reason().to_owned()).collect()
    }
}

fn python(scratch: &Scratch, backend: &str, behaviour: &str, more: &str) -> String {
    let folder = scratch.path().display();
    listener(
        backend,
        &format!("\"/usr/bin/python3\", {PYTHON:?}, \"{folder}\", {behaviour:?}"),
        more,
    )
}

/// A listener for which this command is asked.
fn listener(backend: &str, command: &str, more: &str) -> String {
    format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\nto = {backend:?}\n\
         authorize = {{ exec = [{command}]{more} }}\n"
    )
}

const TWO: &str = ", children = { min = 2, max = 4 }";

fn is_running(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn the_program_decides_who_comes_and_is_told_who_asks() {
    let a = Named::start('A');
    let scratch = Scratch::new();
    let more = format!(
        "{TWO}, realm = \"the lab\", env = {{ WHO = \"the test\" }}, home = {:?}, arg0 = \"check\"",
        scratch.path()
    );
    let asking = Asking::run(scratch, &a.target(), "", &more);
    assert_eq!(ask_from("127.0.0.1", &asking.forwarder), 'A');
    turned_away("127.0.0.2", &asking.forwarder);
    assert_eq!(asking.reasons(2), ["done", "denied"]);
    let asked = asking.asked();
    let port = asking.forwarder.address().port();
    for (line, client) in asked.iter().zip(["127.0.0.1", "127.0.0.2"]) {
        let told = format!("14: '{client}'");
        let home = format!("{:?}", asking.scratch.path()).replace('"', "'");
        for words in [
            "{0: 'PRIV_TCPRELAY', 3: '",
            &*told,
            ", 21: '",
            ", 25: '127.0.0.1', 27: 'the lab'}",
            " [0, 1, 2",
            &*home,
            "'the test'",
        ] {
            assert!(line.contains(words), "{words} in {line} ({port})");
        }
        assert!(!line.contains("[0, 1, 2, 3, 4, 5"), "it has descriptors of ours: {line}");
    }
    assert_eq!(a.sessions(), 1);
}

#[test]
fn a_program_may_run_as_somebody_else() {
    if !geteuid().is_root() {
        return;
    }
    let a = Named::start('A');
    let scratch = Scratch::new();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(scratch.path(), everybody).expect("it is ours");
    let asking =
        Asking::run(scratch, &a.target(), "allow", ", user = \"12345\", group = \"23456\"");
    assert_eq!(ask_from("127.0.0.1", &asking.forwarder), 'A');
    let asked = asking.asked();
    assert!(asked[0].contains(" 12345 23456 [] "), "{asked:?}");
}

#[test]
fn a_perl_program_decides() {
    let a = Named::start('A');
    let text = listener(&a.target(), &format!("\"/usr/bin/perl\", {PERL:?}"), TWO);
    let forwarder = file::start(&text, 1);
    for _ in 0..5 {
        assert_eq!(ask_from("127.0.0.1", &forwarder), 'A');
        turned_away("127.0.0.2", &forwarder);
    }
    let records = forwarder.records(10);
    assert_eq!(records.iter().filter(|record| record.reason() == "denied").count(), 5);
}

/// The example of the manual, for other addresses.
#[test]
fn the_example_of_the_manual_decides() {
    let manual = include_str!("../../../../docs/authorize.md");
    let (_, example) = manual.split_once("```python\n").expect("there is an example");
    let (example, _) = example.split_once("```").expect("it ends");
    assert!(example.contains("\"10.\""), "{example}");
    let scratch = Scratch::new();
    let path = scratch.join("check");
    let text = example.replace("\"10.\"", "\"127.0.0.1\"");
    fs::write(&path, text).expect("a file in a new folder");
    let a = Named::start('A');
    let forwarder =
        file::start(&listener(&a.target(), &format!("\"/usr/bin/python3\", {path:?}"), TWO), 1);
    for _ in 0..3 {
        assert_eq!(ask_from("127.0.0.1", &forwarder), 'A');
        turned_away("127.0.0.2", &forwarder);
    }
    forwarder.records(6);
    let told = forwarder.messages().so_far();
    assert!(!told.iter().any(|line| line.contains("has not decided")), "{told:#?}");
}

/// What a client sends before it may come is delivered; others do not wait for it.
#[test]
fn a_client_that_waits_loses_nothing_and_holds_up_nobody() {
    let backend = Backend::bind();
    let asking = Asking::start(&backend.address().to_string(), "", TWO);
    let source = |last: u8| [127, 0, 0, last].into();
    let waits = Peer::connect_from(source(10), asking.forwarder.address());
    waits.send(b"early");
    until("the program to be asked", || asking.asked().len() == 1);
    let other = Peer::connect_from(source(1), asking.forwarder.address());
    let other_backend = backend.accept();
    other.send(b"works");
    other_backend.expect(b"works");
    assert!(!backend.somebody_waits(), "the first was let in without a decision");
    waits.send(b", bird");
    fs::write(asking.scratch.join("go"), "").expect("a file in a new folder");
    let waits_backend = backend.accept();
    waits_backend.expect(b"early, bird");
    waits_backend.send(b"heard");
    waits.expect(b"heard");
}

#[test]
fn a_client_that_goes_while_it_waits_is_gone() {
    let a = Named::start('A');
    let asking = Asking::start(&a.target(), "", ", timeout = \"1h\"");
    let waits = Peer::connect_from([127, 0, 0, 10].into(), asking.forwarder.address());
    until("the program to be asked", || asking.asked().len() == 1);
    waits.reset();
    assert_eq!(asking.reasons(1), ["client_reset"]);
    assert_eq!(ask_from("127.0.0.1", &asking.forwarder), 'A');
}

#[test]
fn nobody_waits_longer_than_the_timeout() {
    let a = Named::start('A');
    let one = ", children = { max = 1 }, timeout = \"2s\"";
    let asking = Asking::start(&a.target(), "", one);
    assert_eq!(ask_from("127.0.0.1", &asking.forwarder), 'A');
    let [child] = *asking.children() else { panic!("there is one child") };
    turned_away("127.0.0.3", &asking.forwarder);
    asking.expect_told("denied, /usr/bin/python3 has not decided: there was no answer within 2s");
    asking.expect_told("was killed: it did not answer in time");
    until("the child to be gone", || !is_running(child));
    assert_eq!(ask_from("127.0.0.1", &asking.forwarder), 'A');
    assert_eq!(asking.reasons(3), ["done", "denied", "done"]);
}

#[test]
fn where_errors_allow_clients_come_without_a_decision() {
    let a = Named::start('A');
    let asking = Asking::start(&a.target(), "", ", timeout = \"500ms\", on_error = \"allow\"");
    for source in ["127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.8"] {
        assert_eq!(ask_from(source, &asking.forwarder), 'A');
    }
    assert!(asking.reasons(5).iter().all(|reason| reason == "done"));
    asking.expect_told("let in, /usr/bin/python3 has not decided: ");
}

/// Each way to fail is told, and harms nobody else.
#[test]
fn programs_that_fail_deny_and_are_replaced() {
    let a = Named::start('A');
    let asking = Asking::start(&a.target(), "", TWO);
    for (source, why, what) in [
        ("127.0.0.4", "it ended instead of answering", "has ended (exit status: 3)"),
        ("127.0.0.5", "it answered what it was not asked", "was killed: it answered what"),
        ("127.0.0.6", "what it said is no answer", "was killed: what it said is no answer"),
        ("127.0.0.8", "its answer was ERR, with the code 0", ""),
        ("127.0.0.9", "its answer was ACK, with the code 16", ""),
    ] {
        turned_away(source, &asking.forwarder);
        asking.expect_told(why);
        asking.expect_told(what);
        assert_eq!(ask_from("127.0.0.1", &asking.forwarder), 'A', "after {source}");
    }
    asking.expect_told("): giving up");
}

#[test]
fn a_question_is_put_again_when_its_child_ends() {
    let a = Named::start('A');
    let asking = Asking::start(&a.target(), "", TWO);
    assert_eq!(ask_from("127.0.0.11", &asking.forwarder), 'A');
    assert_eq!(asking.asked().len(), 2);
    asking.expect_told("has ended (exit status: 3)");
}

#[test]
fn a_flood_of_complaints_does_no_harm() {
    let a = Named::start('A');
    let asking = Asking::start(&a.target(), "", ", children = { max = 1 }, timeout = \"1h\"");
    assert_eq!(ask_from("127.0.0.7", &asking.forwarder), 'A');
    assert_eq!(ask_from("127.0.0.1", &asking.forwarder), 'A');
    asking.expect_told("): line 0 of very many");
    let told = asking.forwarder.messages().so_far();
    let told = told.iter().filter(|line| line.contains("of very many")).count();
    assert!(told < 1_000, "{told} lines are told");
}

#[test]
fn what_cannot_be_started_is_told_and_follows_on_error() {
    let a = Named::start('A');
    let scratch = Scratch::new();
    let plain = scratch.join("plain");
    fs::write(&plain, "#!/bin/sh\n").expect("a file in a new folder");
    for (path, why) in
        [("/no/such/program", "No such file or directory"), (&*plain, "Permission denied")]
    {
        let told = format!("{path} cannot be started: {why}");
        let denies = file::start(&listener(&a.target(), &format!("{path:?}"), ""), 1);
        denies.messages().expect(&told);
        turned_away("127.0.0.1", &denies);
        denies.messages().expect(&format!("denied, {path} has not decided: it cannot be started"));
        assert_eq!(denies.record().reason(), "denied");
        let allow = ", on_error = \"allow\"";
        let allows = file::start(&listener(&a.target(), &format!("{path:?}"), allow), 1);
        assert_eq!(ask_from("127.0.0.1", &allows), 'A');
    }
}

/// Four at the start, and then one at a time: the sixth comes no sooner than both pauses are over.
#[test]
fn programs_that_end_at_once_are_not_started_like_mad() {
    let a = Named::start('A');
    let begin = Instant::now();
    let forwarder = file::start(&listener(&a.target(), "\"/bin/true\"", ""), 1);
    forwarder.messages().expect_count(6, |line| line.contains("/bin/true (process "));
    let least = Duration::from_millis(100 + 200);
    assert!(begin.elapsed() >= least, "after {:?}", begin.elapsed());
    turned_away("127.0.0.1", &forwarder);
    let begin = Instant::now();
    let forwarder = file::start(&listener(&a.target(), "\"/no/such/program\"", ""), 1);
    forwarder.messages().expect_count(4, |line| line.contains("cannot be started"));
    let least = Duration::from_millis(100 + 200 + 400);
    assert!(begin.elapsed() >= least, "after {:?}", begin.elapsed());
}

#[test]
fn one_child_may_answer_many_questions_in_any_order() {
    let a = Named::start('A');
    let one = ", children = { max = 1 }, at_once = 8, timeout = \"1h\"";
    let asking = Asking::start(&a.target(), "reversed", one);
    let client =
        |last: u8| Peer::connect_from([127, 0, 0, last].into(), asking.forwarder.address());
    let first = client(1);
    until("one question", || asking.asked().len() == 1);
    let second = client(2);
    until("two questions", || asking.asked().len() == 2);
    assert!(!first.is_readable() && !second.is_readable(), "nothing is decided yet");
    let third = client(1);
    second.expect_reset();
    for client in [first, third] {
        assert_eq!(client.receive(1), b"A");
        client.half_close();
        client.expect_fin();
    }
    assert_eq!(asking.children().len(), 1);
}

#[test]
fn children_stay_over_a_reload_and_go_with_their_program() {
    let a = Named::start('A');
    let asking = Asking::start(&a.target(), "allow", TWO);
    assert_eq!(ask_from("127.0.0.2", &asking.forwarder), 'A');
    until("both children", || asking.children().len() == 2);
    let mut before = asking.children();
    let same = format!("{TWO}, on_error = \"allow\"");
    let told = "reloaded: ~ listener.web.authorize.on_error: ";
    asking.change(&a.target(), "allow", &same, told);
    assert_eq!(ask_from("127.0.0.2", &asking.forwarder), 'A');
    let mut after = asking.children();
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(before, after, "the same children");
    asking.change(&a.target(), "deny", TWO, "reloaded: ~ listener.web.authorize.exec");
    turned_away("127.0.0.1", &asking.forwarder);
    until("the old children to be gone", || !before.iter().any(|pid| is_running(*pid)));
    until("two new ones", || asking.children().len() == 2);
    assert!(asking.children().iter().all(|pid| is_running(*pid)));
}

#[test]
fn whoever_waits_over_a_reload_is_decided_by_the_program_it_came_to() {
    let backend = Backend::bind();
    let target = backend.address().to_string();
    let asking = Asking::start(&target, "", TWO);
    let waits = Peer::connect_from([127, 0, 0, 10].into(), asking.forwarder.address());
    until("the program to be asked", || asking.asked().len() == 1);
    let before = asking.children();
    asking.change(&target, "deny", TWO, "reloaded: ~ listener.web.authorize.exec");
    turned_away("127.0.0.1", &asking.forwarder);
    fs::write(asking.scratch.join("go"), "").expect("a file in a new folder");
    let backend = backend.accept();
    waits.send(b"in time");
    backend.expect(b"in time");
    until("the old children to be gone", || !before.iter().any(|pid| is_running(*pid)));
}

#[test]
fn no_process_is_left_behind() {
    for behaviour in ["allow", "stubborn"] {
        let a = Named::start('A');
        let mut asking = Asking::start(&a.target(), behaviour, TWO);
        assert_eq!(ask_from("127.0.0.1", &asking.forwarder), 'A');
        until("both children", || asking.children().len() == 2);
        let children = asking.children();
        assert!(children.iter().all(|pid| is_running(*pid)));
        asking.forwarder.signal(Signal::TERM);
        asking.forwarder.program_mut().expect_exit(0);
        assert!(!children.iter().any(|pid| is_running(*pid)), "{behaviour}: {children:?}");
    }
}
