//! The folder where an account is kept with all that comes of it.
//!
//! Each authority has a folder of its own in it, by its URL. There are:
//!
//! - `_account.json`: the account with its key;
//! - `NAME.pem`: the key of a name, and behind it its certificate with those that lead to its
//!   authority: what `cert` of a listener takes;
//! - `NAME.failed`, and `_account.failed`: how often in a row there was none, and when to try again;
//! - `_lock`, locked by the process that orders.
//!
//! Files are for their owner alone, and are there whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use model::Spanned;
use rustix::fs::{Access, access};

use super::Held;
use super::schedule::Failed;
use crate::disk;
use crate::identity::{Files, Identity};
use crate::x509::Name;

/// Longest name of the folder of an authority, in bytes.
const FOLDER_BYTES_MAX: usize = 200;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Store {
    /// What was configured.
    configured: PathBuf,
    /// What it is called since the root of the file system has changed.
    inside: OnceLock<PathBuf>,
    /// The folder of the authority in it.
    own: String,
}

impl Store {
    pub(super) fn new(folder: &Path, directory: &str) -> Self {
        let plain = directory.strip_prefix("https://").unwrap_or(directory);
        let legal = |byte: char| byte.is_ascii_alphanumeric() || matches!(byte, '.' | '-');
        let own = plain.chars().map(|one| if legal(one) { one } else { '_' });
        let own = own.take(FOLDER_BYTES_MAX).collect::<String>();
        // A host does not begin with a dot, and so neither does this.
        let own = own.trim_start_matches('.').to_owned();
        Self { configured: folder.to_owned(), inside: OnceLock::new(), own }
    }

    /// From now on it is called so.
    pub(super) fn is_now_at(&self, folder: &Path) {
        // Whoever has changed the root once does not do it again.
        let _ = self.inside.set(folder.to_owned());
    }

    fn folder(&self) -> PathBuf {
        self.inside.get().unwrap_or(&self.configured).join(&self.own)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Whether this process can write there, or could make the folder; changes nothing.
    ///
    /// # Errors
    /// At which folder it cannot, and why.
    pub(super) fn check(&self) -> Result<(), (PathBuf, io::Error)> {
        let whole = self.folder();
        for folder in whole.ancestors() {
            let folder = if folder == Path::new("") { Path::new(".") } else { folder };
            let told = |error: io::Error| Err((folder.to_owned(), error));
            match fs::metadata(folder) {
                Ok(found) if !found.is_dir() => {
                    return told(io::ErrorKind::NotADirectory.into());
                }
                Ok(_) => {
                    let right = Access::WRITE_OK | Access::EXEC_OK | Access::READ_OK;
                    return access(folder, right).or_else(|errno| told(errno.into()));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return told(error),
            }
        }
        Ok(())
    }

    /// Makes the folders that are not there.
    pub(super) fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.folder())
    }

    /// Makes those that are not there, and gives them to somebody else, with all that the authority
    /// has given. Others belong to whom they did.
    pub(super) fn make_for(&self, user: u32, group: u32) -> io::Result<()> {
        let own = self.folder();
        let give = |path: &Path| chown(path, Some(user), Some(group));
        let is_there = |folder: &&Path| *folder == Path::new("") || folder.exists();
        let new: Vec<_> = own.ancestors().take_while(|folder| !is_there(folder)).collect();
        self.make()?;
        new.into_iter().try_for_each(give)?;
        give(&own)?;
        for file in fs::read_dir(&own)? {
            let file = file?;
            // A link would have something else given away.
            if file.file_type()?.is_file() {
                give(&file.path())?;
            }
        }
        Ok(())
    }

    /// Locks it for as long as the answer is kept. `None`: another process has it.
    pub(super) fn lock(&self) -> io::Result<Option<File>> {
        self.make()?;
        let path = self.path("_lock");
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The certificate that is kept for `name`, if there is one that can be used.
    pub(super) fn certificate(&self, name: &str, now: i64) -> Option<Held> {
        let path = self.path(&format!("{name}.pem")).display().to_string();
        identity(path, name, now).map(Held::of)
    }

    /// Keeps a certificate for `name`: PEM of its key, and of the chain.
    pub(super) fn keep_certificate(&self, name: &str, pem: &str) -> io::Result<()> {
        self.write(&format!("{name}.pem"), pem.as_bytes())
    }

    /// The account that is kept.
    pub(super) fn account(&self) -> Option<Vec<u8>> {
        fs::read(self.path("_account.json")).ok()
    }

    /// Keeps the account.
    pub(super) fn keep_account(&self, json: &[u8]) -> io::Result<()> {
        self.write("_account.json", json)
    }

    /// The account is none any more.
    pub(super) fn forget_account(&self) -> io::Result<()> {
        remove(&self.path("_account.json"))
    }

    /// What went wrong last, for `name` or for all.
    pub(super) fn failed(&self, name: Option<&str>) -> Option<Failed> {
        let text = fs::read_to_string(self.path(&failures(name))).ok()?;
        let (times, next) = text.trim_end().split_once(' ')?;
        Some(Failed { times: times.parse().ok()?, next: next.parse().ok()? })
    }

    /// Takes note of what went wrong.
    pub(super) fn note(&self, name: Option<&str>, failed: Option<Failed>) -> io::Result<()> {
        let file = failures(name);
        match failed {
            Some(Failed { times, next }) => {
                self.make()?;
                self.write(&file, format!("{times} {next}\n").as_bytes())
            }
            None => remove(&self.path(&file)),
        }
    }

    /// Puts a file there, whole.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(name);
        // No name of a host begins so.
        let new = self.path(&format!("_new.{}.{name}", std::process::id()));
        let written = write_new(&new, bytes).and_then(|()| fs::rename(&new, &path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
            return written;
        }
        File::open(self.folder())?.sync_all()
    }
}

fn failures(name: Option<&str>) -> String {
    format!("{}.failed", name.unwrap_or("_account"))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What is left of one that died has other bytes, and perhaps another mode.
    remove(path)?;
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The certificate and key in a file, if they are for `name`.
fn identity(path: String, name: &str, now: i64) -> Option<Identity> {
    let cert = Spanned::default_of(path);
    let files = Files { cert: &cert, key: None, passphrase: None, ocsp: None, names: &[] };
    // Whatever is wrong with it, another one is ordered.
    let found = Identity::load(files, &disk::read, now, &mut Vec::new())?;
    let is_for = found.facts.names.iter().any(|known| *known == Name::Host(name.to_owned()));
    is_for.then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::self_signed::self_signed;
    use crate::testing::{DAY, NOW};
    use rig::Scratch;
    use std::os::unix::fs::PermissionsExt as _;

    const DIRECTORY: &str = "https://localhost:14000/dir";

    fn pem(name: &str) -> String {
        let made = self_signed(&[name.to_owned()], NOW - DAY, NOW + DAY).expect("random numbers");
        made.key + &made.cert
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn what_is_kept_is_there_again() {
        let scratch = Scratch::new();
        let folder = PathBuf::from(scratch.join("a/b"));
        let store = Store::new(&folder, DIRECTORY);
        store.check().expect("it could be made");
        assert!(!folder.exists(), "a check changes nothing");
        assert!(store.certificate("a.example", NOW).is_none());
        assert_eq!(store.account(), None);
        store.make().expect("it can be made");
        store.keep_certificate("a.example", &pem("a.example")).expect("it can be written");
        let held = store.certificate("a.example", NOW).expect("it is there");
        assert_eq!((held.term.from, held.term.until), (NOW - DAY, NOW + DAY));
        assert!(store.certificate("b.example", NOW).is_none());
        store.keep_account(b"{}").expect("it can be written");
        assert_eq!(store.account().as_deref(), Some(&b"{}"[..]));
        store.forget_account().expect("it can be removed");
        store.forget_account().expect("once is enough");
        assert_eq!(store.account(), None);
        let own = folder.join("localhost_14000_dir");
        assert_eq!((mode(&folder), mode(&own)), (0o700, 0o700));
        assert_eq!(mode(&own.join("a.example.pem")), 0o600);
        let names =
            fs::read_dir(&own).expect("a folder").map(|file| file.expect("one").file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["a.example.pem"]);
    }

    #[test]
    fn what_cannot_be_used_is_none() {
        let scratch = Scratch::new();
        let store = Store::new(Path::new(&scratch.join("store")), DIRECTORY);
        store.make().expect("it can be made");
        for (name, text) in [
            ("a.example", pem("b.example")),
            ("a.example", "nothing".to_owned()),
            ("a.example", String::new()),
        ] {
            store.keep_certificate(name, &text).expect("it can be written");
            assert!(store.certificate(name, NOW).is_none(), "{text}");
        }
    }

    #[test]
    fn failures_outlive_the_process() {
        let scratch = Scratch::new();
        let folder = scratch.join("store");
        let store = Store::new(Path::new(&folder), DIRECTORY);
        let failed = Failed { times: 3, next: NOW + 7 };
        for name in [Some("a.example"), None] {
            assert_eq!(store.failed(name), None);
            store.note(name, Some(failed)).expect("it can be written");
            let next = Store::new(Path::new(&folder), DIRECTORY);
            assert_eq!(next.failed(name), Some(failed));
            assert_eq!(next.failed(Some("b.example")), None);
            store.note(name, None).expect("it can be removed");
            assert_eq!(next.failed(name), None);
        }
        // Another authority knows nothing of it.
        store.note(None, Some(failed)).expect("it can be written");
        assert_eq!(Store::new(Path::new(&folder), "https://other/").failed(None), None);
    }

    #[test]
    fn one_process_orders() {
        let scratch = Scratch::new();
        let store = Store::new(Path::new(&scratch.join("store")), DIRECTORY);
        let first = store.lock().expect("a file").expect("it is free");
        assert!(store.lock().expect("a file").is_none());
        drop(first);
        assert!(store.lock().expect("a file").is_some());
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_told() {
        let scratch = Scratch::new();
        let file = scratch.join("file");
        fs::write(&file, "").expect("a file");
        for folder in [file.clone(), format!("{file}/below")] {
            let (_, error) = Store::new(Path::new(&folder), DIRECTORY).check().expect_err("a file");
            assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
        }
    }

    #[test]
    fn authorities_have_folders_of_their_own() {
        let own = |directory: &str| Store::new(Path::new("/s"), directory).folder();
        assert_eq!(own("https://ca.example/a?b/../c"), Path::new("/s/ca.example_a_b_.._c"));
        assert_eq!(own("https://../x"), Path::new("/s/_x"));
        let long = own(&format!("https://ca.example/{}", "x".repeat(900)));
        assert_eq!(long.file_name().map(std::ffi::OsStr::len), Some(FOLDER_BYTES_MAX));
        let moved = Store::new(Path::new("/s"), DIRECTORY);
        moved.is_now_at(Path::new("/inside"));
        assert_eq!(moved.folder(), Path::new("/inside/localhost_14000_dir"));
    }
}
