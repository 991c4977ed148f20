//! Bulk: each flow is a blocking thread that sends or takes blocks as fast as it can.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

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

/// The stream of a flow; it blocks, for as long as [`PATIENCE`].
pub(crate) trait Flow: Read + Write + Sized + 'static {
    /// Connects flow `number`.
    fn begin(target: SocketAddr, number: u64) -> io::Result<Self>;

    /// Takes bytes that are only counted.
    fn pass(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Ends the flow: sends the end of the stream and waits for the other one, behind which nothing may come.
    fn finish(&mut self) -> io::Result<()>;
}

impl Flow for TcpStream {
    fn begin(target: SocketAddr, number: u64) -> io::Result<Self> {
        let stream = connect(target, number)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn pass(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        pattern::discard(self, buffer)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)?;
        nothing_more(self.read(&mut [0])?)
    }
}

/// Workers for `flows` flows; an operation is a byte.
pub(crate) fn workers<F: Flow>(
    target: SocketAddr,
    flows: usize,
    direction: Direction,
) -> Vec<Worker> {
    let flow = |flow| {
        let open = move || open::<F>(target, flow, direction);
        worker(open, move |mut stream, window, tally| match direction {
            Direction::Up => send(&mut stream, window, tally),
            Direction::Down => take(&mut stream, window, tally),
        })
    };
    (0..flows as u64).map(flow).collect()
}

fn open<F: Flow>(target: SocketAddr, flow: u64, direction: Direction) -> io::Result<F> {
    let mut stream = F::begin(target, flow)?;
    let ask = match direction {
        Direction::Up => pattern::ASK_SINK,
        Direction::Down => pattern::ASK_SOURCE,
    };
    stream.write_all(&[ask])?;
    Ok(stream)
}

fn send(stream: &mut impl Flow, window: &Window, tally: &mut Tally) -> io::Result<()> {
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
    stream.finish()
}

fn take<F: Flow>(stream: &mut F, window: &Window, tally: &mut Tally) -> io::Result<()> {
    let mut asked = false;
    pattern::take_blocks(stream, F::pass, |stream, bytes| {
        if window.counts() {
            tally.operations += bytes as u64;
        }
        if !asked && window.ended() {
            asked = true;
            stream.write_all(&[0])?;
        }
        Ok(())
    })?;
    stream.finish()
}

/// What was `read` behind the end of a flow.
pub(super) fn nothing_more(read: usize) -> io::Result<()> {
    match read {
        0 => Ok(()),
        _ => Err(pattern::wrong("a byte after the end of the flow".into())),
    }
}
