//! Thousands of sessions in a ring, each with a fate of its own: they send little and much, change
//! over to epoll and back, stall, half-close, reset, time out, and are cut; some connect in vain.
//! Whatever happens, what arrives is what was sent, a FIN comes only behind all of it, and in the
//! end the ring is empty.
//!
//! Runs for two seconds; for longer by
//! `REPLUG_STRESS_SECONDS=600 cargo test --release -p relay --test stress -- --nocapture`. The seed
//! is told, and can be given as `REPLUG_STRESS_SEED`.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream as StdStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use relay::{Carrier, Direction, End, Relay, Ring, Side, Socket, ring};
use socket2::{Domain, SockAddr, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Sessions at a time: more than the ring has buffers.
const SESSIONS: usize = 200;

/// Longest life of one of them.
const PATIENCE: Duration = Duration::from_secs(60);

/// What has happened.
#[derive(Debug, Default)]
struct Tally {
    sessions: Cell<u64>,
    /// Those whose two streams have ended in good order.
    done: Cell<u64>,
    /// Those of which one side was reset.
    resets: Cell<u64>,
    /// Those that were cut, or whose time was over.
    cut: Cell<u64>,
    /// Those that the ring has carried alone.
    ring: Cell<u64>,
    /// Those that have changed over.
    both: Cell<u64>,
    /// How often one was found to ride that did not before.
    returns: Cell<u64>,
    refused: Cell<u64>,
    connects_given_up: Cell<u64>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, done, resets, cut, ring, both, returns, .. } = self;
        write!(
            f,
            "{} sessions: {} done, {} reset, {} cut; {} by the ring, {} by both, {} returns; \
             {} connects refused, {} given up",
            sessions.get(),
            done.get(),
            resets.get(),
            cut.get(),
            ring.get(),
            both.get(),
            returns.get(),
            self.refused.get(),
            self.connects_given_up.get(),
        )
    }
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

#[test]
fn whatever_happens_the_ring_is_empty_in_the_end() {
    let given = |name: &str| std::env::var(name).ok()?.parse().ok();
    let seconds: u64 = given("REPLUG_STRESS_SECONDS").unwrap_or(2);
    let seed = given("REPLUG_STRESS_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(1, |now| u64::from(now.subsec_nanos()) | 1)
    });
    println!("REPLUG_STRESS_SEED={seed}");
    // On a thread of its own: one that hangs has no timers.
    let (done, is_done) = mpsc::channel();
    let running = thread::spawn(move || {
        run(seed, seconds);
        let _ = done.send(());
    });
    let patience = Duration::from_secs(seconds) + 3 * PATIENCE;
    let hangs = is_done.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
    assert!(!hangs, "the thread hangs");
    running.join().expect("all sessions keep what they promise");
}

/// Keeps sessions going for so long, and waits for their ends.
#[expect(clippy::print_stdout, reason = "what a long run has met")]
fn run(seed: u64, seconds: u64) {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().on_thread_park(ring::parking).on_thread_unpark(ring::unparked);
    let runtime = builder.build_local(LocalOptions::default()).expect("a runtime can be had");
    runtime.block_on(async {
        let ring = Ring::start().expect("this kernel has io_uring");
        let places = Rc::new(Places::new());
        let before = descriptors();
        let (mut dice, mut all) = (Dice(seed | 1), JoinSet::new());
        let tally = Rc::new(Tally::default());
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            while all.len() < SESSIONS {
                let (dice, tally) = (Dice(dice.next() | 1), Rc::clone(&tally));
                all.spawn_local(timeout(PATIENCE, life(dice, Rc::clone(&places), tally)));
            }
            let joined = all.join_next().await.expect("there are some");
            joined.expect("a session keeps what it promises").expect("a session ends");
        }
        while let Some(joined) = all.join_next().await {
            joined.expect("a session keeps what it promises").expect("a session ends");
        }
        println!("{tally}");
        let is_empty = async {
            while ring.sessions() + ring.connects() > 0 || descriptors() > before {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, is_empty).await.expect("nothing stays behind");
        assert_eq!(ring.buffers_held(), 0);
    });
    Ring::stop();
}

/// Descriptors, without the pipes that a thread keeps.
fn descriptors() -> usize {
    let all = std::fs::read_dir("/proc/self/fd").expect("proc(5) has it");
    let targets = all.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Xorshift.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// Mostly a little, sometimes much.
    fn length(&mut self) -> usize {
        let most = [1, 100, 5_000, 200_000, 1_500_000];
        let most = most[usize::try_from(self.below(5)).expect("it is small")];
        usize::try_from(self.below(most)).expect("it is small")
    }
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Both sides say all that they have to say.
    Whole,
    /// One of them resets after so many bytes.
    Reset(Side, usize),
    /// It is cut after so many milliseconds.
    Cut(u64),
}

/// Where a backend is not.
struct Places {
    /// Its port is taken, and nobody listens.
    closed: socket2::Socket,
    /// Nobody accepts, and the kernel takes no more clients for it.
    full: socket2::Socket,
    _fills: Vec<socket2::Socket>,
}

impl Places {
    fn new() -> Self {
        let [closed, full] = [(); 2].map(|()| {
            let socket = tcp();
            socket
                .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
                .expect("a port is free");
            socket
        });
        full.listen(0).expect("it is bound");
        let fills = [(); 8].map(|()| {
            let fill = tcp();
            fill.set_nonblocking(true).expect("any socket can");
            let _ = fill.connect(&address(&full));
            fill
        });
        Self { closed, full, _fills: fills.into() }
    }
}

fn tcp() -> socket2::Socket {
    socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are descriptors")
}

fn address(socket: &socket2::Socket) -> SockAddr {
    socket.local_addr().expect("it is bound")
}

/// What one client sees: maybe in vain first, then a session.
async fn life(mut dice: Dice, places: Rc<Places>, tally: Rc<Tally>) {
    match dice.below(20) {
        0 => {
            let refused = ring::connect(tcp().into(), address(&places.closed)).await;
            let kind = refused.map(drop).expect_err("nobody listens").kind();
            assert_eq!(kind, io::ErrorKind::ConnectionRefused);
            count(&tally.refused);
        }
        1 => {
            let patience = Duration::from_millis(dice.below(5));
            let connect = ring::connect(tcp().into(), address(&places.full));
            timeout(patience, connect).await.map(drop).expect_err("nobody answers");
            count(&tally.connects_given_up);
        }
        _ => {}
    }
    session(dice, &tally).await;
}

/// One session from its beginning to its end.
async fn session(mut dice: Dice, tally: &Rc<Tally>) {
    let (client, near) = connection();
    let (backend, far) = match dice.below(4) {
        0 => {
            let (backend, far) = connection();
            (backend, Socket::blocking(far))
        }
        _ => dialled().await,
    };
    // A conversation brings a session back that has left for bulk.
    let talks = dice.below(4) == 0;
    let sent = match talks {
        true => [(); 2].map(|()| usize::try_from(dice.below(300_000)).expect("it is small")),
        false => [dice.length(), dice.length()],
    };
    let fate = match dice.below(10) {
        0 => Fate::Reset(Side::Client, dice.length()),
        1 => Fate::Reset(Side::Backend, dice.length()),
        2 => Fate::Cut(dice.below(60)),
        _ => Fate::Whole,
    };
    let (to_backend, to_client) = (Direction::default(), Direction::default());
    let relay = Relay::new(Socket::blocking(near), far, to_backend, to_client).riding();
    let relaying = tokio::task::spawn_local(relayed(relay, fate, Rc::clone(tally)));
    let resets = |side| match fate {
        Fate::Reset(by, after) if by == side => Some(after),
        _ => None,
    };
    let (client, backend) = tokio::join!(
        peer(client, (1, sent[0]), (2, talks), resets(Side::Client), dice.clone()),
        peer(backend, (2, sent[1]), (1, talks), resets(Side::Backend), Dice(dice.next() | 1)),
    );
    let end = relaying.await.expect("a relay does not panic");
    for (got, expected) in [(client, sent[1]), (backend, sent[0])] {
        match got {
            Got::Fin(bytes) => {
                assert_eq!(bytes, expected, "a FIN comes behind all bytes: {fate:?}");
            }
            Got::Broken => assert_ne!(fate, Fate::Whole),
        }
    }
    if fate == Fate::Whole {
        assert!(matches!(end, Some(End::Done { .. })), "{end:?}");
    }
}

/// Relays to the end, or until it is cut; counts it.
async fn relayed(mut relay: Relay, fate: Fate, tally: Rc<Tally>) -> Option<End> {
    let mut rides = true;
    let end = poll_fn(|cx| {
        let end = relay.poll(cx);
        if relay.rides() && !rides {
            count(&tally.returns);
        }
        rides = relay.rides();
        end
    });
    let end = match fate {
        Fate::Cut(after) => timeout(Duration::from_millis(after), end).await.ok(),
        _ => Some(end.await),
    };
    count(&tally.sessions);
    count(match &end {
        Some(End::Done { .. }) => &tally.done,
        Some(_) => &tally.resets,
        None => &tally.cut,
    });
    match relay.carrier() {
        Carrier::Ring => count(&tally.ring),
        Carrier::Both => count(&tally.both),
        Carrier::Epoll => panic!("it rides at first"),
    }
    end
}

/// What a peer has seen of the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    /// So many bytes, all as they should be, and the FIN.
    Fin(usize),
    /// It was broken off; what had come was right.
    Broken,
}

/// Sends a stream, mostly in small messages if it `talks`, and takes the one of the other peer.
async fn peer(
    stream: TcpStream,
    (own, length): (u8, usize),
    (other, talks): (u8, bool),
    resets: Option<usize>,
    mut dice: Dice,
) -> Got {
    let (mut reading, mut writing) = stream.into_split();
    let mut writers = dice.clone();
    let mut seen = None;
    let mut write = Box::pin({
        async {
            let mut sent = 0;
            while sent < length {
                if resets.is_some_and(|after| sent >= after) {
                    return Wrote::Enough;
                }
                let is_small = talks && writers.below(100) > 0;
                let chunk = match is_small {
                    true => 1 + usize::try_from(writers.below(100)).expect("it is small"),
                    // Enough for the ring to let go.
                    false if talks => 60_000 + writers.length(),
                    false => 1 + writers.length(),
                };
                let chunk = chunk.min(length - sent);
                let bytes: Vec<u8> = (sent..sent + chunk).map(|at| byte(own, at)).collect();
                if writing.write_all(&bytes).await.is_err() {
                    return Wrote::Broken;
                }
                sent += chunk;
                if is_small {
                    // The ring turns when nobody has anything to do.
                    sleep(Duration::from_millis(1)).await;
                } else if writers.below(20) == 0 {
                    sleep(Duration::from_millis(writers.below(20))).await;
                }
            }
            match (resets, writing.shutdown().await) {
                (Some(_), _) => Wrote::Enough,
                (None, Ok(())) => Wrote::All,
                (None, Err(_)) => Wrote::Broken,
            }
        }
    });
    let wrote = {
        let mut read = Box::pin(take(&mut reading, other, &mut dice));
        let wrote = loop {
            tokio::select! {
                biased;
                wrote = &mut write => break wrote,
                got = &mut read, if seen.is_none() => seen = Some(got),
            }
        };
        if wrote != Wrote::Enough && seen.is_none() {
            seen = Some(read.await);
        }
        wrote
    };
    drop(write);
    if wrote == Wrote::Enough {
        // Else its drop would send a FIN.
        writing.forget();
    }
    match (wrote, seen) {
        (Wrote::All, Some(got)) => got,
        // The kernel tells once that a connection is broken, and has told the writer.
        (Wrote::Broken, _) => Got::Broken,
        _ => {
            let linger = Some(Duration::ZERO);
            rustix::net::sockopt::set_socket_linger(reading.as_ref(), linger)
                .expect("any connection can linger");
            Got::Broken
        }
    }
}

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrote {
    /// All of it was sent, and the FIN.
    All,
    /// As much as there was to be.
    Enough,
    /// The connection is broken.
    Broken,
}

/// Takes a stream to its end.
async fn take(reading: &mut tokio::net::tcp::OwnedReadHalf, other: u8, dice: &mut Dice) -> Got {
    let (mut got, mut buffer) = (0, vec![0; 100_000]);
    loop {
        let room = (1 + dice.length()).min(buffer.len());
        match reading.read(&mut buffer[..room]).await {
            Ok(0) => return Got::Fin(got),
            Ok(bytes) => {
                let right = (got..got + bytes).map(|at| byte(other, at));
                assert!(right.eq(buffer[..bytes].iter().copied()), "bytes are as they were");
                got += bytes;
            }
            Err(_) => return Got::Broken,
        }
        if dice.below(50) == 0 {
            sleep(Duration::from_millis(dice.below(30))).await;
        }
    }
}

fn byte(seed: u8, at: usize) -> u8 {
    let low = u8::try_from(at % 251).expect("it is small");
    low.wrapping_mul(7).wrapping_add(seed)
}

/// A connection that the ring has made: the far end, and the near one.
async fn dialled() -> (TcpStream, Socket) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let target = listener.local_addr().expect("it is bound");
    let near = ring::connect(tcp().into(), target.into()).await.expect("somebody listens");
    rustix::net::sockopt::set_tcp_nodelay(near.descriptor(), true).expect("any connection can");
    let (far, _) = listener.accept().expect("it has connected");
    far.set_nonblocking(true).expect("any socket can");
    far.set_nodelay(true).expect("any connection can");
    (TcpStream::from_std(far).expect("it is new"), near)
}

/// A connection: the far end, and the near one in blocking mode.
fn connection() -> (TcpStream, OwnedFd) {
    let connect = || -> io::Result<_> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let far = StdStream::connect(listener.local_addr()?)?;
        let (near, _) = listener.accept()?;
        far.set_nonblocking(true)?;
        far.set_nodelay(true)?;
        near.set_nodelay(true)?;
        Ok((TcpStream::from_std(far)?, near.into()))
    };
    connect().expect("loopback has ports")
}
