//! Bytes that are made to come late, to see what slow networks do.

use std::time::Duration;

use crate::unit::bytes::ByteSize;

/// Pauses before bytes are passed on: each a random time up to twice the mean, which is given for
/// each direction; `None`: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// From clients to backends; at most [`Delay::MAX`].
    pub to_backend: Option<Duration>,
    /// From backends to clients; at most [`Delay::MAX`].
    pub to_client: Option<Duration>,
    /// Bytes that pass between two pauses, at most.
    pub chunk: ByteSize,
}

impl Delay {
    /// The longest mean.
    pub const MAX: Duration = Duration::from_secs(3600);
    /// Bytes that pass between two pauses, unless told: 8 KiB.
    pub const CHUNK: u32 = 8 * 1024;
}

impl Default for Delay {
    fn default() -> Self {
        let chunk = ByteSize::new(Self::CHUNK).expect("8 KiB are within the bounds");
        Self { to_backend: None, to_client: None, chunk }
    }
}
