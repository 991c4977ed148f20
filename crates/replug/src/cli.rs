//! What the words of the command line ask for.
//!
//! If the first word is a command, clap reads the rest. If not, it is the quick
//! command line and `dialect` reads it, which knows where each word stands and
//! finds all faults at once. Both tell faults in the same look.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{FromArgMatches as _, Subcommand};
use control::Process;
use dialect::line::Line;
use dialect::quick::{self, Wish, Words};
use model::{Code, Config, Diagnostic, Severity, Sources};

use crate::command::Tool;
use crate::process::Options;
use crate::reload::Reload;
use crate::{help, shown};

/// The program's name wherever it speaks of itself.
pub(crate) const PROGRAM: &str = "replug";

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Order {
    /// Forward until a signal ends it.
    Forward(Box<Forward>),
    /// Show how forwarding looks.
    Demo(Demo),
    /// Forward what a file says.
    Run(Box<Run>),
    /// Have a running one read its file again.
    Reload(Reload),
    /// Read something and print what is made of it.
    Tool(Tool),
    /// Print this to standard output.
    Show(String),
    /// Nothing: the words were wrong.
    Refuse,
}

/// What to forward, and what becomes of the process.
#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) config: Config,
    pub(crate) process: Process,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Two small web servers behind a listener, to see forwarding work
    Demo(Demo),
    /// Forward what a configuration file says
    Run(Run),
    #[command(flatten)]
    Tool(Tool),
    /// Have a running replug read its configuration again; print what changes
    Reload(Reload),
}

/// Where the configuration is, unless told.
pub(crate) const CONFIG: &str = "/etc/replug/replug.toml";

/// The options of `replug run`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Run {
    /// A TOML file, or a directory whose *.toml are read in the order of their names
    #[arg(short, long, value_name = "FILE|DIR", default_value = CONFIG)]
    pub(crate) config: PathBuf,
    /// Reload by itself when a file changes, not only on SIGHUP
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) process: Options,
}

/// The options of `replug demo`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Demo {
    /// Make a few requests, print what answered, and end
    #[arg(long)]
    pub(crate) once: bool,
}

/// Reads the words behind the program's name. The text is for standard error.
pub(crate) fn read(words: &[OsString]) -> (Order, String) {
    let names = help::command_names();
    let is_command = |word: &OsString| names.iter().any(|name| word == name.as_str());
    match words.first().is_some_and(is_command) {
        true => read_command(words),
        false => read_quick(words, &names),
    }
}

fn read_quick(words: &[OsString], commands: &[String]) -> (Order, String) {
    let mut sources = Sources::default();
    let commands: Vec<_> = commands.iter().map(String::as_str).collect();
    let reading =
        quick::read(Words { program: PROGRAM, args: words, commands: &commands }, &mut sources);
    match reading.wish {
        Wish::Help => return (Order::Show(help::long()), String::new()),
        Wish::Version => return (Order::Show(help::version()), String::new()),
        Wish::Run => {}
    }
    let told = shown(&reading.diagnostics, &sources);
    let wrong = |fault: &Diagnostic| fault.severity() == Severity::Error;
    if reading.diagnostics.iter().any(wrong) {
        return (Order::Refuse, told);
    }
    let process = Process {
        daemon: reading.process.daemon,
        pidfile: reading.process.pidfile.map(PathBuf::from),
        user: reading.process.user,
        chroot: reading.process.chroot.map(PathBuf::from),
        ..Process::default()
    };
    let config = reading.config;
    (Order::Forward(Box::new(Forward { config, process })), told)
}

fn read_command(words: &[OsString]) -> (Order, String) {
    let program = OsString::from(PROGRAM);
    let matches = help::command().try_get_matches_from([&program].into_iter().chain(words));
    let complaint = match matches.and_then(|matches| Command::from_arg_matches(&matches)) {
        Ok(Command::Demo(demo)) => return (Order::Demo(demo), String::new()),
        Ok(Command::Run(run)) => return (Order::Run(Box::new(run)), String::new()),
        Ok(Command::Reload(reload)) => return (Order::Reload(reload), String::new()),
        Ok(Command::Tool(tool)) => return (Order::Tool(tool), String::new()),
        Err(complaint) => complaint,
    };
    if matches!(complaint.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return (Order::Show(complaint.render().to_string()), String::new());
    }
    let mut sources = Sources::default();
    let line = Line::new(PROGRAM, words, &mut sources);
    let fault = fault(&complaint, &line, &words[0].to_string_lossy());
    (Order::Refuse, shown(&[fault], &sources))
}

/// A complaint of clap about the words behind `command`, as a diagnostic.
fn fault(complaint: &clap::Error, line: &Line, command: &str) -> Diagnostic {
    let text = |kind| match complaint.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    };
    let culprit = text(ContextKind::InvalidSubcommand).or_else(|| text(ContextKind::InvalidArg));
    let word = culprit.and_then(|culprit| {
        let name = culprit.split([' ', '=']).next().unwrap_or(culprit);
        line.words().find(|word| word.text.split('=').next() == Some(name))
    });
    let span = word.map_or_else(|| line.program(), |word| word.span);
    let (message, label) = match (complaint.kind(), culprit) {
        (ErrorKind::UnknownArgument, Some(name)) if name.starts_with('-') => {
            (format!("there is no option `{name}` here"), "not known")
        }
        (ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand, Some(name)) => {
            (format!("`{name}` is one word too many"), "not expected here")
        }
        (ErrorKind::MissingRequiredArgument, Some(name)) => {
            (format!("`{name}` is missing"), "not all that it needs")
        }
        (ErrorKind::TooManyValues, Some(name)) => {
            (format!("`{name}` takes no value"), "no value here")
        }
        _ => (plain(complaint), "here"),
    };
    let meant = text(ContextKind::SuggestedArg).or_else(|| text(ContextKind::SuggestedSubcommand));
    let help = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("`{PROGRAM} {command} --help` lists what it takes"),
    };
    Diagnostic::new(Code::Usage, span, message).label(label).help(help)
}

/// The first line of a complaint, without its `error: `.
fn plain(complaint: &clap::Error) -> String {
    let text = complaint.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
