//! Connections that were cut behind bytes, and behind none.

use super::*;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

/// A socket whose peer has sent `bytes` and reset the connection before anybody looked.
fn cut(bytes: &[u8]) -> Socket {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let near = TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
    let (mut far, _) = listener.accept().expect("accepts");
    far.write_all(bytes).expect("there is room");
    rustix::net::sockopt::set_socket_linger(&far, Some(Duration::ZERO)).expect("linger");
    drop(far);
    near.set_nonblocking(true).expect("non-blocking");
    Socket::new(near.into())
}

async fn read(socket: &mut Socket) -> io::Result<usize> {
    let mut buffer = [0; 64];
    std::future::poll_fn(|cx| socket.poll_read(cx, |socket| receive(socket, &mut buffer))).await
}

#[tokio::test]
async fn what_came_before_a_reset_is_read_before_it() {
    let reset = io::ErrorKind::ConnectionReset;
    let mut backend = cut(b"answer");
    backend.connected().await.expect("it stood");
    assert_eq!(read(&mut backend).await.expect("the answer"), 6);
    assert_eq!(read(&mut backend).await.expect_err("the reset").kind(), reset);

    let mut client = cut(b"question");
    let gone = std::future::poll_fn(|cx| Poll::Ready(client.poll_gone(cx).is_ready())).await;
    assert!(!gone, "there is a question to deliver");
    assert_eq!(read(&mut client).await.expect("the question"), 8);
    assert_eq!(read(&mut client).await.expect_err("the reset").kind(), reset);
}

#[tokio::test]
async fn a_reset_behind_nothing_is_a_failure() {
    let reset = io::ErrorKind::ConnectionReset;
    assert_eq!(cut(b"").connected().await.expect_err("the reset").kind(), reset);
    let mut client = cut(b"");
    let gone = std::future::poll_fn(|cx| client.poll_gone(cx)).await;
    assert_eq!(gone.kind(), reset);
}
