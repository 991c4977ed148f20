//! What connections leave from: one interface, or addresses in turn.

use model::{Code, Diagnostic, Source, SourceAddress, Span, Spanned};

use crate::line::Word;
use crate::term::address::{self, Purpose};

/// Reads the items of a source that is written at `span`.
pub(crate) fn read<'w>(
    items: impl IntoIterator<Item = Word<'w>>,
    span: Span,
    purpose: Purpose,
    faults: &mut Vec<Diagnostic>,
) -> Option<Spanned<Source>> {
    let before = faults.len();
    let mut addresses = Vec::new();
    let (mut interface, mut client) = (None, None);
    for item in items {
        match SourceAddress::parse(item.text) {
            Ok(SourceAddress::Address(address)) => addresses.push(address),
            Ok(SourceAddress::Interface(name)) => interface = Some((name, item.span)),
            Ok(SourceAddress::Client) => client = Some(item.span),
            Err(fault) => faults.push(address::fault(item, &fault, purpose)),
        }
    }
    if faults.len() > before {
        return None;
    }
    let fault = |span, message: &str| Diagnostic::new(Code::Source, span, message);
    match client {
        Some(at) if at == span => return Some(Spanned::at(Source::Client, span)),
        Some(at) => {
            faults.push(
                fault(at, "`client` cannot stand in a list of sources")
                    .label("the client's own address")
                    .help("write `client` alone, or a list of addresses"),
            );
            return None;
        }
        None => {}
    }
    let source = match (interface, addresses.len()) {
        (Some((name, at)), _) if at == span => Source::Interface(name),
        (Some((name, at)), _) => {
            let message = format!("`{name}` cannot stand in a list of sources");
            faults.push(
                fault(at, &message)
                    .label("an interface")
                    .help("write one interface alone, or a list of addresses"),
            );
            return None;
        }
        (None, 0) => {
            faults.push(
                fault(span, "there is no source in this list")
                    .label("empty")
                    .help("leave it out to have the kernel choose"),
            );
            return None;
        }
        (None, count) if count > Source::ADDRESSES_MAX => {
            let message = format!("{count} sources are too many");
            let help = format!("write at most {}", Source::ADDRESSES_MAX);
            faults.push(fault(span, &message).label("too long").help(help));
            return None;
        }
        (None, _) => Source::Addresses(addresses),
    };
    Some(Spanned::at(source, span))
}
