//! Any text is an address or has a fault within it; what is shown reads back.

use model::{BackendAddress, Bind, SourceAddress};

/// Reads `data` as every kind of address.
pub(crate) fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Bind::parse(text) {
        Ok(bind) => assert_eq!(Bind::parse(&bind.to_string()), Ok(bind)),
        Err(fault) => assert!(text.get(fault.range).is_some(), "{text:?}"),
    }
    match BackendAddress::parse(text, Some(80)) {
        Ok(address) => assert_eq!(BackendAddress::parse(&address.to_string(), None), Ok(address)),
        Err(fault) => assert!(text.get(fault.range).is_some(), "{text:?}"),
    }
    match SourceAddress::parse(text) {
        Ok(source) => assert_eq!(SourceAddress::parse(&source.to_string()), Ok(source)),
        Err(fault) => assert!(text.get(fault.range).is_some(), "{text:?}"),
    }
}
