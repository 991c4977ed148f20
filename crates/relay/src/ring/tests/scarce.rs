//! When there is too little room in the ring: for completions, and for bytes.

use std::cell::Cell;

use super::*;
use crate::relay::{Carrier, End, Relay};
use crate::ring::buffers::COUNT;
use crate::{Direction, Socket};

/// More than a narrow connection takes, and as much as one buffer.
const MUCH: usize = 12_000;

#[test]
fn many_echo_where_few_completions_have_room() {
    with_kernel(|| Kernel::with_room(8, 8), echo);
}

/// A kernel without memory for it takes nothing. The thread neither hangs nor spins, and goes on
/// when it does.
#[test]
fn a_kernel_that_takes_nothing_holds_nobody_up() {
    with_ring(|ring| async move {
        let kept = ring.0.state.borrow().kernel.break_off();
        let (client, backend, ride) = session(&ring);
        let landing = tokio::task::spawn_local(landing(ride));
        let cpu = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let cpu = || Duration::try_from(cpu()).expect("it does not go back");
        let (began, used) = (std::time::Instant::now(), cpu());
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (used, time) = (cpu() - used, began.elapsed());
        assert!(used < time / 10, "used {used:?} in {time:?}");
        assert!(!landing.is_finished());
        ring.0.state.borrow().kernel.mend(kept);
        converse(client, backend).await;
        drop(landing.await.unwrap());
    });
}

/// Receivers stall until all buffers are held. Whoever finds none goes on by epoll, those that have
/// some keep them, and everybody gets everything.
#[test]
fn sessions_that_find_no_buffer_go_on() {
    const STALLED: usize = 150;

    with_ring(|ring| async move {
        let (mut peers, mut all) = (Vec::new(), tokio::task::JoinSet::new());
        let left = Rc::new(Cell::new(0));
        for number in 0..STALLED {
            let ((mut client, near), (backend, far)) = (connection(), narrow_connection());
            client.write_all(&bytes(number)).await.unwrap();
            all.spawn_local(relayed(near, far, Rc::clone(&left)));
            peers.push((client, backend));
        }
        // The last one goes from hand to hand: who gets it may need another, and leaves with it.
        until(|| ring.buffers_held() >= usize::from(COUNT) - 1 && left.get() > 0).await;
        // Those who come now share it.
        let mut latecomers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let ((client, near), (backend, far)) = (connection(), connection());
            all.spawn_local(relayed(near, far, Rc::clone(&left)));
            latecomers.spawn_local(converse(client, backend));
        }
        while let Some(joined) = latecomers.join_next().await {
            joined.unwrap();
        }
        assert!(ring.buffers_held() >= usize::from(COUNT) - 1);
        // The others read at last.
        for (number, (mut client, mut backend)) in peers.into_iter().enumerate() {
            let mut got = vec![0; MUCH];
            backend.read_exact(&mut got).await.unwrap();
            assert!(got == bytes(number), "{number}");
            client.shutdown().await.unwrap();
            assert_eq!(backend.read(&mut got).await.unwrap(), 0);
            backend.shutdown().await.unwrap();
            assert_eq!(client.read(&mut got).await.unwrap(), 0);
        }
        let mut stayed = 0;
        while let Some(joined) = all.join_next().await {
            let (end, carrier) = joined.unwrap();
            assert!(matches!(end, End::Done { .. }), "{end:?}");
            stayed += usize::from(carrier == Carrier::Ring);
        }
        assert!((1..STALLED).contains(&stayed), "{stayed} have stayed in the ring");
    });
}

/// Says something to the backend, and has it answered, some times.
async fn converse(mut client: tokio::net::TcpStream, mut backend: tokio::net::TcpStream) {
    for round in 0..10u8 {
        let mut got = [0];
        client.write_all(&[round]).await.unwrap();
        backend.read_exact(&mut got).await.unwrap();
        backend.write_all(&got).await.unwrap();
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(got, [round]);
    }
}

/// A session to its end, and who carried it. Counts it in `left` when it has left the ring.
async fn relayed(client: OwnedFd, backend: OwnedFd, left: Rc<Cell<usize>>) -> (End, Carrier) {
    let (client, backend) = (Socket::blocking(client), Socket::blocking(backend));
    let relay = Relay::new(client, backend, Direction::default(), Direction::default());
    let (mut relay, mut rode) = (relay.riding(), true);
    let end = poll_fn(|cx| {
        let end = relay.poll(cx);
        if std::mem::replace(&mut rode, relay.rides()) && !rode {
            left.set(left.get() + 1);
        }
        end
    })
    .await;
    (end, relay.carrier())
}

fn bytes(number: usize) -> Vec<u8> {
    (0..MUCH).map(|at| u8::try_from((at * 7 + number) % 251).expect("below 251")).collect()
}
