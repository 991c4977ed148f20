//! 1, 2, 4: the command line, faults and exit codes.

use std::fs;

use rig::Scratch;

use crate::start::{run, run_as, run_text};

const SPAWND: &str = "id = spawnd { listen = { port = 28080 } }\n";
const RELAY: &str = "id = tcprelay { remote = { address = 127.0.0.1 port = 28081 } }\n";

#[track_caller]
fn check(options: &[&str], text: &str, code: i32, words: &[&str]) {
    let (exit, stdout, stderr) = run_text(options, text);
    assert_eq!((exit, &*stdout), (code, ""), "{stderr}");
    if words.is_empty() {
        assert_eq!(stderr, "", "{text}");
    }
    for words in words {
        assert!(stderr.contains(words), "{words} in {stderr}");
    }
}

/// 1.
#[test]
fn t01_usage_version_and_no_configuration() {
    for name in ["tcprelay", "/usr/sbin/spawnd"] {
        let (code, stdout, stderr) = run_as(name, &[""; 0]);
        assert_eq!((code, &*stdout), (64, ""));
        assert!(stderr.contains("Usage: "), "{stderr}");
    }
    let (code, stdout, stderr) = run(&["-v"]);
    assert_eq!((code, &*stdout), (0, ""));
    assert!(stderr.starts_with("tcprelay version "), "{stderr}");
    assert_eq!(run(&["-x", "file"]).0, 64);
    assert_eq!(run_as("replug", &["tcprelay", "-v"]).0, 0);
    let (code, _, stderr) = run(&["/nonexistent"]);
    assert_eq!(code, 66);
    assert!(stderr.contains("/nonexistent"), "not silent, as it was: {stderr}");
}

/// 2: sample s1, and s2 with the file that it includes.
#[test]
fn t02_samples_are_read_in_silence() {
    let scratch = Scratch::new();
    let put = |name: &str, text: &str| {
        fs::write(scratch.join(name), text).expect("a file in a new folder");
    };
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../dialect/tests/golden/tcprelay");
    put("part1.cfg", "remote = { address = 10.0.0.1 port = 80 }\n");
    for sample in ["s1", "s2"] {
        let case = fs::read_to_string(format!("{golden}/{sample}.case")).expect("a case");
        let (text, _) = case.split_once("====\n").expect("a case has two parts");
        put(sample, text);
        let result = run(&["-P".to_owned(), scratch.join(sample)]);
        assert_eq!(result, (0, String::new(), String::new()), "{sample}");
    }
}

/// 2: what is not known, where it stands. Where we differ: lines count from 1.
#[test]
fn t02_unknown_words() {
    let spawnd = format!("id = spawnd {{\n  lisden = 3\n}}\n{RELAY}");
    let expected = ["Expected '", " or 'trace', but got 'lisden'", "relay.cfg:2:3", "`listen`"];
    check(&["-P"], &spawnd, 78, &expected);
    let relay = format!("{SPAWND}id = tcprelay {{\n  remode = 3\n}}\n");
    check(&["-P"], &relay, 78, &["'remode' unexpected", "relay.cfg:3:3", "`remote`"]);
    // Without -P it says the same, where it was silent.
    check(&[], &relay, 78, &["'remode' unexpected"]);
}

/// 2, 3: all faults at once.
#[test]
fn t03_all_faults_at_once() {
    let text = "id = spawnd { listen = { port = 70000 } background = on }\n\
                id = tcprelay { remote = { address = 10.0.0.300 port = 80 } idle timeout = 10s }\n";
    let all = ["'70000' is not a port", "but got 'on'", "10.0.0.300", "got '10s'", "4 errors"];
    check(&["-P"], text, 78, &all);
}

/// 4.
#[test]
fn t04_sections() {
    let missing = "No configuration for id 'spawnd' found.";
    check(&["-P"], RELAY, 78, &[missing]);
    check(&["-P"], SPAWND, 78, &["No configuration for id 'tcprelay' found."]);
    check(&["-P"], &format!("{SPAWND}{RELAY}what {{ is this {{"), 0, &[]);
    let named = SPAWND.replace("spawnd", "in") + &RELAY.replace("tcprelay", "out");
    check(&["-P"], &named, 78, &[missing]);
    check(&["-P", "-I", "in", "-iout"], &named, 0, &[]);
    // By the manual the word behind the file names the section of spawnd; the program ignores it.
    let named = SPAWND.replace("spawnd", "in") + RELAY;
    check(&["-P", "FILE", "in"], &named, 0, &[]);
    check(&["-P", "FILE", "in"], &format!("{SPAWND}{RELAY}"), 0, &[]);
    check(
        &["-P1", "FILE", "out"],
        &(SPAWND.to_owned() + &RELAY.replace("tcprelay", "out")),
        0,
        &[],
    );
}

/// 4: what is not there to be included is told, no more.
#[test]
fn t04_a_missing_include() {
    let text = format!("include = $CONFDIR/none*.cfg\n{SPAWND}{RELAY}");
    check(&["-P"], &text, 0, &["there is no file $CONFDIR/none*.cfg"]);
}

/// 15, and a relay without remotes, whose master went on accepting.
#[test]
fn t15_nothing_to_do() {
    check(&[], &format!("id = spawnd {{ }}\n{RELAY}"), 71, &["No listeners defined."]);
    let none = format!("{SPAWND}id = tcprelay {{ }}\n");
    check(&[], &none, 64, &["No remote services defined!"]);
}

/// 17: not in this version, and not ignored.
#[test]
fn t17_what_is_missing_is_refused() {
    for asked in ["tls psk = yes", "protocol = SCTP"] {
        let spawnd = format!("id = spawnd {{ listen = {{ port = 28080 {asked} }} }}\n{RELAY}");
        check(&[], &spawnd, 78, &["not in this version"]);
    }
    let module = "mavis module = groups { groups filter = /^ops$/ }";
    let text = format!("{SPAWND}id = tcprelay {{ {module} }}");
    check(&[], &text, 78, &["the MAVIS module 'groups' is not in this version"]);
}

/// The same as a file of replug's own, which is sound.
#[test]
fn explained_and_converted() {
    let scratch = Scratch::new();
    let (old, new) = (scratch.join("relay.cfg"), scratch.join("replug.toml"));
    let spawn = SPAWND.replace("} }", "} spawn = { exec = /usr/sbin/tcprelay } }");
    fs::write(&old, format!("{spawn}{RELAY}")).expect("a file in a new folder");
    let explain = ["tcprelay", "--explain", &old];
    for words in [&explain[..], &["convert", "--from", "tcprelay", &old]] {
        let (code, stdout, stderr) = run_as("replug", words);
        assert_eq!((code, &*stderr), (0, ""), "{words:?}");
        assert!(stdout.contains("\n# not carried over: exec: "), "{stdout}");
        fs::write(&new, stdout).expect("a file in a new folder");
        let checked = run_as("replug", &["check", &new]);
        assert!(checked.0 == 0 && checked.2.ends_with("; no faults\n"), "{}", checked.2);
    }
    let (code, _, stderr) = run_as("replug", &["convert", "--from", "tcprelay", "/nonexistent"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("cannot read /nonexistent"), "{stderr}");
}
