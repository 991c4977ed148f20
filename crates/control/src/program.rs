//! What holds for every program that is run: how one begins (`start`) and ends (`end`), when the next
//! may begin (`pace`), and what becomes of what it says to nobody (`complaints`).

pub(crate) mod complaints;
pub(crate) mod end;
mod pace;
pub(crate) mod start;

pub(crate) use pace::{Life, Pace};

/// What a program is told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Orders {
    pub(crate) course: Course,
    /// Grows with each time that what has failed is to be tried again.
    pub(crate) again: u64,
}

/// What becomes of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Course {
    /// It is asked.
    #[default]
    Serve,
    /// It ends once nobody asks any more.
    Retire,
    /// It ends now.
    End,
}
