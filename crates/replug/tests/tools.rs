//! The commands that read something and print what is made of it: check, explain, and their like.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use rig::{Backend, Forwarder, Peer, Scratch};
use serde_json::Value;

const SOUND: &str = "[listener.web]\nbind = \":1\"\nto = [\"10.0.0.1:80\", \"10.0.0.2:80\"]\n";

/// Runs replug with `input` on its standard input.
fn output(words: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_replug"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("replug can be started");
    // It may end without having read: then that is what the test sees.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("replug can be waited for")
}

/// Checks the exit code; returns standard output and standard error.
#[track_caller]
fn check_input(words: &[&str], input: &str, code: i32) -> (String, String) {
    let output = output(words, input);
    let said = String::from_utf8(output.stdout).expect("data is text");
    let told = String::from_utf8(output.stderr).expect("messages are text");
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}\n{told}");
    (said, told)
}

#[track_caller]
fn check(words: &[&str], code: i32) -> (String, String) {
    check_input(words, "", code)
}

fn write(scratch: &Scratch, name: &str, text: &str) -> String {
    let path = scratch.join(name);
    fs::write(&path, text).expect("a scratch file can be written");
    path
}

#[test]
fn check_says_how_much_is_sound() {
    let scratch = Scratch::new();
    let path = write(&scratch, "a.toml", SOUND);
    let (said, told) = check(&["check", &path], 0);
    assert_eq!(said, "");
    assert_eq!(told, format!("{path}: 1 listener, 1 pool, 2 backends; no faults\n"));
    let path = write(&scratch, "b.toml", &format!("{SOUND}allow = \"10.0.0.5/8\"\n"));
    let (_, told) = check(&["check", &path], 0);
    assert!(told.contains("warning[W0301]"), "{told}");
    let closing = format!("\n\n{path}: 1 listener, 1 pool, 2 backends; 1 warning\n");
    assert!(told.ends_with(&closing), "{told}");
}

/// A reader may copy what a document shows as a file.
#[test]
fn the_files_that_documents_show_are_sound() {
    let scratch = Scratch::new();
    write(&scratch, "office.txt", "10.0.0.0/24\n");
    write(&scratch, "gate.secret", "secret\n");
    write(&scratch, "route.lua", "function route() end");
    write(&scratch, "users", "bob:secret\n");
    write(&scratch, "route.rb", "proxy { nil }");
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    for document in [
        "README.md",
        "docs/coming-from-proxymachine.md",
        "docs/configuration.md",
        "docs/proxies.md",
        "docs/proxy-protocol.md",
        "docs/routing.md",
        "docs/scripts.md",
    ] {
        let text = fs::read_to_string(format!("{root}/{document}")).expect("the document reads");
        // A script says in its first line what it is called.
        for begins in ["```lua\n-- ", "```ruby\n# "] {
            for script in text.split(begins).skip(1) {
                let (name, rest) = script.split_once(": ").expect("the name of a file");
                let text = rest.split_once('\n').map_or("", |(_, text)| text);
                write(&scratch, name, text.split("```").next().unwrap_or_default());
            }
        }
        let files = text.split("```toml\n").skip(1);
        let files: Vec<_> = files.filter_map(|rest| rest.split("```").next()).collect();
        assert!(!files.is_empty(), "{document} shows no file");
        for file in files {
            let path = write(&scratch, "replug.toml", &file.replace("${STANDBY}", "10.0.0.9"));
            let (_, told) = check(&["check", &path], 0);
            assert!(told.ends_with("; no faults\n"), "{document}: {told}");
        }
    }
}

#[test]
fn check_tells_faults_as_json() {
    let scratch = Scratch::new();
    let path = write(&scratch, "a.toml", SOUND);
    assert_eq!(check(&["check", "--json", &path], 0), ("[]\n".to_owned(), String::new()));
    let broken = write(&scratch, "b.toml", "[listener.web]\nbind = \":1\"\nto = \"10.0.0.1:x\"\n");
    let (said, told) = check(&["check", "--json", &broken], 3);
    assert_eq!(told, "");
    let faults: Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!(faults[0]["code"], "E0101");
    assert_eq!(faults[0]["file"], *broken);
    assert_eq!((&faults[0]["line"], &faults[0]["column"]), (&3.into(), &16.into()));
    let missing = scratch.join("missing.toml");
    let (said, _) = check(&["check", "--json", &missing], 3);
    let faults: Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!((&faults[0]["code"], &faults[0]["file"]), (&"E0003".into(), &Value::Null));
    check(&["check", "--json", "--dump", &path], 2);
}

#[test]
fn every_code_is_explained() {
    let (list, _) = check(&["explain"], 0);
    assert!(list.lines().count() > 30, "{list}");
    for line in list.lines() {
        let (code, summary) = line.split_once("  ").expect("a code and its meaning");
        let (said, told) = check(&["explain", code], 0);
        assert!(said.starts_with(code) && said.contains(summary), "{said}");
        assert_eq!(told, "");
        // What a command line or a file would be told is shown as it is told.
        let shown = said.contains(&format!("[{code}]"));
        // These are about what lies in other files, which an example has not got.
        let about_files = ["E0003", "E0131", "E0132", "W0341", "W0342", "W0343"];
        // This one is about the program.
        let is_elsewhere = code == "E0010" || about_files.contains(&code);
        assert!(shown || is_elsewhere, "{said}");
        assert!(!said.contains('\x1b'), "no terminal, no colour: {said:?}");
    }
    let (said, _) = check(&["explain", "e0112", "203"], 0);
    assert!(said.contains("E0112, error: ") && said.contains("E0203, error: "), "{said}");
    let (said, told) = check(&["explain", "E0301", "E0112"], 2);
    assert!(said.is_empty() && told.contains("did you mean W0301?"), "{told}");
}

#[test]
fn the_example_that_is_outside_of_all_text_has_its_fault_too() {
    let scratch = Scratch::new();
    let (_, told) = check(&["check", &scratch.join("replug.tml")], 3);
    assert!(told.contains("error[E0003]"), "{told}");
}

const UNTIDY: &str = "# mine\n[listener.web]\nto=\"10.0.0.1:80\" # here\nbind = \":1\"\n";
const TIDY: &str = "# mine\n[listener.web]\nbind = \":1\"\nto   = \"10.0.0.1:80\"  # here\n";

#[test]
fn fmt_puts_files_in_order_and_keeps_who_may_read_them() {
    let scratch = Scratch::new();
    let path = write(&scratch, "a.toml", UNTIDY);
    write(&scratch, "b.toml", TIDY);
    let link = scratch.join("c.txt");
    std::os::unix::fs::symlink("a.toml", &link).expect("a link can be made");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("it is ours");
    let directory = scratch.join("");

    let (said, told) = check(&["fmt", "--check", &directory], 1);
    assert!(said.ends_with("a.toml\n") && said.lines().count() == 1, "{said}");
    assert_eq!(
        (told, fs::read_to_string(&path).expect("it is there")),
        (String::new(), UNTIDY.into())
    );
    assert_eq!(check(&["fmt", "--stdout", &path], 0), (TIDY.to_owned(), String::new()));
    assert_eq!(check_input(&["fmt", "-"], UNTIDY, 0), (TIDY.to_owned(), String::new()));
    assert_eq!(check_input(&["fmt", "--check", "-"], TIDY, 0), Default::default());

    let (said, told) = check(&["fmt", &link], 0);
    assert_eq!((said, told), (String::new(), format!("{link}: put in order\n")));
    assert_eq!(fs::read_to_string(&path).expect("it is there"), TIDY);
    assert!(fs::symlink_metadata(&link).expect("it is there").is_symlink());
    let mode = fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(check(&["fmt", &directory], 0), Default::default());
    let names = fs::read_dir(&directory).expect("it is there").count();
    assert_eq!(names, 3, "nothing is left behind");
}

#[test]
fn fmt_writes_nothing_as_long_as_a_file_is_no_toml() {
    let scratch = Scratch::new();
    let path = write(&scratch, "a.toml", UNTIDY);
    write(&scratch, "b.toml", "[listener.web\n");
    let (said, told) = check(&["fmt", &scratch.join("")], 3);
    assert!(
        said.is_empty() && told.contains("error[E0004]") && told.contains("b.toml:1"),
        "{told}"
    );
    assert_eq!(fs::read_to_string(&path).expect("it is there"), UNTIDY);
    let (_, told) = check_input(&["fmt", "-"], "x = = 1\n", 3);
    assert!(told.contains("standard input:1:5"), "{told}");
    check(&["fmt", &scratch.join("missing.toml")], 3);
}

#[test]
fn the_schema_is_json() {
    let (said, _) = check(&["schema"], 0);
    let schema: Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["runtime"]["properties"]["splice"]["default"], true);
}

#[test]
fn a_converted_line_behaves_the_same() {
    let backend = Backend::bind();
    let target = backend.address().to_string();
    let line = ["--deny", "127.0.0.2/32", "--log", "json", "--log-to", "-", "127.0.0.1:0", &target];
    let (text, told) = check(&[&["convert", "--from", "quick"][..], &line].concat(), 0);
    assert_eq!(told, "");
    let scratch = Scratch::new();
    let path = write(&scratch, "a.toml", &text);
    let mut run = Command::new(env!("CARGO_BIN_EXE_replug"));
    let forwarder = Forwarder::start_command(run.args(["run", "-c", &path]), 1);
    let client = Peer::connect(forwarder.address());
    client.send(b"ask");
    let served = backend.accept();
    served.expect(b"ask");
    client.half_close();
    served.expect_fin();
    served.half_close();
    client.expect_fin();
    let denied = "127.0.0.2".parse().expect("an address");
    Peer::expect_turned_away(Some(denied), forwarder.address());
    let records = forwarder.records(2);
    let denied = records.iter().filter(|record| record.reason() == "denied").count();
    assert_eq!(denied, 1, "{records:?}");
}

#[test]
fn what_cannot_be_converted_is_told() {
    let (said, told) = check(&["convert", "--from", "quick", "80", "10.0.0.1:80000"], 2);
    assert!(said.is_empty() && told.contains("E0101"), "{told}");
    for (from, expected) in
        [("haproxy", "E0008"), ("quik", "did you mean `quick`?"), ("x", "E0114")]
    {
        let (_, told) = check(&["convert", "--from", from, "80", "a:80"], 2);
        assert!(told.contains(expected), "{told}");
    }
    let (_, told) = check(&["convert", "80", "a:80"], 2);
    assert!(told.contains("--from"), "{told}");
    // Options behind --from are those of the line.
    let (said, _) = check(&["convert", "--from", "quick", "--quiet", "80", "a:80"], 0);
    assert!(said.contains("verbosity = \"quiet\""), "{said}");
}
