//! 1 to 4: the command line, its faults and exit codes.

use std::process::Command;

use rig::{Backend, Scratch};

use crate::start::{Plug, REPLUG, name, run};

/// 1: `-V` acts the moment it is met.
#[test]
fn t01_version() {
    for words in [&["-V"][..], &["-V", "bogus"], &["-n", "-V", "-x"]] {
        let (code, out, told) = run(words);
        assert_eq!(code, 0, "{words:?}");
        assert!(out.starts_with("plug: plugdaemon V2.5.5"), "{out}");
        assert_eq!(told, "");
    }
    let (code, out, _) = run(&["-x", "-V"]);
    assert_eq!((code, &*out), (5, ""));
}

/// 2: faults end with 5; the first line is plug's, then its usage.
#[test]
fn t02_faults_of_the_command_line() {
    let many: Vec<_> = ["5000"]
        .into_iter()
        .map(str::to_owned)
        .chain((1..=33).map(|last| format!("10.0.0.{last}")))
        .collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    for (words, first) in [
        (&[][..], "not enough arguments"),
        (&["5000"], "not enough arguments"),
        (&["-x"], "unknown argument"),
        (&["--"], "unknown argument"),
        (&["-i"], "Missing value for interface (-i)"),
        (&["1", "2", "-p"], "Missing value for proxy address (-p)"),
        (&["1", "2", "-P"], "Missing value for PID file (-P)"),
        (&["1", "2", "-h"], "Missing value for HTTP proxy (-h)"),
        (&["1", "2", "-t"], "Missing value for timeout (-t)"),
        (&["1", "2", "-r"], "Missing value for retry time (-r)"),
        (&["1", "2", "-a"], "Missing value for access rule (-a)"),
        (&["1", "2", "-S"], "Missing value for session file (-S)"),
        (&["5000", "localhost:80"], "target not in addr[:port] format"),
        (&many, "too many targets"),
    ] {
        let (code, out, told) = run(words);
        assert_eq!((code, &*out), (5, ""), "{words:?}");
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines[0], format!("plug: {first}"));
        assert_eq!(lines[1], "Usage: plug [-V] [-P pidfile] [-S sessionfile] [-snklfod[d]...]");
        assert_eq!(lines[5], "\tport destaddr[:destport]...");
        // Ours: all faults, each under its words.
        assert!(told.contains("command line:1:"), "{told}");
    }
}

/// 2, where we differ: plug's usage has `-s` and plug has not. Scripts that follow the usage work.
#[test]
fn t02_s_is_taken_and_ignored() {
    let (code, out, told) = run(&["--explain", "-s", "5000", "10.0.0.5"]);
    assert_eq!(code, 0);
    assert!(out.contains("10.0.0.5:5000"), "{out}");
    assert!(told.contains("`-s` does nothing"), "{told}");
}

/// 2, where we differ: numbers and addresses that plug takes and then fails with are faults.
#[test]
fn t02_bad_values_are_faults() {
    for words in [
        ["-n", "-t", "abc", "5000", "10.0.0.5"],
        ["-n", "-i", "localhost", "5000", "10.0.0.5"],
        ["-n", "-a", "10.0.0.0/33", "5000", "10.0.0.5"],
        ["-n", "-r", "1", "abc", "10.0.0.5"],
        ["-n", "-r", "1", "65536", "10.0.0.5"],
        ["-n", "-r", "1", "5000", "1.2.3.4.5:1"],
    ] {
        let (code, _, told) = run(&words);
        assert_eq!(code, 5, "{told}");
        assert!(told.starts_with("plug: "), "{told}");
    }
}

/// 3: glued letters and values, options behind other words, `-` alone.
#[test]
fn t03_forms_of_options() {
    let scratch = Scratch::new();
    let a = name('A');
    let target = a.address().to_string();
    let pidfile = format!("-P{}", scratch.join("pidfile"));
    let plug = Plug::start(&["-nk", "-t5", "-", "-r6", &pidfile], &[&target, "-o", "-i127.0.0.1"]);
    assert_eq!(plug.ask(), 'A');
    assert!(std::fs::exists(scratch.join("pidfile")).expect("the folder is there"));
}

/// 4: a target without a port has that of the listener.
#[test]
fn t04_the_port_of_a_target() {
    let (code, out, _) = run(&["--explain", "5000", "10.0.0.5", "10.0.0.6:80"]);
    assert_eq!(code, 0);
    assert!(out.contains("= [\"10.0.0.5:5000\", \"10.0.0.6:80\"]"), "{out}");
}

/// Ours: what `--explain` prints is a file without faults.
#[test]
fn an_explanation_is_a_sound_configuration() {
    let scratch = Scratch::new();
    let (a, b) = (name('A'), name('B'));
    let (one, two) = (a.address().to_string(), b.address().to_string());
    let (_, text, _) = run(&["--explain", "-n", "-i", "127.0.0.1", "-o", "0", &one, &two]);
    let file = scratch.join("plug.toml");
    std::fs::write(&file, text).expect("a new file");
    let mut command = Command::new(REPLUG);
    let output = command.args(["check", &file]).output().expect("replug can be started");
    assert!(output.status.success(), "{output:?}");
}

/// 16: a port that is taken: 4, and plug's words. So ends the launcher of a daemon as well, where
/// plug's ends with 0 before anything is tried: a script that checks it learns the truth.
#[test]
fn t16_a_port_that_is_taken() {
    let taken = Backend::bind();
    let port = taken.address().port().to_string();
    for mode in ["-n", "-l"] {
        let (code, out, told) = run(&[mode, "-i", "127.0.0.1", &port, "10.0.0.5"]);
        assert_eq!((code, &*out), (4, ""));
        let first = format!("(127.0.0.1 {port}): server bind: Address already in use");
        assert!(told.lines().any(|line| line == first), "{told}");
    }
    let (code, _, told) = run(&["-n", "-P", "/no/such/pid", "-i", "127.0.0.1", "0", "10.0.0.5:1"]);
    assert_eq!(code, 4);
    let first = "plug: PID file /no/such/pid: Error 2: No such file or directory";
    assert!(told.lines().any(|line| line == first), "{told}");
}
