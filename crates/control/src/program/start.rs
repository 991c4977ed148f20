//! How a child begins: as whom, where, and with which environment.
//!
//! It begins after the process has given up what it gives up (`--chroot`, `--user`), and sees what
//! is left. It is the first of a process group of its own, so that what is typed at a terminal does
//! not reach it, and that what it has started ends with it. Of our descriptors it has none but its
//! three streams: all others close when a program begins.

use std::io;
use std::path::Path;
use std::process::Stdio;

use model::Program;
use nix::unistd::{Gid, Group, Uid, User};
use tokio::process::{Child, Command};

/// What a service manager or a launcher has told this process, and no other.
const OWN_VARIABLES: [&str; 7] = [
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "REPLUG_LAUNCHER",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// Starts a child of `program`, which reads from `stdin`; its other streams are pipes. One that is
/// dropped is killed.
///
/// # Errors
/// Why it cannot be started, for people.
pub(crate) fn start(program: &Program, stdin: Stdio) -> Result<Child, String> {
    let [path, arguments @ ..] = &*program.exec else {
        return Err("no program is named".to_owned());
    };
    let mut command = Command::new(path);
    command
        .args(arguments)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(name) = &program.arg0 {
        command.arg0(name);
    }
    for variable in OWN_VARIABLES {
        command.env_remove(variable);
    }
    command.envs(&program.env);
    if let Some(home) = &program.home {
        if !Path::new(home).is_dir() {
            return Err(format!("there is no directory {home}"));
        }
        command.current_dir(home);
    }
    let owner = Owner::find(program.user.as_deref(), program.group.as_deref())?;
    if let Some(user) = owner.user {
        // Of the other groups that replug has none is left.
        command.uid(user.as_raw());
    }
    if let Some(group) = owner.group {
        command.gid(group.as_raw());
    }
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied if owner.user.is_some() || owner.group.is_some() => {
            format!("{error}; only root can start it as another user")
        }
        _ => error.to_string(),
    })
}

/// Whom a child belongs to; `None`: as its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    user: Option<Uid>,
    group: Option<Gid>,
}

impl Owner {
    /// Looks up names and numbers.
    fn find(user: Option<&str>, group: Option<&str>) -> Result<Self, String> {
        let unreadable = |errno: nix::errno::Errno| format!("who that is cannot be read: {errno}");
        let group = match group {
            None => None,
            Some(name) => match (Group::from_name(name).map_err(unreadable)?, name.parse()) {
                (Some(group), _) => Some(group.gid),
                (None, Ok(number)) => Some(Gid::from_raw(number)),
                (None, Err(_)) => return Err(format!("there is no group {name}")),
            },
        };
        let Some(name) = user else { return Ok(Self { user: None, group }) };
        let found = match (User::from_name(name).map_err(unreadable)?, name.parse()) {
            (Some(user), _) => Some(user),
            (None, Ok(number)) => User::from_uid(Uid::from_raw(number)).map_err(unreadable)?,
            (None, Err(_)) => return Err(format!("there is no user {name}")),
        };
        match (found, group, name.parse()) {
            (Some(user), group, _) => {
                Ok(Self { user: Some(user.uid), group: group.or(Some(user.gid)) })
            }
            (None, Some(group), Ok(number)) => {
                Ok(Self { user: Some(Uid::from_raw(number)), group: Some(group) })
            }
            // Never with the group of root by oversight.
            _ => Err(format!("the group of user {name} is not known; name it")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_names_or_numbers() {
        let ids = |user, group| {
            let owner = Owner::find(user, group)?;
            Ok((owner.user.map(Uid::as_raw), owner.group.map(Gid::as_raw)))
        };
        assert_eq!(ids(None, None), Ok((None, None)));
        assert_eq!(ids(Some("root"), None), Ok((Some(0), Some(0))));
        assert_eq!(ids(Some("0"), Some("7777")), Ok((Some(0), Some(7777))));
        assert_eq!(ids(None, Some("root")), Ok((None, Some(0))));
        assert_eq!(ids(Some("4242424"), Some("7")), Ok((Some(4_242_424), Some(7))));
        let nobody = |what: &str| Err(what.to_owned());
        let unknown = "the group of user 4242424 is not known; name it";
        assert_eq!(ids(Some("4242424"), None), nobody(unknown));
        assert_eq!(ids(Some("no-such"), None), nobody("there is no user no-such"));
        assert_eq!(ids(None, Some("no-such")), nobody("there is no group no-such"));
    }

    #[test]
    fn what_cannot_be_started_says_why() {
        let program = |path: &str| Program::new(vec![path.to_owned()]);
        let why = start(&program("/no/such/program"), Stdio::null()).expect_err("it is not there");
        assert!(why.starts_with("No such file"), "{why}");
        let lost = Program { home: Some("/no/such/home".to_owned()), ..program("/bin/true") };
        assert_eq!(
            start(&lost, Stdio::null()).expect_err("no home"),
            "there is no directory /no/such/home"
        );
    }
}
