//! Files of certificates and keys, read whole.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Largest file that is read, in bytes. A list of revoked certificates can be long.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// What a file holds, and who may read it.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether anybody on this machine may read it.
    pub is_public: bool,
}

/// Keys are among them.
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// Gives what the file at a path holds.
pub type Disk<'a> = &'a dyn Fn(&Path) -> io::Result<Content>;

/// Reads the file at `path`.
///
/// # Errors
/// Those of the file system, and a file that is larger than [`FILE_BYTES_MAX`].
pub fn read(path: &Path) -> io::Result<Content> {
    let file = File::open(path)?;
    let looks = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 64 MiB"));
    }
    let is_public = looks.is_file() && looks.permissions().mode() & 0o004 != 0;
    Ok(Content { bytes, is_public })
}
