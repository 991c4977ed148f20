//! Sessions and connects that nobody wants any more, whatever the kernel has of them by then.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr};

use super::*;

/// More than a narrow connection takes, and little enough for a queue.
static MUCH: [u8; 20_000] = [7; 20_000];

/// Where a session is when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The kernel was not even asked for anything.
    Boarded,
    /// The kernel receives on both sides, and may hold a send up.
    Waiting,
    /// It is about to leave, and the kernel was not told yet.
    Leaving,
    /// What it had in flight has landed, and its task has not looked.
    Landed,
}

#[test]
fn a_session_that_is_given_up_at_any_moment_is_reset() {
    for sends in [false, true] {
        for moment in [Moment::Boarded, Moment::Waiting, Moment::Leaving, Moment::Landed] {
            with_ring(move |ring| give_up(ring, moment, sends));
        }
    }
}

async fn give_up(ring: Ring, moment: Moment, sends: bool) {
    let ((mut client, near), (mut backend, far)) = (connection(), narrow_connection());
    if sends {
        client.write_all(&MUCH).await.unwrap();
    }
    let mut ride = ring.board(near, far, (0, 0));
    let key = ride.key.expect("it has boarded");
    if moment != Moment::Boarded {
        assert!(poll_fn(|cx| Poll::Ready(ride.poll(cx).is_pending())).await);
        let begun = 2 + u32::from(sends);
        until(|| ring.0.state.borrow().kernel.in_flight() == begun).await;
    }
    if matches!(moment, Moment::Leaving | Moment::Landed) {
        let mut state = ring.0.state.borrow_mut();
        let state = &mut *state;
        state.riders[key].slot.hand_over(Why::Blocked, &mut state.tasks);
        state.carry_out(key);
    }
    if moment == Moment::Landed {
        until(|| ring.0.state.borrow().riders[key].slot.is_over()).await;
    }
    assert_eq!(sends && moment != Moment::Boarded, ring.buffers_held() > 0);
    drop(ride);
    for peer in [&mut client, &mut backend] {
        let mut buffer = [0; 4096];
        let error = loop {
            match timeout(PATIENCE, peer.read(&mut buffer)).await.expect("it is told") {
                Ok(0) => panic!("a cut stream ends with a FIN: {moment:?}"),
                Ok(bytes) => assert_eq!(&buffer[..bytes], &MUCH[..bytes]),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{moment:?}");
    }
}

fn bound() -> socket2::Socket {
    let socket = tcp();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket
}

/// A port where nobody accepts, and the kernel takes no more clients.
fn full_listener() -> (socket2::Socket, Vec<socket2::Socket>) {
    let listener = bound();
    listener.listen(0).unwrap();
    let fill = |_| {
        let fill = tcp();
        fill.set_nonblocking(true).unwrap();
        let _ = fill.connect(&listener.local_addr().unwrap());
        fill
    };
    let fills = (0..8).map(fill).collect();
    (listener, fills)
}

#[test]
fn a_connect_that_nobody_answers_can_be_given_up() {
    with_ring(|ring| async move {
        let (full, _fills) = full_listener();
        let target = full.local_addr().unwrap();
        // Before the kernel knows of it, and when it does.
        for patience in [Duration::ZERO, Duration::from_millis(20)] {
            let mut attempt = Box::pin(connect(tcp().into(), target.clone()));
            assert!(poll_fn(|cx| Poll::Ready(attempt.as_mut().poll(cx).is_pending())).await);
            if patience > Duration::ZERO {
                timeout(patience, attempt.as_mut()).await.map(drop).expect_err("nobody answers");
            }
            assert_eq!(ring.connects(), 1);
            drop(attempt);
            until(|| ring.connects() == 0).await;
        }
    });
}

#[test]
fn a_connection_that_stands_when_it_is_given_up_is_reset() {
    with_ring(|ring| async move {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target: SockAddr = listener.local_addr().unwrap().into();
        let mut attempt = Box::pin(connect(tcp().into(), target));
        assert!(poll_fn(|cx| Poll::Ready(attempt.as_mut().poll(cx).is_pending())).await);
        until(|| ring.0.state.borrow().kernel.in_flight() == 0).await;
        assert_eq!(ring.connects(), 1, "nobody has looked");
        let (mut far, _) = listener.accept().unwrap();
        drop(attempt);
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        let error = far.read(&mut [0]).expect_err("it is given up");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_connect_that_is_refused_says_so() {
    with_ring(|_| async {
        let closed = bound();
        let refused = connect(tcp().into(), closed.local_addr().unwrap()).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

/// What goes first when a thread ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// As in a shard: tasks that are left give up one by one what they have in the ring.
    Ring,
    Runtime,
}

#[test]
fn a_thread_that_ends_resets_what_it_has_in_flight() {
    for first in [First::Ring, First::Runtime] {
        for mut peer in abandoned(first) {
            peer.set_nonblocking(false).unwrap();
            peer.set_read_timeout(Some(PATIENCE)).unwrap();
            let error = peer.read_to_end(&mut Vec::new()).expect_err("no FIN on a cut stream");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{first:?}");
        }
        assert!(!is_here());
        // There may be another one on the same thread.
        with_ring(echo);
    }
}

/// Ends a runtime with a session that rests, one that sends and a connect that waits; their peers.
fn abandoned(first: First) -> Vec<TcpStream> {
    let runtime = runtime();
    let (full, _fills) = full_listener();
    let peers = runtime.block_on(async {
        let ring = Ring::start().expect("this kernel has io_uring");
        let mut peers = Vec::new();
        for sends in [false, true] {
            let ((mut client, near), (backend, far)) = (connection(), narrow_connection());
            if sends {
                client.write_all(&MUCH).await.unwrap();
            }
            let landing = landing(ring.board(near, far, (0, 0)));
            tokio::task::spawn_local(async { drop(landing.await) });
            peers.extend([client, backend].map(|peer| peer.into_std().unwrap()));
        }
        let target = full.local_addr().unwrap();
        tokio::task::spawn_local(async { drop(connect(tcp().into(), target).await) });
        // Four receives, a send, a connect.
        until(|| ring.0.state.borrow().kernel.in_flight() == 6).await;
        peers
    });
    match first {
        First::Ring => {
            Ring::stop();
            drop(runtime);
        }
        First::Runtime => {
            drop(runtime);
            Ring::stop();
        }
    }
    peers
}
