//! What is told, in words for people.

use std::fmt;

use model::{OnError, OnScriptError};

use super::{Loss, Notice};

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening { listener, address, .. } => {
                write!(f, "{listener} listens on {address}")
            }
            Self::SessionStart { id, listener, client } => {
                write!(f, "session {id}: {client} arrived at {listener}")
            }
            Self::Attempt { .. } | Self::AttemptFailed { .. } | Self::Connected { .. } => {
                self.fmt_attempt(f)
            }
            Self::BackendDown { .. } | Self::BackendUp { .. } => self.fmt_backend(f),
            Self::Astray { listener, client, original: None, times } => write!(
                f,
                "{client} came to {listener} without being diverted, so that nothing tells where \
                 it meant to go ({times} times); `replug doctor transparent` looks at the rules"
            ),
            Self::Astray { listener, client, original: Some(original), times } => write!(
                f,
                "{client} came to {listener} and meant to go to {original}, where replug listens: \
                 sent on, it would come back without end ({times} times); \
                 `replug doctor transparent` looks at the rules"
            ),
            Self::AcceptRests { .. }
            | Self::AtCeiling { .. }
            | Self::BelowCeiling
            | Self::DatagramsLost { .. }
            | Self::CeilingLowered { .. } => self.fmt_scarcity(f),
            Self::ListenerFull { .. }
            | Self::AtRate { .. }
            | Self::ClientsUncounted { .. }
            | Self::TooManyUndecided { .. }
            | Self::SessionWaits { .. }
            | Self::QueueFull { .. }
            | Self::ClientLimited { .. } => self.fmt_limit(f),
            Self::ClientRefused { .. }
            | Self::ClientUndecided { .. }
            | Self::ScriptFailed { .. }
            | Self::ScriptSays { .. } => self.fmt_decision(f),
            Self::NameResolved { .. } | Self::NameFailed { .. } => self.fmt_name(f),
            Self::Draining { sessions, within: Some(within) } => write!(
                f,
                "no new clients; {sessions} sessions may end within {}",
                model::unit::show(*within)
            ),
            Self::Draining { sessions, within: None } => {
                write!(f, "no new clients; {sessions} sessions may take as long as they need")
            }
            Self::NoTls { id, why } => {
                write!(f, "session {id}: the TLS handshake has failed: {why}")
            }
            Self::RequestRefused { id, why } => {
                write!(f, "session {id}: {why}; the rest of it is refused")
            }
            Self::Remark { text, .. } => f.write_str(text),
        }
    }
}

impl Notice {
    fn fmt_attempt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempt { id, dialled, backend, .. } if dialled == backend => {
                write!(f, "session {id}: tries {backend}")
            }
            Self::Attempt { id, dialled, backend, .. } => {
                write!(f, "session {id}: tries {backend} through {dialled}")
            }
            Self::AttemptFailed { id, backend, failure, phrase, .. } => {
                write!(f, "session {id}: {backend}: {failure}")?;
                phrase.iter().try_for_each(|phrase| write!(f, " ({phrase})"))
            }
            Self::Connected { id, backend } => write!(f, "session {id}: has {backend}"),
            _ => Ok(()),
        }
    }

    fn fmt_backend(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BackendDown { pool, backend, failure, retry } => write!(
                f,
                "{backend} of pool {pool} is down ({failure}); it is tried again in {}",
                model::unit::show(*retry)
            ),
            Self::BackendUp { pool, backend } => write!(f, "{backend} of pool {pool} is up again"),
            _ => Ok(()),
        }
    }

    fn fmt_scarcity(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AcceptRests { listener, error, times, .. } => {
                write!(f, "{listener} rests before it accepts again: {error} ({times} times)")
            }
            Self::AtCeiling { sessions, refusal: None } => {
                write!(f, "all {sessions} sessions are in use; new clients wait")
            }
            Self::AtCeiling { sessions, refusal: Some(_) } => {
                write!(f, "all {sessions} sessions are in use; new clients are refused")
            }
            Self::BelowCeiling => f.write_str("there is room for new clients again"),
            Self::DatagramsLost { listener, datagrams, loss: Loss::BufferFull } => write!(
                f,
                "datagrams of {listener} are lost ({datagrams}): they come faster than they are received"
            ),
            Self::DatagramsLost { listener, datagrams, loss: Loss::NoFlow } => {
                write!(
                    f,
                    "datagrams of {listener} are lost ({datagrams}): no flow can begin for them"
                )
            }
            Self::CeilingLowered { wanted, sessions, descriptors } => write!(
                f,
                "{wanted} sessions were asked for, but {descriptors} descriptors allow {sessions}; \
                 raise the limit (ulimit -n, or LimitNOFILE= in a unit)"
            ),
            _ => Ok(()),
        }
    }

    fn fmt_limit(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ListenerFull { listener, sessions } => {
                write!(f, "all {sessions} sessions of {listener} are in use; its new clients wait")
            }
            Self::AtRate { listener: Some(listener), rate } => {
                write!(f, "{listener} has more than {rate} new clients; they wait for their turn")
            }
            Self::AtRate { listener: None, rate } => {
                write!(f, "there are more than {rate} new clients; they wait for their turn")
            }
            Self::ClientsUncounted { listener, times } => write!(
                f,
                "{listener} has too many clients at a time to count each one's sessions; \
                 {times} were let in uncounted"
            ),
            Self::TooManyUndecided { listener, times } => write!(
                f,
                "too many clients of {listener} have not shown their route yet; {times} were refused"
            ),
            Self::SessionWaits { id, pool, ahead } => {
                write!(f, "session {id}: waits for a place in pool {pool}, behind {ahead} others")
            }
            Self::QueueFull { pool, length, times } => write!(
                f,
                "{length} sessions wait for a place in pool {pool}, as many as may; refused: {times}"
            ),
            Self::ClientLimited { id, limit } => {
                write!(f, "session {id}: refused, the client is over {limit}")
            }
            _ => Ok(()),
        }
    }

    fn fmt_decision(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientRefused { id, program, comment } => {
                write!(f, "session {id}: {program} refuses the client")?;
                comment.iter().try_for_each(|comment| write!(f, " ({comment})"))
            }
            Self::ClientUndecided { id, program, why, on_error } => {
                let becomes = match on_error {
                    OnError::Deny => "denied",
                    OnError::Allow => "let in",
                };
                write!(f, "session {id}: {becomes}, {program} has not decided: {why}")
            }
            Self::ScriptFailed { listener, script, error, on_error, times } => {
                let becomes = match on_error {
                    OnScriptError::Close => "its clients are turned away",
                    OnScriptError::Default => "its clients go on as without it",
                };
                write!(f, "{listener}: {script} fails, {becomes} ({times} times): {error}")
            }
            Self::ScriptSays { listener, session, text, unsaid, .. } => {
                session.iter().try_for_each(|id| write!(f, "session {id}: "))?;
                write!(f, "{listener}: {text}")?;
                match unsaid {
                    0 => Ok(()),
                    _ => write!(f, " ({unsaid} lines before it were left out)"),
                }
            }
            _ => Ok(()),
        }
    }

    fn fmt_name(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameResolved { name, addresses } => {
                write!(f, "{name} is at")?;
                addresses.iter().try_for_each(|address| write!(f, " {}", address.ip()))
            }
            Self::NameFailed { name, error, kept: true } => {
                write!(f, "{name} could not be resolved again, the last answer stays: {error}")
            }
            Self::NameFailed { name, error, kept: false } => {
                write!(f, "{name} could not be resolved: {error}")
            }
            _ => Ok(()),
        }
    }
}
