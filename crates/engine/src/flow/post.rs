//! Answers on their way to clients.
//!
//! When several backends have answered, the answers to all their clients leave by
//! one system call. Each flow puts what it has received into the batch of the shard,
//! and wakes a task that sends the batch: it runs when all flows that were ready
//! have had their turn, or the batch is full before.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};

use relay::datagram::{BATCH, Batch, Left, Letter};

use super::Flow;
use super::link::Link;

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Post {
    held: RefCell<Held>,
    waker: RefCell<Option<Waker>>,
}

/// Answers, and whose each of them is.
#[derive(Debug, Default)]
struct Held {
    batch: Batch,
    flows: [Option<Rc<Flow>>; BATCH],
}

impl Post {
    /// Receives answers for `flow`.
    ///
    /// # Errors
    /// As [`relay::DatagramSocket::receive`].
    pub(super) fn receive(&self, flow: &Rc<Flow>, link: &Link) -> io::Result<Left> {
        let mut held = self.held.borrow_mut();
        if held.batch.is_full() {
            held.send();
        }
        let Held { batch, flows } = &mut *held;
        let (received, left) = link.socket.receive(batch)?;
        for at in received {
            match batch.parcel(at) {
                Some(_) => flows[at] = Some(Rc::clone(flow)),
                None => flow.lose(1),
            }
        }
        drop(held);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(left)
    }

    /// Sends what is there.
    pub(super) fn flush(&self) {
        self.held.borrow_mut().send();
    }

    /// Sends answers, for as long as the shard lives.
    pub(crate) async fn deliver(&self) {
        std::future::poll_fn(|cx| {
            self.flush();
            self.waker.replace(Some(cx.waker().clone()));
            Poll::<()>::Pending
        })
        .await;
    }
}

impl Held {
    fn send(&mut self) {
        let count = self.batch.len();
        let mut first = 0;
        while first < count {
            let Some(flow) = &self.flows[first] else {
                first += 1;
                continue;
            };
            // Those that leave by the same socket.
            let inlet = &flow.inlet;
            let behind = |flow: &Option<Rc<Flow>>| {
                !flow.as_ref().is_some_and(|flow| Rc::ptr_eq(&flow.inlet, inlet))
            };
            let end = self.flows[first..count].iter().position(behind);
            let end = end.map_or(count, |end| first + end);
            let flows = &self.flows[first..end];
            let of = |at: usize| flows[at].as_ref().expect("each of these has its flow");
            let letter = |at: usize| Letter {
                parcel: self.batch.parcel(first + at).expect("it was there when it was received"),
                to: Some(of(at).client),
                from: of(at).local,
            };
            // Nothing is unreachable for a socket that is not connected.
            let _ = inlet.socket.send(flows.len(), letter, |at, fate| of(at).was_answered(fate));
            first = end;
        }
        self.flows[..count].fill(None);
        self.batch.clear();
    }
}
