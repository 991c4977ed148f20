//! Wrong command lines and files, and what the user reads about them, as files.
//!
//! `golden/DIALECT/NAME.case` holds comment lines (`#`), the command line or the TOML, a
//! line `====`, and the whole text that is shown. `UPDATE=1 cargo test -p dialect --test
//! golden` writes the texts anew; then read the difference.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use dialect::line;
use dialect::native;
use dialect::plug;
use dialect::proxymachine;
use dialect::quick::{self, Wish, Words};
use dialect::redir;
use dialect::render::{self, Colour};
use dialect::rinetd;
use dialect::tcprelay::{self, Included, Surroundings, Verdict};
use dialect::tproxy;
use model::Sources;

const DIVIDER: &str = "====\n";

/// A list that cases may name.
const OFFICE: &str = "\
# The office.
10.0.0.0/8   # all of it
192.0.2.7

10.1.0.0/33
192.0.2.8, 192.0.2.9
";

/// The commands that cases know of.
const COMMANDS: &[&str] = &["demo", "help"];

#[test]
fn quick() {
    compare("quick", 40, |input| {
        let line = input.lines().find(|line| !line.starts_with('#'));
        shown(line.expect("a case holds a command line"))
    });
}

#[test]
fn native() {
    compare("native", 80, |text| {
        let mut sources = Sources::default();
        let file = sources.add("replug.toml", text);
        let environment = |name: &str| (name == "HOST").then(|| "web.example".to_owned());
        let list = |path: &Path| match path.to_str() {
            Some("office.txt") => Ok(OFFICE.to_owned()),
            Some("/etc/replug/passwd") => Ok("root:x:0:0\n".repeat(500)),
            Some("lab.txt") => Ok("# The lab.\n10.1.0.0/16\r\n2001:db8::/32".to_owned()),
            Some("empty.txt") => Ok("# nobody yet\n".to_owned()),
            _ => Err("No such file or directory".to_owned()),
        };
        let reading = native::read(&[file], &mut sources, &environment, &list);
        assert!(!reading.diagnostics.is_empty(), "a case has a fault: {text}");
        render::render(&reading.diagnostics, &sources, Colour::Never)
    });
}

/// Lines that can be carried out are shown as native TOML.
#[test]
fn plug() {
    compare("plug", 40, |input| {
        let line = input.lines().find(|line| !line.starts_with('#'));
        let words = split(line.expect("a case holds a command line"));
        let mut sources = Sources::default();
        let reading = plug::read(line::Words { program: "plug", args: &words[1..] }, &mut sources);
        let told = render::render(&reading.diagnostics, &sources, Colour::Never);
        match (reading.wish, reading.is_sound()) {
            (plug::Wish::Version | plug::Wish::Help, true) => format!("{:?}\n{told}", reading.wish),
            (_, true) => format!("{}{told}", reading.explain()),
            (_, false) => told,
        }
    });
}

/// Lines that can be carried out are shown as native TOML.
#[test]
fn tproxy() {
    const SURROUNDINGS: tproxy::Surroundings<'_> = tproxy::Surroundings {
        service: &|name| (name == "squid").then_some(3128),
        host: &|name| (name == "localhost").then(|| [127, 0, 0, 1].into()),
    };
    compare("tproxy", 40, |input| {
        let line = input.lines().find(|line| !line.starts_with('#'));
        let words = split(line.expect("a case holds a command line"));
        let mut sources = Sources::default();
        let words = line::Words { program: "tproxy", args: &words[1..] };
        let reading = tproxy::read(words, &mut sources, SURROUNDINGS);
        let told = render::render(&reading.diagnostics, &sources, Colour::Never);
        match (reading.wish, reading.is_sound()) {
            (tproxy::Wish::Help, true) => format!("{:?}\n{told}", reading.wish),
            (_, true) => format!("{}{told}", reading.explain()),
            (_, false) => told,
        }
    });
}

/// Lines that can be carried out are shown as native TOML.
#[test]
fn proxymachine() {
    const SURROUNDINGS: proxymachine::Surroundings<'_> = proxymachine::Surroundings {
        host: &|name| (name == "localhost").then(|| [127, 0, 0, 1].into()),
        is_strict: false,
    };
    compare("proxymachine", 30, |input| {
        let line = input.lines().find(|line| !line.starts_with('#'));
        let words = split(line.expect("a case holds a command line"));
        let mut sources = Sources::default();
        let words = line::Words { program: "proxymachine", args: &words[1..] };
        let reading = proxymachine::read(words, &mut sources, SURROUNDINGS);
        let told = render::render(&reading.diagnostics, &sources, Colour::Never);
        match (reading.wish, reading.is_sound()) {
            (proxymachine::Wish::Help | proxymachine::Wish::Version, _) => {
                format!("{:?}\n{told}", reading.wish)
            }
            (_, true) => format!("{}{told}", reading.explain()),
            (_, false) => told,
        }
    });
}

/// The same of redir, with the way in which it would end.
#[test]
fn redir() {
    compare("redir", 40, |input| {
        let line = input.lines().find(|line| !line.starts_with('#'));
        let words = split(line.expect("a case holds a command line"));
        let mut sources = Sources::default();
        let around = redir::Surroundings {
            service: &|name| (name == "http").then_some(80),
            resolve: &|name| (name == "gate").then(|| [10, 0, 0, 1].into()),
        };
        let words = line::Words { program: "redir", args: &words[1..] };
        let reading = redir::read(words, &mut sources, around);
        let told = render::render(&reading.diagnostics, &sources, Colour::Never);
        match (reading.wish, reading.failure) {
            (redir::Wish::Version | redir::Wish::Help, None) => {
                format!("{:?}\n{told}", reading.wish)
            }
            (_, None) => format!("{:?}\n{}{told}", reading.version, reading.explain()),
            (_, Some(failure)) => format!("{:?} {failure:?}\n{told}", reading.version),
        }
    });
}

/// A file that can run is shown as native TOML. `#!` is followed by the words before the file.
#[test]
fn tcprelay() {
    compare("tcprelay", 60, |text| {
        let words = text.strip_prefix("#!").and_then(|text| text.lines().next());
        let mut words = split(words.unwrap_or("tcprelay"));
        words.insert(1, "relay.cfg".into());
        let mut sources = Sources::default();
        let order = tcprelay::order("tcprelay", &words[1..], &mut sources);
        let file = sources.add("relay.cfg", text);
        let reading = tcprelay::read(file, &order.options, &mut sources, SURROUNDINGS);
        let told = render::render(&reading.diagnostics, &sources, Colour::Never);
        match reading.verdict {
            Verdict::Sound => reading.explain() + &told,
            verdict => format!("{verdict:?}\n{told}"),
        }
    });
}

const SURROUNDINGS: Surroundings<'_> = Surroundings {
    environment: &|name| (name == "HOST").then(|| "10.0.0.1".to_owned()),
    include: &|pattern| {
        let file = |name: &str, text: &str| Included { name: name.into(), text: Ok(text.into()) };
        let part = |last: u8| {
            let text = format!("remote = {{ address = 10.0.0.{last} port = 80 }}\n");
            file(&format!("/etc/part{last}.cfg"), &text)
        };
        match pattern {
            "$CONFDIR/part*.cfg" => vec![part(1), part(2)],
            "/etc/part1.cfg" => vec![part(1)],
            "circle.cfg" => vec![file("circle.cfg", "include circle.cfg")],
            "wrong.cfg" => vec![file("wrong.cfg", "rebalance = soon\n")],
            "other.cfg" => vec![file(
                "other.cfg",
                "id = tcprelay { remote = { address = 10.0.0.9 port = 9 } }",
            )],
            "secret.cfg" => vec![Included {
                name: "secret.cfg".to_owned(),
                text: Err("Permission denied (os error 13)".to_owned()),
            }],
            _ => Vec::new(),
        }
    },
    service: &|name| (name == "http").then_some(80),
};

/// A file that can run is shown as native TOML. `#!` is followed by the words before the file.
#[test]
fn rinetd() {
    compare("rinetd", 60, |text| {
        let words = text.strip_prefix("#!").and_then(|text| text.lines().next());
        let words = split(words.unwrap_or("rinetd"));
        let mut sources = Sources::default();
        let order = rinetd::order("rinetd", &words[1..], &mut sources);
        assert!(order.is_sound(), "{words:?}");
        let file = sources.add("rinetd.conf", text);
        let reading = rinetd::read(file, &order.options, &mut sources, RINETD);
        let told = render::render(&reading.diagnostics, &sources, Colour::Never);
        match reading.is_sound {
            true => reading.explain() + &told,
            false => told,
        }
    });
}

const RINETD: rinetd::Surroundings<'_> = rinetd::Surroundings {
    include: &|from, pattern| {
        let file = |name: &str, text: &str| Included { name: name.into(), text: Ok(text.into()) };
        match (from, pattern) {
            ("rinetd.conf", "conf.d/*.conf") => vec![
                file("conf.d/1.conf", "0 81 10.0.0.1 81\n"),
                file("conf.d/2.conf", "deny 10.0.0.9\n0 82 10.0.0.1 82"),
            ],
            (_, "circle.conf") => vec![file("circle.conf", "include circle.conf")],
            (_, "wrong.conf") => vec![file("wrong.conf", "\n0 80000 10.0.0.1 80\n")],
            (_, "secret.conf") => vec![Included {
                name: "secret.conf".to_owned(),
                text: Err("Permission denied (os error 13)".to_owned()),
            }],
            _ => Vec::new(),
        }
    },
    service: &|name, transport| match (name, transport) {
        ("http", rinetd::Transport::Tcp) => Some(80),
        ("domain", _) => Some(53),
        _ => None,
    },
    address: &|host| match host {
        "localhost" => Ok([127, 0, 0, 1].into()),
        _ => Err("Name or service not known".to_owned()),
    },
};

/// Compares all cases of `dialect`, of which there are at least `least`, with what `shown` makes.
fn compare(dialect: &str, least: usize, shown: impl Fn(&str) -> String) {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    let cases = cases(dialect);
    for path in &cases {
        let case = fs::read_to_string(path).expect("a case can be read");
        let (input, expected) = case.split_once(DIVIDER).unwrap_or((&case, ""));
        let shown = shown(input);
        if update {
            let text = format!("{}\n{DIVIDER}{shown}", input.trim_end());
            fs::write(path, text).expect("a case can be written");
        } else if shown != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- shown\n{shown}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE=1 writes the texts anew", wrong.join("\n"));
    assert!(cases.len() >= least, "only {} cases were found", cases.len());
}

/// What a user reads who types `line`.
fn shown(line: &str) -> String {
    let words = split(line);
    let (program, args) = words.split_first().expect("a line begins with the program");
    let mut sources = Sources::default();
    let reading = quick::read(
        Words {
            program: program.to_str().expect("the program's name is text"),
            args,
            commands: COMMANDS,
        },
        &mut sources,
    );
    assert_eq!(reading.wish, Wish::Run, "{line}");
    render::render(&reading.diagnostics, &sources, Colour::Never)
}

fn cases(dialect: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(dialect);
    let entries = fs::read_dir(folder).expect("the cases are there");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("a folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "case"))
        .collect();
    paths.sort();
    paths
}

/// Words as a shell makes them: `'...'` as it is, `$'...'` with `\n`, `\'` and `\xNN`.
fn split(line: &str) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut rest = line.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        if first == b' ' {
            rest = behind;
            continue;
        }
        let mut word = Vec::new();
        while let Some((&byte, behind)) = rest.split_first() {
            rest = match byte {
                b' ' => break,
                b'\'' => {
                    let end =
                        behind.iter().position(|byte| *byte == b'\'').expect("a quote is closed");
                    word.extend_from_slice(&behind[..end]);
                    &behind[end + 1..]
                }
                b'$' if behind.first() == Some(&b'\'') => escaped(&behind[1..], &mut word),
                byte => {
                    word.push(byte);
                    behind
                }
            };
        }
        words.push(OsString::from_vec(word));
    }
    words
}

/// Reads up to the closing quote; returns what is behind it.
fn escaped<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> &'a [u8] {
    loop {
        match rest {
            [b'\'', behind @ ..] => return behind,
            [b'\\', b'n', behind @ ..] => {
                word.push(b'\n');
                rest = behind;
            }
            [b'\\', b'x', high, low, behind @ ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("hex digits are text");
                word.push(u8::from_str_radix(digits, 16).expect("two hex digits"));
                rest = behind;
            }
            [b'\\', byte, behind @ ..] | [byte, behind @ ..] => {
                word.push(*byte);
                rest = behind;
            }
            [] => panic!("a quote is not closed"),
        }
    }
}
