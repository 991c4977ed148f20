//! Names, whom they belong to, and what becomes of them when they cannot be had.

use super::*;
use crate::disk;
use crate::self_signed::self_signed;
use crate::testing::{DAY, NOW, at};
use model::acme::Directory;
use rig::Scratch;

/// A configuration of listeners whose certificates are ordered.
struct Ordered {
    scratch: Scratch,
}

impl Ordered {
    fn new() -> Self {
        let this = Self { scratch: Scratch::new() };
        let ca = self_signed(&["ca.example".to_owned()], NOW - DAY, NOW + DAY);
        std::fs::write(this.scratch.join("ca.pem"), ca.expect("random numbers").cert)
            .expect("a file");
        this
    }

    fn acme(&self, names: &[&str]) -> Spanned<Acme> {
        let mut acme = Acme::new(names.iter().map(|name| at(*name)).collect());
        acme.directory = Directory::Url("https://ca.example/dir".to_owned());
        acme.ca = vec![at(self.scratch.join("ca.pem"))];
        acme.store = at(self.scratch.join("store"));
        Spanned::default_of(acme)
    }

    #[track_caller]
    fn add(&self, sites: &mut Sites, before: &Sites, acme: &Spanned<Acme>) -> Vec<Arc<Site>> {
        let mut faults = Vec::new();
        let environment = &|_: &str| Some("not Base64".to_owned());
        let around = Surroundings { disk: &disk::read, environment, now: NOW };
        let found = sites.add(acme, before, around, &mut faults);
        assert_eq!(faults, []);
        found
    }

    /// Puts a certificate for `name` there that is valid from `from` to `until`.
    fn keep(&self, site: &Site, from: i64, until: i64) {
        let made = self_signed(&[site.name().to_owned()], from, until).expect("random numbers");
        let store = &site.issuer.store;
        store.make().expect("a folder");
        store.keep_certificate(site.name(), &(made.key + &made.cert)).expect("a file");
    }
}

#[test]
fn listeners_share_names_and_reloads_keep_them() {
    let ordered = Ordered::new();
    let mut first = Sites::default();
    let none = Sites::default();
    let one = ordered.add(&mut first, &none, &ordered.acme(&["a.example", "b.example"]));
    let two = ordered.add(&mut first, &none, &ordered.acme(&["b.example", "c.example"]));
    assert!(Arc::ptr_eq(&one[1], &two[0]));
    assert!(Arc::ptr_eq(one[0].issuer(), two[1].issuer()));
    let names =
        |sites: &Sites| sites.all().iter().map(|site| site.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&first), ["a.example", "b.example", "c.example"]);
    let mut next = Sites::default();
    let kept = ordered.add(&mut next, &first, &ordered.acme(&["c.example", "d.example"]));
    assert!(Arc::ptr_eq(&kept[0], &two[1]));
    assert_eq!(names(&next), ["c.example", "d.example"]);
    // Who says something else is somebody else.
    let mut other = ordered.acme(&["c.example"]);
    other.value.contacts = vec!["ops@example.org".to_owned()];
    let kept = ordered.add(&mut next, &first, &other);
    assert!(!Arc::ptr_eq(&kept[0], &two[1]));
    // So is one whose authority is another.
    let ca = self_signed(&["other.example".to_owned()], NOW - DAY, NOW + DAY).expect("chance");
    std::fs::write(ordered.scratch.join("ca.pem"), ca.cert).expect("a file");
    let kept = ordered.add(&mut Sites::default(), &first, &ordered.acme(&["c.example"]));
    assert!(!Arc::ptr_eq(&kept[0], &two[1]));
}

#[test]
fn what_is_kept_is_taken_up() {
    let ordered = Ordered::new();
    let acme = ordered.acme(&["a.example"]);
    let site = &ordered.add(&mut Sites::default(), &Sites::default(), &acme)[0];
    assert_eq!((site.valid_until(), site.certified().is_none()), (None, true));
    assert!(site.due(NOW) <= NOW);
    ordered.keep(site, NOW - DAY, NOW + 89 * DAY);
    assert!(site.take_up(NOW));
    assert!(!site.take_up(NOW), "it has it");
    assert_eq!(site.valid_until(), Some(NOW + 89 * DAY));
    let due = site.due(NOW);
    assert!((NOW + 56 * DAY..=NOW + 59 * DAY).contains(&due), "{}", due - NOW);
    // An older one is none that another process has just ordered.
    ordered.keep(site, NOW - DAY, NOW + DAY);
    assert!(!site.take_up(NOW));
    // A start finds what is there.
    let again = &ordered.add(&mut Sites::default(), &Sites::default(), &acme)[0];
    assert_eq!(again.valid_until(), Some(NOW + DAY));
}

#[test]
fn who_has_to_wait_for_what() {
    let ordered = Ordered::new();
    let acme = ordered.acme(&["a.example", "b.example"]);
    let sites = ordered.add(&mut Sites::default(), &Sites::default(), &acme);
    let [one, other] = [&sites[0], &sites[1]];
    let due = |site: &Site| site.due(NOW).saturating_sub(NOW).max(0);
    let note = |site: &Site, result: Result<(), Refused>| site.note(&result, NOW, 0);
    note(one, Err(Refused::Name("no".to_owned())));
    assert_eq!((due(one), due(other)), (300, 0));
    note(one, Err(Refused::TooOften("no".to_owned())));
    assert_eq!((due(one), due(other)), (3_600, 0));
    note(other, Err(Refused::Busy));
    assert_eq!((due(one), due(other)), (3_600, 60));
    note(other, Err(Refused::Everything("no".to_owned())));
    assert_eq!((due(one), due(other)), (3_600, 300));
    note(other, Err(Refused::Everything("no".to_owned())));
    assert_eq!((due(one), due(other)), (3_600, 600));
    // The next process knows, except who was busy.
    let again = ordered.add(&mut Sites::default(), &Sites::default(), &acme);
    assert_eq!((due(&again[0]), due(&again[1])), (3_600, 600));
    other.forgive();
    one.forgive();
    assert_eq!((due(one), due(other)), (0, 0));
    note(other, Ok(()));
    note(one, Ok(()));
    let again = ordered.add(&mut Sites::default(), &Sites::default(), &acme);
    assert_eq!((due(&again[0]), due(&again[1])), (0, 0));
}

#[test]
fn a_key_that_is_none_is_told() {
    let ordered = Ordered::new();
    let mut acme = ordered.acme(&["a.example"]);
    let key = model::Secret::Text("not Base64".to_owned());
    acme.value.external_account =
        Some(model::acme::ExternalAccount { id: "kid".to_owned(), key: Spanned::default_of(key) });
    let mut faults = Vec::new();
    let around = Surroundings { disk: &disk::read, environment: &|_| None, now: NOW };
    let found = Sites::default().add(&acme, &Sites::default(), around, &mut faults);
    assert!(found.is_empty());
    assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), [Code::Certificate]);
}
