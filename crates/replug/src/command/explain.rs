//! `replug explain`: what the codes of faults mean.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};

use control::Exit;
use dialect::explain;
use dialect::line::Line;
use model::{Code, Diagnostic, Sources};

use crate::cli::PROGRAM;
use crate::{colour, say, shown, tell};

/// The words behind `replug explain`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Explain {
    /// Codes as in E0112; if there is none, each code is told in a line
    #[arg(value_name = "CODE")]
    codes: Vec<String>,
}

impl Explain {
    pub(crate) fn run(&self) -> Exit {
        if self.codes.is_empty() {
            say(&explain::list());
            return Exit::Done;
        }
        let words: Vec<OsString> = ["explain"]
            .into_iter()
            .chain(self.codes.iter().map(String::as_str))
            .map(Into::into)
            .collect();
        let mut sources = Sources::default();
        let line = Line::new(PROGRAM, &words, &mut sources);
        let mut faults = Vec::new();
        let mut texts = Vec::new();
        let colour = colour(io::stdout().is_terminal());
        for word in line.words().skip(1) {
            match explain::find(word.text) {
                Ok(code) => texts.push(explain::explain(code, colour)),
                Err(meant) => faults.push(
                    Diagnostic::new(
                        Code::Usage,
                        word.span,
                        format!("there is no code `{}`", word.text),
                    )
                    .label("not known")
                    .help(match meant {
                        Some(meant) => {
                            format!("did you mean {}? {}", meant.as_str(), meant.summary())
                        }
                        None => format!("`{PROGRAM} explain` lists all of them"),
                    }),
                ),
            }
        }
        if !faults.is_empty() {
            tell(&shown(&faults, &sources));
            return Exit::Usage;
        }
        say(&texts.join("\n\n"));
        Exit::Done
    }
}
