//! The command lines, their faults and exit codes.

use rig::{Backend, Closed};

use crate::start::{Redir, run, words};

/// Usage, messages and codes as version 3 has them: usage goes to standard output.
#[track_caller]
fn check_3(words: &[&str], code: i32, told: &str) {
    let (found, said, complained) = run(words);
    assert_eq!(found, code, "{words:?}: {said}{complained}");
    assert!(said.starts_with("Usage: redir\n  [OPTIONS] "), "{said}");
    assert!(complained.contains(told), "{complained}");
}

#[test]
fn r3_06_to_09_exit_codes() {
    check_3(&[], 2, "there is no target");
    check_3(&["8080", ":80"], 3, "has no colon");
    check_3(&["--bogus"], 1, "redir: unrecognized option '--bogus'\n");
    check_3(&["-h"], 0, "");
    check_3(&["-t"], 1, "requires an argument");
    // In redir a line without a target starts, and resets every client.
    check_3(&[":8080"], 2, "there is no target");
    let (code, said, told) = run(&["-v"]);
    assert_eq!((code, said.lines().count(), &*told), (0, 1, ""));
    assert!(said.starts_with("3.3"), "{said}");
}

#[test]
fn r3_10_buffers() {
    check_3(
        &["-z", "100", ":8080", ":80"],
        1,
        "Too small buffer (100), must be at least 256 bytes!",
    );
    let backend = Backend::bind();
    let redir = Redir::start(&["-z", "256"], backend.address());
    let (client, peer) = redir.session(&backend);
    client.send(&[b'x'; 1_000]);
    peer.expect(&[b'x'; 1_000]);
}

#[test]
fn r3_11_types_of_ftp() {
    check_3(&["--ftp=bogus", ":8080", ":80"], 1, "is no type of --ftp");
    for line in [&["--ftp=PASVxyz"][..], &["-f", "pasv"], &["--ftp"], &["-f"]] {
        let (code, said, told) = run(&[line, &["--explain", ":21", "10.0.0.1:21"]].concat());
        assert_eq!((code, &*told), (0, ""), "{line:?}");
        assert!(said.contains("ftp = { modes = [\"passive\"] }"), "{said}");
    }
}

#[test]
fn r3_23_version_2_within_version_3() {
    let backend = Backend::bind();
    let port = backend.address().port();
    let cport = format!("--cport={port}");
    for more in [&[][..], &["--caddr=127.0.0.1", "--laddr=127.0.0.1"], &[":1", ":2"]] {
        let redir = Redir::start_line(|port| {
            words(&[&[&*format!("--lport={port}"), &*cport], more].concat())
        });
        redir.serves(&backend);
    }
}

#[test]
fn r3_29_long_names_and_ipv6() {
    let backend = Backend::bind();
    let target = backend.address().port();
    let v6 = rig::Address::parse("[::1]:0");
    for form in ["[::1]", "::1"] {
        let port = Closed::bind_to(&v6);
        let line = format!("{form}:{}", port.address().port());
        let mut command = std::process::Command::new(crate::start::REPLUG);
        command.args(["redir", "-n", &line, &format!("127.0.0.1:{target}")]);
        let _program = rig::Program::start(&mut command);
        rig::wait::until("redir to listen", || rig::Peer::try_connect(port.address()).is_ok());
        let peer = backend.accept();
        drop(peer);
    }
    let long = format!("{}.example:80", "a".repeat(60));
    let (code, said, told) = run(&["--explain", ":8080", &long]);
    assert_eq!((code, &*told), (0, ""));
    assert!(said.contains(&long), "{said}");
}

/// Usage goes to standard error in version 2.
#[test]
fn r2_02_what_must_be_there() {
    for line in [&["--lport=8080"][..], &["--cport=80"], &["--lport=8080", "--cport=80", "--bogus"]]
    {
        let (code, said, told) = run(line);
        assert_eq!((code, &*said), (2, ""), "{told}");
        assert!(told.contains("Usage: redir\n"), "{told}");
    }
}

#[test]
fn r2_01_04_09_long_and_short_options() {
    let backend = Backend::bind();
    let port = backend.address().port().to_string();
    let cport = format!("--cport={port}");
    let redir = Redir::start_line(|lport| {
        words(&[&format!("--lport={lport}"), &cport, "--caddr=127.0.0.1"])
    });
    redir.serves(&backend);
    let redir = Redir::start_line(|lport| {
        let lport = lport.to_string();
        let line = ["-l", &lport, "-r", &port, "-c", "127.0.0.1", "-a", "127.0.0.1"];
        let more = ["-b", "127.0.0.5", "-n", "web", "-t", "30", "-s", "-d", "-z", "1024"];
        words(&[&line[..], &more, &["-m", "100000000", "-w", "0", "-o", "3"]].concat())
    });
    let (client, peer) = redir.session(&backend);
    assert_eq!(peer.remote_address().tcp().ip().to_string(), "127.0.0.5");
    crate::start::end(&client, &peer);
    let (code, said, _) = run(&["--explain", "--lport=http", "--cport=ftp"]);
    assert!(code == 0 && said.contains(":80\"") && said.contains(":21\""), "{said}");
    let (code, said, _) = run(&["--explain", "--lport=1", "--cport=2", "--maxbandwidth=8000"]);
    assert!(code == 0 && said.contains("1KB/s"), "{said}");
}

#[test]
fn r2_08_bare_ftp() {
    for (line, expected) in
        [("--ftp", "[\"passive\"]"), ("--ftp=both", "[\"passive\", \"active\"]")]
    {
        let (code, said, _) =
            run(&["--explain", "--lport=21", "--cport=21", "--caddr=10.0.0.1", line]);
        assert!(code == 0 && said.contains(expected), "{said}");
    }
}

#[test]
fn r2_11_a_host_that_is_not_known() {
    let (code, said, told) = run(&["--lport=8080", "--cport=80", "--caddr=no-such-host.invalid"]);
    assert_eq!((code, &*said), (1, ""));
    assert!(told.starts_with("redir: no-such-host.invalid: host unknown.\n"), "{told}");
}

/// Version 1: words in their order.
#[test]
fn words_of_version_1() {
    let backend = Backend::bind();
    let port = backend.address().port().to_string();
    let redir =
        Redir::start_line(|listen| words(&["127.0.0.1", &format!("127.0.0.1:{listen}"), &port]));
    redir.serves(&backend);
    let redir = Redir::start_line(|listen| words(&[&listen.to_string(), &port]));
    redir.serves(&backend);
}

#[test]
fn a_line_can_be_converted() {
    let mut command = std::process::Command::new(crate::start::REPLUG);
    command.args(["convert", "--from", "redir", "--lport=8080", "--cport=80", "--caddr=10.0.0.1"]);
    let said = rig::Program::run(&mut command);
    assert_eq!(said[0], "# redir --lport=8080 --cport=80 --caddr=10.0.0.1");
    assert!(said.iter().any(|line| line.contains("10.0.0.1:80")), "{said:#?}");
}
