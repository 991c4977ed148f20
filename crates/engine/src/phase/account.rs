//! Phase *account*: what one session was, written down when it ends.
//!
//! Every session that was accepted ends in exactly one [`Record`] of [`Event::End`]. If somebody
//! wants them, others come before it. All are plain data; the formats are made from them by
//! `control`, outside the data path.

mod backend_tls;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use relay::{Carrier, Side};
use rustix::io::Errno;

use wire::socks::v4::REJECTED;
use wire::socks::v5::Reply;
use wire::tls::Version;

use crate::plan::{Backend, Listener, Pool};

pub use backend_tls::TlsFailure;

/// One session, at its end or on the way.
#[derive(Clone, Debug)]
pub struct Record {
    /// What it is written for.
    pub event: Event,
    /// Unique for the life of the process.
    pub id: u64,
    /// When the client was accepted (wall clock).
    pub accepted: SystemTime,
    /// The listener it arrived at.
    pub listener: Arc<str>,
    /// Where that listens, as configured; the first place, if there are several.
    pub bind: Arc<str>,
    /// Where its sessions go, as configured; the first backend, if there are several.
    pub target: Arc<str>,
    /// Who came.
    pub client: ClientAddress,
    /// Who has brought it, and told so by a PROXY header; `None`: it came by itself.
    pub sender: Option<ClientAddress>,
    /// What the session is called in PROXY headers; any bytes that a sender may choose.
    pub unique_id: Option<Arc<[u8]>>,
    /// The pool it was routed to; `None` when it ended before that.
    pub pool: Option<Arc<str>>,
    /// The route that led there: its name, or its place among those of its listener, from 1 on;
    /// `on_silence` for a client that said nothing. `None` when there was none.
    pub route: Option<Arc<str>>,
    /// What the client has said, if it was listened to.
    pub spoken: Spoken,
    /// Which of the access rules refused it, if they did.
    pub denial: Option<Denial>,
    /// The backend that served it; `None` when none was reached.
    pub backend: Option<Reached>,
    /// Bytes delivered to the backend.
    pub bytes_to_backend: u64,
    /// Bytes delivered to the client.
    pub bytes_to_client: u64,
    /// From accept to the event.
    pub duration: Duration,
    /// From accept until a backend was connected, all attempts and waits included.
    pub connect: Option<Duration>,
    /// From accept until the first byte of the backend.
    pub first_byte: Option<Duration>,
    /// The wait for a place at a backend; `None` when there was none.
    pub queued: Option<Queued>,
    /// The attempts that failed, in order.
    pub attempts: Vec<Attempt>,
    /// The kernel's figures of the client's connection; `None` where there are none.
    pub client_tcp: Option<TcpFigures>,
    /// The kernel's figures of the backend's connection.
    pub backend_tcp: Option<TcpFigures>,
    /// Which relay has carried its bytes; `None` when none was to, or a flow did.
    pub relay: Option<Carrier>,
    /// What a flow has carried; `None` for a session of streams.
    pub datagrams: Option<Datagrams>,
    /// Sessions there were around it; `None` unless some log shows them.
    pub counts: Option<Counts>,
}

/// What a record is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The session has its backend, and begins to move bytes.
    Start,
    /// The session goes on.
    Open,
    /// The session has ended.
    End {
        /// Why.
        reason: Reason,
        /// Who ended it.
        by: By,
    },
}

/// Why the access rules refuse a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denial {
    /// It is none of those that may come.
    NotAllowed,
    /// It is one of those that may not.
    Denied,
}

/// What a client has said before it had a route; any text that a peer may send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    /// The host in its ClientHello.
    pub sni: Option<Arc<str>>,
    /// The protocols that it offers to speak within TLS, with commas between.
    pub alpn: Option<Arc<str>>,
    /// The version of TLS that is spoken; the newest that it offers, where TLS does not end here.
    pub tls_version: Option<Version>,
    /// Whom it has proven to be with a certificate.
    pub client_cert: Option<Arc<str>>,
    /// As whom it has signed in at a listener that is a proxy.
    pub user: Option<Arc<str>>,
}

/// The datagrams of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Datagrams {
    /// Sent to the backend.
    pub to_backend: u64,
    /// Sent to the client.
    pub to_client: u64,
    /// Received, but not sent on: there was no room, or nobody to send them to.
    pub lost: u64,
}

/// Sessions at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of the process, the one that is written down included.
    pub process: u32,
    /// Of its listener, likewise.
    pub listener: u32,
    /// Of its pool; without the one that is written down, if that has ended.
    pub pool: u32,
    /// Of its backend, likewise.
    pub backend: u32,
}

impl Counts {
    /// Those around a session of `listener` that went to `backend`, if it went anywhere, when the
    /// process has so many. One that ends has given up its places before, so that whoever reads
    /// of it finds them free.
    pub(crate) fn around(
        event: Event,
        process: usize,
        listener: &Listener,
        pool: &Pool,
        backend: Option<&Backend>,
    ) -> Self {
        let own = u32::from(matches!(event, Event::End { .. }));
        Self {
            process: u32::try_from(process).unwrap_or(u32::MAX).saturating_add(own),
            listener: listener.load.sessions().saturating_add(own),
            pool: pool.sessions(),
            backend: backend.map_or(0, |backend| backend.load.sessions()),
        }
    }
}

/// Who a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientAddress {
    /// A TCP or UDP client. IPv4 clients of a dual-stack listener are shown as IPv4.
    Ip(SocketAddr),
    /// A client of a unix socket; these have no address.
    Unix,
}

/// The backend that served a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// As configured; an address, where that is wherever the client meant to go.
    pub backend: Arc<str>,
    /// The address that was connected to, where `backend` is a name: its own, or that of the proxy
    /// before it.
    pub address: Option<SocketAddr>,
}

/// A wait for a place at a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Sessions that waited before it.
    pub ahead: u32,
    /// How long it waited; `None` if it waits still, or did until it ended.
    pub waited: Option<Duration>,
}

/// An attempt to reach a backend that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// As configured.
    pub backend: Arc<str>,
    /// Whether that is where the client meant to go.
    pub is_original: bool,
    /// The address that was tried, where `backend` is a name that was resolved.
    pub address: Option<SocketAddr>,
    /// How long it took.
    pub took: Duration,
    /// Why it failed.
    pub failure: ConnectFailure,
    /// The reason phrase of a proxy that refused: any text, cut to some 64 bytes.
    pub phrase: Option<Arc<str>>,
}

/// Why a backend could not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectFailure {
    /// Nobody listens there (`ECONNREFUSED`).
    Refused,
    /// No answer within the connect timeout.
    Timeout,
    /// The network says it cannot be reached.
    Unreachable,
    /// Its name has no address, or not yet.
    Unresolved,
    /// The proxy before it was reached and did not connect us.
    Proxy(ProxyFailure),
    /// It was asked for TLS, as its client had asked for it, and refused.
    NoTls,
    /// It did not greet its client, as its protocol has it, and the client was not told anything.
    NoGreeting,
    /// It was reached and there is no TLS with it, as its pool has it.
    Tls(TlsFailure),
    /// The connection cannot leave from the client's own address, with the system's error number.
    /// Says nothing about the backend.
    Source(i32),
    /// It is where the client meant to go, and the client was not diverted to us.
    Undiverted,
    /// It is where the client meant to go, and that is one of our own listeners.
    Ourselves,
    /// It is where the client wants to go, and the rules of the listener do not allow that.
    Forbidden,
    /// Something of our own was exhausted (descriptors, ports, memory), with the system's error
    /// number. Says nothing about the backend.
    Ours(i32),
    /// Any other error of the system, with its number.
    Other(i32),
}

/// Why a proxy did not connect us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyFailure {
    /// It answered with this status.
    Status(u16),
    /// It answered with this code, by SOCKS 4.
    Socks4(u8),
    /// It answered so, by SOCKS 5.
    Socks5(Reply),
    /// It wants its clients to sign in in some other way, or at all.
    NoMethod,
    /// It does not accept user and password.
    SignIn,
    /// It cannot be asked for an IPv6 address.
    Family,
    /// What it sent is no answer.
    Malformed,
    /// It ended the connection before its answer was whole.
    Closed,
    /// There is no TLS with it.
    Tls(TlsFailure),
}

/// The error number of [`ConnectFailure::Source`] for a client that has no address of the family.
pub(crate) const NO_SUCH_FAMILY: i32 = Errno::AFNOSUPPORT.raw_os_error();

/// The kernel's figures of one TCP connection (`TCP_INFO`, tcp(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFigures {
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: u32,
    /// Segments sent again, over the whole connection.
    pub retrans: u32,
}

/// Who ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// The client: by the first FIN, a reset, or by vanishing.
    Client,
    /// The backend, likewise.
    Backend,
    /// replug itself: a rule, a timeout, an operator.
    Replug,
}

/// Why a session ended: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Both directions ended with a FIN; a flow was idle for its time, after an answer.
    Done,
    /// The client reset the connection, or vanished; in TLS also by a FIN that leaves open whether it
    /// had said all.
    ClientReset,
    /// The backend, likewise.
    BackendReset,
    /// No byte for the idle timeout; in a flow, and never an answer.
    Idle,
    /// No byte for the half-closed timeout, after one side's FIN.
    HalfClosedIdle,
    /// The last backend tried did not answer in time.
    ConnectTimeout,
    /// The last backend tried refused, or the proxy before it.
    Refused,
    /// The network could not reach the last backend tried.
    Unreachable,
    /// There was no backend to try.
    NoBackend,
    /// An access rule refused the client, or it meant to go to us.
    Denied,
    /// A limit was reached: of sessions, of their rate, of a session's lifetime. Or a flow made
    /// room for another.
    Limited,
    /// The client has not shown its route in the time for that.
    SniffTimeout,
    /// There was no handshake of TLS, or what came by it was cut or changed on its way.
    TlsError,
    /// A script ended it, or failed.
    Script,
    /// What a peer has sent is not what its protocol allows.
    BadRequest,
    /// Instead of a PROXY header something else came, or nothing in time, or from somebody who is
    /// not believed.
    ProxyHeader,
    /// The time to drain was over.
    Drained,
    /// An operator ended it.
    Killed,
    /// Our own resources failed, or a defect of replug was met.
    Internal,
}

impl Record {
    /// HAProxy's two letters for how a session ended: what ended it, and in which phase (its
    /// manual, "Session state at disconnection"). `--` for one that went well or goes on.
    pub fn code(&self) -> &'static str {
        match self.event {
            Event::Start | Event::Open => "--",
            Event::End { reason, .. } => reason.code(self.phase()),
        }
    }

    fn phase(&self) -> Phase {
        // A flow has its backend without a connection.
        let is_flow = self.datagrams.is_some() && self.backend.is_some();
        match self.queued {
            _ if self.connect.is_some() || is_flow => Phase::Data,
            Some(Queued { waited: None, .. }) => Phase::Queue,
            _ if self.pool.is_none() => Phase::Sniff,
            _ => Phase::Connect,
        }
    }
}

/// How far a session came, as HAProxy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before it had a route.
    Sniff,
    Queue,
    Connect,
    Data,
}

impl Event {
    /// The word in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Open => "open",
            Self::End { .. } => "end",
        }
    }
}

impl Reason {
    /// See [`Record::code`].
    fn code(self, phase: Phase) -> &'static str {
        match (self, phase) {
            (Self::Done, _) => "--",
            (Self::SniffTimeout, _) => "cR",
            (Self::ClientReset, Phase::Sniff) => "CR",
            (Self::ClientReset, Phase::Queue) => "CQ",
            (Self::ClientReset, Phase::Connect) => "CC",
            (Self::ClientReset, Phase::Data) => "CD",
            (Self::BackendReset, _) => "SD",
            (Self::Idle, _) => "cD",
            // Mostly it is the client that has said all, and the backend that does not answer.
            (Self::HalfClosedIdle, _) => "sD",
            (Self::ConnectTimeout, _) => "sC",
            (Self::Refused | Self::Unreachable | Self::NoBackend, _)
            | (Self::TlsError, Phase::Connect) => "SC",
            (Self::Limited | Self::TlsError, Phase::Data) => "PD",
            (
                Self::Denied | Self::BadRequest | Self::ProxyHeader | Self::Script | Self::TlsError,
                _,
            ) => "PR",
            (Self::Limited, Phase::Queue) => "sQ",
            (Self::Limited, Phase::Sniff | Phase::Connect) => "PC",
            (Self::Drained | Self::Killed, Phase::Sniff) => "KR",
            (Self::Drained | Self::Killed, Phase::Queue) => "KQ",
            (Self::Drained | Self::Killed, Phase::Connect) => "KC",
            (Self::Drained | Self::Killed, Phase::Data) => "KD",
            (Self::Internal, Phase::Sniff | Phase::Queue | Phase::Connect) => "RC",
            (Self::Internal, Phase::Data) => "ID",
        }
    }

    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::ClientReset => "client_reset",
            Self::BackendReset => "backend_reset",
            Self::Idle => "idle",
            Self::HalfClosedIdle => "half_closed_idle",
            Self::ConnectTimeout => "connect_timeout",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::NoBackend => "no_backend",
            Self::Denied => "denied",
            Self::Limited => "limited",
            Self::SniffTimeout => "sniff_timeout",
            Self::Script => "script",
            Self::BadRequest => "bad_request",
            Self::ProxyHeader => "proxy_header",
            Self::TlsError => "tls_error",
            Self::Drained => "drained",
            Self::Killed => "killed",
            Self::Internal => "internal",
        }
    }
}

impl ConnectFailure {
    /// Whether the client is the reason, and where it meant to go.
    pub(crate) fn is_of_original(self) -> bool {
        matches!(self, Self::Undiverted | Self::Ourselves | Self::Forbidden)
    }

    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Timeout => "connect_timeout",
            Self::Unreachable => "unreachable",
            Self::Unresolved => "unresolved",
            Self::Proxy(_) => "proxy_refused",
            Self::NoTls => "no_tls",
            Self::NoGreeting => "no_greeting",
            Self::Tls(failure) => failure.as_str(),
            Self::Source(_) => "no_source",
            Self::Undiverted => "not_diverted",
            Self::Ourselves => "loop",
            Self::Forbidden => "not_allowed",
            Self::Ours(_) => "out_of_resources",
            Self::Other(_) => "failed",
        }
    }

    /// The reason of a session whose last attempt failed this way.
    pub fn reason(self) -> Reason {
        match self {
            Self::Timeout | Self::Proxy(ProxyFailure::Socks5(Reply::Expired)) => {
                Reason::ConnectTimeout
            }
            Self::Unreachable
            | Self::Proxy(ProxyFailure::Socks5(
                Reply::NetworkUnreachable | Reply::HostUnreachable,
            ))
            | Self::Other(_) => Reason::Unreachable,
            Self::Tls(_) | Self::Proxy(ProxyFailure::Tls(_)) => Reason::TlsError,
            Self::Refused | Self::Proxy(_) | Self::NoTls | Self::NoGreeting => Reason::Refused,
            Self::Unresolved | Self::Source(_) => Reason::NoBackend,
            Self::Undiverted | Self::Ourselves | Self::Forbidden => Reason::Denied,
            Self::Ours(_) => Reason::Internal,
        }
    }
}

impl By {
    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
            Self::Replug => "replug",
        }
    }
}

impl From<Side> for By {
    fn from(side: Side) -> Self {
        match side {
            Side::Client => Self::Client,
            Side::Backend => Self::Backend,
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// What went wrong, for people: `connection refused`, `no answer in time` ...
impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Unresolved => f.write_str("its name has no address"),
            Self::NoTls => f.write_str("it does not speak TLS"),
            Self::NoGreeting => f.write_str("it does not greet as `starttls` says"),
            Self::Proxy(failure) => failure.fmt(f),
            Self::Tls(failure) => failure.fmt(f),
            Self::Source(errno) if *errno == NO_SUCH_FAMILY => {
                f.write_str("the client has no address of that family to leave from")
            }
            Self::Source(errno) => {
                let error = std::io::Error::from_raw_os_error(*errno);
                write!(f, "cannot leave from the client's address: {error}")
            }
            Self::Undiverted => f.write_str("the client was not diverted"),
            Self::Ourselves => f.write_str("the client meant to go where replug listens"),
            Self::Forbidden => f.write_str("the rules of the listener do not allow it"),
            Self::Ours(errno) | Self::Other(errno) => {
                std::io::Error::from_raw_os_error(*errno).fmt(f)
            }
        }
    }
}

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the proxy answered {status}"),
            Self::Socks4(REJECTED) => f.write_str("the proxy refused or failed"),
            Self::Socks4(code @ 92..=93) => {
                write!(f, "the proxy does not accept the user ({code})")
            }
            Self::Socks4(code) => write!(f, "the proxy answered {code}"),
            Self::Socks5(reply) => write!(f, "the proxy answered: {reply}"),
            Self::NoMethod => f.write_str("the proxy wants its clients to sign in in another way"),
            Self::SignIn => f.write_str("the proxy does not accept user and password"),
            Self::Family => f.write_str("the proxy cannot be asked for an IPv6 address"),
            Self::Malformed => f.write_str("the proxy did not speak its protocol"),
            Self::Closed => f.write_str("the proxy closed the connection"),
            Self::Tls(failure) => write!(f, "there is no TLS with the proxy: {failure}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_end_has_letters_that_haproxy_knows() {
        let reasons = [
            Reason::Done,
            Reason::ClientReset,
            Reason::BackendReset,
            Reason::Idle,
            Reason::HalfClosedIdle,
            Reason::ConnectTimeout,
            Reason::Refused,
            Reason::Unreachable,
            Reason::NoBackend,
            Reason::Denied,
            Reason::Limited,
            Reason::SniffTimeout,
            Reason::Script,
            Reason::BadRequest,
            Reason::ProxyHeader,
            Reason::TlsError,
            Reason::Drained,
            Reason::Killed,
            Reason::Internal,
        ];
        for reason in reasons {
            for phase in [Phase::Sniff, Phase::Queue, Phase::Connect, Phase::Data] {
                let code = reason.code(phase);
                let (cause, place) = code.split_at(1);
                assert!("CSPLRIDUKcs-".contains(cause), "{code}");
                assert!("RQCHDLT-".contains(place), "{code}");
                assert_eq!(code == "--", reason == Reason::Done, "{code}");
            }
        }
    }
}
