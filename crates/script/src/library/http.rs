//! `http_get`: a page from an HTTP server, by a thread that may wait for it.
//!
//! A client for HTTP that needs no thread would bring a second TLS beside that of sessions; pages
//! that decide about sessions are few and small.

use std::io::Read as _;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mlua::{IntoLua, Lua, LuaString, Result, Table, Value};
use tokio::sync::oneshot;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::Library;
use super::lookup::late;

/// Longest body, unless told, in bytes.
const BODY_BYTES: usize = 64 * 1024;

/// Longest body that may be told, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Fields of a request that a script may give.
const FIELDS_MAX: usize = 32;

/// Redirections that are followed.
const REDIRECTS_MAX: u32 = 5;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Request {
    url: String,
    fields: Vec<(String, String)>,
    longest: usize,
    within: Duration,
}

/// What the server answers, whatever its status.
#[derive(Debug)]
pub(super) struct Page {
    status: u16,
    /// Names in lower case.
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// The clients, made when they are first needed: whom this machine trusts is read from files.
#[derive(Default)]
pub(super) struct Clients {
    plain: OnceLock<Agent>,
    protected: OnceLock<std::result::Result<Agent, String>>,
}

impl Request {
    /// A request with the options `max` and `headers`.
    pub(super) fn new(
        url: String,
        options: Option<&Table>,
        within: Duration,
    ) -> std::result::Result<Self, String> {
        let mut request = Self { url, fields: Vec::new(), longest: BODY_BYTES, within };
        let Some(options) = options else { return Ok(request) };
        let words = |error: mlua::Error| error.to_string();
        if let Some(longest) = options.get::<Option<usize>>("max").map_err(words)? {
            if longest > BODY_BYTES_MAX {
                return Err(format!("max is at most {BODY_BYTES_MAX} bytes"));
            }
            request.longest = longest;
        }
        if let Some(fields) = options.get::<Option<Table>>("headers").map_err(words)? {
            for pair in fields.pairs::<String, String>() {
                if request.fields.len() == FIELDS_MAX {
                    return Err(format!("more than {FIELDS_MAX} headers"));
                }
                request.fields.push(pair.map_err(words)?);
            }
        }
        Ok(request)
    }
}

/// A table of `status`, `headers` and `body`.
impl IntoLua for Page {
    fn into_lua(self, lua: &Lua) -> Result<Value> {
        let page = lua.create_table()?;
        page.set("status", self.status)?;
        page.set("body", lua.create_string(self.body)?)?;
        let headers = lua.create_table()?;
        for (name, value) in self.fields {
            // The first one counts.
            if !headers.contains_key(&*name)? {
                let value: LuaString = lua.create_string(value)?;
                headers.set(name, Value::String(value))?;
            }
        }
        page.set("headers", headers)?;
        Ok(Value::Table(page))
    }
}

impl Library {
    /// Has a page fetched.
    pub(super) async fn get(
        self: &Arc<Self>,
        request: Request,
    ) -> std::result::Result<Page, String> {
        let (answer, answered) = oneshot::channel();
        let library = Arc::clone(self);
        let until = Instant::now() + request.within;
        let begun = self.workers.begin(move || {
            // Nobody waits for it any more.
            if !answer.is_closed() {
                let left = until.saturating_duration_since(Instant::now());
                // Whoever has asked may be gone by now.
                let _ = answer.send(library.clients.get(&request, left));
            }
        });
        begun.map_err(|_| "too many look-ups at a time".to_owned())?;
        answered.await.unwrap_or_else(|_| Err("the look-up broke off".to_owned()))
    }
}

impl Clients {
    fn get(&self, request: &Request, within: Duration) -> std::result::Result<Page, String> {
        let scheme = request.url.split("://").next().unwrap_or_default();
        let agent = match &*scheme.to_ascii_lowercase() {
            "http" => self.plain.get_or_init(|| agent(None)),
            "https" => {
                let made = self.protected.get_or_init(|| Ok(agent(Some(trust()?))));
                made.as_ref().map_err(Clone::clone)?
            }
            _ => return Err("a URL begins with http:// or https://".to_owned()),
        };
        let mut call = agent.get(&request.url).config().timeout_global(Some(within)).build();
        for (name, value) in &request.fields {
            call = call.header(name, value);
        }
        // The client and whoever waits for it have the same time: either may see that it is over.
        let failed = |error: ureq::Error| match error {
            ureq::Error::Timeout(_) => late(request.within),
            other => other.to_string(),
        };
        let answer = call.call().map_err(failed)?;
        let fields = answer.headers().iter();
        let fields =
            fields.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_owned()));
        let (status, fields) = (answer.status().as_u16(), fields.collect());
        let mut body = Vec::new();
        let mut reader = answer.into_body().into_reader().take(request.longest as u64 + 1);
        reader.read_to_end(&mut body).map_err(|error| failed(error.into()))?;
        match body.len() > request.longest {
            true => Err(format!("the body is longer than {} bytes", request.longest)),
            false => Ok(Page { status, fields, body }),
        }
    }
}

fn agent(tls: Option<TlsConfig>) -> Agent {
    let config = Agent::config_builder()
        .user_agent(concat!("replug/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        .max_redirects(REDIRECTS_MAX)
        // What is asked for with protection is not taken from elsewhere.
        .https_only(tls.is_some());
    let config = match tls {
        Some(tls) => config.tls_config(tls),
        None => config,
    };
    config.build().new_agent()
}

/// Trust in the authorities of this machine.
fn trust() -> std::result::Result<TlsConfig, String> {
    tls::install();
    let authorities = tls::authorities().map_err(|why| why.to_string())?;
    let authorities: Vec<_> =
        authorities.iter().map(|der| Certificate::from_der(der.as_der()).to_owned()).collect();
    Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&authorities)).build())
}
