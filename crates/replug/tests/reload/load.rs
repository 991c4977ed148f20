//! Sessions by the thousand while a program reads its configuration again and again: what a storm of
//! reloads is made of, whatever the configuration is written in.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rig::Program;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// How long it storms, how often, and on what.
const STORM: Duration = Duration::from_secs(30);
const RELOADS_PER_SECOND: u32 = 20;
const LONG_SESSIONS: usize = 500;
const SHORT_PER_SECOND: u32 = 1_000;

/// Every so many files is broken: 100 of 600.
const BROKEN_EVERY: u32 = 6;

/// Longest wait of a client for what it sent. Far beyond what a busy machine makes of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two backends, and clients of a program before them.
pub(crate) struct Load {
    runtime: Runtime,
    pub(crate) backends: [SocketAddr; 2],
    seen: Arc<Seen>,
    long: Vec<JoinHandle<io::Result<()>>>,
    short: Option<JoinHandle<io::Result<()>>>,
}

/// What clients saw.
#[derive(Default)]
struct Seen {
    short: AtomicU64,
    echoes: AtomicU64,
    over: AtomicBool,
}

/// A file that is to be read next.
pub(crate) enum Draft {
    /// One that differs from turn to turn.
    Turn(u32),
    /// One that is wrong.
    Broken,
}

impl Load {
    /// The backends.
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let backends = runtime.block_on(async { [echo().await, echo().await] });
        Self { runtime, backends, seen: Arc::default(), long: Vec::new(), short: None }
    }

    /// One session, through to its end.
    pub(crate) fn one(&self, address: SocketAddr) {
        self.runtime.block_on(short_session(address, 0)).expect("a calm session");
    }

    /// Sessions that last, and others that come and go, until [`Load::end`].
    pub(crate) fn begin(&mut self, address: SocketAddr) {
        let long = || self.runtime.spawn(long_session(address, Arc::clone(&self.seen)));
        self.long = (0..LONG_SESSIONS).map(|_| long()).collect();
        self.short = Some(self.runtime.spawn(short_sessions(address, Arc::clone(&self.seen))));
    }

    /// Waits for the end of all; how many there were.
    pub(crate) fn end(self) -> usize {
        let Self { runtime, seen, long, short, .. } = self;
        seen.over.store(true, Ordering::Relaxed);
        runtime.block_on(async {
            if let Some(short) = short {
                short.await.expect("no panic").expect("every short session is served");
            }
            for session in long {
                session.await.expect("no panic").expect("every long session lasts");
            }
        });
        let (short, echoes) =
            (seen.short.load(Ordering::Relaxed), seen.echoes.load(Ordering::Relaxed));
        assert!(echoes >= LONG_SESSIONS as u64, "{echoes} echoes in long sessions");
        usize::try_from(short).expect("fits") + LONG_SESSIONS
    }
}

/// Changes the file and has it read, again and again. How many of them were broken.
pub(crate) fn storm(program: &Program, write: impl Fn(Draft)) -> usize {
    let begin = Instant::now();
    let mut broken = 0;
    for turn in 1..=RELOADS_PER_SECOND * u32::try_from(STORM.as_secs()).expect("fits") {
        let is_broken = turn % BROKEN_EVERY == 0;
        write(if is_broken { Draft::Broken } else { Draft::Turn(turn) });
        program.signal(Signal::HUP);
        if is_broken {
            // Signals that come close together are one; each broken file is to be read.
            broken += 1;
            let told = |line: &str| line.contains("not reloaded");
            program.stderr().expect_count(broken, told);
        }
        let next = begin + turn * Duration::from_secs(1) / RELOADS_PER_SECOND;
        rig::wait::pause(next.saturating_duration_since(Instant::now()));
    }
    write(Draft::Turn(0));
    broken
}

/// A backend that sends back what it gets, until the FIN.
async fn echo() -> SocketAddr {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    // A queue that overflows would reset sessions in replug's stead.
    let listener = socket.listen(4096).expect("it listens");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = socket.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    address
}

/// Asks and is answered twice a second until the storm is over.
async fn long_session(address: SocketAddr, seen: Arc<Seen>) -> io::Result<()> {
    let mut socket = TcpStream::connect(address).await?;
    let mut number = 0_u64;
    while !seen.over.load(Ordering::Relaxed) {
        number += 1;
        exchange(&mut socket, number).await?;
        seen.echoes.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    end(socket).await
}

/// Many that ask once, so many a second.
async fn short_sessions(address: SocketAddr, seen: Arc<Seen>) -> io::Result<()> {
    let (failures, mut failed) = tokio::sync::mpsc::unbounded_channel();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / SHORT_PER_SECOND * 10);
    let mut sessions = tokio::task::JoinSet::new();
    while !seen.over.load(Ordering::Relaxed) {
        ticks.tick().await;
        for _ in 0..10 {
            let (seen, failures) = (Arc::clone(&seen), failures.clone());
            let number = seen.short.fetch_add(1, Ordering::Relaxed);
            sessions.spawn(async move {
                if let Err(error) = short_session(address, number).await {
                    let _ = failures.send(error);
                }
            });
        }
        while sessions.try_join_next().is_some() {}
    }
    sessions.join_all().await;
    drop(failures);
    failed.recv().await.map_or(Ok(()), Err)
}

async fn short_session(address: SocketAddr, number: u64) -> io::Result<()> {
    let mut socket = TcpStream::connect(address).await?;
    exchange(&mut socket, number).await?;
    end(socket).await
}

async fn exchange(socket: &mut TcpStream, number: u64) -> io::Result<()> {
    let asked = number.to_be_bytes();
    let mut answer = [0; 8];
    let exchange = async {
        socket.write_all(&asked).await?;
        socket.read_exact(&mut answer).await
    };
    tokio::time::timeout(PATIENCE, exchange).await??;
    match answer == asked {
        true => Ok(()),
        false => Err(io::Error::other("another session's bytes")),
    }
}

/// Sends the FIN and waits for that of the other side.
async fn end(mut socket: TcpStream) -> io::Result<()> {
    socket.shutdown().await?;
    match tokio::time::timeout(PATIENCE, socket.read(&mut [0; 1])).await?? {
        0 => Ok(()),
        _ => Err(io::Error::other("bytes that nobody sent")),
    }
}
