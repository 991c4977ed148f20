//! The load generator: threads of this process that use a candidate, and the window in which they count.
//!
//! A sample: the workers connect and start; after a warm-up the coordinator opens the window, reads the
//! clocks, waits, reads them again and ends it. Only what completes inside the window counts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, Socket, Type};

use crate::cost::{Cost, Meter};

pub(crate) mod bulk;
pub(crate) mod closed;
pub(crate) mod connect;
pub(crate) mod hold;
pub(crate) mod open;
mod poll;
pub(crate) mod tls;
pub(crate) mod udp;

/// Threads that make requests or connections.
pub(crate) const THREADS: usize = 2;
/// How long a worker waits for something before it looks whether the window has ended.
pub(crate) const LOOK: Duration = Duration::from_millis(50);
/// How long a bulk flow or a connect may stand still before it counts as failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Source addresses 127.0.0.1 to 127.0.0.20, so that closed connections do not use up the ports of one.
const SOURCES: u64 = 20;

const COUNTING: u8 = 1;
const ENDED: u8 = 2;

/// Whether workers warm up (0, as it begins), count or end.
#[derive(Debug, Default)]
pub(crate) struct Window(AtomicU8);

impl Window {
    /// Whether what completes now counts.
    pub(crate) fn counts(&self) -> bool {
        self.0.load(Ordering::Relaxed) == COUNTING
    }

    /// Whether workers are to end.
    pub(crate) fn ended(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ENDED
    }
}

/// What a worker, or all workers of a sample together, counted.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Requests, connections, bytes or datagrams that completed in the window.
    pub(crate) operations: u64,
    /// Nanoseconds of each operation, where it is one that has a duration.
    pub(crate) latency: Histogram<u64>,
    /// Datagrams sent in the window.
    pub(crate) sent: u64,
    /// Datagrams sent in the window that did not come back, or much too late.
    pub(crate) lost: u64,
    /// Operations or flows that failed, in the window or outside.
    pub(crate) failures: u64,
    /// Failures that were bytes lost, added, changed or mixed up.
    pub(crate) damaged: u64,
    /// What the first of the failures was.
    pub(crate) first_failure: Option<String>,
}

impl Default for Tally {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, 100_000_000_000, 3).expect("bounds are valid");
        Self {
            operations: 0,
            latency,
            sent: 0,
            lost: 0,
            failures: 0,
            damaged: 0,
            first_failure: None,
        }
    }
}

impl Tally {
    /// Counts one operation that took `elapsed`.
    pub(crate) fn record(&mut self, elapsed: Duration) {
        self.operations += 1;
        self.latency
            .saturating_record(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX).max(1));
    }

    /// Counts one failure.
    pub(crate) fn fail(&mut self, error: &io::Error) {
        self.failures += 1;
        self.damaged += u64::from(error.kind() == io::ErrorKind::InvalidData);
        if self.first_failure.is_none() {
            self.first_failure = Some(error.to_string());
        }
    }

    /// Adds what another worker counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.latency.add(&other.latency).expect("all have the same bounds");
        self.sent += other.sent;
        self.lost += other.lost;
        self.failures += other.failures;
        self.damaged += other.damaged;
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&other.first_failure);
        }
    }

    /// The latency in microseconds that `percent` of the operations did not exceed.
    pub(crate) fn microseconds(&self, percent: f64) -> Option<f64> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "nanoseconds of a sample are far below 2^52"
        )]
        (!self.latency.is_empty())
            .then(|| self.latency.value_at_quantile(percent / 100.0) as f64 / 1000.0)
    }
}

/// What all workers of one group counted, in how long and at what cost.
#[derive(Debug)]
pub(crate) struct Measured {
    /// One per group, in the order given to [`measure`].
    pub(crate) tallies: Vec<Tally>,
    /// Length of the window.
    pub(crate) elapsed: Duration,
    /// CPU time used in the window.
    pub(crate) cost: Cost,
}

/// A worker: connects, passes the barrier once (whatever happened), then works until the window ends.
pub(crate) type Worker = Box<dyn FnOnce(&Window, &Barrier) -> Tally + Send>;

/// The worker that opens something, passes the barrier, and then works with it until the window ends.
fn worker<T>(
    open: impl FnOnce() -> io::Result<T> + Send + 'static,
    work: impl FnOnce(T, &Window, &mut Tally) -> io::Result<()> + Send + 'static,
) -> Worker {
    Box::new(move |window, barrier| {
        let mut tally = Tally::default();
        let opened = open();
        barrier.wait();
        if let Err(error) = opened.and_then(|opened| work(opened, window, &mut tally)) {
            tally.fail(&error);
        }
        tally
    })
}

/// The numbers below `count`, divided among at most [`THREADS`] threads.
fn shares(count: usize) -> impl Iterator<Item = Vec<u64>> {
    let threads = THREADS.min(count);
    (0..threads).map(move |thread| (thread as u64..count as u64).step_by(threads).collect())
}

/// Runs groups of workers side by side through one window of `length`.
pub(crate) fn measure(groups: Vec<Vec<Worker>>, meter: &Meter, length: Duration) -> Measured {
    let window = Arc::new(Window::default());
    let workers: usize = groups.iter().map(Vec::len).sum();
    let barrier = Arc::new(Barrier::new(workers + 1));
    let running: Vec<Vec<_>> = groups
        .into_iter()
        .map(|group| group.into_iter().map(|worker| spawn(worker, &window, &barrier)).collect())
        .collect();
    barrier.wait();
    pause(length.mul_f64(0.2).max(Duration::from_millis(100)));
    window.0.store(COUNTING, Ordering::Relaxed);
    let (started, before) = (Instant::now(), meter.read());
    pause(length);
    let (elapsed, after) = (started.elapsed(), meter.read());
    window.0.store(ENDED, Ordering::Relaxed);
    let tallies = running.into_iter().map(join).collect();
    Measured { tallies, elapsed, cost: after - before }
}

fn spawn(
    worker: Worker,
    window: &Arc<Window>,
    barrier: &Arc<Barrier>,
) -> thread::JoinHandle<Tally> {
    let (window, barrier) = (Arc::clone(window), Arc::clone(barrier));
    thread::spawn(move || worker(&window, &barrier))
}

fn join(group: Vec<thread::JoinHandle<Tally>>) -> Tally {
    let mut sum = Tally::default();
    for worker in group {
        sum.add(&worker.join().expect("workers report failures and do not panic"));
    }
    sum
}

/// Waits for time to pass, which is what a measurement is made of.
#[expect(clippy::disallowed_methods, reason = "the length of a window is time, not an event")]
pub(crate) fn pause(length: Duration) {
    thread::sleep(length);
}

/// A socket for connection number `index`, bound to one of the source addresses, port left to connect.
///
/// # Errors
/// Those of `socket` and `bind`.
pub(crate) fn source_socket(index: u64) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    let last = u8::try_from(1 + index % SOURCES).expect("20 addresses");
    socket.bind(&SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 0).into())?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

/// Connects number `index` to `target`; the stream blocks.
///
/// # Errors
/// Those of `connect`.
pub(crate) fn connect(target: SocketAddr, index: u64) -> io::Result<TcpStream> {
    let socket = source_socket(index)?;
    socket.connect_timeout(&target.into(), PATIENCE)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend;
    use crate::pattern::opening::Opening;
    use crate::scenario::Way;

    fn sample(workers: impl Fn(SocketAddr) -> Vec<Worker>) -> Measured {
        let port = backend::listen().expect("loopback has a free port");
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let meter = Meter { group: None };
        let measured = measure(vec![workers(target)], &meter, Duration::from_millis(200));
        let tally = &measured.tallies[0];
        assert!(tally.operations > 0, "{tally:?}");
        assert_eq!(tally.failures, 0, "{:?}", tally.first_failure);
        measured
    }

    #[test]
    fn request_reply() {
        let measured = sample(|target| closed::workers(target, 8, 1024));
        assert_eq!(measured.tallies[0].latency.len(), measured.tallies[0].operations);
    }

    #[test]
    fn connect_request_reply_close() {
        sample(|target| connect::workers(target, 8, Opening::Byte));
    }

    #[test]
    fn connect_with_more_to_say() {
        sample(|target| connect::workers(target, 8, Opening::Hello));
        sample(|target| connect::workers(target, 8, Opening::Request));
    }

    #[test]
    fn fixed_rate() {
        sample(|target| open::workers(target, 4, 1000));
    }

    #[test]
    fn bulk_both_ways() {
        sample(|target| bulk::workers::<TcpStream>(target, 2, bulk::Direction::Up));
        sample(|target| bulk::workers::<TcpStream>(target, 2, bulk::Direction::Down));
    }

    fn udp_sample(workers: impl Fn(SocketAddr) -> Vec<Worker>) -> Tally {
        let port = backend::udp::listen().expect("loopback has a free port");
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        udp::served(target).expect("it echoes");
        let meter = Meter { group: None };
        let mut measured = measure(vec![workers(target)], &meter, Duration::from_millis(200));
        let tally = measured.tallies.remove(0);
        assert_eq!(tally.failures, 0, "{:?}", tally.first_failure);
        tally
    }

    #[test]
    fn datagrams_as_fast_as_they_come_back() {
        let tally = udp_sample(|target| udp::closed(target, 4, 1200, 3));
        assert!(tally.operations > 0 && tally.sent > 0, "{tally:?}");
        assert_eq!(tally.latency.len(), tally.operations);
    }

    #[test]
    fn datagrams_at_a_fixed_rate() {
        let tally = udp_sample(|target| udp::paced(target, 4, 64, 2000));
        // 400 in the window, as far as this machine has time for them.
        assert!((1..=600).contains(&tally.sent), "{tally:?}");
    }

    #[test]
    fn lost_and_changed_datagrams_are_noticed() {
        let backend = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let target = backend.local_addr().expect("it is bound");
        // Answers the first of each of two flows, then swallows all of one and changes those of the other.
        let server = thread::spawn(move || {
            let mut known: Vec<SocketAddr> = Vec::new();
            let mut bytes = [0; 64];
            while known.len() < 2 || bytes[0] < 2 {
                let (_, from) = backend.recv_from(&mut bytes).expect("clients come");
                match known.iter().position(|client| *client == from) {
                    None => known.push(from),
                    Some(0) => continue,
                    Some(_) => bytes[63] ^= 1,
                }
                backend.send_to(&bytes, from).expect("the client is there");
            }
        });
        let workers = vec![udp::closed(target, 2, 64, 1)];
        let measured = measure(workers, &Meter { group: None }, Duration::from_millis(300));
        drop(server);
        let tally = &measured.tallies[0];
        assert_eq!(tally.damaged, 1, "{tally:?}");
        assert!(tally.lost > 0 && tally.operations == 0, "{tally:?}");
    }

    #[test]
    fn a_burst_is_served_whole() {
        let port = backend::listen().expect("loopback has a free port");
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let burst = connect::burst(target, 100).expect("sockets can be made");
        assert_eq!((burst.tally.operations, burst.tally.failures), (100, 0));
        assert_eq!(hold::open(Way::Tcp, target, 5).expect("it is served").len(), 5);
    }

    #[test]
    fn a_backend_that_changes_bytes_is_noticed() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let target = listener.local_addr().expect("it is bound");
        let changer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client comes");
            let mut byte = [0];
            while io::Read::read(&mut stream, &mut byte).is_ok_and(|length| length > 0) {
                byte[0] ^= 1;
                drop(io::Write::write_all(&mut stream, &byte));
            }
        });
        let workers = vec![closed::workers(target, 1, 1)];
        let measured = measure(workers, &Meter { group: None }, Duration::from_millis(50));
        assert_eq!(measured.tallies[0].damaged, 1);
        changer.join().expect("it ends with the client");
    }
}
