//! A sealed socket alone: how it agrees, what it holds, and that splitting the wire changes nothing.

use std::future::poll_fn;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::*;
use crate::cipher::toy::{ANSWER, ASK, DATA, END, Ended, HELLO, Peer, Toy};
use proptest::prelude::*;

const DEADLINE: Duration = Duration::from_secs(5);

fn connection() -> (TcpStream, Socket) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let near = TcpStream::connect(listener.local_addr().expect("its address")).expect("connects");
    near.set_nodelay(true).expect("an option");
    near.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let (far, _) = listener.accept().expect("accepts");
    far.set_nonblocking(true).expect("non-blocking");
    (near, Socket::new(far.into()))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(DEADLINE, work).await.expect("in time") })
}

fn server(early: &[u8]) -> (TcpStream, Socket) {
    let (near, mut socket) = connection();
    socket.seal(Toy::server().boxed(), early.to_vec());
    (near, socket)
}

/// A peer of which nothing has been heard, and a socket that has agreed with it.
fn agreed() -> (Peer, Socket) {
    let (near, mut socket) = server(&[HELLO, 0, 1, 0]);
    run(socket.handshake()).expect("both agree");
    let mut hello = [0; 3];
    io::Read::read_exact(&mut &near, &mut hello).expect("a hello");
    (Peer::agreed(near), socket)
}

fn sealed(socket: &mut Socket) -> &mut Sealed {
    socket.sealed().expect("it is sealed")
}

/// Receives until the end, at most `room` at a time.
async fn receive_all(socket: &mut Socket, room: usize) -> (Vec<u8>, io::Result<()>) {
    let mut all = Vec::new();
    let mut buffer = vec![0; room];
    loop {
        match socket.receive(&mut buffer).await {
            Ok(0) => return (all, Ok(())),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) => return (all, Err(error)),
        }
    }
}

#[test]
fn whoever_speaks_first_both_agree() {
    for is_client in [false, true] {
        let (near, mut socket) = connection();
        let peer = std::thread::spawn(move || match is_client {
            true => Peer::server(near),
            false => Peer::client(near),
        });
        socket.seal(if is_client { Toy::client() } else { Toy::server() }.boxed(), Vec::new());
        run(socket.handshake()).expect("both agree");
        assert!(socket.cipher().expect("there is one").is_ready());
        peer.join().expect("the peer agrees");
    }
}

#[test]
fn who_breaks_the_protocol_is_told_before_it_ends() {
    let (near, mut socket) = server(b"G\0\x03ET ");
    let error = run(socket.handshake()).expect_err("that is no hello");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    socket.close_in_order();
    drop(socket);
    assert!(matches!(Peer::agreed(near).read_all().1, Ended::Alert));
}

#[test]
fn who_leaves_in_the_handshake_is_no_stream() {
    let (near, mut socket) = server(&[HELLO, 0]);
    drop(near);
    let error = run(socket.handshake()).expect_err("it has left");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn wherever_the_wire_is_split_the_bytes_are_the_same() {
    let all = b"some bytes of a session, in records of all sizes, one of them longer";
    let mut wire = vec![HELLO, 0, 1, 0];
    let (near, _socket) = connection();
    let mut sender = Peer::agreed(near);
    for part in [&all[..1], &all[1..4], &all[4..4], &all[4..]] {
        wire.extend(sender.sealed(part));
    }
    wire.extend([ASK, 0, 0, END, 0, 0]);
    for split in 0..=wire.len() {
        for room in [1, 3, 1_000] {
            let (near, mut socket) = server(&wire[..split]);
            let mut peer = Peer::agreed(near);
            peer.raw(&wire[split..]);
            let (got, end) = run(async {
                socket.handshake().await.expect("both agree");
                receive_all(&mut socket, room).await
            });
            end.expect("the end of the stream");
            assert_eq!(got, all, "split at {split}");
        }
    }
    // And at every byte.
    let (near, mut socket) = server(&[]);
    let mut peer = Peer::agreed(near);
    let got = run(async {
        let mut buffer = [0; 100];
        let mut got = Vec::new();
        for (at, byte) in wire.iter().enumerate() {
            peer.raw(&[*byte]);
            // The byte is there, but not yet known to be.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let polled = poll_fn(|cx| {
                if at < 4 {
                    return Poll::Ready(socket.poll_handshake(cx).map_ok(|()| 0));
                }
                Poll::Ready(socket.poll_receive(cx, &mut buffer))
            });
            if let Poll::Ready(received) = polled.await {
                got.extend_from_slice(&buffer[..received.expect("all is well")]);
            }
        }
        got
    });
    assert_eq!(got, all);
}

#[test]
fn a_fin_without_the_end_is_an_error_wherever_it_comes() {
    let mut whole = Vec::new();
    for cut in 0..40 {
        let (mut peer, mut socket) = agreed();
        whole.clear();
        whole.extend(peer.sealed(&[7; 30]));
        whole.extend([END, 0, 0]);
        if cut >= whole.len() {
            break;
        }
        peer.raw(&whole[..cut]);
        peer.fin();
        let (got, end) = run(receive_all(&mut socket, 100));
        assert_eq!(end.expect_err("no end").kind(), io::ErrorKind::UnexpectedEof, "cut at {cut}");
        assert_eq!(got.len(), if cut < 33 { 0 } else { 30 });
        // Nor does it become one when the rest is looked for.
        assert_eq!(sealed(&mut socket).receive_rest(&mut [0; 100]), 0);
    }
}

#[test]
fn what_came_before_nonsense_is_received() {
    let (mut peer, mut socket) = agreed();
    let mut wire = peer.sealed(&[1; 50_000]);
    wire.extend([99, 0, 0]);
    peer.raw(&wire);
    let (got, end) = run(receive_all(&mut socket, 20_000));
    assert_eq!(got, [1; 50_000]);
    assert_eq!(end.expect_err("nonsense").kind(), io::ErrorKind::InvalidData);
    // It stays one.
    assert!(run(receive_all(&mut socket, 20_000)).1.is_err());
}

#[test]
fn nothing_is_taken_while_something_waits() {
    let (mut peer, mut socket) = agreed();
    let bytes = vec![5; 200_000];
    let mut taken = 0;
    loop {
        match socket.send_now(&bytes).expect("the peer is there") {
            0 => break,
            count => {
                assert!(count <= SEAL_BYTES_MAX);
                taken += count;
            }
        }
    }
    let held = sealed(&mut socket).unsent.0.len();
    assert!(held > 0 && held <= SEAL_BYTES_MAX + SEAL_ROOM, "{held} bytes");
    assert_eq!(socket.send_now(&bytes).expect("the peer is there"), 0);
    assert_eq!(sealed(&mut socket).unsent.0.len(), held);
    assert!(socket.unacknowledged() >= held - sealed(&mut socket).unsent.1);
    let reading = std::thread::spawn(move || {
        let (got, end) = peer.read_all();
        (got.len(), matches!(end, Ended::Whole))
    });
    run(async {
        poll_fn(|cx| socket.poll_flush(cx)).await.expect("it is read");
        poll_fn(|cx| socket.poll_shutdown(cx)).await.expect("it ends");
    });
    assert_eq!(reading.join().expect("no panic"), (taken, true));
    assert_eq!(sealed(&mut socket).unsent.0.capacity(), 0);
}

#[test]
fn little_is_held_for_a_small_buffer_and_nothing_at_rest() {
    let (mut peer, mut socket) = agreed();
    let wire = peer.sealed(&vec![3; 150_000]);
    peer.raw(&wire);
    run(async {
        let mut buffer = [0; 100];
        let mut received = 0;
        while received < 150_000 {
            received += socket.receive(&mut buffer).await.expect("there is more");
            let sealed = sealed(&mut socket);
            assert!(sealed.opened.0.len() <= 16 * 1024);
            assert!(sealed.unopened.len() <= WIRE_ROOM);
        }
    });
    let sealed = sealed(&mut socket);
    let held = [&sealed.opened.0, &sealed.unopened, &sealed.unsent.0];
    assert!(held.iter().all(|held| held.capacity() == 0), "{sealed:?}");
}

#[test]
fn a_question_is_answered_before_anything_is_sent() {
    let (mut peer, mut socket) = agreed();
    peer.raw(&[ASK, 0, 0]);
    let mut record = peer.sealed(b"x");
    record.extend([ASK, 0, 0]);
    peer.raw(&record);
    run(async {
        let mut buffer = [0; 10];
        assert_eq!(socket.receive(&mut buffer).await.expect("a byte"), 1);
        socket.send_all(b"y").await.expect("sends");
    });
    let mut wire = [0; 10];
    io::Read::read_exact(&mut peer.stream(), &mut wire).expect("answers");
    assert_eq!(wire[..7], [ANSWER, 0, 0, ANSWER, 0, 0, DATA]);
}

#[test]
fn who_asks_and_never_listens_is_cut_off() {
    let (peer, mut socket) = agreed();
    let stream = peer.into_stream();
    let asking = std::thread::spawn(move || {
        let questions = [ASK, 0, 0].repeat(10_000);
        while io::Write::write_all(&mut &stream, &questions).is_ok() {}
    });
    let error = run(async { socket.receive(&mut [0; 10]).await.expect_err("it is too much") });
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(sealed(&mut socket).unsent.0.len() <= UNSENT_MAX + SEAL_ROOM + 64 * 1024);
    drop(socket);
    asking.join().expect("it was reset");
}

#[test]
fn a_record_that_never_comes_whole_is_bounded() {
    // A cipher that wants more and more.
    #[derive(Debug)]
    struct Greedy;
    impl Cipher for Greedy {
        fn is_ready(&self) -> bool {
            false
        }
        fn open(
            &mut self,
            _: &mut [u8],
            _: &mut dyn FnMut(&[u8]),
            _: &mut Vec<u8>,
        ) -> io::Result<crate::cipher::Opened> {
            Ok(crate::cipher::Opened { used: 0, then: Then::Wire })
        }
        fn seal(&mut self, _: &[u8], _: &mut [u8]) -> io::Result<usize> {
            unreachable!("it is never ready")
        }
        fn end(&mut self, _: &mut Vec<u8>) -> io::Result<()> {
            Ok(())
        }
    }
    let (near, mut socket) = connection();
    socket.seal(Box::new(Greedy), vec![0; 1_000]);
    let pouring =
        std::thread::spawn(move || while io::Write::write_all(&mut &near, &[0; 5_000]).is_ok() {});
    let error = run(socket.handshake()).expect_err("it is too much");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(sealed(&mut socket).unopened.len() <= UNOPENED_MAX + SEAL_BYTES_MAX);
    drop(socket);
    pouring.join().expect("it was reset");
}

#[test]
fn what_is_sealed_twice_works_as_well() {
    let (near, mut socket) = connection();
    let (far_wire, mut far) = connection();
    drop((near, far_wire));
    // Two ends of one connection, each sealed twice.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let near = TcpStream::connect(listener.local_addr().expect("its address")).expect("connects");
    let (accepted, _) = listener.accept().expect("accepts");
    for (end, stream) in [(&mut socket, near), (&mut far, accepted)] {
        stream.set_nonblocking(true).expect("non-blocking");
        *end = Socket::new(stream.into());
    }
    let bytes: Vec<_> = (0..1_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
    run(async {
        for _ in 0..2 {
            socket.seal(Toy::client().boxed(), Vec::new());
            far.seal(Toy::server().boxed(), Vec::new());
            let (one, other) = tokio::join!(socket.handshake(), far.handshake());
            one.and(other).expect("both agree");
        }
        let sending = async {
            socket.send_all(&bytes).await.expect("sends");
            poll_fn(|cx| socket.poll_shutdown(cx)).await.expect("ends");
        };
        let (got, ()) = tokio::join!(receive_all(&mut far, 50_000), sending);
        got.1.expect("the end of the stream");
        assert!(got.0 == bytes);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sent_in_whatever_pieces_arrives(
        records in prop::collection::vec(0_usize..20_000, 1..12),
        pieces in prop::collection::vec(1_usize..30_000, 1..12),
        room in 1_usize..70_000,
        early in 0_usize..40_000,
    ) {
        let (mut peer, mut socket) = agreed();
        let all: Vec<_> =
            (0..records.iter().sum::<usize>()).map(|at| at.to_le_bytes()[0]).collect();
        let mut wire = Vec::new();
        let mut from = 0;
        for length in records {
            wire.extend(peer.sealed(&all[from..from + length]));
            from += length;
        }
        wire.extend([END, 0, 0]);
        let early = early.min(wire.len());
        sealed(&mut socket).unopened = wire[..early].to_vec();
        sealed(&mut socket).inbound = Inbound::Unasked;
        let writing = std::thread::spawn(move || {
            let mut rest = &wire[early..];
            for piece in pieces.into_iter().cycle() {
                let (now, later) = rest.split_at(piece.min(rest.len()));
                peer.raw(now);
                rest = later;
                if rest.is_empty() {
                    return peer;
                }
            }
            peer
        });
        let (got, end) = run(receive_all(&mut socket, room));
        prop_assert!(end.is_ok());
        prop_assert!(got == all);
        drop(writing.join());
    }
}
