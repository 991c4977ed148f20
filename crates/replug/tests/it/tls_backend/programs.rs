//! Programs that people use, behind replug and in front of it.

use std::process::Command;

use rig::{Program, Scratch};

use super::servers::configured;
use crate::clients::curl;
use crate::file;
use crate::one_port::{ask_postgres, nginx, postgres};

#[test]
fn nginx_is_spoken_to_in_tls_by_those_who_do_not() {
    let scratch = Scratch::new();
    let (_nginx, [_, tls]) = nginx(&scratch);
    for name in ["one.example", "two.example"] {
        // Each site has signed its own certificate.
        let ca = scratch.join(&format!("{name}.pem"));
        let forwarder = file::start(
            &configured(&format!("\"{tls}\""), &format!("ca = {ca:?}, name = {name:?}"), ""),
            1,
        );
        let url = format!("http://{}/", forwarder.address());
        let mut curl = curl();
        let page = Program::run(curl.args(["--header", &format!("Host: {name}"), &url]));
        assert_eq!(page, [format!("{name} https")]);
    }
}

/// The files that the manual shows.
fn manual() -> Vec<&'static str> {
    let manual = include_str!("../../../../../docs/tls-to-backends.md");
    let files = manual.split("```toml\n").skip(1);
    files.filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_files_of_the_manual_are_sound() {
    let certificates = super::certificates::Certificates::new();
    for text in manual() {
        let text = text.replace("/etc/replug/", &certificates.path(""));
        let mut command = file::command(&certificates.scratch, &text);
        let path = command.get_args().last().expect("its file").to_owned();
        command = Command::new(crate::path::REPLUG);
        let mut check = Program::start(command.arg("check").arg(path));
        check.expect_exit(0);
    }
}

/// By the first file of the manual.
#[test]
fn postgres_is_spoken_to_in_tls_by_those_who_do_not() {
    let scratch = Scratch::new();
    let (_postgres, address) = postgres(&scratch);
    let ca = scratch.join("db.example.pem");
    let tls = format!("ca = {ca:?}, name = \"db.example\", starttls = \"postgres\"");
    let text = manual()[0]
        .replace("127.0.0.1:5432", "127.0.0.1:0")
        .replace("\"db1.example:5432\", \"10.0.0.22:5432\"", &format!("\"{address}\""))
        .replace("/etc/replug/ca.pem", &ca);
    let forwarder = file::start(&text, 1);
    assert_eq!(ask_postgres(&forwarder, "user=alice sslmode=disable"), ["alice|t"]);
    assert_eq!(ask_postgres(&forwarder, "user=alice sslmode=disable"), ["alice|t"]);
    let stranger = tls.replace("db.example\"", "web.example\"");
    let forwarder = file::start(&configured(&format!("\"{address}\""), &stranger, ""), 1);
    let to = format!("hostaddr=127.0.0.1 port={} user=alice", forwarder.address().port());
    let mut psql =
        Program::start(Command::new("psql").args(["-c", "select 1", &to]).env("HOME", "/"));
    psql.expect_exit(2);
}
