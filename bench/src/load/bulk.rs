//! Bulk: each flow is a blocking thread that sends or takes blocks as fast as it can.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{PATIENCE, Tally, Window, Worker, connect, worker};
use crate::pattern;

/// Which way the bytes go, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the backend.
    Up,
    /// From the backend to the client.
    Down,
}

/// Workers for `flows` flows; an operation is a byte.
pub(crate) fn workers(target: SocketAddr, flows: usize, direction: Direction) -> Vec<Worker> {
    let flow = |flow| {
        let open = move || open(target, flow, direction);
        worker(open, move |mut stream, window, tally| match direction {
            Direction::Up => send(&mut stream, window, tally),
            Direction::Down => take(&mut stream, window, tally),
        })
    };
    (0..flows as u64).map(flow).collect()
}

fn open(target: SocketAddr, flow: u64, direction: Direction) -> io::Result<TcpStream> {
    let mut stream = connect(target, flow)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let ask = match direction {
        Direction::Up => pattern::ASK_SINK,
        Direction::Down => pattern::ASK_SOURCE,
    };
    stream.write_all(&[ask])?;
    Ok(stream)
}

fn send(stream: &mut TcpStream, window: &Window, tally: &mut Tally) -> io::Result<()> {
    let mut blocks = 0;
    let stop = || {
        let ended = window.ended();
        blocks += u64::from(!ended);
        Ok(ended)
    };
    pattern::send_blocks(stream, stop, |bytes| {
        if window.counts() {
            tally.operations += bytes as u64;
        }
    })?;
    let mut answer = [0; 16];
    stream.read_exact(&mut answer)?;
    if answer != pattern::verdict(blocks) {
        return Err(pattern::wrong(format!("the backend did not take {blocks} blocks")));
    }
    finish(stream)
}

fn take(stream: &mut TcpStream, window: &Window, tally: &mut Tally) -> io::Result<()> {
    let mut asked = false;
    let mut asker = stream.try_clone()?;
    let mut ask = Ok(());
    pattern::take_blocks(stream, pattern::discard, |bytes| {
        if window.counts() {
            tally.operations += bytes as u64;
        }
        if !asked && window.ended() {
            asked = true;
            ask = asker.write_all(&[0]);
        }
    })?;
    ask?;
    finish(stream)
}

/// Ends the flow: after the client's FIN nothing but the other one may come.
fn finish(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown(std::net::Shutdown::Write)?;
    match stream.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(pattern::wrong("a byte after the end of the flow".into())),
    }
}
