//! What holds for every program that is run: how one begins (`start`) and ends (`end`), when the next
//! may begin (`pace`), and what becomes of what it says to nobody (`complaints`).

pub(crate) mod complaints;
pub(crate) mod end;
mod pace;
pub(crate) mod start;

use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use pace::{Life, Pace};

/// What a program is told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Orders {
    pub(crate) course: Course,
    /// Grows with each time that what has failed is to be tried again.
    pub(crate) again: u64,
}

impl Orders {
    /// The course that holds now; an order given by nobody is one to end. `again` is what was heard
    /// last: where it has grown, `pace` begins anew.
    pub(crate) fn heed(
        orders: &mut watch::Receiver<Self>,
        again: &mut u64,
        pace: &mut Pace,
        now: Instant,
    ) -> Course {
        let Ok(_) = orders.has_changed() else { return Course::End };
        let ordered = *orders.borrow_and_update();
        if ordered.again != *again {
            *again = ordered.again;
            pace.reset(now);
        }
        ordered.course
    }
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

impl Course {
    /// Whether one that has had nothing to do for its grace, or not, ends now.
    pub(crate) fn is_over(self, has_rested: bool) -> bool {
        match self {
            Self::Serve => false,
            Self::Retire => has_rested,
            Self::End => true,
        }
    }
}
