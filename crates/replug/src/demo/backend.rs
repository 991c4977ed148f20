//! The web servers of the demo: each says its name, and how often it was asked by whom.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;

/// How long accepting rests when it cannot go on.
const REST: Duration = Duration::from_millis(100);

/// What an answer in plain text begins with.
pub(super) fn greeting(name: &str) -> String {
    format!("Hello from backend {name}")
}

/// Starts a server for each of `names`, on a thread that lasts as long as the process.
///
/// # Errors
/// When 127.0.0.1 has no free port, or a thread or a runtime cannot be had.
pub(super) fn start<const N: usize>(names: [&'static str; N]) -> io::Result<Vec<SocketAddr>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let mut addresses = Vec::new();
    for name in names {
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        addresses.push(listener.local_addr()?);
        runtime.spawn(serve(name, listener));
    }
    thread::Builder::new()
        .name("demo".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<Infallible>()))?;
    Ok(addresses)
}

async fn serve(name: &'static str, listener: TcpListener) {
    let requests = Arc::new(AtomicU64::new(0));
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                tokio::spawn(answer(name, stream, client, Arc::clone(&requests)));
            }
            // Out of descriptors, most likely: some sessions must end first.
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

/// Answers one request; then the connection ends, so that each request is a session to balance.
async fn answer(name: &str, stream: TcpStream, client: SocketAddr, requests: Arc<AtomicU64>) {
    let service = service_fn(|request: Request<Incoming>| {
        let count = requests.fetch_add(1, Ordering::Relaxed) + 1;
        let response = page(name, count, client, &request);
        async { Ok::<_, Infallible>(response) }
    });
    // What fails here is the client's business: it has gone, or speaks no HTTP.
    let _ = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn page(
    name: &str,
    count: u64,
    client: SocketAddr,
    request: &Request<Incoming>,
) -> Response<String> {
    let accept = request.headers().get(ACCEPT);
    let is_browser = accept
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let (kind, body) = match is_browser {
        true => ("text/html; charset=utf-8", html(name, count, client)),
        false => (
            "text/plain; charset=utf-8",
            format!("{}: request {count}, from {client}\n", greeting(name)),
        ),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn html(name: &str, count: u64, client: SocketAddr) -> String {
    let colour = match name {
        "A" => "#0b6e99",
        _ => "#b3541e",
    };
    format!(
        "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<link rel=\"icon\" href=\"data:,\">
<title>Backend {name}</title>
<style>
  body {{ font: 1.1rem/1.6 system-ui, sans-serif; margin: 12vh auto; max-width: 34rem; padding: 0 1rem }}
  h1 {{ color: {colour}; font-size: 3rem; margin: 0 }}
  dt {{ float: left; clear: left; width: 9rem; color: #666 }}
  a {{ color: {colour} }}
  @media (prefers-color-scheme: dark) {{
    body {{ background: #16181b; color: #ddd }}
    h1, a {{ filter: brightness(1.6) }}
    dt {{ color: #999 }}
  }}
</style>
<h1>Backend {name}</h1>
<p>answered this request.</p>
<dl>
  <dt>requests so far</dt><dd>{count}</dd>
  <dt>client as seen</dt><dd>{client}</dd>
</dl>
<p><a href=\"/\">Reload</a>: each session goes to the next backend in turn.</p>
</html>
"
    )
}
