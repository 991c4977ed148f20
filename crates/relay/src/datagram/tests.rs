//! Datagrams through real sockets: what arrives is what was sent, one by one.

use super::*;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use proptest::prelude::*;

/// A socket that tells where datagrams were sent to, on a port of its own.
fn open(ip: IpAddr) -> (DatagramSocket, SocketAddr) {
    let socket = UdpSocket::bind((ip, 0)).expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    socket.set_nonblocking(true).expect("a socket can be non-blocking");
    tell_local(&socket, ip.is_ipv6()).expect("this kernel tells local addresses");
    tell_overflow(&socket).expect("this kernel tells losses");
    take_joined(&socket);
    make_room(&socket, 1 << 20).expect("there is some room");
    (DatagramSocket::new(socket.into()).expect("there is a runtime"), address)
}

/// What came of sending: datagrams and bytes that were sent, and datagrams that were lost.
fn send(
    socket: &DatagramSocket,
    to: Option<SocketAddr>,
    from: Option<Local>,
    parcels: &[Parcel<'_>],
) -> Result<(usize, usize, usize), Unreachable> {
    let mut sum = (0, 0, 0);
    let letter = |at: usize| Letter { parcel: parcels[at], to, from };
    socket.send(parcels.len(), letter, |_, fate| match fate {
        Fate::Sent { datagrams, bytes } => {
            sum.0 += datagrams;
            sum.1 += bytes;
        }
        Fate::Lost { datagrams } => sum.2 += datagrams,
    })?;
    Ok(sum)
}

/// What arrives, cut apart, until `count` datagrams have.
async fn receive(socket: &DatagramSocket, count: usize) -> Vec<Vec<u8>> {
    receive_into(&mut Batch::default(), socket, count).await
}

async fn receive_into(batch: &mut Batch, socket: &DatagramSocket, count: usize) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    while datagrams.len() < count {
        let mut edge = tokio::time::timeout(Duration::from_secs(10), socket.ready())
            .await
            .expect("the datagrams come in time")
            .expect("the runtime lives");
        match socket.receive(batch) {
            Ok((received, left)) => {
                for at in received {
                    let parcel = batch.parcel(at).expect("no datagram is cut");
                    datagrams.extend(parcel.apart().map(<[u8]>::to_vec));
                }
                if left == Left::Nothing {
                    edge.wait_for_more();
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                edge.wait_for_more();
            }
        }
        if batch.is_full() {
            batch.clear();
        }
    }
    datagrams
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A datagram of `size` bytes that differ from those of datagrams at other places.
fn datagram(at: usize, size: usize) -> Vec<u8> {
    (0..size).map(|byte| (byte.wrapping_mul(31) ^ at.wrapping_mul(7)).to_le_bytes()[0]).collect()
}

#[track_caller]
fn arrives_as_sent(sizes: &[usize]) {
    let sent: Vec<_> = sizes.iter().enumerate().map(|(at, size)| datagram(at, *size)).collect();
    let arrived = runtime().block_on(async {
        let (from, _) = open(Ipv4Addr::LOCALHOST.into());
        let (to, address) = open(Ipv4Addr::LOCALHOST.into());
        let mut arrived = Vec::new();
        for group in sent.chunks(BATCH) {
            let parcels: Vec<_> = group.iter().map(|bytes| Parcel::single(bytes)).collect();
            let sent = send(&from, Some(address), None, &parcels).expect("it is not connected");
            assert_eq!(sent, (group.len(), group.iter().map(Vec::len).sum(), 0));
            arrived.extend(receive(&to, group.len()).await);
        }
        arrived
    });
    assert!(arrived == sent, "{sizes:?} came as {:?}", arrived.iter().map(Vec::len));
}

#[test]
fn sizes_of_every_kind_arrive_as_sent() {
    arrives_as_sent(&[0, 1, 1472, 9000, 65_507, 0, 0, 1]);
    arrives_as_sent(&[1200; 100]);
    arrives_as_sent(&[65_507; 9]);
    arrives_as_sent(&[100, 100, 50, 100, 100, 100, 0, 100, 50, 50, 51]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_sequence_of_sizes_arrives_as_sent(
        sizes in prop::collection::vec(
            prop_oneof![Just(0), Just(1), Just(64), Just(64), Just(1200), 0usize..3000], 0..70
        )
    ) {
        arrives_as_sent(&sizes);
    }
}

#[test]
fn what_came_joined_goes_on_joined_or_apart() {
    for join_max in [JOINED_BYTES_MAX, 0] {
        runtime().block_on(async {
            let (from, _) = open(Ipv4Addr::LOCALHOST.into());
            let (to, address) = open(Ipv4Addr::LOCALHOST.into());
            from.join_max.set(join_max);
            let bytes = datagram(1, 10_100);
            let joined = Parcel { bytes: &bytes, size: 1_000 };
            assert_eq!(joined.datagrams(), 11);
            let sent = send(&from, Some(address), None, &[joined]).expect("it is not connected");
            assert_eq!(sent, (11, 10_100, 0));
            let arrived = receive(&to, 11).await;
            assert_eq!(arrived, bytes.chunks(1_000).collect::<Vec<_>>());
        });
    }
}

#[test]
fn datagrams_too_large_to_be_joined_go_apart() {
    // 40,000 bytes fit in a datagram, but not as one of several: no path is that wide.
    runtime().block_on(async {
        let (from, _) = open(Ipv4Addr::LOCALHOST.into());
        let (to, address) = open(Ipv4Addr::LOCALHOST.into());
        let bytes = datagram(3, 50_000);
        from.join_max.set(JOINED_BYTES_MAX);
        let joined = Parcel { bytes: &bytes, size: 40_000 };
        let sent = send(&from, Some(address), None, &[joined]).expect("it is not connected");
        assert_eq!(sent, (2, 50_000, 0));
        assert_eq!(receive(&to, 2).await, bytes.chunks(40_000).collect::<Vec<_>>());
    });
}

#[test]
fn the_address_that_was_sent_to_is_told_and_can_be_left_from() {
    let other = Ipv4Addr::new(127, 0, 0, 2);
    runtime().block_on(async {
        let (v4, v6) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
        for (bind, client, to) in [
            (IpAddr::from(Ipv4Addr::UNSPECIFIED), v4, IpAddr::from(other)),
            (IpAddr::from(Ipv6Addr::UNSPECIFIED), v4, IpAddr::from(other)),
            (IpAddr::from(Ipv6Addr::UNSPECIFIED), v6, v6),
        ] {
            let (server, address) = open(bind);
            let client = UdpSocket::bind((client, 0)).expect("a free port");
            client.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
            let to = SocketAddr::new(to, address.port());
            client.send_to(b"ping", to).expect("sent");
            server.ready().await.expect("the runtime lives");
            let mut batch = Batch::default();
            server.receive(&mut batch).expect("it has come");
            let local = batch.local(0).expect("it was told");
            assert_eq!(local.address.to_canonical(), to.ip());
            let sent = send(&server, batch.from(0), Some(local), &[Parcel::single(b"pong")]);
            assert_eq!(sent.expect("it is not connected"), (1, 4, 0));
            let mut answer = [0; 9];
            assert_eq!(client.recv_from(&mut answer).expect("an answer"), (4, to));
        }
    });
}

#[test]
fn a_peer_that_is_gone_is_told_before_anything_is_lost() {
    runtime().block_on(async {
        let gone = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(gone.local_addr().expect("it is bound")).expect("connected");
        socket.set_nonblocking(true).expect("non-blocking");
        drop(gone);
        let socket = DatagramSocket::new(socket.into()).expect("there is a runtime");
        send(&socket, None, None, &[Parcel::single(b"a")]).expect("nothing is known yet");
        socket.ready().await.expect("the refusal wakes");
        let parcels = [Parcel::single(b"b"), Parcel::single(b"c")];
        let Unreachable { at, error } =
            send(&socket, None, None, &parcels).expect_err("nobody hears");
        assert_eq!((at, error.kind()), (0, io::ErrorKind::ConnectionRefused));
    });
}

#[test]
fn letters_to_several_go_together() {
    runtime().block_on(async {
        let (from, _) = open(Ipv4Addr::LOCALHOST.into());
        let [one, two] = [(); 2].map(|()| open(Ipv4Addr::LOCALHOST.into()));
        let bytes = [b"a", b"b", b"c", b"d"];
        let letter = |at: usize| Letter {
            parcel: Parcel::single(bytes[at]),
            to: Some(if at == 2 { two.1 } else { one.1 }),
            from: None,
        };
        let mut told = Vec::new();
        from.send(4, letter, |at, fate| told.push((at, fate))).expect("it is not connected");
        let sent = Fate::Sent { datagrams: 1, bytes: 1 };
        assert_eq!(told, [(0, sent), (1, sent), (2, sent), (3, sent)]);
        assert_eq!(receive(&one.0, 3).await, [b"a", b"b", b"d"]);
        assert_eq!(receive(&two.0, 1).await, [b"c"]);
    });
}

#[test]
fn losses_for_want_of_room_are_told() {
    runtime().block_on(async {
        let (from, _) = open(Ipv4Addr::LOCALHOST.into());
        let (to, address) = open(Ipv4Addr::LOCALHOST.into());
        make_room(to.descriptor(), 4_096).expect("a little room");
        let bytes = vec![0; 1_000];
        let parcels = [Parcel::single(&bytes); BATCH];
        from.join_max.set(0);
        let send = |count| send(&from, Some(address), None, &parcels[..count]);
        send(BATCH).expect("it is not connected");
        // What was sent on loopback is there, or is not.
        let mut batch = Batch::default();
        while to.receive(&mut batch).is_ok() {}
        let came = batch.len();
        assert!((1..BATCH).contains(&came), "{came} came");
        send(1).expect("it is not connected");
        batch.clear();
        receive_into(&mut batch, &to, 1).await;
        let lost = batch.overflow();
        assert_eq!(lost.map(|lost| lost as usize), Some(BATCH - came));
    });
}
