//! The system calls that no safe crate offers.
#![expect(unsafe_code, reason = "the one home of unsafe code: a few calls, each with its reason")]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The kernel's figures of one TCP connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFigures {
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: u32,
    /// Segments sent again, over the whole connection.
    pub retrans: u32,
}

/// Asks for `TCP_INFO` (tcp(7)).
///
/// # Errors
/// When the socket is no TCP socket.
pub fn tcp_figures(socket: impl AsFd) -> io::Result<TcpFigures> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>())
        .expect("a tcp_info is a few hundred bytes");
    // SAFETY: `info` is writable for `length` bytes, and both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all fields are integers, zeroed before the call; an older kernel that fills
    // in fewer of them leaves zeroes.
    let info = unsafe { info.assume_init() };
    Ok(TcpFigures { rtt_us: info.tcpi_rtt, retrans: info.tcpi_total_retrans })
}

/// By how many seconds local time is ahead of UTC, so many seconds after 1970-01-01 UTC
/// (localtime(3): `TZ`, else `/etc/localtime`). No matter of sockets, but of this file's.
pub fn local_offset(seconds: i64) -> i64 {
    let mut local = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: the time is readable and `local` writable for the whole call. Nothing in this
    // program writes to the environment, which the call may read.
    let result = unsafe { libc::localtime_r(&raw const seconds, local.as_mut_ptr()) };
    if result.is_null() {
        // A year beyond an int; its zone does not matter.
        return 0;
    }
    // SAFETY: all fields are integers and a pointer, zeroed before the call.
    unsafe { local.assume_init() }.tm_gmtoff
}

/// Bytes that were sent on a socket and not yet acknowledged by its peer (`SIOCOUTQ`, tcp(7)).
///
/// # Errors
/// When the socket cannot tell.
pub(crate) fn unacknowledged(socket: impl AsFd) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (equal to TIOCOUTQ) writes one int to the address given.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    match result {
        0 => Ok(usize::try_from(bytes).unwrap_or_default()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Registers a descriptor with the runtime of this thread, for all that a socket can tell.
///
/// # Errors
/// When the kernel has no room for one more registration; the descriptor comes back.
///
/// # Panics
/// Outside of a tokio runtime with I/O enabled.
pub(crate) fn register(socket: OwnedFd) -> Result<AsyncFd<OwnedFd>, (OwnedFd, io::Error)> {
    let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
    // SAFETY: an `OwnedFd` is open until it is dropped, always gives the same descriptor, and
    // is owned by the `AsyncFd`, which deregisters it before it is dropped or handed back.
    let registered = unsafe { AsyncFd::register_with_interest(socket, interest) };
    registered.map_err(tokio::io::unix::AsyncFdRegisterError::into_parts)
}

/// Leaves the choice of a local port to connect, which knows the target (`IP_BIND_ADDRESS_NO_PORT`,
/// ip(7)): one port can then serve many targets.
///
/// # Errors
/// As `setsockopt(2)`.
pub fn bind_address_no_port(socket: impl AsFd) -> io::Result<()> {
    set_int(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// Lets clients send data with their SYN; so many of them may wait to be accepted
/// (`TCP_FASTOPEN`, tcp(7)). For a socket that is about to listen.
///
/// # Errors
/// As `setsockopt(2)`.
pub fn fast_open_queue(socket: impl AsFd, queue: u32) -> io::Result<()> {
    let queue = libc::c_int::try_from(queue).unwrap_or(libc::c_int::MAX);
    set_int(socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, queue)
}

/// Has clients accepted only once they have sent something, or after so many seconds
/// (`TCP_DEFER_ACCEPT`, tcp(7)). For a socket that is about to listen.
///
/// # Errors
/// As `setsockopt(2)`.
pub fn defer_accept(socket: impl AsFd, seconds: u32) -> io::Result<()> {
    let seconds = libc::c_int::try_from(seconds).unwrap_or(libc::c_int::MAX);
    set_int(socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, seconds)
}

fn set_int(
    socket: impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("an int is small");
    // SAFETY: `value` is readable for `length` bytes and outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            length,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes a descriptor that this process was started with, beyond the standard three, and closes
/// it to programs that this one starts.
///
/// # Errors
/// When there is none of this number, or this program has opened it.
pub fn take_inherited(number: RawFd) -> io::Result<OwnedFd> {
    /// Two who look at the same descriptor at once must not both take it.
    static TAKING: Mutex<()> = Mutex::new(());

    let _taking = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: asks for the flags of any number, open or not.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    if number <= libc::STDERR_FILENO || flags & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::other("this descriptor was not inherited"));
    }
    // SAFETY: sets a flag of an open descriptor.
    if unsafe { libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and nobody in this process owns it: whatever this program opens is
    // close-on-exec from the beginning, so one that was not is from before it began. Now that it
    // is, nobody can take it a second time.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn what_this_program_has_opened_is_nobody_elses_to_take() {
        let ours = std::fs::File::open("/dev/null").expect("every system has it");
        take_inherited(ours.as_raw_fd()).expect_err("it is ours");
        take_inherited(libc::STDIN_FILENO).expect_err("it is the standard library's");
        take_inherited(RawFd::MAX).expect_err("it is not open");
        take_inherited(-1).expect_err("it is no descriptor");
    }

    #[test]
    fn what_was_inherited_is_taken_once() {
        let ours = std::fs::File::open("/dev/null").expect("every system has it");
        // SAFETY: a new descriptor that is not close-on-exec, as one from before exec is.
        let number = unsafe { libc::dup(ours.as_raw_fd()) };
        let taken = take_inherited(number).expect("it looks inherited");
        assert_eq!(taken.as_raw_fd(), number);
        take_inherited(number).expect_err("it is taken");
    }

    fn get_int(socket: &TcpListener, option: libc::c_int) -> libc::c_int {
        let mut value: libc::c_int = 0;
        let mut length = libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("small");
        // SAFETY: `value` is writable for `length` bytes, and both outlive the call.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                option,
                (&raw mut value).cast(),
                &raw mut length,
            )
        };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
        value
    }

    #[test]
    fn what_is_set_on_a_listening_socket_is_there() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        fast_open_queue(&socket, 7).expect("a queue");
        assert_eq!(get_int(&socket, libc::TCP_FASTOPEN), 7);
        defer_accept(&socket, 5).expect("so many seconds");
        // The kernel counts in its own steps of 1, 2, 4 seconds and more.
        assert!((5..=10).contains(&get_int(&socket, libc::TCP_DEFER_ACCEPT)));
    }
}
