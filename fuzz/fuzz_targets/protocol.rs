//! Whatever protocol any bytes seem to belong to, they go on to, and a request that is read is
//! one that was recognised.
#![no_main]

use wire::protocol::{Carrier, Protocol, recognise};
use wire::{Parse, Verdict};

const ALL: [Protocol; 16] = [
    Protocol::Tls,
    Protocol::Http,
    Protocol::Ssh,
    Protocol::Socks4,
    Protocol::Socks5,
    Protocol::Postgres,
    Protocol::Rdp,
    Protocol::Xmpp,
    Protocol::SmtpClient,
    Protocol::Redis,
    Protocol::Mqtt,
    Protocol::Git,
    Protocol::OpenVpn,
    Protocol::Dns,
    Protocol::Proxy,
    Protocol::WireGuard,
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for protocol in ALL {
        let half = recognise(protocol, &data[..data.len() / 2], Carrier::Stream);
        let whole = recognise(protocol, data, Carrier::Stream);
        assert!(half == Verdict::Maybe || half == whole, "{protocol:?}");
        assert_ne!(recognise(protocol, data, Carrier::Datagram), Verdict::Maybe);
    }
    if let Parse::Whole { value, length } = wire::git::read_request(data) {
        assert!(length <= data.len() && !value.repository.is_empty());
        assert_eq!(recognise(Protocol::Git, data, Carrier::Stream), Verdict::Yes);
    }
    if let Parse::Whole { .. } = wire::tls::read_client_hello(data) {
        assert_eq!(recognise(Protocol::Tls, data, Carrier::Stream), Verdict::Yes);
    }
});
