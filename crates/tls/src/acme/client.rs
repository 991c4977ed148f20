//! HTTP for the orders: requests to the server of an authority, of which it is verified who it is.
//!
//! Each request waits on a thread of its own, and is bounded in time and bytes. Addresses are
//! looked up as those of backends are, so that `--chroot` takes nothing away.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::task::spawn_blocking;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::{Request, Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::Lookup;

/// Longest time of a request, the look-up of the name included.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Redirections that are followed.
const REDIRECTS_MAX: u32 = 3;

/// Port of `https://`.
const HTTPS: u16 = 443;

/// See the head of this file.
#[derive(Clone)]
pub(super) struct Client(Agent);

/// The server cannot be reached, or is not who it should be.
#[derive(Debug)]
pub(super) struct Unreachable(pub(super) String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreachable {}

impl Client {
    /// One that believes whom `trusted` have signed for.
    pub(super) fn new(trusted: &[crate::Certificate], lookup: Lookup) -> Self {
        crate::install();
        let trusted: Vec<_> =
            trusted.iter().map(|der| Certificate::from_der(der.as_der()).to_owned()).collect();
        let trust = RootCerts::new_with_certs(&trusted);
        let config = Agent::config_builder()
            .max_redirects(REDIRECTS_MAX)
            .timeout_global(Some(REQUEST_MAX))
            .https_only(true)
            // What is wrong stands in the answer.
            .http_status_as_error(false)
            .tls_config(TlsConfig::builder().root_certs(trust).build())
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), Hosts(lookup));
        Self(agent)
    }

    /// What is at `url`.
    pub(super) async fn get(&self, url: &str) -> Result<Vec<u8>, Error> {
        let request = Request::get(url).body(BodyWrapper::<Bytes>::default())?;
        let mut answer = self.request(request).await?;
        answer.body.into_bytes().await.map(Vec::from).map_err(Error::Other)
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let agent = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            // Only bodies of answers can be taken whole.
            let mut body = BytesResponse::from(Response::new(body)).body;
            let body = body.into_bytes().await.map_err(Error::Other)?;
            let ask = move || ask(&agent, Request::from_parts(head, Vec::from(body)));
            match spawn_blocking(ask).await {
                Ok(answer) => answer.map_err(|why| Error::Other(Box::new(why))),
                Err(_) => Err(Error::Str("the request failed within replug")),
            }
        })
    }
}

fn ask(agent: &Agent, request: Request<Vec<u8>>) -> Result<BytesResponse, Unreachable> {
    let host = request.uri().host().unwrap_or_default().to_owned();
    let told = |error: ureq::Error| Unreachable(format!("{host}: {}", why(error)));
    // Only requests of one kind have a body.
    let answer = match request.body().is_empty() {
        true => agent.run(request.map(|_| ())),
        false => agent.run(request),
    };
    let (parts, mut body) = answer.map_err(told)?.into_parts();
    let bytes = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(told)?;
    Ok(BytesResponse { parts, body: Box::new(Bytes::from(bytes)) })
}

fn why(error: ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {} s", REQUEST_MAX.as_secs()),
        ureq::Error::BodyExceedsLimit(_) => "the answer is larger than 1 MiB".to_owned(),
        ureq::Error::Io(error) => match error.get_ref().map(ToString::to_string) {
            // What rustls finds wrong comes as invalid data.
            Some(why) if error.kind() == io::ErrorKind::InvalidData => {
                format!("it is not who it should be: {why}; `ca` names who signs for it")
            }
            Some(why) => why,
            None => error.to_string(),
        },
        other => other.to_string(),
    }
}

/// The addresses of hosts.
struct Hosts(Lookup);

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hosts")
    }
}

impl Resolver for Hosts {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(HTTPS);
        let plain = host.trim_matches(['[', ']']);
        let addresses = match plain.parse() {
            Ok(address) => vec![address],
            Err(_) => (Arc::clone(&self.0))(host)?,
        };
        let mut found = self.empty();
        for address in addresses {
            if found.try_push(SocketAddr::new(address, port)).is_err() {
                break;
            }
        }
        match found.is_empty() {
            true => Err(ureq::Error::HostNotFound),
            false => Ok(found),
        }
    }
}
