//! 1, 11: the command line, its faults and exit codes.

use crate::start::run;

/// 1: faults end with 1; the first line is tproxy's, then its usage.
#[test]
fn tp01_faults_of_the_command_line() {
    let order = "This option is valid when running as a server";
    for (words, first) in [
        (&[][..], "No proxyhost was specified (or it was invalid)."),
        (&["-s", "1", "http://a", "1"], "No proxyhost was specified (or it was invalid)."),
        (&["-s", "1", "cache"], "No proxyport was specified (or it was invalid)."),
        (&["-s", "1", "cache", "nosuch"], "No proxyport was specified (or it was invalid)."),
        (&["-s", "1", "cache", "65536"], "No proxyport was specified (or it was invalid)."),
        (&["-s", "nosuch", "cache", "1"], "No server port was specified (or it was invalid)."),
        (&["-s", "1", "cache", "1", "x"], "Extra arguments were specified."),
        (&["-s", "1", "-b", "", "a", "1"], "The server ipaddr is invalid."),
        (&["-s", "1", "-a", "10.0.0.0/33", "a", "1"], "ACL not in expected format"),
        (&["-d", "-s", "1", "cache", "1"], order),
        (&["-b", "127.0.0.1", "-s", "1", "cache", "1"], order),
        (&["-r", "nobody", "-s", "1", "cache", "1"], order),
        (&["-a", "10.1/16", "-s", "1", "cache", "1"], order),
        (&["-x", "cache", "1"], "invalid option -- 'x'"),
        (&["cache", "1", "-s"], "option requires an argument -- 's'"),
    ] {
        let (code, out, told) = run(words);
        assert_eq!((code, &*out), (1, ""), "{words:?}");
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines[0], format!("tproxy: {first}"));
        assert!(lines[1].starts_with("usage: tproxy [-t | -p] [-f url] [-s port"), "{told}");
        // Ours: all faults, each under its words.
        assert!(told.contains("command line:1:"), "{told}");
    }
}

/// 11: after 120 s of silence. How silence ends a session is tried where that is shorter.
///
/// 13, where we differ: ports from 32768 on are ports.
#[test]
fn tp11_silence_and_tp13_ports() {
    let (code, out, told) = run(&["--explain", "-s", "40000", "cache.example", "65535"]);
    assert_eq!((code, &*told), (0, ""));
    for line in [
        "bind = [\"0.0.0.0:40000\"]",
        "backends = [\"cache.example:65535\", \"original backup\"]",
        "timeouts.idle = \"2m\"",
        "timeouts.connect = \"10s\"",
    ] {
        assert!(out.contains(line), "{out}");
    }
}

#[test]
fn it_is_converted_and_has_another_name() {
    use std::process::Command;
    let words = ["convert", "--from", "tproxy", "-s", "81", "-t", "mail.example", "smtp"];
    let output = Command::new(crate::start::REPLUG).args(words).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("= [\"original\", \"mail.example:25 backup\"]"), "{text}");
    let words = ["transproxy", "--help"];
    let output = Command::new(crate::start::REPLUG).args(words).output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("usage: transproxy "));
}
