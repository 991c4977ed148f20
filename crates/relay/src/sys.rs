//! The system calls that no safe crate offers.
#![expect(unsafe_code, reason = "the one home of unsafe code: a few calls, each with its reason")]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

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
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("an int is small");
    // SAFETY: `on` is readable for `length` bytes and outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            length,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
