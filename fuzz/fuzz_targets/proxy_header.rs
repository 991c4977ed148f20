//! Any bytes are a header of the PROXY protocol, its beginning, or something else; what was read is
//! read again when it is written.
#![no_main]

use wire::Parse;
use wire::proxy_header::{
    Checksum, Kind, TlvBuffer, V2_BYTES_MAX, Version, read, write_v1, write_v2,
};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (header, length) = match read(data) {
        Parse::Whole { value, length } => (value, length),
        Parse::Partial => return assert!(data.len() < V2_BYTES_MAX),
        Parse::Foreign(_) => return,
    };
    assert!(length <= data.len());
    let mut tlvs = TlvBuffer::default();
    for tlv in header.tlvs.iter().filter(|tlv| tlv.kind != Kind::CRC32C) {
        tlvs.push(tlv.kind, tlv.value).expect("it was there");
    }
    let mut out = Vec::new();
    match header.version {
        Version::V1 => write_v1(&mut out, &header.subject),
        Version::V2 => {
            write_v2(&mut out, &header.subject, &tlvs, Checksum::Absent).expect("it was there");
        }
    }
    let Parse::Whole { value, length } = read(&out) else { panic!("{:?}", read(&out)) };
    assert_eq!(length, out.len());
    assert_eq!(value.subject, header.subject);
    assert_eq!(value.tlvs.iter().count(), tlvs_of(&header));
});

fn tlvs_of(header: &wire::proxy_header::Header<'_>) -> usize {
    header.tlvs.iter().filter(|tlv| tlv.kind != Kind::CRC32C).count()
}
