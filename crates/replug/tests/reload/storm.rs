//! Reloads by the hundred under load: no session may notice.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::Rig;

/// How long it storms, how often, and on what.
const STORM: Duration = Duration::from_secs(30);
const RELOADS_PER_SECOND: u32 = 20;
const LONG_SESSIONS: usize = 500;
const SHORT_PER_SECOND: u32 = 1_000;

/// Every so many files is broken: 100 of 600.
const BROKEN_EVERY: u32 = 6;

/// Longest wait of a client for what it sent. Far beyond what a busy machine makes of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What clients saw.
#[derive(Default)]
struct Seen {
    short: AtomicU64,
    echoes: AtomicU64,
    over: AtomicBool,
}

#[test]
fn a_storm_of_reloads_under_load_harms_no_session() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let backends = runtime.block_on(async { [echo().await, echo().await] });
    let rig = Rig::start(&file(0, backends), 1);
    let address = rig.forwarder.address().tcp();
    // Once something has come through, all that stays open is open.
    runtime.block_on(short_session(address, 0)).expect("a calm session");
    rig.forwarder.record();
    let descriptors = rig.forwarder.descriptors();

    let seen = Arc::new(Seen::default());
    let long: Vec<_> = (0..LONG_SESSIONS)
        .map(|_| runtime.spawn(long_session(address, Arc::clone(&seen))))
        .collect();
    let short = runtime.spawn(short_sessions(address, Arc::clone(&seen)));
    let broken = storm(&rig, backends);
    seen.over.store(true, Ordering::Relaxed);
    runtime.block_on(async {
        short.await.expect("no panic").expect("every short session is served");
        for session in long {
            session.await.expect("no panic").expect("every long session lasts");
        }
    });

    let (short, echoes) = (seen.short.load(Ordering::Relaxed), seen.echoes.load(Ordering::Relaxed));
    assert!(echoes >= LONG_SESSIONS as u64, "{echoes} echoes in long sessions");
    let sessions = 1 + usize::try_from(short).expect("fits") + LONG_SESSIONS;
    let records = rig.forwarder.records(sessions);
    let odd: Vec<_> = records.iter().filter(|record| record.reason() != "done").collect();
    assert!(
        odd.is_empty(),
        "{} sessions ended badly: {:?}",
        odd.len(),
        odd.first().map(|odd| odd.reason())
    );
    let tried_again = records.iter().filter(|record| !record.attempts().is_empty()).count();
    assert_eq!(tried_again, 0, "sessions did not reach a backend at once");
    let told = rig.forwarder.messages().so_far();
    let refused = told.iter().filter(|line| line.contains("not reloaded")).count();
    assert!(refused >= broken, "{refused} of {broken} broken files were told");
    rig.forwarder.expect_descriptors(descriptors);
}

/// Changes the file and has it read, again and again. How many of them were broken.
fn storm(rig: &Rig, backends: [SocketAddr; 2]) -> usize {
    let begin = Instant::now();
    let mut broken = 0;
    for turn in 1..=RELOADS_PER_SECOND * u32::try_from(STORM.as_secs()).expect("fits") {
        let is_broken = turn % BROKEN_EVERY == 0;
        match is_broken {
            true => rig.write("[listener.web]\nbind = 8080\n"),
            false => rig.write(&file(turn, backends)),
        }
        rig.forwarder.signal(Signal::HUP);
        if is_broken {
            // Signals that come close together are one; each broken file is to be read.
            broken += 1;
            let told = |line: &str| line.contains("not reloaded");
            rig.forwarder.messages().expect_count(broken, told);
        }
        let next = begin + turn * Duration::from_secs(1) / RELOADS_PER_SECOND;
        rig::wait::pause(next.saturating_duration_since(Instant::now()));
    }
    rig.write(&file(0, backends));
    assert!(rig.reload(&[]).status.success());
    broken
}

/// A configuration that differs from turn to turn in all that may change.
fn file(turn: u32, [first, second]: [SocketAddr; 2]) -> String {
    let backends = match turn % 3 {
        0 => format!("\"{first}\", \"{second}\""),
        1 => format!("\"{second} weight=3\", \"{first}\""),
        _ => format!("\"{first}\""),
    };
    let balance = ["round-robin", "two-choices", "maglev"][(turn / 2 % 3) as usize];
    let mut text = format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\npool = \"web\"\n\
         timeouts = {{ idle = \"{}s\", connect = \"20s\" }}\n\
         [pool.web]\nbackends = [{backends}]\nbalance = \"{balance}\"\n",
        60 + turn % 7,
    );
    if turn % 4 == 1 {
        text += "[listener.extra]\nbind = \"127.0.0.1:0\"\npool = \"web\"\n";
    }
    if turn % 5 == 1 {
        text += "[limits]\nsessions = 5000\n";
    }
    text
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
