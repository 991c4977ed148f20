//! Sessions over real connections, in a runtime of one thread. No model of threads (loom, shuttle)
//! is needed: a ring, its slots and its buffers are never seen by another.

mod given_up;
mod scarce;

use std::net::{TcpListener, TcpStream};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `work` on a thread with a ring; afterwards nothing may be left in that.
fn with_ring<F: Future<Output = ()> + 'static>(work: impl FnOnce(Ring) -> F + 'static) {
    with_kernel(Kernel::new, work);
}

/// The same for a ring of one's own.
fn with_kernel<F: Future<Output = ()> + 'static>(
    kernel: impl FnOnce() -> Result<Kernel, Unavailable>,
    work: impl FnOnce(Ring) -> F + 'static,
) {
    runtime().block_on(async {
        let ring = kernel().and_then(Ring::start_on).expect("this kernel has io_uring");
        let working = tokio::task::spawn_local(work(ring.clone()));
        timeout(PATIENCE, working).await.expect("it ends").expect("it does not panic");
        let in_flight = || ring.0.state.borrow().kernel.in_flight();
        until(|| ring.sessions() + ring.connects() == 0 && in_flight() == 0).await;
        assert_eq!(ring.buffers_held(), 0);
    });
    Ring::stop();
}

fn runtime() -> LocalRuntime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().on_thread_park(parking).on_thread_unpark(unparked);
    builder.build_local(LocalOptions::default()).expect("a runtime can be had")
}

async fn until(condition: impl Fn() -> bool) {
    let condition = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, condition).await.expect("it comes about");
}

/// A connection: the far end, and the near one in blocking mode.
fn connection() -> (tokio::net::TcpStream, OwnedFd) {
    let (far, near) = connected(|_| {});
    (tokio::net::TcpStream::from_std(far).expect("it is new"), near)
}

/// One that takes a few thousand bytes while nobody reads.
fn narrow_connection() -> (tokio::net::TcpStream, OwnedFd) {
    let (far, near) = connected(|far| far.set_recv_buffer_size(1).expect("any socket can"));
    socket2::SockRef::from(&near).set_send_buffer_size(1).expect("any socket can");
    (tokio::net::TcpStream::from_std(far).expect("it is new"), near)
}

fn connected(prepare: impl FnOnce(&socket2::Socket)) -> (TcpStream, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
    let far = tcp();
    prepare(&far);
    far.connect(&listener.local_addr().expect("it is bound").into()).expect("it listens");
    let (near, _) = listener.accept().expect("somebody has come");
    far.set_nonblocking(true).expect("any socket can");
    far.set_tcp_nodelay(true).expect("any connection can");
    (far.into(), near.into())
}

fn tcp() -> socket2::Socket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    socket.expect("there are descriptors")
}

/// Two peers, and what is between them.
fn session(ring: &Ring) -> (tokio::net::TcpStream, tokio::net::TcpStream, Ride) {
    let ((client, near), (backend, far)) = (connection(), connection());
    (client, backend, ring.board(near, far, (0, 0)))
}

async fn landing(mut ride: Ride) -> Landed {
    poll_fn(|cx| ride.poll(cx)).await
}

#[test]
fn both_directions_move_and_end_on_their_own() {
    with_ring(|ring| async move {
        let (mut client, mut backend, ride) = session(&ring);
        let landed = tokio::task::spawn_local(landing(ride));
        client.write_all(b"question").await.unwrap();
        let mut question = [0; 8];
        backend.read_exact(&mut question).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(backend.read(&mut question).await.unwrap(), 0);
        backend.write_all(b"answer").await.unwrap();
        backend.shutdown().await.unwrap();
        let landed = landed.await.unwrap();
        assert_eq!((landed.why, landed.first_fin), (None, Some(Side::Client)));
        let delivered = (landed.to_backend.left.delivered, landed.to_client.left.delivered);
        assert_eq!(delivered, (8, 6));
        drop(landed);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
    });
}

#[test]
fn many_echo_at_a_time() {
    with_ring(echo);
}

/// Has many sessions echo.
async fn echo(ring: Ring) {
    let mut all = tokio::task::JoinSet::new();
    for number in 0..200u8 {
        let (mut client, mut backend, ride) = session(&ring);
        all.spawn_local(async move { drop(landing(ride).await) });
        all.spawn_local(async move {
            let mut buffer = [0; 64];
            while let Ok(length @ 1..) = backend.read(&mut buffer).await {
                backend.write_all(&buffer[..length]).await.unwrap();
            }
        });
        all.spawn_local(async move {
            for round in 0..50u8 {
                let message = [number, round, 7];
                client.write_all(&message).await.unwrap();
                let mut answer = [0; 3];
                client.read_exact(&mut answer).await.unwrap();
                assert_eq!(answer, message);
            }
        });
    }
    while let Some(joined) = all.join_next().await {
        joined.unwrap();
    }
}

#[test]
fn bulk_leaves_with_all_its_bytes() {
    with_ring(|ring| async move {
        let (mut client, mut backend, ride) = session(&ring);
        let sending = tokio::task::spawn_local(async move {
            let bytes = vec![5; 4_000_000];
            let _ = client.write_all(&bytes).await;
            client
        });
        let landed = landing(ride).await;
        assert!(matches!(landed.why, Some(Why::Bulk | Why::Blocked)), "{:?}", landed.why);
        let delivered = landed.to_backend.left.delivered;
        let mut got = 0;
        let mut buffer = [0; 65536];
        while got < delivered {
            got += backend.read(&mut buffer).await.unwrap() as u64;
        }
        assert_eq!(got, delivered);
        assert!(landed.to_backend.pending.iter().all(|byte| *byte == 5));
        drop(landed);
        sending.await.unwrap();
    });
}

#[test]
fn one_that_is_dropped_resets_its_peers() {
    with_ring(|ring| async move {
        let (mut client, mut backend, mut ride) = session(&ring);
        let pending = poll_fn(|cx| Poll::Ready(ride.poll(cx).is_pending())).await;
        assert!(pending);
        drop(ride);
        for peer in [&mut client, &mut backend] {
            let error = peer.read(&mut [0; 1]).await.expect_err("it is cut");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
    });
}

#[test]
fn a_broken_side_is_named_and_what_came_before_is_kept() {
    with_ring(|ring| async move {
        let (mut client, mut backend, ride) = session(&ring);
        client.write_all(b"last words").await.unwrap();
        let mut words = [0; 10];
        let landing = tokio::task::spawn_local(landing(ride));
        backend.read_exact(&mut words).await.unwrap();
        let client = client.into_std().unwrap();
        set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        drop(client);
        let landed = landing.await.unwrap();
        assert_eq!(landed.why, Some(Why::Broken(Side::Client, Errno::CONNRESET)));
    });
}

#[test]
fn one_that_is_half_closed_for_long_leaves() {
    with_ring(|ring| async move {
        let (mut client, mut backend, ride) = session(&ring);
        let landing = tokio::task::spawn_local(landing(ride));
        client.shutdown().await.unwrap();
        assert_eq!(backend.read(&mut [0; 1]).await.unwrap(), 0);
        // The ring turns when there is something to do.
        while !landing.is_finished() {
            backend.write_all(b"x").await.unwrap();
            client.read_exact(&mut [0; 1]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(landing.await.unwrap().why, Some(Why::HalfClosed));
    });
}
