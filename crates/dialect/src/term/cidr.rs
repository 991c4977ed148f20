//! Ranges of addresses: `10.0.0.0/8`, `10.0.0.7`, `2001:db8::/32`.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use model::{Code, Diagnostic};

use crate::line::Word;
use crate::term::Dialect;

/// Reads a range. The warning beside it is there if bits beyond its length were set.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(
    word: Word<'_>,
    dialect: Dialect,
) -> Result<(IpNet, Option<Diagnostic>), Diagnostic> {
    let text = word.text;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok((IpNet::from(address), None));
    }
    let Ok(range) = text.parse::<IpNet>() else {
        return Err(fault(word, dialect));
    };
    let whole = range.trunc();
    let warning = (whole != range).then(|| {
        Diagnostic::new(
            Code::HostBits,
            word.span,
            format!("`{text}` has bits set beyond its length"),
        )
        .label(format!("read as {whole}"))
        .help(format!("write `{whole}` for the range, `{}` for the one address", range.addr()))
    });
    Ok((whole, warning))
}

/// A range of IPv6 that holds IPv4 addresses in IPv6 (RFC 4291 section 2.5.5.2) as one of IPv4.
pub(crate) fn unmapped(range: IpNet) -> IpNet {
    let IpNet::V6(v6) = range else { return range };
    let v4 = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    v4.and_then(|(address, length)| IpNet::new(address.into(), length).ok()).unwrap_or(range)
}

fn fault(word: Word<'_>, dialect: Dialect) -> Diagnostic {
    let text = word.text;
    let message = format!("`{text}` is not a range of addresses");
    let fault = |at: Word<'_>, label: &str| {
        Diagnostic::new(Code::Cidr, at.span, message.clone()).label(label)
    };
    if text.is_empty() {
        return Diagnostic::new(Code::Cidr, word.span, "the range is empty")
            .label("nothing here")
            .help("write an address or a range, as in `10.0.0.7` or `10.0.0.0/8`");
    }
    if let Some(comma) = text.find(',') {
        return fault(word.part(comma..comma + 1), "one range at a time").help(match dialect {
            Dialect::Quick => "repeat the option for each range",
            Dialect::Native => "write each range as a string of its own",
        });
    }
    if let Some(meant) = bracketed(text).or_else(|| starred(text)) {
        return fault(word, "not written so").help(format!("write `{meant}`"));
    }
    let (address, length) = match text.find('/') {
        Some(slash) => (word.part(0..slash), Some(word.from(slash + 1))),
        None => (word, None),
    };
    match (address.text.parse::<IpAddr>(), length) {
        (Ok(IpAddr::V4(ip)), Some(length)) => match masked(ip, length.text) {
            Some(meant) => {
                fault(length, "the length is a number of bits").help(format!("write `{meant}`"))
            }
            None => {
                fault(length, "not a length").help("write a length from 0 to 32 behind the `/`")
            }
        },
        (Ok(IpAddr::V6(_)), Some(length)) => {
            fault(length, "not a length").help("write a length from 0 to 128 behind the `/`")
        }
        (_, _) => {
            let named = address.text.contains(|c: char| c.is_ascii_alphabetic())
                && !address.text.contains(':');
            match named {
                true => fault(address, "a name")
                    .help("write the addresses: names are not looked up here"),
                false => fault(address, "not an address")
                    .help("write an address or a range, as in `10.0.0.7` or `10.0.0.0/8`"),
            }
        }
    }
}

/// `[2001:db8::]/32` without its brackets.
fn bracketed(text: &str) -> Option<IpNet> {
    let plain = text.strip_prefix('[')?.replacen(']', "", 1);
    let address = plain.parse::<IpAddr>().map(IpNet::from);
    plain.parse().or(address).ok()
}

/// `10.0.0.*` as a range.
fn starred(text: &str) -> Option<IpNet> {
    let parts: Vec<_> = text.split('.').collect();
    let stars = parts.iter().rev().take_while(|part| **part == "*").count();
    let octets: Result<Vec<u8>, _> =
        parts[..parts.len() - stars].iter().map(|part| part.parse()).collect();
    let mut octets = octets.ok()?;
    if parts.len() != 4 || stars == 0 {
        return None;
    }
    octets.resize(4, 0);
    let address = Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]);
    let length = 32 - 8 * u8::try_from(stars).ok()?;
    Ipv4Net::new(address, length).ok().map(IpNet::V4)
}

/// `10.0.0.0/255.0.0.0` with the length of its mask.
fn masked(address: Ipv4Addr, mask: &str) -> Option<IpNet> {
    let mask: Ipv4Addr = mask.parse().ok()?;
    let range = Ipv4Net::with_netmask(address, mask).ok()?;
    Some(IpNet::V4(range.trunc()))
}
