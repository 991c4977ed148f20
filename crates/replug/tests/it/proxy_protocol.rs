//! The PROXY protocol: whose connection a proxy before replug hands on, and what backends are told.
//!
//! Headers are put together here by hand, from the specification; [`programs`] has HAProxy, nginx and
//! curl write and read them.

mod accept;
mod ended;
mod flows;
mod programs;
mod send;

use std::net::SocketAddr;

/// A header of version 2: its version and command, family, addresses and TLVs.
fn v2(command: u8, family: u8, addresses: &[u8], tlvs: &[(u8, &[u8])]) -> Vec<u8> {
    let mut block = addresses.to_vec();
    for (kind, value) in tlvs {
        block.push(*kind);
        block.extend_from_slice(&u16::try_from(value.len()).expect("short").to_be_bytes());
        block.extend_from_slice(value);
    }
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend_from_slice(&[command, family]);
    bytes.extend_from_slice(&u16::try_from(block.len()).expect("short").to_be_bytes());
    bytes.extend_from_slice(&block);
    bytes
}

/// The same for a client at `from` that has connected to `to`.
fn v2_of(from: &str, to: &str, transport: u8, tlvs: &[(u8, &[u8])]) -> Vec<u8> {
    let [from, to]: [SocketAddr; 2] = [from, to].map(|text| text.parse().expect("an address"));
    let mut addresses = Vec::new();
    let mut family = 0x10;
    for address in [from, to] {
        match address {
            SocketAddr::V4(address) => addresses.extend_from_slice(&address.ip().octets()),
            SocketAddr::V6(address) => {
                family = 0x20;
                addresses.extend_from_slice(&address.ip().octets());
            }
        }
    }
    for address in [from, to] {
        addresses.extend_from_slice(&address.port().to_be_bytes());
    }
    v2(0x21, family | transport, &addresses, tlvs)
}

const STREAM: u8 = 1;
const DATAGRAM: u8 = 2;
const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;

/// A listener that takes headers from this machine.
fn taking(to: &str, more: &str) -> String {
    format!(
        "[listener.a]\nbind = \"127.0.0.1:0\"\nto = \"{to}\"\n\
         proxy_protocol = {{ from = [\"127.0.0.1\"], timeout = \"60s\" }}\n{more}\n"
    )
}
