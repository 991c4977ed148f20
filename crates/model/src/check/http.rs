//! Requests of HTTP: where there are any, and what is said of them.

use crate::address::Bind;
use crate::config::Listener;
use crate::diagnostic::{Code, Diagnostic};
use crate::http::HttpRequests;

/// Only streams carry requests, and only those that are translated can be forced.
pub(super) fn check(listener: &Listener, faults: &mut Vec<Diagnostic>) {
    let Some(http) = &listener.http else { return };
    for bind in listener.bind.iter().filter(|bind| matches!(bind.value, Bind::Udp { .. })) {
        let message = format!("no requests come to `{}`", bind.value);
        let fault = Diagnostic::new(Code::Conflict, bind.span, message)
            .label("datagrams arrive here")
            .help("give UDP a listener of its own, without `http`");
        faults.push(match http.span {
            Some(span) => fault.related(span, "requests are read from streams"),
            None => fault,
        });
    }
    if let (HttpRequests::Watch, Some(url)) = (http.value.requests, &http.value.force_url) {
        let message = "`force_url` says nothing here";
        faults.push(
            Diagnostic::new(Code::Conflict, url.span, message)
                .label("requests that are only watched pass as they are")
                .help("leave it out, or write `requests = \"translate\"`"),
        );
    }
}
