//! A network of its own (network_namespaces(7)): interfaces, addresses, ports and settings that
//! nobody else has. Only root can make one.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Removed when it is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one in which loopback works and nothing else.
    ///
    /// # Panics
    /// When this process may not: run the test as root.
    #[track_caller]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        assert!(rustix::process::geteuid().is_root(), "a network of its own needs root");
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let namespace = Self { name: format!("replug-test-{}-{next}", process::id()) };
        ip(&format!("netns add {}", namespace.name));
        namespace.ip("link set lo up");
        namespace
    }

    /// What other namespaces call it, as for `ip link set ... netns NAME`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` inside.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ip(&self, words: &str) {
        ip(&format!("-n {} {words}", self.name));
    }

    /// Runs `work` on a thread inside. The processes that it starts are inside as well.
    ///
    /// # Panics
    /// When it does.
    #[track_caller]
    pub fn inside<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let path = format!("/run/netns/{}", self.name);
                let namespace = File::open(path).expect("ip has made it");
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may enter it");
                work()
            });
            inside.join().expect("the work inside is done")
        })
    }

    /// Changes a setting below `/proc/sys/net` for this namespace alone.
    ///
    /// # Panics
    /// When there is no such setting.
    #[track_caller]
    pub fn set(&self, setting: &str, value: &str) {
        self.inside(|| {
            // The files show what the thread sees that opens them.
            let path = format!("/proc/sys/net/{setting}");
            fs::write(&path, value).expect("root may change a setting");
        });
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let removed = Command::new("ip").args(["netns", "delete", &self.name]).status();
        if !thread::panicking() {
            assert!(removed.is_ok_and(|status| status.success()), "{} stays behind", self.name);
        }
    }
}

#[track_caller]
fn ip(words: &str) {
    let status = Command::new("ip").args(words.split_whitespace()).status();
    let status = status.expect("ip is there (package iproute2)");
    assert!(status.success(), "ip {words}: {status}");
}
