//! Files that are read again while what was read from them is in use.

use std::cell::RefCell;
use std::path::Path;

use ::aws_lc_rs::digest::{Context, SHA256};
use model::Diagnostic;

use crate::server::Surroundings;

/// What has come of reading files again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// They hold what they held.
    Same,
    /// Handshakes go by them from now on; with what there is to warn of.
    Renewed(Vec<Diagnostic>),
    /// They cannot be used, and all is as it was.
    Refused(Vec<Diagnostic>),
}

/// SHA-256 of files that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Does `work`, and says what was read for it.
    pub(crate) fn of<T>(
        around: Surroundings<'_>,
        work: impl FnOnce(Surroundings<'_>) -> T,
    ) -> (T, Self) {
        let digest = RefCell::new(Context::new(&SHA256));
        let disk = |path: &Path| {
            let content = (around.disk)(path)?;
            let mut digest = digest.borrow_mut();
            digest.update(&content.bytes.len().to_be_bytes());
            digest.update(&content.bytes);
            Ok(content)
        };
        let done = work(Surroundings { disk: &disk, ..around });
        let mut bytes = [0; 32];
        // SHA-256 has 32 bytes.
        bytes.copy_from_slice(digest.into_inner().finish().as_ref());
        (done, Self(bytes))
    }
}
