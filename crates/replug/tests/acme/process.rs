//! What is left to order with, behind `--user` and `--chroot`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::authority::Authority;
use crate::{Site, expect_verified, listener};

const AGREED: &str = ", agree_to_terms = true";

#[test]
fn another_user_keeps_what_it_is_given() {
    assert!(rustix::process::geteuid().is_root(), "run this test as root: --user needs it");
    let authority = Authority::start();
    let all = fs::Permissions::from_mode(0o711);
    fs::set_permissions(authority.path(""), all).expect("it is ours");
    let tls = listener(&authority, &authority.acme(&["a.example.test"], AGREED));
    let site = Site::start_with(&authority, &tls, 1, &["--user", "nobody"]);
    site.expect_certificate("a.example.test");
    let path = format!("{}/a.example.test.pem", authority.folder());
    let owner = fs::metadata(path).expect("it is kept").uid();
    assert_ne!(owner, 0);
    assert_eq!(fs::metadata(authority.store()).expect("it was made").uid(), owner);
}

#[test]
fn behind_chroot_all_goes_on() {
    assert!(rustix::process::geteuid().is_root(), "run this test as root: --chroot needs it");
    let authority = Authority::start();
    let all = fs::Permissions::from_mode(0o711);
    fs::set_permissions(authority.path(""), all).expect("it is ours");
    let tls = listener(&authority, &authority.acme(&["a.example.test"], AGREED));
    let jail = authority.path("");
    let words = ["--chroot", jail.trim_end_matches('/'), "--user", "nobody"];
    let site = Site::start_with(&authority, &tls, 1, &words);
    site.expect_certificate("a.example.test");
    expect_verified(authority.proof(), "a.example.test", &authority.root());
    assert!(authority.kept().contains(&"a.example.test.pem".to_owned()));
}
