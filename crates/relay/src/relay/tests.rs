//! The rules of the relay, each with real sockets on loopback, for copy and for splice, with
//! bandwidth limits and without.
//!
//! The peers are blocking sockets on this thread or on one of their own; the
//! relay runs on a current-thread runtime beside them.

mod sealed;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::thread;
use std::time::Duration;

use super::*;
use crate::delay::Delay;
use crate::rewrite::{Next, Rewrite};
use crate::throttle::{Meter, Throttle};

/// Longest wait of a test for anything.
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
enum Mechanism {
    Copy,
    Splice,
    /// So slow that every read is smaller than bulk is.
    ThrottledCopy,
    /// Fast enough for bulk.
    ThrottledSplice,
    /// With a pause before each chunk.
    Delayed,
}

impl Mechanism {
    fn direction(self) -> Direction {
        let throttle = |rate| {
            Throttle::new([Meter::new(NonZeroU64::new(rate).expect("a rate of more than zero"))])
        };
        match self {
            Self::Copy => Direction::default().copy_only(),
            Self::Splice => Direction::default(),
            Self::ThrottledCopy => Direction::default().throttled(throttle(2_000_000)),
            Self::Delayed => {
                let mean = Duration::from_micros(500);
                Direction::default().delayed(Some(Delay::new(mean, 20_000, 7)))
            }
            Self::ThrottledSplice => Direction::default().throttled(throttle(40_000_000)),
        }
    }
}

/// Runs a relay between a client and a backend and gives how it ended.
fn relayed(
    mechanism: Mechanism,
    peers: impl FnOnce(TcpStream, TcpStream) + Send + 'static,
) -> (End, (u64, u64)) {
    relayed_by(|| mechanism.direction(), || mechanism.direction(), peers)
}

fn relayed_by(
    to_backend: impl FnOnce() -> Direction,
    to_client: impl FnOnce() -> Direction,
    peers: impl FnOnce(TcpStream, TcpStream) + Send + 'static,
) -> (End, (u64, u64)) {
    let (client, accepted) = connection();
    let (connected, backend) = connection();
    let peers = thread::spawn(move || peers(client, backend));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ended = runtime.block_on(async {
        let (to_backend, to_client) = (to_backend(), to_client());
        let mut relay = Relay::new(socket(accepted), socket(connected), to_backend, to_client);
        let end = std::future::poll_fn(|cx| relay.poll(cx));
        let end = tokio::time::timeout(DEADLINE, end).await.expect("the session ends");
        (end, relay.delivered())
    });
    peers.join().expect("the peers see what they expect");
    ended
}

fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let near = TcpStream::connect(listener.local_addr().expect("its address")).expect("connects");
    let (far, _) = listener.accept().expect("accepts");
    for end in [&near, &far] {
        end.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        end.set_write_timeout(Some(DEADLINE)).expect("a timeout");
    }
    (near, far)
}

fn socket(stream: TcpStream) -> Socket {
    stream.set_nonblocking(true).expect("non-blocking");
    Socket::new(stream.into())
}

fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("linger");
    drop(stream);
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| u8::try_from(at * 7 % 251).expect("below 251")).collect()
}

/// Reads until the end; says how it came.
fn read_all(stream: &mut TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut all = Vec::new();
    let end = stream.read_to_end(&mut all).map(drop);
    (all, end)
}

fn for_each(case: impl Fn(Mechanism)) {
    case(Mechanism::Copy);
    case(Mechanism::Splice);
    case(Mechanism::ThrottledCopy);
    case(Mechanism::ThrottledSplice);
    case(Mechanism::Delayed);
}

#[test]
fn a_reply_after_the_clients_fin_arrives_whole() {
    for_each(|mechanism| {
        let (end, delivered) = relayed(mechanism, |mut client, mut backend| {
            client.write_all(&bytes(300_000)).expect("sends");
            client.shutdown(Shutdown::Write).expect("sends a FIN");
            let (request, end) = read_all(&mut backend);
            end.expect("a FIN, not a reset");
            assert!(request == bytes(300_000));
            let answering = thread::spawn(move || backend.write_all(&bytes(2_000_000)));
            let (reply, end) = read_all(&mut client);
            end.expect("a FIN, not a reset");
            assert!(reply == bytes(2_000_000));
            answering.join().expect("no panic").expect("the backend sends all");
        });
        assert!(matches!(end, End::Done { first: Side::Client }), "{end:?}");
        assert_eq!(delivered, (300_000, 2_000_000));
    });
}

#[test]
fn the_backends_reset_reaches_the_client_behind_the_bytes() {
    for_each(|mechanism| {
        let (end, delivered) = relayed(mechanism, |mut client, mut backend| {
            backend.write_all(&bytes(20_000)).expect("sends");
            reset(backend);
            let (reply, end) = read_all(&mut client);
            assert!(reply == bytes(20_000), "{} bytes", reply.len());
            assert_eq!(end.expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
        });
        assert!(matches!(end, End::Reset { by: Side::Backend, .. }), "{end:?}");
        assert_eq!(delivered.1, 20_000);
    });
}

#[test]
fn a_slow_reader_gets_all_that_came_before_the_reset() {
    for_each(|mechanism| {
        let (end, _) = relayed(mechanism, |mut client, mut backend| {
            client.write_all(b"never read").expect("sends");
            // The backend has unread input when it closes, so its kernel resets.
            backend.write_all(&bytes(3_000_000)).expect("the client's side takes it");
            drop(backend);
            let (reply, end) = read_all(&mut client);
            assert!(bytes(3_000_000).starts_with(&reply), "the bytes are the backend's");
            assert_eq!(end.expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
        });
        assert!(matches!(end, End::Reset { by: Side::Backend, .. }), "{end:?}");
    });
}

#[test]
fn the_clients_reset_reaches_a_backend_that_only_waits() {
    for_each(|mechanism| {
        let (end, _) = relayed(mechanism, |mut client, mut backend| {
            client.write_all(b"request").expect("sends");
            client.shutdown(Shutdown::Write).expect("sends a FIN");
            let (request, end) = read_all(&mut backend);
            end.expect("a FIN, not a reset");
            assert_eq!(request, b"request");
            reset(client);
            let gone = loop {
                if let Err(error) = backend.write_all(b"x") {
                    break error;
                }
                thread::yield_now();
            };
            assert!(
                matches!(gone.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe),
                "{gone}"
            );
        });
        assert!(matches!(end, End::Reset { by: Side::Client, .. }), "{end:?}");
    });
}

#[test]
fn bytes_around_urgent_data_arrive_without_a_stall() {
    for_each(|mechanism| {
        let (end, _) = relayed(mechanism, |mut client, mut backend| {
            client.write_all(&bytes(400_000)).expect("sends");
            client.write_all(b"before").expect("sends");
            rustix::net::send(&client, b"!", rustix::net::SendFlags::OOB).expect("urgent");
            client.write_all(b"after").expect("sends");
            let mut got = vec![0; 400_011];
            backend.read_exact(&mut got).expect("everything arrives while the client waits");
            assert!(got.ends_with(b"beforeafter"));
            backend.write_all(b"ok").expect("answers");
            drop(backend);
            let (reply, end) = read_all(&mut client);
            end.expect("a FIN, not a reset");
            assert_eq!(reply, b"ok");
        });
        assert!(matches!(end, End::Done { first: Side::Backend }), "{end:?}");
    });
}

#[test]
fn data_and_fin_in_one_wake_up_end_the_stream() {
    for_each(|mechanism| {
        let (client, accepted) = connection();
        let (connected, mut backend) = connection();
        (&client).write_all(b"all at once").expect("sends");
        client.shutdown(Shutdown::Write).expect("sends a FIN");
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let peers = thread::spawn(move || {
            let (request, end) = read_all(&mut backend);
            end.expect("a FIN, not a reset");
            assert_eq!(request, b"all at once");
        });
        runtime.block_on(async {
            let (client, backend) = (socket(accepted), socket(connected));
            let (to_backend, to_client) = (mechanism.direction(), mechanism.direction());
            let mut relay = Relay::new(client, backend, to_backend, to_client);
            let end = std::future::poll_fn(|cx| relay.poll(cx));
            tokio::time::timeout(DEADLINE, end).await.expect("the session ends");
        });
        peers.join().expect("the backend sees it all");
    });
}

/// Holds back until a line is whole, doubles it, and does what some lines say.
#[derive(Debug, Default)]
struct Doubling {
    line: Vec<u8>,
}

impl Rewrite for Doubling {
    fn rewrite(&mut self, received: &[u8], out: &mut Vec<u8>) -> Next {
        for (at, &byte) in received.iter().enumerate() {
            self.line.push(byte);
            if byte != b'\n' {
                continue;
            }
            match &*std::mem::take(&mut self.line) {
                b"pass\n" => {
                    out.extend_from_slice(&received[at + 1..]);
                    return Next::Pass;
                }
                b"refuse\n" => return Next::Refuse,
                line => out.extend_from_slice(&[line, line].concat()),
            }
        }
        Next::Rewrite
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.line);
    }
}

/// Runs a relay with a rewriter towards the backend. The prefix is what came before.
fn rewritten(
    prefix: &'static [u8],
    peers: impl FnOnce(TcpStream, TcpStream) + Send + 'static,
) -> (End, (u64, u64)) {
    let to_backend = move || {
        let rewriter: Box<dyn Rewrite> = Box::new(Doubling::default());
        Direction::with_prefix(prefix.into()).rewritten(Some(rewriter))
    };
    relayed_by(to_backend, Direction::default, peers)
}

#[test]
fn a_rewritten_stream_ends_with_what_was_held_back() {
    let (end, delivered) = rewritten(b"fir", |mut client, mut backend| {
        client.write_all(b"st\nsec").expect("sends");
        let mut got = [0; 12];
        backend.read_exact(&mut got).expect("a line that was split arrives");
        assert_eq!(&got, b"first\nfirst\n");
        client.write_all(b"ond\nrest").expect("sends");
        client.shutdown(Shutdown::Write).expect("sends a FIN");
        let (got, end) = read_all(&mut backend);
        end.expect("a FIN, not a reset");
        assert_eq!(got, b"second\nsecond\nrest");
        backend.write_all(b"as it is\n").expect("sends");
        drop(backend);
        assert_eq!(read_all(&mut client).0, b"as it is\n");
    });
    assert!(matches!(end, End::Done { first: Side::Client }), "{end:?}");
    assert_eq!(delivered, (30, 9));
}

#[test]
fn a_reset_sends_on_what_was_held_back() {
    let (end, _) = rewritten(b"", |mut client, mut backend| {
        client.write_all(b"a\nb").expect("sends");
        reset(client);
        let (got, end) = read_all(&mut backend);
        assert_eq!(end.expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(got, b"a\na\nb");
    });
    assert!(matches!(end, End::Reset { by: Side::Client, .. }), "{end:?}");
}

#[test]
fn a_rewriter_that_has_done_its_work_lets_bulk_through() {
    let (end, delivered) = rewritten(b"pass\n", |mut client, mut backend| {
        let sending = thread::spawn(move || {
            client.write_all(&bytes(2_000_000)).expect("sends");
            client
        });
        let mut got = vec![0; 2_000_000];
        backend.read_exact(&mut got).expect("all of it");
        assert!(got == bytes(2_000_000));
        drop((sending.join().expect("no panic"), backend));
    });
    assert!(matches!(end, End::Done { .. }), "{end:?}");
    assert_eq!(delivered.0, 2_000_000);
}

#[test]
fn what_a_rewriter_refuses_resets_both_peers() {
    let (end, delivered) = rewritten(b"", |mut client, mut backend| {
        backend.write_all(b"greeting").expect("sends");
        let mut greeting = [0; 8];
        client.read_exact(&mut greeting).expect("the greeting");
        client.write_all(b"good\nrefuse\nmore\n").expect("sends");
        let (got, end) = read_all(&mut backend);
        assert_eq!(got, b"good\ngood\n");
        assert_eq!(end.expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
        let (_, end) = read_all(&mut client);
        assert_eq!(end.expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
    });
    assert!(matches!(end, End::Refused { by: Side::Client }), "{end:?}");
    assert_eq!(delivered.0, 10);
}

#[test]
fn dropping_a_relay_resets_both_peers() {
    let (mut client, accepted) = connection();
    let (connected, mut backend) = connection();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (client, backend) = (socket(accepted), socket(connected));
        let mut relay = Relay::new(client, backend, Direction::default(), Direction::default());
        let once = std::future::poll_fn(|cx| Poll::Ready(relay.poll(cx).is_pending()));
        assert!(once.await);
    });
    for peer in [&mut client, &mut backend] {
        let (_, end) = read_all(peer);
        assert_eq!(end.expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn an_idle_relay_is_small() {
    assert!(size_of::<Relay>() <= 88, "{} bytes", size_of::<Relay>());
    // The gaps that the allocator leaves between the runtime's words of two sockets.
    assert!(size_of::<State>() <= 104, "{} bytes", size_of::<State>());
}
