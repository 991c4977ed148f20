//! `--user NAME[:GROUP]` or `--user #ID`: go on as somebody else, for good.
//!
//! A process starts as root only to listen on low ports and to write its pid
//! file. Ids belong to threads in the kernel; the calls here are libc's, which
//! change every thread of the process. That there is no way back is tried, not
//! assumed.
//!
//! One right may be kept (capabilities(7)): that to sockets with addresses of others, which a
//! configuration asks for again with each connection or reload. Capabilities belong to threads,
//! and those that are started later inherit them: there must be no other yet.

use std::ffi::CString;
use std::fmt;

use model::Config;
use nix::errno::Errno;
use nix::unistd::{self, Gid, Group, Uid, User};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities,
};

/// Somebody of the user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    user: Uid,
    group: Gid,
    /// All groups, looked up at once: behind `--chroot` there is no group database.
    groups: Vec<Gid>,
}

/// What root leaves to whom it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// Nothing.
    Nothing,
    /// Sockets with addresses that are not this machine's (`IP_TRANSPARENT`, ip(7)), as far as root
    /// has the right itself.
    TransparentSockets,
}

impl Leaves {
    /// What sessions and reloads of `config` will need.
    pub(crate) fn needed_by(config: &Config) -> Self {
        match config.needs_transparent_sockets() {
            true => Self::TransparentSockets,
            false => Self::Nothing,
        }
    }

    /// The least that will do of what there is.
    fn of(self, permitted: CapabilitySet) -> CapabilitySet {
        let enough = [CapabilitySet::NET_RAW, CapabilitySet::NET_ADMIN];
        match self {
            Self::Nothing => CapabilitySet::empty(),
            Self::TransparentSockets => {
                let kept = enough.into_iter().find(|one| permitted.contains(*one));
                kept.unwrap_or(CapabilitySet::empty())
            }
        }
    }
}

/// Why a process cannot go on as somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The user database has no such user.
    NoUser(String),
    /// The group database has no such group.
    NoGroup(String),
    /// A database could not be read.
    Database(Errno),
    /// Only root may become somebody else.
    NotRoot,
    /// The system refuses this call.
    Refused(&'static str, Errno),
    /// Root's privileges could be had back.
    NotForGood,
}

impl Identity {
    /// Looks up `NAME[:GROUP]`, or `#ID[:GROUP]` for the user with that number. Without a group it
    /// is the user's own.
    ///
    /// # Errors
    /// When there is no such user or group.
    pub(crate) fn find(text: &str) -> Result<Self, Fault> {
        let (name, group) = match text.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (text, None),
        };
        let no_user = || Fault::NoUser(name.to_owned());
        let user = match name.strip_prefix('#') {
            Some(id) => {
                let id = id.parse().map_err(|_| no_user())?;
                User::from_uid(Uid::from_raw(id))
            }
            None => User::from_name(name),
        };
        let user = user.map_err(Fault::Database)?.ok_or_else(no_user)?;
        let group = match group {
            Some(group) => {
                Group::from_name(group)
                    .map_err(Fault::Database)?
                    .ok_or_else(|| Fault::NoGroup(group.to_owned()))?
                    .gid
            }
            None => user.gid,
        };
        let name = CString::new(user.name).map_err(|_| no_user())?;
        let groups = unistd::getgrouplist(&name, group).map_err(Fault::Database)?;
        Ok(Self { user: user.uid, group, groups })
    }

    /// User and group as numbers.
    pub(crate) fn ids(&self) -> (u32, u32) {
        (self.user.as_raw(), self.group.as_raw())
    }

    /// Whether this process is root or is this identity already: else it can never become it.
    ///
    /// # Errors
    /// [`Fault::NotRoot`].
    pub(crate) fn check(&self) -> Result<(), Fault> {
        match unistd::geteuid().is_root() || self.is_ours() {
            true => Ok(()),
            false => Err(Fault::NotRoot),
        }
    }

    /// Becomes this identity, with its supplementary groups, for good.
    ///
    /// # Errors
    /// When the process may not, or could go back. It must end then: it may be half changed.
    pub(crate) fn assume(&self, leaves: Leaves) -> Result<(), Fault> {
        self.check()?;
        if !unistd::geteuid().is_root() {
            return Ok(());
        }
        // The user last: it takes the right to do the other two.
        unistd::setgroups(&self.groups).map_err(refused("setgroups"))?;
        unistd::setgid(self.group).map_err(refused("setgid"))?;
        let kept = match self.user.is_root() {
            true => CapabilitySet::empty(),
            false => leaves.of(rights()?),
        };
        if !kept.is_empty() {
            set_keep_capabilities(true).map_err(no_rights("prctl"))?;
        }
        unistd::setuid(self.user).map_err(refused("setuid"))?;
        if !kept.is_empty() {
            let inheritable = CapabilitySet::empty();
            let sets = CapabilitySets { effective: kept, permitted: kept, inheritable };
            set_capabilities(None, sets).map_err(no_rights("capset"))?;
            set_keep_capabilities(false).map_err(no_rights("prctl"))?;
        }
        match self.user.is_root() || unistd::setuid(Uid::from_raw(0)).is_err() {
            true => Ok(()),
            false => Err(Fault::NotForGood),
        }
    }

    fn is_ours(&self) -> bool {
        unistd::geteuid() == self.user && unistd::getegid() == self.group
    }
}

/// What this process may at the most.
fn rights() -> Result<CapabilitySet, Fault> {
    Ok(capabilities(None).map_err(no_rights("capget"))?.permitted)
}

fn no_rights(call: &'static str) -> impl Fn(rustix::io::Errno) -> Fault {
    move |errno| Fault::Refused(call, Errno::from_raw(errno.raw_os_error()))
}

fn refused(call: &'static str) -> impl Fn(Errno) -> Fault {
    move |errno| Fault::Refused(call, errno)
}

/// What is wrong and what to do, for people.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUser(name) => {
                write!(f, "there is no user {name:?}; `getent passwd` lists those there are")
            }
            Self::NoGroup(name) => {
                write!(f, "there is no group {name:?}; `getent group` lists those there are")
            }
            Self::Database(errno) => {
                write!(f, "the user database cannot be read: {}", errno.desc())
            }
            Self::NotRoot => f.write_str(
                "only root can become another user; start replug as root, or as that user \
                 without --user",
            ),
            Self::Refused(call, errno) => write!(
                f,
                "{call} is refused ({}); replug needs CAP_SETUID and CAP_SETGID for --user",
                errno.desc()
            ),
            Self::NotForGood => f.write_str(
                "root's privileges could be taken back afterwards; replug does not go on so",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities() {
        let root = Identity::find("root").expect("every system has root");
        assert_eq!(root.ids(), (0, 0));
        assert!(root.groups.contains(&root.group), "{root:?}");
        assert_eq!(Identity::find("root:root").as_ref(), Ok(&root));
        assert_eq!(Identity::find("#0"), Ok(root));
        for none in ["#4242424", "#", "#-1", "#root"] {
            assert_eq!(Identity::find(none), Err(Fault::NoUser(none.to_owned())));
        }
        let nobody = "no-such-user-anywhere";
        assert_eq!(Identity::find(nobody), Err(Fault::NoUser(nobody.to_owned())));
        assert_eq!(Identity::find("root:"), Err(Fault::NoGroup(String::new())));
        assert_eq!(Identity::find(""), Err(Fault::NoUser(String::new())));
        assert_eq!(Identity::find("root\0"), Err(Fault::NoUser("root\0".to_owned())));
    }

    #[test]
    fn the_least_right_that_will_do_is_left() {
        let (raw, admin) = (CapabilitySet::NET_RAW, CapabilitySet::NET_ADMIN);
        let (none, all) = (CapabilitySet::empty(), CapabilitySet::all());
        for (permitted, left) in [(all, raw), (raw, raw), (admin, admin), (none, none)] {
            assert_eq!(Leaves::TransparentSockets.of(permitted), left, "{permitted:?}");
            assert_eq!(Leaves::Nothing.of(permitted), none, "{permitted:?}");
        }
    }

    #[test]
    fn only_root_becomes_somebody_else() {
        let somebody = Identity {
            user: Uid::from_raw(4_242_424),
            group: Gid::from_raw(4_242_424),
            groups: vec![Gid::from_raw(4_242_424)],
        };
        let expected = match unistd::geteuid().is_root() {
            true => Ok(()),
            false => Err(Fault::NotRoot),
        };
        assert_eq!(somebody.check(), expected);
    }
}
