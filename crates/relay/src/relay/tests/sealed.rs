//! The same rules where one side or both are encrypted on the wire.

use super::*;
use crate::cipher::toy::{END, Ended, Peer, Toy};

/// Which sides are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sides {
    Client,
    Backend,
    Both,
}

/// A peer of either kind.
#[derive(Debug)]
enum Any {
    Plain(TcpStream),
    Sealed(Peer),
}

impl Any {
    fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).expect("sends"),
            Self::Sealed(peer) => peer.send(bytes),
        }
    }

    fn end(&mut self) {
        match self {
            Self::Plain(stream) => stream.shutdown(Shutdown::Write).expect("sends a FIN"),
            Self::Sealed(peer) => peer.end(),
        }
    }

    /// All that comes, and whether its end was one in good order.
    fn read_all(&mut self) -> (Vec<u8>, bool) {
        match self {
            Self::Plain(stream) => {
                let (all, end) = read_all(stream);
                (all, end.is_ok())
            }
            Self::Sealed(peer) => {
                let (all, ended) = peer.read_all();
                (all, matches!(ended, Ended::Whole))
            }
        }
    }

    fn read_first(&mut self, count: usize) -> Vec<u8> {
        match self {
            Self::Plain(stream) => {
                let mut all = vec![0; count];
                stream.read_exact(&mut all).expect("so many");
                all
            }
            Self::Sealed(peer) => peer.read(count).0,
        }
    }

    /// All that comes before the connection is reset.
    fn read_until_reset(&mut self) -> Vec<u8> {
        match self {
            Self::Plain(stream) => {
                let (all, end) = read_all(stream);
                assert_eq!(end.expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
                all
            }
            Self::Sealed(peer) => match peer.read_all() {
                (all, Ended::Broken(error)) => {
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
                    all
                }
                (_, ended) => panic!("a reset, not {ended:?}"),
            },
        }
    }

    fn reset(self) {
        match self {
            Self::Plain(stream) => reset(stream),
            Self::Sealed(peer) => reset(peer.into_stream()),
        }
    }

    fn sender(&mut self) -> Self {
        match self {
            Self::Plain(stream) => Self::Plain(stream.try_clone().expect("a descriptor")),
            Self::Sealed(peer) => Self::Sealed(peer.sender()),
        }
    }

    fn sealed(&mut self) -> &mut Peer {
        match self {
            Self::Sealed(peer) => peer,
            Self::Plain(_) => panic!("this one is plain"),
        }
    }
}

/// Runs a relay between a client and a backend whose sockets are sealed as `sides` says.
fn relayed_sealed(
    sides: Sides,
    directions: impl FnOnce() -> (Direction, Direction),
    peers: impl FnOnce(Any, Any) + Send + 'static,
) -> (End, (u64, u64)) {
    let (client, accepted) = connection();
    let (connected, backend) = connection();
    let peers = thread::spawn(move || {
        let client = match sides {
            Sides::Client | Sides::Both => Any::Sealed(Peer::client(client)),
            Sides::Backend => Any::Plain(client),
        };
        let backend = match sides {
            Sides::Backend | Sides::Both => Any::Sealed(Peer::server(backend)),
            Sides::Client => Any::Plain(backend),
        };
        peers(client, backend);
    });
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ended = runtime.block_on(async {
        let (mut client, mut backend) = (socket(accepted), socket(connected));
        if sides != Sides::Backend {
            client.seal(Toy::server().boxed(), Vec::new());
        }
        client.handshake().await.expect("both agree");
        if sides != Sides::Client {
            backend.seal(Toy::client().boxed(), Vec::new());
        }
        backend.handshake().await.expect("both agree");
        let (to_backend, to_client) = directions();
        let mut relay = Relay::new(client, backend, to_backend, to_client);
        let end = std::future::poll_fn(|cx| relay.poll(cx));
        let end = tokio::time::timeout(2 * DEADLINE, end).await.expect("the session ends");
        (end, relay.delivered())
    });
    peers.join().expect("the peers see what they expect");
    ended
}

fn for_each_side(case: impl Fn(Mechanism, Sides)) {
    for sides in [Sides::Client, Sides::Backend, Sides::Both] {
        for_each(|mechanism| case(mechanism, sides));
    }
}

fn both(mechanism: Mechanism) -> impl FnOnce() -> (Direction, Direction) {
    move || (mechanism.direction(), mechanism.direction())
}

#[test]
fn a_reply_after_the_clients_end_arrives_whole() {
    for_each_side(|mechanism, sides| {
        let (end, delivered) = relayed_sealed(sides, both(mechanism), |mut client, mut backend| {
            client.send(&bytes(300_000));
            client.end();
            assert!(backend.read_all() == (bytes(300_000), true));
            let mut sender = backend.sender();
            let answering = thread::spawn(move || {
                sender.send(&bytes(1_000_000));
                sender.end();
            });
            assert!(client.read_all() == (bytes(1_000_000), true));
            answering.join().expect("the backend sends all");
        });
        assert!(matches!(end, End::Done { first: Side::Client }), "{end:?}");
        assert_eq!(delivered, (300_000, 1_000_000));
    });
}

#[test]
fn a_request_goes_on_after_the_backends_end() {
    for_each_side(|mechanism, sides| {
        let (end, _) = relayed_sealed(sides, both(mechanism), |mut client, mut backend| {
            backend.send(b"goodbye");
            backend.end();
            assert_eq!(client.read_all(), (b"goodbye".to_vec(), true));
            let mut sender = client.sender();
            let sending = thread::spawn(move || {
                sender.send(&bytes(500_000));
                sender.end();
            });
            assert!(backend.read_all() == (bytes(500_000), true));
            sending.join().expect("the client sends all");
        });
        assert!(matches!(end, End::Done { first: Side::Backend }), "{end:?}");
    });
}

#[test]
fn bulk_goes_both_ways_at_once() {
    for sides in [Sides::Client, Sides::Both] {
        let (end, delivered) =
            relayed_sealed(sides, both(Mechanism::Splice), |mut client, mut backend| {
                let sending = [client.sender(), backend.sender()].map(|mut sender| {
                    thread::spawn(move || {
                        sender.send(&bytes(8_000_000));
                        sender.end();
                    })
                });
                let reading = thread::spawn(move || backend.read_all());
                assert!(client.read_all() == (bytes(8_000_000), true));
                assert!(reading.join().expect("no panic") == (bytes(8_000_000), true));
                for sending in sending {
                    sending.join().expect("it sends all");
                }
            });
        assert!(matches!(end, End::Done { .. }), "{end:?}");
        assert_eq!(delivered, (8_000_000, 8_000_000));
    }
}

#[test]
fn a_stream_that_is_cut_never_ends_with_a_fin() {
    for sides in [Sides::Client, Sides::Both] {
        for_each(|mechanism| {
            let (end, delivered) =
                relayed_sealed(sides, both(mechanism), |mut client, mut backend| {
                    client.send(&bytes(20_000));
                    let half = client.sealed().sealed(&[9; 100]);
                    client.sealed().raw(&half[..50]);
                    client.sealed().fin();
                    assert!(backend.read_until_reset() == bytes(20_000));
                    // Nor does the client get an end of what it has cut.
                    assert!(client.read_until_reset().is_empty());
                });
            match end {
                End::Reset { by: Side::Client, error } => {
                    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                }
                end => panic!("{end:?}"),
            }
            assert_eq!(delivered.0, 20_000);
        });
    }
}

#[test]
fn who_leaves_without_a_word_resets_the_other_behind_the_bytes() {
    for_each_side(|mechanism, sides| {
        if sides == Sides::Backend {
            return;
        }
        let (end, delivered) = relayed_sealed(sides, both(mechanism), |mut client, mut backend| {
            client.send(&bytes(20_000));
            client.sealed().fin();
            assert!(backend.read_until_reset() == bytes(20_000));
            assert!(client.read_until_reset().is_empty());
        });
        assert!(matches!(end, End::Left { by: Side::Client, was_over: false }), "{end:?}");
        assert_eq!(delivered.0, 20_000);
    });
    for (before, after, expected) in
        [(&b"greeting"[..], &b""[..], true), (b"greeting", b"answ", false), (b"", b"", false)]
    {
        for sides in [Sides::Backend, Sides::Both] {
            let (end, delivered) =
                relayed_sealed(sides, both(Mechanism::Copy), move |mut client, mut backend| {
                    if !before.is_empty() {
                        backend.send(before);
                        assert_eq!(client.read_first(before.len()), before);
                    }
                    client.end();
                    assert_eq!(backend.read_all(), (Vec::new(), true));
                    backend.send(after);
                    backend.sealed().fin();
                    // It would take an end for all there is.
                    assert_eq!(client.read_until_reset(), after);
                });
            match end {
                End::Left { by: Side::Backend, was_over } => assert_eq!(was_over, expected),
                end => panic!("{end:?}"),
            }
            assert_eq!(delivered.1, (before.len() + after.len()) as u64);
        }
    }
}

#[test]
fn who_leaves_behind_the_end_of_the_other_gets_what_is_on_its_way() {
    const ANSWER: usize = 150_000;
    let (client, accepted) = connection();
    let (connected, mut backend) = connection();
    // All of it fits into our socket, and little into that of a client that does not read.
    socket2::SockRef::from(&accepted).set_send_buffer_size(4 * ANSWER).expect("an option");
    socket2::SockRef::from(&client).set_recv_buffer_size(16_384).expect("an option");
    let (told, is_sent) = std::sync::mpsc::channel();
    let peers = thread::spawn(move || {
        let mut client = Peer::client(client);
        backend.write_all(&bytes(ANSWER)).expect("sends");
        backend.shutdown(Shutdown::Write).expect("sends a FIN");
        is_sent.recv_timeout(DEADLINE).expect("the end is on its way");
        client.fin();
        let (all, end) = read_all(&mut backend);
        assert!(all.is_empty());
        assert_eq!(end.expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
        let (all, ended) = client.read_all();
        assert!(all == bytes(ANSWER) && matches!(ended, Ended::Whole), "{} {ended:?}", all.len());
    });
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let end = runtime.block_on(async {
        let (mut client, backend) = (socket(accepted), socket(connected));
        client.seal(Toy::server().boxed(), Vec::new());
        client.handshake().await.expect("both agree");
        let mut relay = Relay::new(client, backend, Direction::default(), Direction::default());
        let end = std::future::poll_fn(|cx| {
            let polled = relay.poll(cx);
            if relay.state.to_client.has_ended() {
                // Nobody listens any more when it was told before.
                let _ = told.send(());
            }
            polled
        });
        tokio::time::timeout(2 * DEADLINE, end).await.expect("the session ends")
    });
    assert!(matches!(end, End::Left { by: Side::Client, was_over: true }), "{end:?}");
    peers.join().expect("the peers see what they expect");
}

#[test]
fn nonsense_on_the_wire_resets_both_peers_after_what_came_before() {
    let (end, _) =
        relayed_sealed(Sides::Client, both(Mechanism::Copy), |mut client, mut backend| {
            client.send(&bytes(20_000));
            client.sealed().raw(&[77, 0, 0]);
            assert!(backend.read_until_reset() == bytes(20_000));
            let ended = client.sealed().read_all().1;
            assert!(!matches!(ended, Ended::Whole | Ended::Cut), "{ended:?}");
        });
    match end {
        End::Reset { by: Side::Client, error } => {
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        end => panic!("{end:?}"),
    }
}

#[test]
fn a_reset_of_either_side_reaches_the_other_behind_the_bytes() {
    for_each_side(|mechanism, sides| {
        let (end, _) = relayed_sealed(sides, both(mechanism), |mut client, mut backend| {
            backend.send(&bytes(20_000));
            backend.reset();
            assert!(client.read_until_reset() == bytes(20_000));
        });
        assert!(matches!(end, End::Reset { by: Side::Backend, .. }), "{end:?}");
        let (end, _) = relayed_sealed(sides, both(mechanism), |mut client, mut backend| {
            client.send(&bytes(20_000));
            client.reset();
            assert!(backend.read_until_reset() == bytes(20_000));
        });
        assert!(matches!(end, End::Reset { by: Side::Client, .. }), "{end:?}");
    });
}

#[test]
fn who_has_told_its_end_and_got_the_other_may_leave_as_it_likes() {
    for _ in 0..50 {
        let (end, _) =
            relayed_sealed(Sides::Client, both(Mechanism::Copy), |mut client, mut backend| {
                backend.send(b"goodbye");
                backend.end();
                assert_eq!(client.read_all(), (b"goodbye".to_vec(), true));
                // In one, so that nothing of it waits when the reset comes.
                let mut last = client.sealed().sealed(b"bye");
                last.extend([END, 0, 0]);
                client.sealed().raw(&last);
                client.reset();
                assert_eq!(backend.read_all(), (b"bye".to_vec(), true));
            });
        assert!(matches!(end, End::Done { first: Side::Backend }), "{end:?}");
    }
    // With more on its way for it, it is one that was cut.
    let (end, _) = relayed_sealed(Sides::Client, both(Mechanism::Copy), |mut client, backend| {
        client.sealed().raw(&[END, 0, 0]);
        client.reset();
        let Any::Plain(stream) = backend else { panic!("it is plain") };
        while (&stream).write_all(b"more").is_ok() {
            thread::yield_now();
        }
    });
    assert!(matches!(end, End::Reset { by: Side::Client, .. }), "{end:?}");
}

#[test]
fn a_slow_reader_gets_all_that_came_before_the_reset() {
    for sides in [Sides::Client, Sides::Both] {
        let (end, delivered) =
            relayed_sealed(sides, both(Mechanism::Copy), |mut client, mut backend| {
                let mut sender = backend.sender();
                let sending = thread::spawn(move || {
                    sender.send(&bytes(3_000_000));
                    sender
                });
                assert!(client.read_first(3_000_000) == bytes(3_000_000));
                let mut sender = sending.join().expect("it sends all");
                sender.send(b"last");
                drop(sender);
                backend.reset();
                assert_eq!(client.read_until_reset(), b"last");
            });
        assert!(matches!(end, End::Reset { by: Side::Backend, .. }), "{end:?}");
        assert_eq!(delivered.1, 3_000_004);
    }
}

#[test]
fn the_clients_reset_reaches_a_backend_that_only_waits() {
    for_each_side(|mechanism, sides| {
        let (end, _) = relayed_sealed(sides, both(mechanism), |mut client, mut backend| {
            client.send(b"request");
            client.end();
            assert_eq!(backend.read_all(), (b"request".to_vec(), true));
            client.reset();
            let stream = match backend {
                Any::Plain(stream) => stream,
                Any::Sealed(peer) => peer.into_stream(),
            };
            while (&stream).write_all(&[1, 0, 1, 0]).is_ok() {
                thread::yield_now();
            }
        });
        assert!(matches!(end, End::Reset { by: Side::Client, .. }), "{end:?}");
    });
}

#[test]
fn a_peer_that_does_not_read_holds_back_the_other() {
    // What the kernel holds of loopback is bounded by its largest buffers, here and there.
    const PLENTY: usize = 64 * 1024 * 1024;
    for sides in [Sides::Client, Sides::Both] {
        let (_, delivered) =
            relayed_sealed(sides, both(Mechanism::Copy), |mut client, mut backend| {
                let stream = match &mut backend {
                    Any::Plain(stream) => stream,
                    Any::Sealed(peer) => peer.stream(),
                }
                .try_clone()
                .expect("a descriptor");
                stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout");
                let bytes = match &mut backend {
                    Any::Plain(_) => vec![1; PLENTY],
                    Any::Sealed(peer) => peer.sealed(&vec![1; PLENTY]),
                };
                (&stream).write_all(&bytes).expect_err("nobody reads");
                client.end();
                client.reset();
            });
        assert!(delivered.1 < PLENTY as u64 / 2, "{delivered:?}");
    }
}

#[test]
fn a_rewriter_works_on_the_plain_bytes() {
    let directions = || {
        let rewriter: Box<dyn Rewrite> = Box::new(Doubling::default());
        let to_backend = Direction::with_prefix(b"fir"[..].into()).rewritten(Some(rewriter));
        (to_backend, Direction::default())
    };
    let (end, delivered) = relayed_sealed(Sides::Both, directions, |mut client, mut backend| {
        client.send(b"st\nsec");
        client.send(b"ond\nrest");
        client.end();
        assert_eq!(backend.read_all(), (b"first\nfirst\nsecond\nsecond\nrest".to_vec(), true));
        backend.send(b"as it is\n");
        backend.end();
        assert_eq!(client.read_all(), (b"as it is\n".to_vec(), true));
    });
    assert!(matches!(end, End::Done { first: Side::Client }), "{end:?}");
    assert_eq!(delivered, (30, 9));
}

#[test]
fn a_sealed_side_is_never_spliced() {
    // Bulk of which a pipe would make nonsense, with a small socket buffer in the way.
    let (end, _) =
        relayed_sealed(Sides::Backend, both(Mechanism::Splice), |mut client, mut backend| {
            let mut sender = client.sender();
            let sending = thread::spawn(move || {
                sender.send(&bytes(4_000_000));
                sender.end();
            });
            assert!(backend.read_all() == (bytes(4_000_000), true));
            sending.join().expect("it sends all");
            backend.end();
            assert_eq!(client.read_all(), (Vec::new(), true));
        });
    assert!(matches!(end, End::Done { .. }), "{end:?}");
}

#[test]
fn small_receive_buffers_change_nothing() {
    let (end, _) =
        relayed_sealed(Sides::Client, both(Mechanism::Splice), |mut client, mut backend| {
            socket2::SockRef::from(client.sealed().stream())
                .set_recv_buffer_size(16_384)
                .expect("an option");
            let mut sender = backend.sender();
            let sending = thread::spawn(move || {
                sender.send(&bytes(100_000));
                sender.end();
            });
            assert!(client.read_all() == (bytes(100_000), true));
            sending.join().expect("it sends all");
            client.end();
            assert_eq!(backend.read_all(), (Vec::new(), true));
        });
    assert!(matches!(end, End::Done { .. }), "{end:?}");
}

#[test]
fn dropping_a_relay_is_no_end_of_a_sealed_stream() {
    let (client, accepted) = connection();
    let (connected, _backend) = connection();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let peer = thread::spawn(move || {
        let mut peer = Any::Sealed(Peer::client(client));
        assert!(peer.read_until_reset().is_empty());
    });
    runtime.block_on(async {
        let (mut client, backend) = (socket(accepted), socket(connected));
        client.seal(Toy::server().boxed(), Vec::new());
        client.handshake().await.expect("both agree");
        drop(Relay::new(client, backend, Direction::default(), Direction::default()));
    });
    peer.join().expect("it is reset");
}
