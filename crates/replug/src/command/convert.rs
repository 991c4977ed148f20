//! `replug convert`: other dialects as native TOML.

use std::ffi::OsString;

use control::Exit;
use dialect::convert::{self, Converted, Origin};
use dialect::line::{self, Line};
use dialect::quick::Words;
use dialect::suggest;
use model::{Code, Diagnostic, Sources};

use crate::cli::PROGRAM;
use crate::{personality, say, shown, tell};

/// The words behind `replug convert`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Convert {
    /// What the rest is written in: quick (the words behind `replug` on one line), plug, redir,
    /// tcprelay, tproxy or proxymachine (the words behind these names), or rinetd (its file)
    #[arg(long, value_name = "DIALECT")]
    from: String,
    /// What is to be converted
    #[arg(
        value_name = "ARGS",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    args: Vec<OsString>,
}

impl Convert {
    pub(crate) fn run(&self) -> Exit {
        let mut sources = Sources::default();
        let Converted { text, diagnostics } = match origin(&self.from, &mut sources) {
            Ok(Origin::Quick) => {
                let commands = crate::help::command_names();
                let commands: Vec<_> = commands.iter().map(String::as_str).collect();
                let words = Words { program: PROGRAM, args: &self.args, commands: &commands };
                convert::quick(words, &mut sources)
            }
            Ok(Origin::Plug) => {
                let words = line::Words { program: "plug", args: &self.args };
                convert::plug(words, &mut sources)
            }
            Ok(Origin::Redir) => personality::redir::convert(&self.args, &mut sources),
            Ok(Origin::Tcprelay) => personality::tcprelay::convert(&self.args, &mut sources),
            Ok(Origin::Rinetd) => personality::rinetd::convert(&self.args, &mut sources),
            Ok(Origin::Tproxy) => personality::tproxy::convert(&self.args, &mut sources),
            Ok(Origin::Proxymachine) => {
                personality::proxymachine::convert(&self.args, &mut sources)
            }
            Err(fault) => Converted { text: None, diagnostics: vec![fault] },
        };
        tell(&shown(&diagnostics, &sources));
        match text {
            Some(text) => {
                say(&text);
                Exit::Done
            }
            None => Exit::Usage,
        }
    }
}

/// The dialect called `name`.
fn origin(name: &str, sources: &mut Sources) -> Result<Origin, Diagnostic> {
    if let Some((_, origin)) = Origin::NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*origin);
    }
    let line = Line::new(PROGRAM, &["convert", "--from", name].map(OsString::from), sources);
    let span = line.words().nth(2).map(|word| word.span);
    let names = Origin::NAMES.map(|(name, _)| name);
    if Origin::LATER.contains(&name) {
        let message = format!("converting from `{name}` is not in this version");
        return Err(Diagnostic::new(Code::NotYet, span, message)
            .label("not in this version")
            .help(format!("this version converts from {}", names.join(", "))));
    }
    let fault = Diagnostic::new(Code::Choice, span, format!("there is no dialect `{name}`"));
    Err(fault.label("not known").help(match suggest::nearest(name, names) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("this version converts from {}", names.join(", ")),
    }))
}
