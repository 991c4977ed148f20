//! Which mechanism moves the bytes of a direction.
//!
//! What speaks for a pipe is a run of large reads, against it a run of small ones.

use crate::socket::BULK_BYTES;
use crate::turn;

/// Reads in a row that must be bulk before a direction turns to a pipe, and moves in a row
/// that must be small before it turns back.
const RUN_LENGTH: u8 = 3;

/// Which mechanism moves the bytes, and what speaks for the other one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Through the buffer; `bulk` reads in a row were bulk.
    Copy { bulk: u8 },
    /// Through a pipe; `small` moves in a row were small.
    Splice { small: u8 },
    /// Through the buffer for good: switched off, or refused by a socket.
    CopyOnly,
}

impl Default for Pace {
    fn default() -> Self {
        Self::Copy { bulk: 0 }
    }
}

impl Pace {
    /// Lets the size of a read, of which no more than `limit` was wanted, speak for or against a
    /// pipe.
    pub(crate) fn note_read(&mut self, bytes: usize, limit: usize) {
        let is_bulk = bytes >= BULK_BYTES;
        if !is_bulk && bytes < limit && !matches!(self, Self::Splice { .. }) {
            turn::note_small();
        }
        *self = match (*self, is_bulk) {
            (Self::Copy { bulk }, true) if bulk + 1 == RUN_LENGTH => Self::Splice { small: 0 },
            (Self::Copy { bulk }, true) => Self::Copy { bulk: bulk + 1 },
            (Self::Copy { .. }, false) => Self::Copy { bulk: 0 },
            (Self::Splice { small }, false) if small + 1 == RUN_LENGTH => Self::Copy { bulk: 0 },
            (Self::Splice { small }, false) => Self::Splice { small: small + 1 },
            (Self::Splice { .. }, true) => Self::Splice { small: 0 },
            (Self::CopyOnly, _) => Self::CopyOnly,
        };
    }
}
