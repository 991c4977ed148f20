//! The program: words in, exit code out.
//!
//! What the words mean is read in [`cli`]; what runs is `control`; [`demo`] runs
//! it against two backends of its own; [`mod@file`] reads what `run` and `check` are given, [`fetch`]
//! what is elsewhere;
//! [`process`] has the options of `run` that say what becomes of the process; [`command`] has the
//! commands that only read and print. Started under the name of an old tool, or told its name first,
//! it is that tool: [`personality`].

mod cli;
mod command;
mod demo;
mod fetch;
mod file;
mod help;
mod personality;
mod process;
mod reload;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use control::Exit;
use dialect::render::{Colour, pointer, render};
use model::{Diagnostic, Sources};

use cli::Order;
use file::Watched;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let words: Vec<_> = words.collect();
    if let Some((personality, call)) = personality::of(&program, &words) {
        return personality.run(&call);
    }
    let (order, told) = cli::read(&words);
    if !control::is_launched() {
        tell(&told);
    }
    let exit = match order {
        Order::Forward(forward) => control::run(
            forward.config,
            control::Scripts::default(),
            None,
            &forward.process,
            |_| {},
        ),
        Order::Demo(demo) => demo::run(&demo),
        Order::Run(run) => forward(&run),
        Order::Tool(tool) => tool.run(),
        Order::Reload(order) => reload::run(&order),
        Order::Show(text) => {
            say(&text);
            Exit::Done
        }
        Order::Refuse => Exit::Usage,
    };
    exit.into()
}

/// Forwards what a configuration file says, and reads it again when asked to.
fn forward(run: &cli::Run) -> Exit {
    let loader = script::load::Loader::default();
    let reading = file::read_with(&run.config, &loader);
    if !control::is_launched() {
        tell(&shown(&reading.diagnostics, &reading.sources));
    }
    let watched = if run.watch { Watched::All } else { Watched::Lists };
    let paths = reading.paths(watched);
    let Some(config) = reading.config else {
        return Exit::Configuration;
    };
    let process = &run.process.0;
    // From then on it is read by the process as it has become.
    let inside = |path: &std::path::PathBuf| process.path_inside(path);
    let path = inside(&run.config);
    let read = move || file::read_with(&path, &loader).in_lines(watched);
    let watched = paths.iter().map(inside).collect();
    let files = control::Files { read: Arc::new(read), watched };
    control::run(config, reading.scripts, Some(files), process, |_| {})
}

/// Faults as text for standard error. A person at a terminal is told where more is said.
fn shown(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let is_terminal = io::stderr().is_terminal();
    let mut text = render(diagnostics, sources, colour(is_terminal));
    if is_terminal {
        text += &pointer(diagnostics);
    }
    text
}

/// Colour is for people: a terminal that can show it, and nobody who asked for none
/// (<https://no-color.org>).
fn colour(is_terminal: bool) -> Colour {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    match is_terminal && !set("NO_COLOR") && !dumb {
        true => Colour::Ansi,
        false => Colour::Never,
    }
}

/// Data, to standard output.
fn say(text: &str) {
    // Nobody is left to tell if this fails: the reader has gone (`replug --help | head -1`).
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

/// Messages, to standard error.
fn tell(text: &str) {
    control::complain(text);
}
