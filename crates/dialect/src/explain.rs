//! What each code means: why it is a fault, an example that has it, and the example mended.
//!
//! The examples are read by the dialects themselves, so what is shown of them is what a
//! user gets to see, and a test holds that each has its fault and is sound when mended.

mod cases;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use model::{Code, Diagnostic, Severity, Sources};

use crate::line::{self, Line};
use crate::quick::Words;
use crate::render::{Colour, render};
use crate::{native, plug, quick, suggest, tcprelay};

pub use cases::of;

/// Columns of running text.
const COLUMNS: usize = 76;

/// The one variable that is set where examples are read.
const VARIABLE: (&str, &str) = ("BACKEND", "10.0.0.11");

/// What is to be known about a code.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// Why it is a fault, and what to do; running text.
    pub why: &'static str,
    /// What has this fault, and no other.
    pub example: Example,
    /// The same without any fault.
    pub mended: Example,
}

/// Something that a user may have written.
#[derive(Clone, Copy, Debug)]
pub enum Example {
    /// The words behind `replug`, as a quick command line.
    Line(&'static [&'static [u8]]),
    /// The words behind `plug`.
    Plug(&'static [&'static [u8]]),
    /// A configuration of tcprelay.
    Tcprelay(&'static str),
    /// A file of native TOML.
    File(&'static str),
    /// A line for a shell whose outcome lies outside of all text.
    Shell(&'static str),
}

impl Example {
    /// Reads it; gives the faults, and the texts that they are of.
    pub fn read(self) -> (Vec<Diagnostic>, Sources) {
        let mut sources = Sources::default();
        let faults = match self {
            Self::Line(words) => {
                let args = args(words);
                let words = Words { program: "replug", args: &args, commands: &[] };
                quick::read(words, &mut sources).diagnostics
            }
            Self::Plug(words) => {
                let args = args(words);
                let words = line::Words { program: "plug", args: &args };
                plug::read(words, &mut sources).diagnostics
            }
            Self::Tcprelay(text) => {
                let file = sources.add("tcprelay.cfg", text);
                let surroundings = tcprelay::Surroundings {
                    environment: &|_| None,
                    include: &|_| Vec::new(),
                    service: &|_| None,
                };
                let options = tcprelay::Options::default();
                tcprelay::read(file, &options, &mut sources, surroundings).diagnostics
            }
            Self::File(text) => {
                let file = sources.add("replug.toml", text);
                let environment = |name: &str| (name == VARIABLE.0).then(|| VARIABLE.1.to_owned());
                let none = |_: &std::path::Path| Err("examples have no lists".to_owned());
                native::read(&[file], &mut sources, &environment, &none).diagnostics
            }
            Self::Shell(_) => Vec::new(),
        };
        (faults, sources)
    }

    fn text(self) -> String {
        match self {
            Self::Line(words) => Line::shown("replug", &args(words)),
            Self::Plug(words) => Line::shown("plug", &args(words)),
            Self::Tcprelay(text) | Self::File(text) | Self::Shell(text) => {
                text.trim_end().to_owned()
            }
        }
    }
}

fn args(words: &[&[u8]]) -> Vec<OsString> {
    words.iter().map(|word| std::ffi::OsStr::from_bytes(word).to_owned()).collect()
}

/// The code that a user has written: `E0112`, `e0112`, `0112`, or `112`.
///
/// # Errors
/// The code that was probably meant, if there is one.
pub fn find(text: &str) -> Result<Code, Option<Code>> {
    let text = text.trim().to_ascii_uppercase();
    let digits = text.trim_start_matches(['E', 'W']);
    let by_number = |code: &&Code| {
        code.as_str() == text || text == digits && code.as_str()[1..] == format!("{digits:0>4}")
    };
    if let Some(code) = Code::ALL.iter().find(by_number) {
        return Ok(*code);
    }
    // The letter is the least of a code: whoever mistakes it has the number right.
    let by_digits = Code::ALL.iter().find(|code| code.as_str()[1..] == *digits);
    let meant = || {
        let lower: Vec<_> = Code::ALL.iter().map(|code| code.as_str().to_lowercase()).collect();
        let meant = suggest::nearest(&text, lower.iter().map(String::as_str))?;
        Code::ALL.iter().find(|code| code.as_str().eq_ignore_ascii_case(meant))
    };
    Err(by_digits.or_else(meant).copied())
}

/// All there is to say about `code`, for a terminal; ends with a line feed.
pub fn explain(code: Code, colour: Colour) -> String {
    let Explanation { why, example, mended } = of(code);
    let severity = match code.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut text = format!("{code}, {severity}: {}\n\n", code.summary(), code = code.as_str());
    text += &filled(why);
    let (faults, sources) = example.read();
    let _ = match faults.is_empty() {
        true => write!(text, "\nFor example:\n\n{}", indented(&example.text())),
        false => write!(text, "\nFor example:\n\n{}", indented(&render(&faults, &sources, colour))),
    };
    let _ = write!(text, "\nMended:\n\n{}", indented(&mended.text()));
    text
}

/// One line for each code; ends with a line feed.
pub fn list() -> String {
    Code::ALL.iter().map(|code| format!("{}  {}\n", code.as_str(), code.summary())).collect()
}

/// Running text in lines of at most [`COLUMNS`].
fn filled(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is a line from the start");
        if !line.is_empty() && line.len() + 1 + word.len() > COLUMNS {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

fn indented(text: &str) -> String {
    let indent = |line: &str| match line.is_empty() {
        true => "\n".to_owned(),
        false => format!("    {line}\n"),
    };
    text.trim_end().lines().map(indent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_example_has_its_fault_and_no_other() {
        for code in Code::ALL {
            let Explanation { why, example, mended } = of(*code);
            assert!(why.len() > 40 && why.ends_with('.'), "{}: {why}", code.as_str());
            let told = |example: Example| {
                let (faults, sources) = example.read();
                let codes: Vec<_> = faults.iter().map(|fault| fault.code).collect();
                (codes, render(&faults, &sources, Colour::Never))
            };
            let (found, shown) = told(example);
            if !matches!(example, Example::Shell(_)) {
                assert!(!found.is_empty(), "{}: its example is sound", code.as_str());
                assert!(found.iter().all(|found| found == code), "{}: {shown}", code.as_str());
            }
            let (_, shown) = told(mended);
            assert_eq!(shown, "", "{}: not mended", code.as_str());
        }
    }

    #[test]
    fn codes_are_found_as_people_write_them() {
        for text in ["E0112", "e0112", "0112", "112"] {
            assert_eq!(find(text), Ok(Code::UnitMissing), "{text}");
        }
        assert_eq!(find("W0112"), Err(Some(Code::UnitMissing)));
        assert_eq!(find("E0913"), Err(Some(Code::Number)));
        assert_eq!(find("timeout"), Err(None));
        assert_eq!(find(""), Err(None));
    }

    #[test]
    fn what_is_explained_fits_a_terminal() {
        for code in Code::ALL {
            for line in filled(of(*code).why).lines() {
                assert!(line.chars().count() <= COLUMNS, "{line}");
            }
        }
        for line in list().lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}
