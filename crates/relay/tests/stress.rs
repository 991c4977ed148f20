//! Thousands of sessions in a ring, each with a fate of its own: they send little and much, stall,
//! half-close, reset, and are cut. Whatever happens, what arrives is what was sent, a FIN comes
//! only behind all of it, and in the end the ring is empty.
//!
//! Runs for two seconds; for longer by
//! `REPLUG_STRESS_SECONDS=600 cargo test --release -p relay --test stress -- --nocapture`. The seed
//! is told, and can be given as `REPLUG_STRESS_SEED`.

use std::future::poll_fn;
use std::io;
use std::net::{TcpListener, TcpStream as StdStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime};

use relay::{Direction, End, Relay, Ring, Side, Socket, ring};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Sessions at a time: more than the ring has buffers.
const SESSIONS: usize = 200;

/// Longest life of one of them.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn whatever_happens_the_ring_is_empty_in_the_end() {
    let given = |name: &str| std::env::var(name).ok()?.parse().ok();
    let seconds: u64 = given("REPLUG_STRESS_SECONDS").unwrap_or(2);
    let seed = given("REPLUG_STRESS_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(1, |now| u64::from(now.subsec_nanos()) | 1)
    });
    println!("REPLUG_STRESS_SEED={seed}");
    let mut builder = Builder::new_current_thread();
    builder.enable_all().on_thread_park(ring::parking).on_thread_unpark(ring::unparked);
    let runtime = builder.build_local(LocalOptions::default()).expect("a runtime can be had");
    runtime.block_on(async {
        let ring = Ring::start().expect("this kernel has io_uring");
        let before = descriptors();
        let (mut dice, mut all) = (Dice(seed | 1), JoinSet::new());
        let (end, mut count) = (Instant::now() + Duration::from_secs(seconds), 0);
        while Instant::now() < end {
            while all.len() < SESSIONS {
                count += 1;
                all.spawn_local(timeout(PATIENCE, session(Dice(dice.next() | 1))));
            }
            let joined = all.join_next().await.expect("there are some");
            joined.expect("a session keeps what it promises").expect("a session ends");
        }
        while let Some(joined) = all.join_next().await {
            joined.expect("a session keeps what it promises").expect("a session ends");
        }
        println!("{count} sessions");
        let is_empty = async {
            while ring.sessions() > 0 || descriptors() > before {
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

/// One session from its beginning to its end.
async fn session(mut dice: Dice) {
    let (client, near) = connection();
    let (backend, far) = connection();
    let sent = [dice.length(), dice.length()];
    let fate = match dice.below(10) {
        0 => Fate::Reset(Side::Client, dice.length()),
        1 => Fate::Reset(Side::Backend, dice.length()),
        2 => Fate::Cut(dice.below(60)),
        _ => Fate::Whole,
    };
    let (to_backend, to_client) = (Direction::default(), Direction::default());
    let mut relay =
        Relay::new(Socket::blocking(near), Socket::blocking(far), to_backend, to_client).riding();
    let relaying = tokio::task::spawn_local(async move {
        let end = poll_fn(|cx| relay.poll(cx));
        match fate {
            Fate::Cut(after) => timeout(Duration::from_millis(after), end).await.ok(),
            _ => Some(end.await),
        }
    });
    let resets = |side| match fate {
        Fate::Reset(by, after) if by == side => Some(after),
        _ => None,
    };
    let (client, backend) = tokio::join!(
        peer(client, (1, sent[0]), 2, resets(Side::Client), dice.clone()),
        peer(backend, (2, sent[1]), 1, resets(Side::Backend), Dice(dice.next() | 1)),
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

/// What a peer has seen of the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    /// So many bytes, all as they should be, and the FIN.
    Fin(usize),
    /// It was broken off; what had come was right.
    Broken,
}

/// Sends a stream, and takes the one of the other peer.
async fn peer(
    stream: TcpStream,
    (own, length): (u8, usize),
    other: u8,
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
                let chunk = (1 + writers.length()).min(length - sent);
                let bytes: Vec<u8> = (sent..sent + chunk).map(|at| byte(own, at)).collect();
                if writing.write_all(&bytes).await.is_err() {
                    return Wrote::Broken;
                }
                sent += chunk;
                if writers.below(20) == 0 {
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
