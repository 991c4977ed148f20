//! `--chroot DIR`: after start-up nothing but DIR is left of the file system.
//!
//! What was named before, in options and files, is opened before: logs, the pid
//! file, unix sockets, the configuration itself. A path that leads into DIR keeps
//! its meaning afterwards; any other one is looked for below DIR, should it be
//! opened again. `names` keeps what it needs of `/etc`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Fault};

/// A directory that becomes the root.
#[derive(Debug)]
pub(crate) struct Jail {
    /// Without links, so that other paths can be held against it.
    root: PathBuf,
}

impl Jail {
    /// Looks for the directory.
    ///
    /// # Errors
    /// When it is not there, or no directory.
    pub(crate) fn find(dir: &Path) -> Result<Self, Fault> {
        let found = dir.canonicalize().and_then(|root| match root.is_dir() {
            true => Ok(Self { root }),
            false => Err(io::ErrorKind::NotADirectory.into()),
        });
        found.map_err(|error| {
            let line = format!("--chroot {}: {error}; name a directory", dir.display());
            Fault::of(line, Exit::Configuration)
        })
    }

    /// What `path` will be called inside, if it leads there. To be asked before [`Jail::enter`].
    pub(crate) fn inside(&self, path: &Path) -> Option<PathBuf> {
        let folder = match path.parent() {
            Some(folder) if folder != OsStr::new("") => folder,
            _ => Path::new("."),
        };
        let folder = folder.canonicalize().ok()?;
        let below = folder.strip_prefix(&self.root).ok()?;
        Some(Path::new("/").join(below).join(path.file_name()?))
    }

    /// Makes it the root of this process, of all its threads.
    ///
    /// # Errors
    /// When the process may not.
    pub(crate) fn enter(&self) -> Result<(), Fault> {
        let entered = rustix::process::chroot(&self.root)
            // A working directory outside would be a way out.
            .and_then(|()| rustix::process::chdir("/"));
        entered.map_err(|errno| {
            let line = format!(
                "--chroot {}: {}; replug needs root or CAP_SYS_CHROOT for it",
                self.root.display(),
                io::Error::from(errno),
            );
            Fault::of(line, Exit::NotPermitted)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_inside_keep_their_meaning() {
        let jail = Jail::find(Path::new("/usr/../usr/lib/.")).expect("every system has it");
        let inside = |path: &str| jail.inside(Path::new(path));
        assert_eq!(inside("/usr/lib/log"), Some("/log".into()));
        assert_eq!(inside("/usr/share/../lib/log"), Some("/log".into()));
        assert_eq!(inside("/usr/log"), None);
        assert_eq!(inside("/usr/lib/no-such-folder/log"), None);
        assert_eq!(inside("log"), None, "the working directory is not inside");
    }

    #[test]
    fn what_is_no_directory_is_told() {
        for (path, why) in [("/no/such/folder", "No such file"), ("/dev/null", "not a directory")] {
            let fault = Jail::find(Path::new(path)).expect_err(path);
            assert!(fault.lines[0].starts_with(&format!("--chroot {path}: ")), "{fault:?}");
            assert!(fault.lines[0].contains(why), "{fault:?}");
            assert_eq!(fault.exit, Exit::Configuration);
        }
    }
}
