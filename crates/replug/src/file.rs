//! Configuration files: found, read, and told about.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use control::Scripts;
use dialect::native;
use dialect::render::{Colour, line, render};
use model::{Code, Config, Diagnostic, Severity, Sources};
use script::load::{Loaded, Loader};
use tls::Surroundings;

/// Largest file that is read, in bytes: more is no configuration but a mistake.
pub(crate) const FILE_BYTES_MAX: u64 = 16 << 20;

/// What a file, or a directory, says.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// `None`: the faults are no mere warnings.
    pub(crate) config: Option<Config>,
    /// The scripts of its listeners.
    pub(crate) scripts: Scripts,
    /// All faults.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The texts that the faults are of.
    pub(crate) sources: Sources,
    /// The files, and the directory, that it was read from; scripts among them.
    pub(crate) files: Vec<PathBuf>,
    /// The lists of ranges that these name.
    pub(crate) lists: Vec<PathBuf>,
}

/// Changes of what are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// Of lists, which somebody else may write.
    Lists,
    /// Of the files as well.
    All,
}

impl Reading {
    /// What to look for changes of.
    pub(crate) fn paths(&self, watched: Watched) -> Vec<PathBuf> {
        match watched {
            Watched::Lists => self.lists.clone(),
            Watched::All => self.files.iter().chain(&self.lists).cloned().collect(),
        }
    }

    /// The same for a running replug.
    pub(crate) fn in_lines(self, watched: Watched) -> control::Reading {
        let watched = self.paths(watched);
        let Self { config, scripts, diagnostics, sources, .. } = self;
        let faults = diagnostics.iter().filter(|fault| fault.severity() == Severity::Error);
        control::Reading {
            config,
            scripts,
            faults: faults.map(|fault| line(fault, &sources)).collect(),
            told: render(&diagnostics, &sources, Colour::Never),
            watched,
        }
    }
}

/// Reads a file, or the `*.toml` of a directory as one configuration, and tries its scripts.
pub(crate) fn read(path: &Path) -> Reading {
    read_with(path, &Loader::default())
}

/// The same, with scripts that share what those have that were loaded before.
pub(crate) fn read_with(path: &Path, loader: &Loader) -> Reading {
    let mut sources = Sources::default();
    let mut diagnostics = Vec::new();
    let mut files = Vec::new();
    let mut read_from = vec![path.to_owned()];
    let mut lists = Vec::new();
    match paths(path) {
        Ok(paths) if paths.is_empty() => {
            let message = format!("there is no *.toml in {}", path.display());
            diagnostics
                .push(Diagnostic::new(Code::File, None, message).help(
                    "files whose names end in `.toml` are read, in the order of their names",
                ));
        }
        Ok(paths) => {
            for path in paths {
                read_from.push(path.clone());
                match text(&path) {
                    Ok(text) => files.push(sources.add(path.display().to_string(), text)),
                    Err(error) => diagnostics.push(unread(&path, &error)),
                }
            }
        }
        Err(error) => diagnostics.push(unread(path, &error)),
    }
    // What one file lacks may stand in another that could not be read.
    let config = match diagnostics.is_empty() {
        true => {
            let environment = |name: &str| std::env::var(name).ok();
            let list = |path: &Path| text(path).map_err(|error| error.to_string());
            let reading = native::read(&files, &mut sources, &environment, &list);
            lists = reading.lists.iter().map(PathBuf::from).collect();
            diagnostics = reading.diagnostics;
            diagnostics.extend(tls::check(&reading.config, Surroundings::of_this_process()));
            Some(reading.config)
        }
        false => None,
    };
    let is_sound =
        |faults: &[Diagnostic]| faults.iter().all(|fault| fault.severity() < Severity::Error);
    read_from.dedup();
    let mut config = config.filter(|_| is_sound(&diagnostics));
    let mut scripts = Scripts::default();
    if let Some(sound) = &config {
        let loaded = load_scripts(sound, loader);
        scripts = loaded.scripts;
        read_from.extend(loaded.files);
        diagnostics.extend(loaded.faults);
        config = config.filter(|_| is_sound(&diagnostics));
    }
    Reading { config, scripts, diagnostics, sources, files: read_from, lists }
}

/// The scripts that `config` names, read and tried.
pub(crate) fn load_scripts(config: &Config, loader: &Loader) -> Loaded {
    loader.load(config, &|path| text(path).map_err(|error| error.to_string()))
}

/// The files to read: the one that is named, or those of a directory in the order of their names.
pub(crate) fn paths(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    Ok(paths)
}

/// The text of one file.
pub(crate) fn text(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    utf8(fs::read(path)?)
}

/// The bytes as text.
pub(crate) fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.split(|byte| *byte == b'\n').count();
        io::Error::other(format!("it is not UTF-8 in line {line}"))
    })
}

/// What a user is told about a file that cannot be read.
pub(crate) fn unread(path: &Path, error: &io::Error) -> Diagnostic {
    let message = format!("cannot read {}: {error}", path.display());
    Diagnostic::new(Code::File, None, message).help(match error.kind() {
        io::ErrorKind::NotFound => "name the file: `replug run -c FILE`, `replug check FILE`",
        io::ErrorKind::PermissionDenied => "let the user that replug runs as read it",
        _ => "write TOML in UTF-8 there",
    })
}
