//! Any text is a duration or is refused; what is shown reads back.

use model::unit::{self, DURATION_MAX};

/// Reads `data` as a duration.
pub(crate) fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(duration) = unit::duration(text) {
        assert!(duration <= DURATION_MAX);
        assert_eq!(unit::duration(&unit::show(duration)), Ok(duration));
    }
}
