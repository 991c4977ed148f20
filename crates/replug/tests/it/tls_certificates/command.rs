//! `replug cert`.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use rig::Scratch;

fn cert(words: &[&str]) -> (Option<i32>, String, String) {
    let program = env!("CARGO_BIN_EXE_replug");
    let output: Output = Command::new(program).arg("cert").args(words).output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_certificate_to_try_things_with() {
    let scratch = Scratch::new();
    let out = scratch.join("");
    let words = ["self-signed", "*.example.com", "10.0.0.1", "--days", "3", "--out", &out];
    let (code, stdout, stderr) = cert(&words);
    assert_eq!(code, Some(0), "{stderr}");
    let [cert_file, key_file] = ["_.example.com.pem", "_.example.com.key"];
    assert!(stdout.starts_with("[listener.example-com]\nbind = "), "{stdout}");
    assert!(stdout.contains(cert_file) && stdout.contains(key_file), "{stdout}");
    assert!(stderr.contains("curl --cacert"), "{stderr}");
    let mode = |name| {
        let looks = std::fs::metadata(scratch.join(name)).expect("it was written");
        looks.permissions().mode() & 0o777
    };
    assert_eq!(mode(key_file), 0o600);
    assert_eq!(mode(cert_file) & 0o133, 0);

    // A directory that is not there is made, for its owner alone.
    let new = scratch.join("new");
    let (code, stdout, stderr) = cert(&["self-signed", "--out", &new]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains(&format!("{new}/localhost.pem")), "{stdout}");
    assert_eq!(mode("new"), 0o700);
    assert_eq!(mode("new/localhost.key"), 0o600);

    let (code, shown, stderr) = cert(&["show", &scratch.join(cert_file)]);
    assert_eq!(code, Some(0), "{stderr}");
    for line in ["subject  *.example.com", "names    *.example.com 10.0.0.1", "ECDSA P-256"] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(shown.contains("UTC, 2 days left") || shown.contains("UTC, 3 days left"), "{shown}");

    let (code, stdout, stderr) = cert(&words);
    assert_eq!((code, &*stdout), (Some(1), ""), "nothing is written over");
    assert!(stderr.contains("what is there is kept"), "{stderr}");
}

#[test]
fn what_cannot_be_a_certificate() {
    let scratch = Scratch::new();
    let out = scratch.join("");
    for (words, code, told) in [
        (&["self-signed", "a/b", "--out", &out][..], 2, "neither a host name nor an address"),
        (
            &["self-signed", "--out", "/no/such/place"],
            1,
            "cannot make the directory /no/such/place",
        ),
        (&["show", "/no/such/file"], 1, "cannot read /no/such/file"),
        (&["show", "/etc/passwd"], 1, "no sound certificate"),
    ] {
        let (found, stdout, stderr) = cert(words);
        assert_eq!((found, &*stdout), (Some(code), ""), "{words:?}: {stderr}");
        assert!(stderr.contains(told), "{stderr}");
    }
    assert_eq!(std::fs::read_dir(scratch.path()).expect("it is there").count(), 0);
}
