//! `sniff`: what a client says, as the readers of crate `wire` understand it.
//!
//! Each reader answers with what it has read; `false`: it is something else, whatever may still
//! come; `nil`: more has to come.

use mlua::{IntoLua, Lua, LuaString, Result, Table, Value};
use wire::protocol::{Carrier, Protocol, recognise};
use wire::{Parse, Verdict, git, http, mqtt, postgres, resp, socks, ssh, tls};

use super::{blame, number};

/// The protocols that can be told by how they begin, in the order in which they are tried: the
/// surest first.
const PROTOCOLS: [(&str, Protocol); 15] = [
    ("tls", Protocol::Tls),
    ("ssh", Protocol::Ssh),
    ("proxy", Protocol::Proxy),
    ("http", Protocol::Http),
    ("postgres", Protocol::Postgres),
    ("git", Protocol::Git),
    ("rdp", Protocol::Rdp),
    ("mqtt", Protocol::Mqtt),
    ("redis", Protocol::Redis),
    ("xmpp", Protocol::Xmpp),
    ("smtp-client", Protocol::SmtpClient),
    ("socks5", Protocol::Socks5),
    ("socks4", Protocol::Socks4),
    ("openvpn", Protocol::OpenVpn),
    ("dns", Protocol::Dns),
];

/// The table `sniff`.
pub(super) fn table(lua: &Lua) -> Result<Table> {
    let sniff = lua.create_table()?;
    let add = |name, read: fn(&Lua, &[u8]) -> Result<Value>| {
        let call = move |lua: &Lua, data: LuaString| read(lua, &data.as_bytes());
        sniff.set(name, lua.create_function(call)?)
    };
    add("protocol", protocol)?;
    add("tls", client_hello)?;
    add("http", request)?;
    add("postgres", first)?;
    add("git", repository)?;
    add("socks4", socks4)?;
    add("socks5", socks5)?;
    add("socks5_request", socks5_request)?;
    add("ssh", identification)?;
    add("mqtt", connect)?;
    add("redis", command)?;
    let is = |lua: &Lua, (name, data): (LuaString, LuaString)| {
        let name = name.to_str()?;
        let known = PROTOCOLS.iter().find(|(known, _)| *known == &*name);
        let Some((_, protocol)) = known else {
            let names = PROTOCOLS.map(|(name, _)| name).join(", ");
            return Err(blame(lua, format!("sniff.is: no protocol `{}`; one of {names}", &*name)));
        };
        Ok(match recognise(*protocol, &data.as_bytes(), Carrier::Stream) {
            Verdict::Yes => Value::Boolean(true),
            Verdict::Maybe => Value::Nil,
            Verdict::No => Value::Boolean(false),
        })
    };
    sniff.set("is", lua.create_function(is)?)?;
    Ok(sniff)
}

/// The name of the first protocol that it is.
fn protocol(lua: &Lua, data: &[u8]) -> Result<Value> {
    let mut may_be = false;
    for (name, protocol) in PROTOCOLS {
        match recognise(protocol, data, Carrier::Stream) {
            Verdict::Yes => return name.into_lua(lua),
            Verdict::Maybe => may_be = true,
            Verdict::No => {}
        }
    }
    Ok(if may_be { Value::Nil } else { Value::Boolean(false) })
}

/// What a reader says, with what it has read as a table.
fn told<T, F>(parse: Parse<T, F>, table: impl FnOnce(T) -> Result<Table>) -> Result<Value> {
    match parse {
        Parse::Whole { value, length } => {
            let table = table(value)?;
            table.set("length", number(length))?;
            Ok(Value::Table(table))
        }
        Parse::Partial => Ok(Value::Nil),
        Parse::Foreign(_) => Ok(Value::Boolean(false)),
    }
}

/// Bytes as a string; nothing as nil.
fn text(lua: &Lua, bytes: Option<&[u8]>) -> Result<Value> {
    bytes.map_or(Ok(Value::Nil), |bytes| lua.create_string(bytes).map(Value::String))
}

fn client_hello(lua: &Lua, data: &[u8]) -> Result<Value> {
    told(tls::read_client_hello(data), |hello| {
        let table = lua.create_table()?;
        table.set("sni", hello.server_name.as_deref())?;
        let alpn = hello.alpn.iter().map(|name| lua.create_string(name));
        table.set("alpn", alpn.collect::<Result<Vec<_>>>()?)?;
        table.set("version", hello.newest.to_string())?;
        Ok(table)
    })
}

fn request(lua: &Lua, data: &[u8]) -> Result<Value> {
    told(http::read_request(data), |request| {
        let table = lua.create_table()?;
        table.set("method", lua.create_string(request.method)?)?;
        table.set("path", lua.create_string(request.target)?)?;
        table.set("host", text(lua, request.host)?)?;
        table.set(
            "version",
            match request.version {
                http::Version::Http09 => "0.9",
                http::Version::Http10 => "1.0",
                http::Version::Http11 => "1.1",
            },
        )?;
        let headers = lua.create_table()?;
        for (name, value) in request.fields() {
            let name = lua.create_string(name.to_ascii_lowercase())?;
            // The first one counts.
            if !headers.contains_key(&name)? {
                headers.set(name, lua.create_string(value)?)?;
            }
        }
        table.set("headers", headers)?;
        Ok(table)
    })
}

fn first(lua: &Lua, data: &[u8]) -> Result<Value> {
    told(postgres::read_first(data), |first| {
        let table = lua.create_table()?;
        let kind = match first {
            postgres::First::Startup(startup) => {
                table.set("user", text(lua, startup.user())?)?;
                table.set("database", text(lua, startup.database())?)?;
                "startup"
            }
            postgres::First::TlsRequest => "tls",
            postgres::First::GssRequest => "gss",
            postgres::First::Cancel => "cancel",
        };
        table.set("kind", kind)?;
        Ok(table)
    })
}

fn repository(lua: &Lua, data: &[u8]) -> Result<Value> {
    told(git::read_request(data), |request| {
        let table = lua.create_table()?;
        table.set("repository", lua.create_string(request.repository)?)?;
        Ok(table)
    })
}

fn socks4(lua: &Lua, data: &[u8]) -> Result<Value> {
    told(socks::v4::read_request(data), |request| {
        let table = proxied(lua, request.command, request.target)?;
        table.set("user", lua.create_string(request.user)?)?;
        Ok(table)
    })
}

fn socks5(lua: &Lua, data: &[u8]) -> Result<Value> {
    told(socks::v5::read_greeting(data), |methods| {
        let table = lua.create_table()?;
        table.set("open", methods.has(socks::v5::Method::Open))?;
        table.set("password", methods.has(socks::v5::Method::Password))?;
        Ok(table)
    })
}

fn socks5_request(lua: &Lua, data: &[u8]) -> Result<Value> {
    told(socks::v5::read_request(data), |(command, target)| proxied(lua, command, target))
}

/// What a proxy is asked for.
fn proxied(lua: &Lua, command: socks::Command, target: socks::Target<'_>) -> Result<Table> {
    let table = lua.create_table()?;
    let command = match command {
        socks::Command::Connect => "connect",
        socks::Command::Bind => "bind",
        socks::Command::UdpAssociate => "udp",
        socks::Command::Other(_) => "other",
    };
    table.set("command", command)?;
    let (host, port) = match target {
        socks::Target::Ip(address) => (address.ip().to_string(), address.port()),
        socks::Target::Name(host, port) => (host.to_owned(), port),
    };
    table.set("host", host)?;
    table.set("port", port)?;
    Ok(table)
}

fn identification(lua: &Lua, data: &[u8]) -> Result<Value> {
    told(ssh::read_identification(data), |said| {
        let table = lua.create_table()?;
        table.set("version", lua.create_string(said.version)?)?;
        table.set("software", lua.create_string(said.software)?)?;
        Ok(table)
    })
}

fn connect(lua: &Lua, data: &[u8]) -> Result<Value> {
    told(mqtt::read_connect(data), |connect| {
        let table = lua.create_table()?;
        table.set("version", connect.version.to_string())?;
        table.set("client", lua.create_string(connect.client)?)?;
        table.set("user", text(lua, connect.user)?)?;
        Ok(table)
    })
}

/// The words of a command of Redis.
fn command(lua: &Lua, data: &[u8]) -> Result<Value> {
    // A value of another kind is no command, and that shows in its first byte.
    if data.first().is_some_and(|kind| *kind != b'*') {
        return Ok(Value::Boolean(false));
    }
    match resp::read_value(data) {
        Parse::Whole { value, .. } => match resp::command(&value) {
            Some(words) => words
                .into_iter()
                .map(|word| lua.create_string(word))
                .collect::<Result<Vec<_>>>()?
                .into_lua(lua),
            None => Ok(Value::Boolean(false)),
        },
        Parse::Partial => Ok(Value::Nil),
        Parse::Foreign(_) => Ok(Value::Boolean(false)),
    }
}
