//! The pid file: who runs, for scripts, and that nobody else runs with it.
//!
//! The file is locked (flock(2)) for as long as its process lives, so neither a
//! crash nor a reused process id can leave a file behind that stops the next
//! start: only the lock decides. A file that holds anything but a process id is
//! not taken; it was named by mistake.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::Gauge;

/// More than a line with a process id has.
const CONTENT_BYTES_MAX: u64 = 32;

/// How often sessions are counted for the file: a moment in which scripts may see the last count.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Attempts to get hold of a file that another process removes at the same moment.
const ATTEMPTS_MAX: usize = 10;

/// A pid file that is ours. Dropping it removes it, if it still is.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Calls the file as it will be called behind `--chroot`, if it can be reached there.
    pub(crate) fn rename(&mut self, inside: impl Fn(&Path) -> Option<PathBuf>) {
        if let Some(path) = inside(&self.path) {
            self.path = path;
        }
    }
}

/// Why a pid file could not be had.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A process that runs has it.
    Held {
        /// Its process id, where the file says it.
        by: Option<u32>,
    },
    /// It holds something else than a process id.
    NotAPidFile,
    /// The system says no.
    Io(io::Error),
}

impl PidFile {
    /// Takes the file at `path` and writes the id of this process into it.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(crate) fn take(path: &Path) -> Result<Self, Fault> {
        for _ in 0..ATTEMPTS_MAX {
            let mut file = open(path).map_err(Fault::Io)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Fault::Held {
                        by: content(&mut file).ok().and_then(|text| text.trim().parse().ok()),
                    });
                }
                Err(TryLockError::Error(error)) => return Err(Fault::Io(error)),
            }
            // Its last owner may have removed it after we opened it: then what we locked is
            // nobody's file any more.
            if !is_at(&file, path) {
                continue;
            }
            let text = content(&mut file).map_err(Fault::Io)?;
            if !text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_whitespace()) {
                return Err(Fault::NotAPidFile);
            }
            file.set_len(0).map_err(Fault::Io)?;
            writeln!(file, "{}", std::process::id()).map_err(Fault::Io)?;
            let path = path.to_owned();
            return Ok(Self { path, file });
        }
        Err(Fault::Held { by: None })
    }

    /// Keeps it until no more clients are accepted.
    pub(crate) async fn until_closed(self, gauge: Gauge) {
        gauge.closed().await;
    }

    /// Keeps a further line in it for each session, so that whoever counts lines counts sessions,
    /// and whoever signals every process in it signals the one that serves them. Ends, and with it
    /// the file, when no more clients are accepted.
    pub(crate) async fn follow(self, gauge: Gauge) {
        let line = format!("{}\n", std::process::id());
        let mut lines = 1;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = gauge.closed() => return,
                _ = looks.tick() => {}
            }
            let wanted = 1 + gauge.sessions();
            // A file that cannot be written now is written later, or says less than there is.
            let written = match wanted.checked_sub(lines) {
                Some(0) => Ok(()),
                Some(more) => (&self.file).write_all(line.repeat(more).as_bytes()),
                None => self.file.set_len((wanted * line.len()) as u64),
            };
            if written.is_ok() {
                lines = wanted;
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if !is_at(&self.file, &self.path) || fs::remove_file(&self.path).is_err() {
            // Privileges were dropped and the directory is not ours, or it is outside of our root:
            // an empty file names nobody.
            let _ = self.file.set_len(0);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    // O_APPEND: what is written after the content was read begins at the end, which is 0 then.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = File::options()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o644)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

fn content(file: &mut File) -> io::Result<String> {
    let mut text = Vec::new();
    file.take(CONTENT_BYTES_MAX).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Whether `file` is what `path` names.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(named)) = (file.metadata(), fs::symlink_metadata(path)) else {
        return false;
    };
    (ours.dev(), ours.ino()) == (named.dev(), named.ino())
}

/// What went wrong and what to do, to stand behind the path.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { by: Some(pid) } => write!(
                f,
                "process {pid} runs with this pid file; stop it first, or name another file"
            ),
            Self::Held { by: None } => f.write_str(
                "another process runs with this pid file; stop it first, or name another file",
            ),
            Self::NotAPidFile => f.write_str(
                "the file holds something else than a process id; name another file, or remove it",
            ),
            Self::Io(error) => write!(f, "{error}; name a file that can be written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_process_id_while_it_lives() {
        let path = Path::of("lives");
        let ours = PidFile::take(&path.0).expect("a new file");
        let id = format!("{}\n", std::process::id());
        assert_eq!(fs::read_to_string(&path.0).expect("the file"), id);

        let fault = PidFile::take(&path.0).expect_err("it is locked");
        assert!(matches!(fault, Fault::Held { by: Some(pid) } if pid == std::process::id()));
        assert_eq!(fs::read_to_string(&path.0).expect("the file"), id, "it stays as it is");

        drop(ours);
        assert!(!path.0.exists());
    }

    #[test]
    fn what_a_crash_left_behind_is_taken_over() {
        let path = Path::of("crash");
        // Process 1 lives, but it does not hold the lock. The text is longer than ours may be.
        fs::write(&path.0, "0000000000000001\n").expect("a new file");
        let ours = PidFile::take(&path.0).expect("nobody holds it");
        let text = fs::read_to_string(&path.0).expect("the file");
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(ours);
    }

    #[test]
    fn a_file_with_several_process_ids_is_one_too() {
        let path = Path::of("several");
        fs::write(&path.0, "12\n13\n").expect("a new file");
        drop(PidFile::take(&path.0).expect("nobody holds it"));
        assert!(!path.0.exists());
    }

    #[test]
    fn a_file_that_is_no_pid_file_is_left_alone() {
        let path = Path::of("other");
        fs::write(&path.0, "bind = \":80\"\n").expect("a new file");
        assert!(matches!(PidFile::take(&path.0), Err(Fault::NotAPidFile)));
        assert_eq!(fs::read_to_string(&path.0).expect("the file"), "bind = \":80\"\n");
    }

    #[test]
    fn a_link_is_not_followed() {
        let (path, target) = (Path::of("link"), Path::of("target"));
        std::os::unix::fs::symlink(&target.0, &path.0).expect("a new link");
        assert!(matches!(PidFile::take(&path.0), Err(Fault::Io(_))));
        assert!(!target.0.exists());
    }

    #[test]
    fn a_file_that_is_no_longer_ours_is_not_removed() {
        let path = Path::of("replaced");
        let ours = PidFile::take(&path.0).expect("a new file");
        fs::remove_file(&path.0).expect("the file is ours");
        let theirs = PidFile::take(&path.0).expect("another file of that name");
        drop(ours);
        assert!(path.0.exists());
        drop(theirs);
        assert!(!path.0.exists());
    }

    /// A path of one test, removed at its end.
    struct Path(PathBuf);

    impl Path {
        fn of(name: &str) -> Self {
            let name = format!("replug-pidfile-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Path {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }
}
