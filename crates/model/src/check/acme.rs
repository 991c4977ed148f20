//! What listeners must satisfy whose certificates are ordered.

use std::collections::HashMap;

use crate::acme::Acme;
use crate::config::Config;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Spanned;

/// Terms that are known are agreed to, names can be proven, and what is kept in one folder belongs
/// to one account.
pub(super) fn check(config: &Config, faults: &mut Vec<Diagnostic>) {
    let mut stores = HashMap::<(&str, &str), &Spanned<Acme>>::new();
    for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        let Some(acme) = &tls.value.acme else { continue };
        if acme.value.directory.has_terms() && !acme.value.agrees_to_terms {
            let message = "Let's Encrypt has terms of service, and nothing says that you agree";
            faults.push(
                Diagnostic::new(Code::KeyMissing, acme.span, message)
                    .label("without `agree_to_terms`")
                    .help(
                        "read them at https://letsencrypt.org/repository/, then write \
                         `agree_to_terms = true`",
                    ),
            );
        }
        if let Some(protocol) = tls.value.starttls {
            let message =
                format!("no name can be proven where clients begin with `{}`", protocol.name());
            faults.push(
                Diagnostic::new(Code::Conflict, acme.span, message)
                    .label("the authority begins with TLS")
                    .help(
                        "order the certificate at a listener on port 443 without `starttls`, and \
                         name its file here: `cert`",
                    ),
            );
        }
        let place = (&*acme.value.store.value, acme.value.directory.url());
        let first = stores.entry(place).or_insert(acme);
        if !first.value.has_settings_of(&acme.value) {
            let message = "two listeners use one account, and say different things about it";
            let mut fault = Diagnostic::new(Code::Conflict, acme.span, message)
                .label("other words here")
                .help("write the same but for `names`, or give one of them a `store` of its own");
            if let Some(first) = first.span {
                fault = fault.related(first, "the account is used here first");
            }
            faults.push(fault);
        }
    }
}
