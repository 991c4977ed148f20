//! 19 to 22: SIGHUP.

use rig::wait::until;
use rig::{Peer, figures};

use crate::start::{Rinetd, end, name};

/// 19: connections go on, and their last line has its hosts, which were `?` in rinetd.
#[test]
fn rn19_other_rules() {
    let (a, b) = (name('A'), name('B'));
    let rinetd = Rinetd::start(&format!("logfile LOG\nBIND {}\n", end(a.address())));
    let client = Peer::connect(&rinetd.address);
    client.expect(b"A");
    rinetd.rewrite(&format!("logfile LOG\nBIND {}\n", end(b.address())));
    rinetd.hang_up("rinetd: reloaded: ");
    let lines = rinetd.program.stderr().so_far();
    let announced = "rinetd: received SIGHUP, reloading configuration...";
    assert!(lines.iter().any(|line| line == announced), "{lines:#?}");
    Peer::connect(&rinetd.address).expect(b"B");
    client.half_close();
    client.expect_fin();
    let old = end(a.address()).replace(' ', "\t");
    until("the last line of the old connection", || {
        let text = std::fs::read_to_string(rinetd.scratch.join("log")).expect("the log is there");
        text.lines().any(|line| line.ends_with(&format!("\t{old}\t0\t1\tdone-remote-closed")))
    });
    rinetd.rewrite("logfile LOG\n");
    rinetd.program.signal(rustix::process::Signal::HUP);
    until("the port to be free", || !figures::is_listened_on(rinetd.address.tcp()));
}

/// 20: rinetd ended.
#[test]
fn rn20_a_broken_file_changes_nothing() {
    let a = name('A');
    let sound = format!("logfile LOG\nBIND {}\n", end(a.address()));
    let rinetd = Rinetd::start(&sound);
    for (broken, told) in [
        ("BIND\n", "invalid syntax at line 1"),
        ("BIND no.such.host 70000\n", "invalid syntax at line 1"),
        ("no-such-host.invalid 80 10.0.0.1 80\n", "cannot resolve host"),
        ("192.0.2.1 80 10.0.0.1 80\n", "192.0.2.1"),
    ] {
        rinetd.rewrite(broken);
        rinetd.program.signal(rustix::process::Signal::HUP);
        let is_told =
            |line: &str| line.contains("rinetd error: not reloaded") && line.contains(told);
        rinetd.program.stderr().expect_count(1, is_told);
        Peer::connect(&rinetd.address).expect(b"A");
    }
    std::fs::remove_file(rinetd.scratch.join("rinetd.conf")).expect("the file is there");
    rinetd.hang_up("could not open configuration file");
    Peer::connect(&rinetd.address).expect(b"A");
}

/// 22: rinetd went on as before.
#[test]
fn rn22_logcommon_goes() {
    let a = name('A');
    let rule = format!("BIND {}\n", end(a.address()));
    let rinetd = Rinetd::start(&format!("logfile LOG\nlogcommon\n{rule}"));
    Peer::connect(&rinetd.address).expect(b"A");
    assert!(rinetd.log(2)[0].contains("\"GET /rinetd-services/"));
    rinetd.rewrite(&format!("logfile LOG\n{rule}"));
    rinetd.hang_up("rinetd: reloaded: ");
    Peer::connect(&rinetd.address).expect(b"A");
    assert!(rinetd.log(4)[2].ends_with("\t0\t0\topened"));
}

/// Who may come changes for those who come.
#[test]
fn access_changes() {
    let a = name('A');
    let rule = format!("BIND {}\n", end(a.address()));
    let rinetd = Rinetd::start(&rule);
    let stays = Peer::connect(&rinetd.address);
    stays.expect(b"A");
    rinetd.rewrite(&format!("deny 127.*.1\n{rule}"));
    rinetd.hang_up("rinetd: reloaded: ~ access.deny");
    Peer::connect(&rinetd.address).expect_fin();
    stays.half_close();
    stays.expect_fin();
}
