//! The system calls that no safe crate offers.
#![expect(unsafe_code, reason = "the one home of unsafe code: a few calls, each with its reason")]

pub(crate) mod ring;

use std::io::{self, IoSlice};
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
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
    let info = tcp_info(socket.as_fd())?;
    Ok(TcpFigures { rtt_us: info.tcpi_rtt, retrans: info.tcpi_total_retrans })
}

/// Whether the connection of a TCP socket is no more: broken, or ended by both sides.
pub(crate) fn is_closed(socket: BorrowedFd<'_>) -> bool {
    /// `TCP_CLOSE` of the kernel.
    const CLOSED: u8 = 7;
    tcp_info(socket).is_ok_and(|info| info.tcpi_state == CLOSED)
}

fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<libc::tcp_info> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>())
        .expect("a tcp_info is a few hundred bytes");
    // SAFETY: `info` is writable for `length` bytes, and both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
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
    Ok(unsafe { info.assume_init() })
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
    register_for(socket, Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY)
}

/// Registers a descriptor with the runtime of this thread, for what is of interest.
///
/// # Errors
/// As [`register`].
///
/// # Panics
/// As [`register`].
pub(crate) fn register_for(
    socket: OwnedFd,
    interest: Interest,
) -> Result<AsyncFd<OwnedFd>, (OwnedFd, io::Error)> {
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
    set_int(socket.as_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// Has the address that each datagram was sent to told with it (`IP_PKTINFO`, ip(7);
/// `IPV6_RECVPKTINFO`, ipv6(7)).
pub(crate) fn tell_local(socket: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
    match is_ipv6 {
        true => set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
        false => set_int(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
    }
}

/// Has datagrams told with the number of those that the socket's buffer had no room for
/// (`SO_RXQ_OVFL`, socket(7)).
pub(crate) fn tell_overflow(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_int(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)
}

/// Takes datagrams that the kernel has joined as one (`UDP_GRO`, udp(7)).
pub(crate) fn take_joined(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_int(socket, libc::SOL_UDP, libc::UDP_GRO, 1)
}

/// Fails if this kernel would send joined datagrams as one instead of cutting them apart
/// (`UDP_SEGMENT`, udp(7)).
pub(crate) fn can_send_joined(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_int(socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0)
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

/// Datagrams that one call receives or sends at the most.
pub(crate) const BATCH: usize = 32;

/// An address of this machine that a datagram was sent to, or is to leave from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Local {
    /// The address. That of an IPv4 datagram at an IPv6 socket is an IPv4-mapped one.
    pub address: IpAddr,
    /// The interface that a link-local address belongs to; 0 for any other.
    pub interface: u32,
}

/// What came into one slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrived {
    /// Bytes in the slot.
    pub(crate) bytes: usize,
    pub(crate) from: Option<SocketAddr>,
    pub(crate) local: Option<Local>,
    /// Size of each datagram but the last, if several were joined.
    pub(crate) segment: Option<NonZeroUsize>,
    /// Datagrams that this socket has lost for want of room, ever; modulo 2^32.
    pub(crate) overflow: Option<u32>,
    /// The slot was too small.
    pub(crate) is_cut: bool,
}

/// One datagram to send, or several joined ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    /// Its bytes.
    pub(crate) parts: &'a [IoSlice<'a>],
    /// Size of each datagram but the last, if they are to be cut apart.
    pub(crate) segment: Option<u16>,
    /// Where it goes; `None`: where the socket is connected to.
    pub(crate) to: Option<SocketAddr>,
    /// What it leaves from; `None`: as the kernel chooses.
    pub(crate) from: Option<Local>,
}

/// Room for what the kernel tells of a datagram: its local address, its segments, its losses.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([MaybeUninit<u8>; 96]);

/// A socket address as the kernel writes it.
#[repr(C)]
#[derive(Clone, Copy)]
union Name {
    any: libc::sockaddr,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// Receives one datagram into each of `slots`, as far as there are some, without waiting
/// (recvmmsg(2)). At most [`BATCH`]; fewer than there are slots: that was all.
pub(crate) fn receive_datagrams<'a>(
    socket: BorrowedFd<'_>,
    slots: impl ExactSizeIterator<Item = &'a mut [u8]>,
    arrived: &mut [Arrived],
) -> io::Result<usize> {
    let count = slots.len().min(arrived.len()).min(BATCH);
    let mut names = [const { MaybeUninit::<Name>::uninit() }; BATCH];
    let mut controls = [const { MaybeUninit::<Control>::uninit() }; BATCH];
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
    for (at, slot) in slots.take(count).enumerate() {
        let vector = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
        let vector = vectors[at].write(vector);
        // SAFETY: all fields of an mmsghdr are integers and pointers, for which zero is valid.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        header.msg_hdr.msg_name = names[at].as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = length_of::<Name>();
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_control = controls[at].as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = size_of::<Control>();
        headers[at].write(header);
    }
    let received = retry(|| {
        // SAFETY: the first `count` headers are initialised; what they point at is writable for
        // the lengths that they give, and outlives the call.
        unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                libc::c_uint::try_from(count).expect("a batch is small"),
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        }
    })?;
    for (arrived, header) in arrived.iter_mut().zip(&headers).take(received) {
        // SAFETY: the kernel has filled in this header, its name and its control data, which live
        // in this function.
        *arrived = unsafe { arrival(header.assume_init_ref()) };
    }
    Ok(received)
}

/// What a header says after it was received.
///
/// # Safety
/// The header must be as recvmmsg(2) left it, and all it points at must still be there.
#[deny(unsafe_op_in_unsafe_fn)]
unsafe fn arrival(header: &libc::mmsghdr) -> Arrived {
    let head = &header.msg_hdr;
    let mut arrived = Arrived {
        bytes: header.msg_len as usize,
        is_cut: head.msg_flags & libc::MSG_TRUNC != 0,
        ..Arrived::default()
    };
    if head.msg_namelen >= length_of::<libc::sockaddr_in>() {
        // SAFETY: a name of that length is a whole sockaddr_in or sockaddr_in6, as its family says.
        arrived.from = unsafe { address(&*head.msg_name.cast::<Name>()) };
    }
    // SAFETY: the header's control data are as the kernel left them.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(head) };
    while !next.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give headers that lie within the control data.
        let (message, data) = unsafe { (&*next, libc::CMSG_DATA(next)) };
        // SAFETY: the kernel gives these kinds of messages data of these types; their place in
        // memory may be any.
        unsafe {
            match (message.cmsg_level, message.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let told = data.cast::<libc::in_pktinfo>().read_unaligned();
                    let address = Ipv4Addr::from_bits(u32::from_be(told.ipi_spec_dst.s_addr));
                    arrived.local = Some(Local { address: address.into(), interface: 0 });
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let told = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    arrived.local = local_v6(told);
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let told = data.cast::<libc::c_int>().read_unaligned();
                    arrived.segment = usize::try_from(told).ok().and_then(NonZeroUsize::new);
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    arrived.overflow = Some(data.cast::<u32>().read_unaligned());
                }
                _ => {}
            }
            next = libc::CMSG_NXTHDR(head, next);
        }
    }
    arrived
}

/// `None` for a group address: nothing can leave from that.
fn local_v6(told: libc::in6_pktinfo) -> Option<Local> {
    let address = Ipv6Addr::from(told.ipi6_addr.s6_addr);
    let interface = if address.is_unicast_link_local() { told.ipi6_ifindex } else { 0 };
    (!address.is_multicast()).then_some(Local { address: address.into(), interface })
}

/// Sends `messages`, at most [`BATCH`], in order and without waiting (sendmmsg(2)). How many were
/// sent; the error is that of the first.
pub(crate) fn send_datagrams<'a>(
    socket: BorrowedFd<'_>,
    messages: impl Iterator<Item = Outgoing<'a>>,
) -> io::Result<usize> {
    let mut names = [const { MaybeUninit::<Name>::uninit() }; BATCH];
    let mut controls = [const { MaybeUninit::<Control>::uninit() }; BATCH];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
    let mut count = 0;
    for message in messages.take(BATCH) {
        // SAFETY: all fields of an mmsghdr are integers and pointers, for which zero is valid.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        if let Some(to) = message.to {
            let (name, length) = name(to);
            header.msg_hdr.msg_name = (&raw mut *names[count].write(name)).cast();
            header.msg_hdr.msg_namelen = length;
        }
        // The kernel only reads through this pointer, and an IoSlice is an iovec.
        header.msg_hdr.msg_iov = message.parts.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_iovlen = message.parts.len();
        if message.from.is_some() || message.segment.is_some() {
            let control = controls[count].write(Control([MaybeUninit::uninit(); 96]));
            header.msg_hdr.msg_controllen = write_control(control, message.from, message.segment);
            header.msg_hdr.msg_control = (&raw mut *control).cast();
        }
        headers[count].write(header);
        count += 1;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    if count == 1 {
        // SAFETY: the first header is initialised; what it points at is readable for the lengths
        // that it gives, and outlives the call.
        let send = || unsafe {
            let header = headers[0].assume_init_ref();
            libc::sendmsg(socket.as_raw_fd(), &raw const header.msg_hdr, flags)
                .clamp(-1, 1)
                .try_into()
                .unwrap_or(-1)
        };
        return retry(send).map(|_| 1);
    }
    // SAFETY: the first `count` headers are initialised; what they point at is readable for the
    // lengths that they give, and outlives the call.
    retry(|| unsafe {
        let length = libc::c_uint::try_from(count).expect("a batch is small");
        libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr().cast(), length, flags)
    })
}

/// Writes what a datagram is sent with; gives its length.
fn write_control(control: &mut Control, from: Option<Local>, segment: Option<u16>) -> usize {
    let mut length = 0;
    match from {
        Some(Local { address: IpAddr::V4(address), .. }) => {
            let address = libc::in_addr { s_addr: address.to_bits().to_be() };
            let leave = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: address,
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            push(control, &mut length, libc::IPPROTO_IP, libc::IP_PKTINFO, leave);
        }
        Some(Local { address: IpAddr::V6(address), interface }) => {
            let address = libc::in6_addr { s6_addr: address.octets() };
            let leave = libc::in6_pktinfo { ipi6_addr: address, ipi6_ifindex: interface };
            push(control, &mut length, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, leave);
        }
        None => {}
    }
    if let Some(segment) = segment {
        push(control, &mut length, libc::SOL_UDP, libc::UDP_SEGMENT, segment);
    }
    length
}

/// Appends one control message (cmsg(3)), whose data are plain integers.
fn push<T: Copy>(
    control: &mut Control,
    length: &mut usize,
    level: libc::c_int,
    kind: libc::c_int,
    data: T,
) {
    let size = libc::c_uint::try_from(size_of::<T>()).expect("control data are small");
    // SAFETY: these two only calculate.
    let (whole, space) = unsafe { (libc::CMSG_LEN(size), libc::CMSG_SPACE(size)) };
    let start = *length;
    *length += space as usize;
    assert!(*length <= control.0.len(), "there is room for an address and a size");
    let header = libc::cmsghdr { cmsg_len: whole as usize, cmsg_level: level, cmsg_type: kind };
    // SAFETY: header and data lie within the array, as was just asserted; `start` is a sum of
    // aligned lengths in an aligned array.
    unsafe {
        let at = control.0.as_mut_ptr().add(start).cast::<libc::cmsghdr>();
        at.write(header);
        libc::CMSG_DATA(at).cast::<T>().write_unaligned(data);
    }
}

fn name(address: SocketAddr) -> (Name, libc::socklen_t) {
    match address {
        SocketAddr::V4(address) => {
            let v4 = libc::sockaddr_in {
                sin_family: family(libc::AF_INET),
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: address.ip().to_bits().to_be() },
                sin_zero: [0; 8],
            };
            (Name { v4 }, length_of::<libc::sockaddr_in>())
        }
        SocketAddr::V6(address) => {
            let v6 = libc::sockaddr_in6 {
                sin6_family: family(libc::AF_INET6),
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            (Name { v6 }, length_of::<libc::sockaddr_in6>())
        }
    }
}

/// # Safety
/// The kernel must have written an address of the family that it says.
#[deny(unsafe_op_in_unsafe_fn)]
unsafe fn address(name: &Name) -> Option<SocketAddr> {
    // SAFETY: every address begins with its family, and is of that family.
    unsafe {
        if name.any.sa_family == family(libc::AF_INET) {
            let ip = Ipv4Addr::from_bits(u32::from_be(name.v4.sin_addr.s_addr));
            return Some(SocketAddr::new(ip.into(), u16::from_be(name.v4.sin_port)));
        }
        if name.any.sa_family == family(libc::AF_INET6) {
            let ip = Ipv6Addr::from(name.v6.sin6_addr.s6_addr);
            let (port, scope) = (u16::from_be(name.v6.sin6_port), name.v6.sin6_scope_id);
            return Some(SocketAddrV6::new(ip, port, 0, scope).into());
        }
    }
    None
}

fn family(family: libc::c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(family).expect("families are small numbers")
}

fn length_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).expect("what goes to the kernel is small")
}

/// Calls again while a signal comes in between; a negative result is an error.
fn retry(mut call: impl FnMut() -> libc::c_int) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(count) => return Ok(count),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
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
