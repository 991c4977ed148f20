//! An order, from the account to the certificate (RFC 8555), by instant-acme.
//!
//! Each step asks the authority and takes what it says as it comes: an account that it does not
//! know any more is made anew, once; a name that it believes already is not proven again. While it
//! asks for a proof, the name shows it; that ends with the order, whatever that comes to.

use std::fmt::Write as _;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};

use super::client::{Client, Unreachable};
use super::{Issuer, Lookup, Refused, Site, challenge, schedule};

/// Whether certificates can be ordered.
pub const IS_BUILT: bool = true;

/// How long the authority may take to ask for the proof, and to sign, each.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

/// What is told of the words of an authority, in bytes.
const TOLD_BYTES_MAX: usize = 600;

/// Orders a certificate for `site`, keeps it, and takes it up.
pub(super) async fn order(site: &Site, lookup: Lookup, now: i64) -> Result<(), Refused> {
    let client = Client::new(&site.issuer.trusted, lookup);
    let account = account(&site.issuer, &client).await?;
    let result = obtain(site, &account, now).await;
    let is_forgotten = result.as_ref().is_err_and(|why| problem(why).is_some_and(is_unknown));
    let obtained = match result {
        // It has another memory than it had.
        Err(_) if is_forgotten => {
            site.issuer.store.forget_account().map_err(|error| site.not_kept(&error))?;
            let account = self::account(&site.issuer, &client).await?;
            obtain(site, &account, now).await
        }
        result => result,
    };
    let pem = obtained.map_err(|why| refused(&why))?;
    site.issuer.store.keep_certificate(&site.name, &pem).map_err(|error| site.not_kept(&error))?;
    site.take_up(now);
    match site.held.load().as_ref().map(|held| held.term) {
        // It would be ordered again and again.
        Some(term) if term.renewal() < now + schedule::WAIT_MIN => {
            let until = crate::moment(term.until);
            Err(Refused::Name(format!(
                "the new certificate, valid until {until} UTC, is old already: is the clock right?"
            )))
        }
        Some(_) => Ok(()),
        None => Err(Refused::Name("what it has sent is no certificate for this name".to_owned())),
    }
}

/// The account that is kept, or a new one.
async fn account(issuer: &Issuer, client: &Client) -> Result<Account, Refused> {
    let all = |why: &Error| Refused::Everything(told(why));
    let builder = Account::builder_with_http(Box::new(client.clone()));
    let kept = issuer.store.account();
    let kept = kept.and_then(|json| serde_json::from_slice::<AccountCredentials>(&json).ok());
    if let Some(kept) = kept {
        return builder.from_credentials(kept).await.map_err(|why| all(&why));
    }
    let settings = &issuer.settings;
    let url = issuer.directory();
    let wants = wants(client, url).await.map_err(|why| all(&why))?;
    if let Some(terms) = wants.terms.filter(|_| !settings.agrees_to_terms) {
        return Err(Refused::Everything(format!(
            "it has terms of service; read {}, then write `agree_to_terms = true`",
            printable(&terms)
        )));
    }
    let external = settings.external_account.as_ref().zip(issuer.external_key.as_ref());
    if wants.external_account && external.is_none() {
        return Err(Refused::Everything(
            "it wants to know of an account that it has already: `external_account`".to_owned(),
        ));
    }
    let external =
        external.map(|(account, key)| ExternalAccountKey::new(account.id.clone(), key.bytes()));
    let contacts: Vec<_> = settings.contacts.iter().map(|mail| format!("mailto:{mail}")).collect();
    let contacts: Vec<_> = contacts.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contacts,
        terms_of_service_agreed: settings.agrees_to_terms,
        only_return_existing: false,
    };
    let made = builder.create(&new, url.to_owned(), external.as_ref()).await;
    let (account, credentials) = made.map_err(|why| all(&why))?;
    let json = serde_json::to_vec(&credentials).map_err(|why| all(&why.into()))?;
    issuer.store.keep_account(&json).map_err(|error| {
        let folder = issuer.folder().display();
        Refused::Everything(format!("the account cannot be kept in {folder}: {error}"))
    })?;
    Ok(account)
}

/// What an authority wants of those who have no account yet.
struct Wants {
    /// Where its terms are.
    terms: Option<String>,
    external_account: bool,
}

async fn wants(client: &Client, url: &str) -> Result<Wants, Error> {
    let directory: serde_json::Value = serde_json::from_slice(&client.get(url).await?)?;
    let meta = &directory["meta"];
    Ok(Wants {
        terms: meta["termsOfService"].as_str().map(str::to_owned),
        external_account: meta["externalAccountRequired"].as_bool().unwrap_or_default(),
    })
}

/// A certificate with its key, as PEM.
async fn obtain(site: &Site, account: &Account, now: i64) -> Result<String, Error> {
    let names = [Identifier::Dns(site.name.to_string())];
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let _shown = prove(site, &mut order, now).await?;
    if order.state().status != OrderStatus::Ready
        && order.poll_ready(&PATIENCE).await? == OrderStatus::Invalid
    {
        return Err(why_invalid(&mut order).await);
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    Ok(key + &chain)
}

/// Shows what the authority wants to see, until the answer is dropped.
async fn prove<'a>(site: &'a Site, order: &mut Order, now: i64) -> Result<Shown<'a>, Error> {
    let shown = Shown(site);
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let Some(mut asked) = authorization.challenge(ChallengeType::TlsAlpn01) else {
            return Err(Error::Unsupported("proof by TLS (tls-alpn-01)"));
        };
        let mut digest = [0; 32];
        // SHA-256 has 32 bytes.
        digest.copy_from_slice(asked.key_authorization().digest().as_ref());
        let config = challenge::config(&site.name, &digest, now).map_err(|_| Error::Crypto)?;
        site.challenge.store(Some(config));
        asked.set_ready().await?;
    }
    Ok(shown)
}

/// A proof that is shown.
struct Shown<'a>(&'a Site);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.0.challenge.store(None);
    }
}

/// What the authority says about an order that has failed: it stands with the proof.
async fn why_invalid(order: &mut Order) -> Error {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { break };
        let why = state.challenges.iter().find_map(|challenge| challenge.error.clone());
        if let Some(why) = why {
            return Error::Api(why);
        }
    }
    Error::Str("the authority does not say why")
}

fn problem(error: &Error) -> Option<&Problem> {
    if let Error::Api(problem) = error { Some(problem) } else { None }
}

fn kind(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind)
}

fn is_unknown(problem: &Problem) -> bool {
    kind(problem) == "accountDoesNotExist"
}

/// Whom an error of an order is about.
fn refused(error: &Error) -> Refused {
    let why = told(error);
    match (error, problem(error).map(kind)) {
        (Error::Other(why_not), _) if why_not.is::<Unreachable>() => Refused::Everything(why),
        (
            _,
            Some(
                "accountDoesNotExist"
                | "badNonce"
                | "serverInternal"
                | "unauthorized"
                | "userActionRequired",
            ),
        ) if !is_about_name(error) => Refused::Everything(why),
        (_, Some("rateLimited")) => Refused::TooOften(why),
        (Error::Json(_) | Error::Http(_) | Error::InvalidUri(_), _) => Refused::Everything(why),
        _ => Refused::Name(why),
    }
}

/// Whether a problem was found with the proof: there, `unauthorized` means that it was wrong.
fn is_about_name(error: &Error) -> bool {
    let Some(problem) = problem(error) else { return false };
    let detail = problem.detail.as_deref().unwrap_or_default();
    kind(problem) == "unauthorized" && !detail.to_ascii_lowercase().contains("account")
}

/// An error in one line.
fn told(error: &Error) -> String {
    let text = match error {
        Error::Api(problem) => {
            let silent = || "it does not say why".to_owned();
            let mut text = problem.detail.clone().unwrap_or_else(silent);
            for part in &problem.subproblems {
                let _ = write!(text, "; {part}");
            }
            if problem.r#type.is_some() {
                let _ = write!(text, " ({})", kind(problem));
            }
            text
        }
        Error::Unsupported(what) => format!("it has no {what} for this name"),
        Error::Timeout(_) => "it did not come to an end in time".to_owned(),
        Error::Str(what) => (*what).to_owned(),
        Error::Json(why) => format!("its answer is not to be understood: {why}"),
        other => other.to_string(),
    };
    printable(&text)
}

/// The words of somebody else, as a line that is not too long.
fn printable(text: &str) -> String {
    let legal = |one: char| if one.is_control() { ' ' } else { one };
    let mut text: String = text.chars().map(legal).collect();
    if text.len() > TOLD_BYTES_MAX {
        let end = (0..=TOLD_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push_str(" ...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(kind: &str, detail: &str) -> Error {
        Error::Api(Problem {
            r#type: Some(format!("urn:ietf:params:acme:error:{kind}")),
            detail: Some(detail.to_owned()),
            status: Some(400),
            subproblems: Vec::new(),
        })
    }

    #[test]
    fn whom_an_error_is_about() {
        for (error, expected) in [
            (api("rateLimited", "too many"), Refused::TooOften("too many (rateLimited)".into())),
            (api("dns", "no such host"), Refused::Name("no such host (dns)".into())),
            (
                api("unauthorized", "Incorrect validation certificate"),
                Refused::Name("Incorrect validation certificate (unauthorized)".into()),
            ),
            (
                api("unauthorized", "Account is not valid"),
                Refused::Everything("Account is not valid (unauthorized)".into()),
            ),
            (api("serverInternal", "x"), Refused::Everything("x (serverInternal)".into())),
            (api("rejectedIdentifier", "no"), Refused::Name("no (rejectedIdentifier)".into())),
            (
                Error::Other(Box::new(Unreachable("ca: refused".into()))),
                Refused::Everything("ca: refused".into()),
            ),
            (Error::Timeout(None), Refused::Name("it did not come to an end in time".into())),
        ] {
            assert_eq!(refused(&error), expected);
        }
    }

    #[test]
    fn what_authorities_say_is_one_line() {
        assert_eq!(told(&api("dns", "a\nb\u{1b}[2J")), "a b [2J (dns)");
        let long = told(&api("dns", &"é".repeat(5_000)));
        assert!(long.len() <= TOLD_BYTES_MAX + 4, "{}", long.len());
        let nothing = Problem { r#type: None, detail: None, status: None, subproblems: Vec::new() };
        assert_eq!(told(&Error::Api(nothing)), "it does not say why");
    }
}
