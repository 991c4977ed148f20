//! Stands for the orders where replug is built without ACME. Configurations that have any are
//! refused before.

use super::{Lookup, Refused, Site};

/// Whether certificates can be ordered.
pub const IS_BUILT: bool = false;

/// Refuses.
#[expect(clippy::unused_async, reason = "as where it is built")]
pub(super) async fn order(_: &Site, _: Lookup, _: i64) -> Result<(), Refused> {
    Err(Refused::Everything("this replug was built without ACME".to_owned()))
}

#[cfg(test)]
mod tests {
    use crate::acme::Sites;
    use crate::disk;
    use crate::server::Surroundings;
    use crate::testing::{NOW, at};
    use model::{Acme, Code, Spanned};

    #[test]
    fn it_is_told_that_it_is_not_built() {
        let acme = Spanned::default_of(Acme::new(vec![at("a.example")]));
        let mut faults = Vec::new();
        let around = Surroundings { disk: &disk::read, environment: &|_| None, now: NOW };
        let found = Sites::default().add(&acme, &Sites::default(), around, &mut faults);
        assert!(found.is_empty());
        assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), [Code::NotBuilt]);
    }
}
