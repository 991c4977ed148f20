//! Options of sockets.

use std::num::NonZeroU32;
use std::time::Duration;

use model::{Code, Congestion, Diagnostic, Dscp, unit};

use crate::line::Word;
use crate::suggest;
use crate::term::value;

/// Longest queue of `TCP_FASTOPEN` that makes sense: that of clients to be accepted.
pub(crate) const FASTOPEN_MAX: usize = 65_535;

/// Longest that a silent client may be kept from us: longer and its SYN is forgotten anyway.
const DEFER_ACCEPT_MAX: Duration = Duration::from_secs(600);

/// A firewall mark: 32 bits, decimal or with `0x`; 0 is none.
pub(crate) fn mark(word: Word<'_>) -> Result<Option<NonZeroU32>, Diagnostic> {
    let text = word.text;
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((text, 10), |hex| (hex, 16));
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    let fault = || Diagnostic::new(Code::Number, word.span, format!("`{text}` is not a mark"));
    match u32::from_str_radix(digits, radix) {
        Ok(mark) if is_number => Ok(NonZeroU32::new(mark)),
        _ if is_number => {
            Err(fault().label("more than 32 bits").help("the greatest mark is 0xffffffff"))
        }
        _ if text.contains('/') => {
            Err(fault().label("a mask?").help("write the whole mark; a socket's mark has no mask"))
        }
        _ => Err(fault().label("not a number").help("write a number, as in `16` or `0x10`")),
    }
}

/// A class of traffic.
pub(crate) fn dscp(word: Word<'_>) -> Result<Dscp, Diagnostic> {
    let text = word.text;
    if let Some(dscp) = Dscp::parse(text) {
        return Ok(dscp);
    }
    let fault = Diagnostic::new(Code::Choice, word.span, format!("there is no DSCP `{text}`"));
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let fault = fault.label(format!("more than {}", Dscp::MAX));
        let number = text.parse().ok().filter(|class: &u8| class.is_multiple_of(4));
        return Err(match number.and_then(|class| Dscp::new(class / 4)) {
            // The byte in the header has two more bits.
            Some(dscp) => {
                fault.help(format!("as a whole byte that is {text}; as a DSCP write `{dscp}`"))
            }
            None => fault.help("write a name as `ef`, `af41`, `cs1`, or a number from 0 to 63"),
        });
    }
    let fault = fault.label("not known");
    let names = Dscp::NAMES.map(|(name, _)| name);
    Err(match suggest::nearest(text, names) {
        Some(meant) => fault.help(format!("did you mean `{meant}`?")),
        None => fault.help(format!("write a number from 0 to 63, or one of {}", names.join(", "))),
    })
}

/// An algorithm of congestion control. Whether the kernel has it is seen at the start.
pub(crate) fn congestion(word: Word<'_>) -> Result<Congestion, Diagnostic> {
    Congestion::parse(word.text).ok_or_else(|| {
        let message = format!("`{}` cannot be a congestion control", word.text);
        Diagnostic::new(Code::Choice, word.span, message).label("not a name").help(
            "write one that `sysctl net.ipv4.tcp_available_congestion_control` lists, as `bbr`",
        )
    })
}

/// How long a silent client is kept from us: 0 for not at all, else whole seconds.
pub(crate) fn defer_accept(word: Word<'_>) -> Result<Option<Duration>, Diagnostic> {
    let time = value::duration_or_never(word)?;
    let legal = |time: Duration| time.subsec_nanos() == 0 && time <= DEFER_ACCEPT_MAX;
    match time.is_none_or(legal) {
        true => Ok(time),
        false => Err(Diagnostic::new(
            Code::Duration,
            word.span,
            format!("the kernel cannot defer for `{}`", word.text),
        )
        .label("out of range")
        .help(format!("write whole seconds from 1s to {}", unit::show(DEFER_ACCEPT_MAX)))),
    }
}
