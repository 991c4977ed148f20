//! Configurations of other dialects as native TOML.
//!
//! What is converted means the same: reading the text gives the configuration that was
//! read. What a file cannot say (how the process runs) stands above it as a comment.

use std::ffi::OsString;

use model::{Code, Diagnostic, Severity, SourceId, Sources};

use crate::line::{self, Line};
use crate::quick::options::Id;
use crate::quick::{self, Process, Wish, Words};
use crate::{native, plug, proxymachine, redir, rinetd, tcprelay, tproxy};

/// A dialect that can be converted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The quick command line.
    Quick,
    /// The command line of plug.
    Plug,
    /// The command line of redir.
    Redir,
    /// The configuration of tcprelay and spawnd.
    Tcprelay,
    /// The configuration of rinetd.
    Rinetd,
    /// The command line of transproxy.
    Tproxy,
    /// The command line of ProxyMachine.
    Proxymachine,
}

impl Origin {
    /// All of them, by name.
    pub const NAMES: [(&str, Self); 7] = [
        ("quick", Self::Quick),
        ("plug", Self::Plug),
        ("redir", Self::Redir),
        ("tcprelay", Self::Tcprelay),
        ("rinetd", Self::Rinetd),
        ("tproxy", Self::Tproxy),
        ("proxymachine", Self::Proxymachine),
    ];

    /// Dialects that this version cannot convert from yet.
    pub const LATER: [&str; 2] = ["haproxy", "nginx"];
}

/// What became of a configuration.
#[derive(Debug)]
pub struct Converted {
    /// Native TOML; `None`: there are errors.
    pub text: Option<String>,
    /// All faults of what was read.
    pub diagnostics: Vec<Diagnostic>,
}

/// Converts a quick command line. The line as text is added to `sources`.
pub fn quick(words: Words<'_>, sources: &mut Sources) -> Converted {
    let shown = Line::shown(words.program, words.args);
    let reading = quick::read(words, sources);
    let mut diagnostics = reading.diagnostics;
    if reading.wish != Wish::Run {
        let message = "this line forwards nothing, so there is nothing to convert";
        diagnostics = vec![
            Diagnostic::new(Code::Usage, None, message).help("leave --help and --version out"),
        ];
    }
    let is_sound = diagnostics.iter().all(|fault| fault.severity() < Severity::Error);
    let text = is_sound.then(|| {
        let mut text = format!("# {shown}\n");
        let process = process(reading.process);
        if !process.is_empty() {
            let run = Line::shown("replug run", &process);
            text += &format!("#\n# How the process runs is not said in files: {run}\n");
        }
        text + "\n" + &ordered(&native::write(&reading.config))
    });
    Converted { text, diagnostics }
}

/// Converts a command line of plug. The line as text is added to `sources`.
pub fn plug(words: line::Words<'_>, sources: &mut Sources) -> Converted {
    let shown = Line::shown(words.program, words.args);
    let reading = plug::read(words, sources);
    let text = reading.is_sound().then(|| format!("# {shown}\n\n{}", ordered(&reading.explain())));
    Converted { text, diagnostics: reading.diagnostics }
}

/// Converts a command line of tproxy. The line as text is added to `sources`.
pub fn tproxy(
    words: line::Words<'_>,
    sources: &mut Sources,
    surroundings: tproxy::Surroundings<'_>,
) -> Converted {
    let shown = Line::shown(words.program, words.args);
    let reading = tproxy::read(words, sources, surroundings);
    let text = reading.is_sound().then(|| format!("# {shown}\n\n{}", ordered(&reading.explain())));
    Converted { text, diagnostics: reading.diagnostics }
}

/// Converts a command line of proxymachine. The line as text is added to `sources`. What is in the
/// file that it names stays Ruby.
pub fn proxymachine(
    words: line::Words<'_>,
    sources: &mut Sources,
    surroundings: proxymachine::Surroundings<'_>,
) -> Converted {
    let shown = Line::shown(words.program, words.args);
    let reading = proxymachine::read(words, sources, surroundings);
    let runs = matches!(reading.wish, proxymachine::Wish::Run | proxymachine::Wish::Explain);
    let text = (reading.is_sound() && runs)
        .then(|| format!("# {shown}\n\n{}", ordered(&reading.explain())));
    Converted { text, diagnostics: reading.diagnostics }
}

/// Converts a command line of redir. The line as text is added to `sources`.
pub fn redir(
    words: line::Words<'_>,
    sources: &mut Sources,
    around: redir::Surroundings<'_>,
) -> Converted {
    let shown = Line::shown(words.program, words.args);
    let reading = redir::read(words, sources, around);
    let runs = matches!(reading.wish, redir::Wish::Run | redir::Wish::Explain);
    let text = (reading.failure.is_none() && runs)
        .then(|| format!("# {shown}\n\n{}", ordered(&reading.explain())));
    Converted { text, diagnostics: reading.diagnostics }
}

/// Converts the configuration of tcprelay in `file`.
pub fn tcprelay(
    file: SourceId,
    options: &tcprelay::Options,
    sources: &mut Sources,
    surroundings: tcprelay::Surroundings<'_>,
) -> Converted {
    let name = sources.get(file).name.clone();
    let reading = tcprelay::read(file, options, sources, surroundings);
    let sound = reading.verdict == tcprelay::Verdict::Sound;
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    let text = sound.then(|| format!("# tcprelay {name}\n\n{}", ordered(&reading.explain())));
    Converted { text, diagnostics: reading.diagnostics }
}

/// Converts the configuration of rinetd in `file`.
pub fn rinetd(
    file: SourceId,
    options: &rinetd::Options,
    sources: &mut Sources,
    surroundings: rinetd::Surroundings<'_>,
) -> Converted {
    let name = sources.get(file).name.clone();
    let reading = rinetd::read(file, options, sources, surroundings);
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    let text = || format!("# rinetd {name}\n\n{}", ordered(&reading.explain()));
    let text = reading.is_sound.then(text);
    Converted { text, diagnostics: reading.diagnostics }
}

/// The options of `replug run` that say the same.
fn process(process: Process) -> Vec<OsString> {
    let Process { daemon, pidfile, user, chroot } = process;
    let option = |id: Id| format!("--{}", id.opt().long);
    let mut words = Vec::new();
    if daemon {
        words.push(option(Id::Daemon));
    }
    for (id, value) in [(Id::Pidfile, pidfile), (Id::User, user), (Id::Chroot, chroot)] {
        if let Some(value) = value {
            words.extend([option(id), value]);
        }
    }
    words.into_iter().map(OsString::from).collect()
}

fn ordered(text: &str) -> String {
    let mut sources = Sources::default();
    let file = sources.add("", text);
    native::format(file, &sources).expect("what is written is TOML")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(args: &[&str], expected: &str) {
        let args: Vec<_> = args.iter().map(OsString::from).collect();
        let words = Words { program: "replug", args: &args, commands: &[] };
        let converted = quick(words, &mut Sources::default());
        assert_eq!(converted.text.as_deref(), Some(expected), "{:?}", converted.diagnostics);
    }

    #[test]
    fn a_line_becomes_a_file() {
        check(
            &["--sticky=10m", "80/eth1", "a:80 weight=2", "b:80 backup"],
            "# replug --sticky=10m 80/eth1 'a:80 weight=2' 'b:80 backup'\n\n\
             [listener.main]\nbind = [\":80\"]\npool = \"main\"\n\n\
             [pool.main]\nbackends = [\"a:80 weight=2\", \"b:80 backup\"]\n\
             sticky   = { by = \"client\", ttl = \"10m\" }\nsource   = \"eth1\"\n",
        );
    }

    #[test]
    fn what_a_file_cannot_say_stands_above_it() {
        check(
            &["--daemon", "--pidfile", "/run/a b", "--log-to", "/x", "80", "a:80"],
            "# replug --daemon --pidfile '/run/a b' --log-to /x 80 a:80\n#\n\
             # How the process runs is not said in files: replug run --daemon --pidfile '/run/a b'\n\n\
             [listener.main]\nbind = [\":80\"]\npool = \"main\"\n\n\
             [pool.main]\nbackends = [\"a:80\"]\n\n[log]\nto = \"/x\"\n",
        );
    }

    #[test]
    fn a_line_of_plug_becomes_a_file() {
        let args: Vec<_> = ["-P", "/run/plug.pid", "8080", "10.0.0.1"].map(OsString::from).into();
        let mut sources = Sources::default();
        let converted = plug(line::Words { program: "plug", args: &args }, &mut sources);
        let text = converted.text.expect("it is sound");
        assert!(text.starts_with("# plug -P /run/plug.pid 8080 10.0.0.1\n\n# "), "{text}");
        let file = sources.add("replug.toml", text.as_str());
        let none = |_: &std::path::Path| Err(String::new());
        let again = native::read(&[file], &mut sources, &|_| None, &none);
        let reading = plug::read(line::Words { program: "plug", args: &args }, &mut sources);
        assert_eq!(again.config, reading.config, "{text}");
    }

    #[test]
    fn what_is_wrong_is_told_and_not_converted() {
        for args in [&["80"][..], &["80", "a:80", "--help"]] {
            let args: Vec<_> = args.iter().map(OsString::from).collect();
            let words = Words { program: "replug", args: &args, commands: &[] };
            let converted = quick(words, &mut Sources::default());
            assert!(converted.text.is_none() && converted.diagnostics.len() == 1);
        }
    }
}
