//! Files that are looked at for changes.
//!
//! Once a second the files' times, sizes and numbers are read. A change is told when they have
//! been the same twice in a row: whoever writes a file is given time to finish.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often to look.
const PERIOD: Duration = Duration::from_secs(1);

/// Files, and what they looked like.
#[derive(Debug)]
pub(crate) struct Watch {
    /// `None`: nothing is looked at.
    ticks: Option<Interval>,
    /// What is known already.
    known: Looks,
    /// What was seen last, if it was not what is known.
    last: Option<Looks>,
}

/// What files look like: changed, size, number; `None` for one that cannot be looked at.
type Looks = BTreeMap<PathBuf, Option<(i64, i64, u64, u64)>>;

impl Watch {
    /// Looks at `paths`, on the runtime this is called in. Without paths it never sees a change;
    /// with some it sees one soon, since nobody knows what they looked like when they were read.
    pub(crate) fn new(paths: &[PathBuf]) -> Self {
        let ticks = (!paths.is_empty()).then(|| {
            let mut ticks = interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self { ticks, known: paths.iter().map(|path| (path.clone(), None)).collect(), last: None }
    }

    /// Resolves when something has changed. Loses nothing when it is dropped before.
    pub(crate) async fn changed(&mut self) {
        loop {
            match &mut self.ticks {
                Some(ticks) => drop(ticks.tick().await),
                None => std::future::pending().await,
            }
            let now = look(self.known.keys());
            if self.is_settled(now) {
                return;
            }
        }
    }

    /// Takes what is there now for known. To be called before it is read, so that no later
    /// change is missed.
    pub(crate) fn take_note(&mut self) {
        self.known = look(self.known.keys());
        self.last = None;
    }

    /// Looks at these from now on.
    pub(crate) fn follow(&mut self, paths: &[PathBuf]) {
        if self.ticks.is_some() {
            let mut known = std::mem::take(&mut self.known);
            let kept = |path: &PathBuf| {
                let looks = known.remove(path).unwrap_or_else(|| look_at(path));
                (path.clone(), looks)
            };
            self.known = paths.iter().map(kept).collect();
        }
    }

    fn is_settled(&mut self, now: Looks) -> bool {
        if now == self.known {
            self.last = None;
            return false;
        }
        let is_settled = self.last.as_ref() == Some(&now);
        self.last = Some(now);
        is_settled
    }
}

fn look<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Looks {
    paths.map(|path| (path.clone(), look_at(path))).collect()
}

fn look_at(path: &PathBuf) -> Option<(i64, i64, u64, u64)> {
    let looks = std::fs::metadata(path).ok()?;
    Some((looks.mtime(), looks.mtime_nsec(), looks.size(), looks.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(size: u64) -> Looks {
        [(PathBuf::from("a"), Some((1, 0, size, 7)))].into()
    }

    #[test]
    fn a_change_is_told_once_it_has_settled() {
        let mut watch = Watch { ticks: None, known: looks(1), last: None };
        assert!(!watch.is_settled(looks(1)));
        assert!(!watch.is_settled(looks(2)), "just changed");
        assert!(!watch.is_settled(looks(3)), "still being written");
        assert!(watch.is_settled(looks(3)));
        watch.known = looks(3);
        watch.last = None;
        assert!(!watch.is_settled(looks(3)));
    }

    #[test]
    fn a_file_that_was_taken_back_has_not_changed() {
        let mut watch = Watch { ticks: None, known: looks(1), last: None };
        assert!(!watch.is_settled(looks(2)));
        assert!(!watch.is_settled(looks(1)));
        assert!(!watch.is_settled(looks(2)));
    }
}
