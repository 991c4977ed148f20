//! A listening address that could not be had, and what to do about it.

use std::fmt;
use std::io;

use model::{Bind, Span};

/// A listening address that could not be had.
#[derive(Debug)]
pub struct BindFailure {
    /// The listener.
    pub listener: String,
    /// The address.
    pub bind: Bind,
    /// Where it was written.
    pub span: Option<Span>,
    /// What the system said.
    pub error: io::Error,
}

impl fmt::Display for BindFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.bind, self.error)?;
        if self.error.raw_os_error().is_none() {
            // It says itself what to do.
            return Ok(());
        }
        let hint = match (self.error.kind(), &self.bind) {
            (io::ErrorKind::AddrInUse, Bind::Tcp { port, .. }) => {
                return write!(
                    f,
                    "\n  another process has this port: see `ss -ltnp 'sport = :{port}'`"
                );
            }
            (io::ErrorKind::AddrInUse, Bind::Udp { port, .. }) => {
                return write!(
                    f,
                    "\n  another process has this port: see `ss -lunp 'sport = :{port}'`"
                );
            }
            (io::ErrorKind::AddrInUse, Bind::Unix(_)) => {
                "another process answers there, or a file that is no socket is in the way"
            }
            (io::ErrorKind::PermissionDenied, Bind::Tcp { .. } | Bind::Udp { .. }) => {
                "ports below 1024 need root or CAP_NET_BIND_SERVICE \
                 (setcap cap_net_bind_service+ep, or AmbientCapabilities= in a unit)"
            }
            (io::ErrorKind::AddrNotAvailable, _) => {
                "this address is not one of this machine's: see `ip address`"
            }
            _ => return Ok(()),
        };
        write!(f, "\n  {hint}")
    }
}
