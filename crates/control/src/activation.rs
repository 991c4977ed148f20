//! Sockets that this process was started with: by a service manager
//! (sd_listen_fds(3)), or by inetd as standard input (inetd(8)).
//!
//! inetd makes one socket standard input, output and error. Whatever is said there
//! is said to the client, so nothing may be: see [`is_client`].

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use engine::Inherited;
use engine::inherit::Unfit;
use model::{Bind, Config};
use rustix::fs::{FileType, fstat};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stderr, stdin, stdout};

use crate::exit::{Exit, Fault};

/// Sockets that are taken from a manager, at most.
const SOCKETS_MAX: usize = 1024;

/// The least number of a descriptor that is none of the standard streams.
const BEYOND_STANDARD: i32 = 3;

/// What a socket is called by a manager that gives no names.
const NAMELESS: &str = "unknown";

/// The names of the sockets that a manager has handed over to this very process.
///
/// # Errors
/// When it contradicts itself.
pub(crate) fn names() -> Result<Vec<String>, Fault> {
    names_in(|name| env::var_os(name), std::process::id()).map_err(|why| {
        let line = format!("the sockets of the service manager cannot be taken: {why}");
        Fault::of(line, Exit::Failed)
    })
}

fn names_in(
    variable: impl Fn(&str) -> Option<OsString>,
    ours: u32,
) -> Result<Vec<String>, &'static str> {
    let text = |name| variable(name).and_then(|text| text.into_string().ok());
    let Some(count) = variable("LISTEN_FDS") else { return Ok(Vec::new()) };
    // A variable that has come from further up speaks of the descriptors of another process.
    if text("LISTEN_PID").and_then(|pid| pid.parse().ok()) != Some(ours) {
        return Ok(Vec::new());
    }
    let count = count.to_str().and_then(|count| count.parse().ok());
    let count = count.ok_or("LISTEN_FDS is no number")?;
    if count > SOCKETS_MAX {
        return Err("LISTEN_FDS is larger than 1024");
    }
    let Some(names) = text("LISTEN_FDNAMES") else {
        return Ok(vec![NAMELESS.to_owned(); count]);
    };
    let names: Vec<_> = names.split(':').map(str::to_owned).collect();
    match names.len() == count {
        true => Ok(names),
        false => Err("LISTEN_FDNAMES has another number of names than LISTEN_FDS says"),
    }
}

/// Takes what there is, of a manager and for `config` of inetd.
///
/// # Errors
/// When it cannot be used.
pub(crate) fn inherited(config: &Config) -> Result<Inherited, Fault> {
    let mut inherited = Inherited::of_manager(names()?).map_err(|error| {
        Fault::failed("a socket of the service manager cannot be taken", &error)
    })?;
    if waits_for_inetd(config) {
        let input = rustix::io::fcntl_dupfd_cloexec(stdin(), BEYOND_STANDARD)
            .map_err(|errno| Fault::failed("there is no standard input", &errno.into()))?;
        inherited.add_standard_input(input).map_err(no_use)?;
    }
    Ok(inherited)
}

fn no_use(unfit: Unfit) -> Fault {
    let (help, exit) = match unfit {
        Unfit::Gone => ("nothing is left to do", Exit::Failed),
        Unfit::NoSocket => ("let inetd start this, or name a LISTEN instead", Exit::Usage),
        Unfit::Datagrams | Unfit::NoStream | Unfit::Connected => {
            ("let its line in inetd.conf say `stream tcp`", Exit::Usage)
        }
    };
    Fault::of(format!("inetd, on standard input: {unfit}; {help}"), exit)
}

/// Whether `config` is served on the socket that inetd hands over.
pub(crate) fn waits_for_inetd(config: &Config) -> bool {
    let mut binds = config.listeners.iter().flat_map(|listener| &listener.bind);
    binds.any(|bind| bind.value == Bind::Inetd)
}

/// Whether `stream` is the socket that is standard input. Under inetd, nothing may be written
/// there but what the client is to read.
pub(crate) fn is_client(stream: BorrowedFd<'_>) -> bool {
    let (Ok(input), Ok(stream)) = (fstat(stdin()), fstat(stream)) else { return false };
    FileType::from_raw_mode(input.st_mode) == FileType::Socket
        && (input.st_dev, input.st_ino) == (stream.st_dev, stream.st_ino)
}

/// Lets go of standard streams that are the client, or else it would not see the end of its
/// session: `/dev/null` takes their places.
///
/// # Errors
/// When there is no such device.
pub(crate) fn let_go() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    if is_client(stdout()) {
        dup2_stdout(&null)?;
    }
    if is_client(stderr()) {
        dup2_stderr(&null)?;
    }
    // The last: it is what the others are held against.
    Ok(dup2_stdin(&null)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(variables: &[(&str, &str)], expected: Result<&[&str], &str>) {
        let find = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(names_in(find, 7), expected, "{variables:?}");
    }

    #[test]
    fn sockets_of_others_are_not_ours() {
        check(&[], Ok(&[]));
        check(&[("LISTEN_FDS", "1")], Ok(&[]));
        check(&[("LISTEN_FDS", "1"), ("LISTEN_PID", "8")], Ok(&[]));
        check(&[("LISTEN_FDS", "0"), ("LISTEN_PID", "7")], Ok(&[]));
    }

    #[test]
    fn each_has_its_name() {
        let ours = ("LISTEN_PID", "7");
        check(&[ours, ("LISTEN_FDS", "2")], Ok(&["unknown", "unknown"]));
        check(
            &[ours, ("LISTEN_FDS", "3"), ("LISTEN_FDNAMES", "web:web:db")],
            Ok(&["web", "web", "db"]),
        );
    }

    #[test]
    fn contradictions_are_told() {
        let ours = ("LISTEN_PID", "7");
        check(&[ours, ("LISTEN_FDS", "x")], Err("LISTEN_FDS is no number"));
        check(&[ours, ("LISTEN_FDS", "9999999")], Err("LISTEN_FDS is larger than 1024"));
        let names = ("LISTEN_FDNAMES", "a:b");
        let wrong = "LISTEN_FDNAMES has another number of names than LISTEN_FDS says";
        check(&[ours, ("LISTEN_FDS", "1"), names], Err(wrong));
    }
}
