//! `replug fmt`: configuration files put in order.
//!
//! Nothing is written until every file has been read and found to be TOML. A file is
//! replaced as a whole: whoever reads it gets the old text or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use control::Exit;
use model::{Diagnostic, Sources};

use crate::cli::{CONFIG, PROGRAM};
use crate::{file, say, shown, tell};

/// What standard input is called as a file to format.
const STDIN: &str = "-";

/// The words behind `replug fmt`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Fmt {
    /// A TOML file, a directory with *.toml, or - for standard input
    #[arg(value_name = "FILE|DIR|-", default_value = CONFIG)]
    path: PathBuf,
    /// Change nothing; name the files that are not in order, and end with 1 if there are any
    #[arg(long)]
    check: bool,
    /// Print the text instead of writing the file
    #[arg(long, conflicts_with = "check")]
    stdout: bool,
}

/// A file, as it is and as it shall be.
struct Formatted {
    /// `None`: standard input.
    path: Option<PathBuf>,
    name: String,
    before: String,
    after: String,
}

impl Fmt {
    pub(crate) fn run(&self) -> Exit {
        let mut sources = Sources::default();
        let formatted = match self.format(&mut sources) {
            Ok(formatted) => formatted,
            Err(faults) => {
                tell(&shown(&faults, &sources));
                return Exit::Configuration;
            }
        };
        let mut exit = Exit::Done;
        for Formatted { path, name, before, after } in formatted {
            match path {
                _ if self.check && before != after => {
                    say(&format!("{name}\n"));
                    exit = Exit::Failed;
                }
                _ if self.check => {}
                Some(path) if !self.stdout => {
                    if before == after {
                        continue;
                    }
                    match replace(&path, &after) {
                        Ok(()) => tell(&format!("{name}: put in order\n")),
                        Err(error) => {
                            tell(&format!("{PROGRAM}: cannot write {name}: {error}\n"));
                            exit = Exit::Failed;
                        }
                    }
                }
                _ => say(&after),
            }
        }
        exit
    }

    /// All files, as they are and as they shall be.
    fn format(&self, sources: &mut Sources) -> Result<Vec<Formatted>, Vec<Diagnostic>> {
        let is_stdin = self.path.as_os_str() == STDIN;
        let paths = match is_stdin {
            true => vec![None],
            false => match file::paths(&self.path) {
                Ok(paths) => paths.into_iter().map(Some).collect(),
                Err(error) => return Err(vec![file::unread(&self.path, &error)]),
            },
        };
        let mut formatted = Vec::new();
        let mut faults = Vec::new();
        for path in paths {
            let name = path
                .as_ref()
                .map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
            let before = match &path {
                Some(path) => file::text(path),
                None => stdin(),
            };
            let before = match before {
                Ok(before) => before,
                Err(error) => {
                    faults.push(file::unread(Path::new(&name), &error));
                    continue;
                }
            };
            let source = sources.add(name.clone(), before.clone());
            match dialect::native::format(source, sources) {
                Ok(after) => formatted.push(Formatted { path, name, before, after }),
                Err(wrong) => faults.extend(wrong),
            }
        }
        match faults.is_empty() {
            true => Ok(formatted),
            false => Err(faults),
        }
    }
}

fn stdin() -> io::Result<String> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(file::FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    file::utf8(bytes)
}

/// Puts `text` in the place of the file at `path`, or of the file that it is a link to. Owner,
/// group and mode stay.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let new = OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let written = write(&new, &path, text).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn write(mut new: &File, old: &Path, text: &str) -> io::Result<()> {
    let (was, is) = (fs::metadata(old)?, new.metadata()?);
    if (was.uid(), was.gid()) != (is.uid(), is.gid()) {
        fchown(new, Some(was.uid()), Some(was.gid()))?;
    }
    new.set_permissions(fs::Permissions::from_mode(was.mode() & 0o7777))?;
    new.write_all(text.as_bytes())?;
    new.sync_all()
}
