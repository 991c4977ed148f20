//! Every function as a script calls it, in a VM with nothing else; look-ups against servers of
//! the tests' own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener};
use std::sync::Mutex;
use std::thread;

use engine::lookup::NotFound;
use mlua::{AnyUserData, Function, MultiValue, Table, Thread};

use super::*;
use crate::pending::Pending;

/// A VM, and what scripts in it have said.
struct Machine {
    lua: Lua,
    lines: Arc<Lines>,
    folder: rig::Scratch,
    runtime: tokio::runtime::Runtime,
}

#[derive(Debug, Default)]
struct Lines(Mutex<Vec<Line>>);

impl Voice for Lines {
    fn say(&self, line: Line) {
        self.0.lock().expect("nobody panics with it").push(line);
    }
}

/// Knows `local.test`, and takes for ever over `slow.test`.
async fn answer(names: Lookups) {
    let mut questions = names.take_questions().expect("nobody has them");
    while let Some(question) = questions.recv().await {
        match &*question.host {
            "local.test" => {
                let addresses = [[127, 0, 0, 1].into(), IpAddr::from([0; 16])];
                question.answer(Ok(addresses.into()));
            }
            "slow.test" => drop(tokio::spawn(async {
                let _kept = question;
                std::future::pending::<()>().await;
            })),
            _ => question.answer(Err(NotFound::Failed("there is no such name".into()))),
        }
    }
}

impl Machine {
    fn new() -> Self {
        let lines = Arc::new(Lines::default());
        let (lua, folder, names) = (Lua::new(), rig::Scratch::new(), Lookups::default());
        let voice: Arc<dyn Voice> = Arc::clone(&lines) as _;
        let loaded = Loaded::default();
        let around =
            Around { folder: folder.path().to_owned(), loaded, voice, names: names.clone() };
        Arc::new(Library::default()).install(&lua, &around).expect("there is memory");
        lua.sandbox(true).expect("there is memory");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("the system has descriptors");
        runtime.spawn(answer(names));
        Self { lua, lines, folder, runtime }
    }

    /// What the script returns, as text; its error, if it has one.
    fn run(&self, script: &str) -> String {
        let results = self.results(script);
        let shown = results.and_then(|results| {
            let words: Vec<_> = results.iter().map(shown).collect::<Result<_>>()?;
            Ok(words.join(" "))
        });
        shown.unwrap_or_else(|error| {
            let text = error.to_string();
            text.lines().next().unwrap_or_default().to_owned()
        })
    }

    fn results(&self, script: &str) -> Result<MultiValue> {
        let function: Function = self.lua.load(script).set_name("=test.lua").into_function()?;
        let thread: Thread = self.lua.create_thread(function)?;
        let mut given = MultiValue::new();
        loop {
            let got: MultiValue = thread.resume(given)?;
            let Some(Value::UserData(question)) = got.front() else { return Ok(got) };
            let Ok(question) = AnyUserData::take::<Pending>(question) else { return Ok(got) };
            given = self.runtime.block_on(question.answer(&self.lua))?;
        }
    }

    #[track_caller]
    fn check(&self, script: &str, expected: &str) {
        assert_eq!(self.run(script), expected, "{script}");
    }

    fn lines(&self) -> Vec<Line> {
        self.lines.0.lock().expect("nobody panics with it").clone()
    }
}

/// Tables with their keys in order.
fn shown(value: &Value) -> Result<String> {
    Ok(match value {
        Value::String(text) => format!("{:?}", text.to_string_lossy()),
        Value::Table(table) => {
            let mut pairs: Vec<_> = table
                .pairs::<Value, Value>()
                .map(|pair| pair.and_then(|(key, value)| Ok((key.to_string()?, shown(&value)?))))
                .collect::<Result<_>>()?;
            pairs.sort();
            let is_list = table.raw_len() == pairs.len();
            let pairs = pairs.into_iter().map(|(key, value)| match is_list {
                true => value,
                false => format!("{key}={value}"),
            });
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(" "))
        }
        other => other.to_string()?,
    })
}

#[test]
fn expressions() {
    let machine = Machine::new();
    let check = |script: &str, expected: &str| machine.check(script, expected);
    check(r"return re.test('^ab+$', 'abbb'), re.test('^ab+$', 'abc')", "true false");
    check(r"return re.find('b+', 'abbc')", "2 3");
    check(r"return re.find('b+', 'abbcb', 4)", "5 5");
    check(r"return re.find('x*', 'ab')", "1 0");
    check(r"return re.find('b', 'abc', 99)", "nil");
    check(r"return re.match([[(\w+) (\w+)?]], 'GET ')", r#""GET" nil"#);
    check(r"return re.match('b+', 'abbc')", r#""bb""#);
    check(r"return re.match('z', 'abbc')", "nil");
    check(
        r"return re.captures([[(?P<key>\w+)=(\d+)]], 'x: n=42')",
        r#"{0="n=42" 1="n" 2="42" key="n"}"#,
    );
    check(r"return re.captures('(a)|(b)', 'b')", r#"{0="b" 2="b"}"#);
    check(r"return #re.match([[^\x00\xff(?s:.)]], '\0\255\n')", "3");
    check(
        r"return re.test('a(b', 'ab')",
        "runtime error: test.lua:1: re: unclosed group at byte 2 in `a(b`",
    );
    check(
        "local x = 1\nreturn re.test('(a{99}){99}', 'ab')",
        "runtime error: test.lua:2: re: more states than there may be in `(a{99}){99}`",
    );
    check(
        r"return re.test('\255', 'ab')",
        "runtime error: test.lua:1: re: write bytes as \\xff in `\u{fffd}`",
    );
    check(
        r"return re.test('a', string.rep('a', 65537))",
        "runtime error: test.lua:1: re: a text of 65537 bytes; 65536 at the most",
    );
    check(
        r"return re.test(string.rep('a', 1025), 'a')",
        "runtime error: test.lua:1: re: an expression of more than 1024 bytes",
    );
    // More than are kept, and again.
    check(
        r"for n = 1, 200 do assert(re.test('^' .. n % 100 .. '$', tostring(n % 100))) end return 1",
        "1",
    );
}

#[test]
fn evil_expressions_take_no_longer_than_others() {
    let machine = Machine::new();
    let check = |script: &str, expected: &str| machine.check(script, expected);
    let text = "string.rep('a', 65535) .. 'b'";
    check(&format!("return re.test('^(a|aa)+$', {text})"), "false");
    check(&format!("return re.match('((a*)*)*c', {text})"), "nil");
    // To take it apart would take long, so that is left.
    let expected = "runtime error: test.lua:1: re: a match of 65535 bytes, which is too long for \
                    the groups of this expression";
    check(&format!("return re.match('(a|b)*a(a|b){{90}}', ({text}):sub(2))"), expected);
    check(&format!("return re.test('(a|b)*a(a|b){{90}}', {text})"), "true");
    check(&format!("return #re.match('^([a-z]*)$', ({text}):sub(-20000))"), "20000");
    check(&format!("return re.find('(?:a?){{60}}a{{60}}b', {text})"), "65416 65536");
}

#[test]
fn digits_and_numbers_in_bytes() {
    let machine = Machine::new();
    machine.check(r"return hex.encode('\0\171z')", r#""00ab7a""#);
    machine.check(r"return hex.decode('00 Ab7a') == '\0\171z'", "true");
    machine.check(r"return hex.decode('0'), hex.decode('0g')", "nil nil");
    // SOCKS4: version, command, port, address, user.
    machine.check(
        r"local request = '\4\1\0\80\192\0\2\7me\0'
          local version, command, port, a, b, c, d, user = string.unpack('>BBI2BBBBz', request)
          return version, command, port, a .. '.' .. b .. '.' .. c .. '.' .. d, user",
        r#"4 1 80 "192.0.2.7" "me""#,
    );
    machine.check(
        r"return hex.encode(string.pack('>BBI2BBBB', 0, 90, 80, 192, 0, 2, 7))",
        r#""005a0050c0000207""#,
    );
}

/// A ClientHello for `a.test` that offers h2.
const HELLO: &str = "160301004e0100004a03030707070707070707070707070707070707070707070707070707070707\
    07070700000213010100001f0000000b0009000006612e74657374001000050003026832002b0003\
    020304";

#[test]
fn readers_of_first_bytes() {
    let machine = Machine::new();
    let check = |script: &str, expected: &str| machine.check(script, expected);
    check(
        r"local data = 'GET /a HTTP/1.1\r\nHost: b\r\nX-One: 1\r\nx-one: 2\r\n\r\nmore'
          return sniff.http(data)",
        r#"{headers={host="b" x-one="1"} host="b" length=48 method="GET" path="/a" version="1.1"}"#,
    );
    check(
        &format!("data = hex.decode('{HELLO}') return sniff.tls(data)"),
        r#"{alpn={"h2"} length=83 sni="a.test" version="1.3"}"#,
    );
    check("for n = 0, #data - 1 do assert(sniff.tls(data:sub(1, n)) == nil) end", "");
    check("return sniff.tls('GET')", "false");
    check(r"return sniff.http('GET'), sniff.http('\22\3')", "nil false");
    check(
        r"return sniff.postgres('\0\0\0\8\4\210\22\47'), sniff.postgres('\0\0')",
        r#"{kind="tls" length=8} nil"#,
    );
    check(
        r"return sniff.postgres('\0\0\0\31\0\3\0\0user\0al\0database\0shop\0\0')",
        r#"{database="shop" kind="startup" length=31 user="al"}"#,
    );
    check(
        r"return sniff.git('0026git-upload-pack /a b.git\0host=x:1\0')",
        r#"{length=38 repository="/a b.git"}"#,
    );
    check(
        r"return sniff.socks4('\4\1\0\80\192\0\2\7me\0more'), sniff.socks4('\4\1\0'), sniff.socks4('\5')",
        r#"{command="connect" host="192.0.2.7" length=11 port=80 user="me"} nil false"#,
    );
    check(r"return sniff.socks4('\4\1\0\80\0\0\0\1\0a.test\0').host", r#""a.test""#);
    check(
        r"return sniff.socks5('\5\2\0\2'), sniff.socks5('\5\2\0'), sniff.socks5('\4')",
        "{length=4 open=true password=true} nil false",
    );
    check(
        r"return sniff.socks5_request('\5\1\0\3\6a.test\1\187')",
        r#"{command="connect" host="a.test" length=13 port=443}"#,
    );
    check(
        r"return sniff.ssh('SSH-2.0-OpenSSH_9.2p1 Debian\r\n'), sniff.ssh('SSH-2'), sniff.ssh('x')",
        r#"{length=30 software="OpenSSH_9.2p1" version="2.0"} nil false"#,
    );
    check(
        r"return sniff.mqtt('\16\18\0\4MQTT\4\128\0\60\0\2me\0\2al'), sniff.mqtt('\16'), sniff.mqtt('x')",
        r#"{client="me" length=20 user="al" version="3.1.1"} nil false"#,
    );
    check(
        r"return sniff.redis('*2\r\n$3\r\nGET\r\n$1\r\nk\r\n'), sniff.redis('*2\r'), sniff.redis('+OK\r\n'),
            sniff.redis('*1\r\n:1\r\n'), sniff.redis('')",
        r#"{"GET" "k"} nil false false nil"#,
    );
    check(
        r"return sniff.protocol('SSH-2'), sniff.protocol(''), sniff.protocol('\0\0'), sniff.protocol('?')",
        r#""ssh" nil nil false"#,
    );
    check(
        r"return sniff.is('mqtt', '\16'), sniff.is('mqtt', 'x'), sniff.is('ssh', 'SSH-')",
        "nil false true",
    );
    let wrong = machine.run("return sniff.is('gopher', '')");
    assert!(wrong.contains("test.lua:1: sniff.is: no protocol `gopher`; one of tls,"), "{wrong}");
}

#[test]
fn addresses() {
    let machine = Machine::new();
    let check = |script: &str, expected: &str| machine.check(script, expected);
    check("return ip.parse('192.0.2.1')", r#""192.0.2.1" 4 nil"#);
    check("return ip.parse('2001:DB8:0:0::1')", r#""2001:db8::1" 6 nil"#);
    check("return ip.parse('::ffff:10.0.0.1')", r#""10.0.0.1" 4 nil"#);
    check("return ip.parse('10.0.0.1:80')", r#""10.0.0.1" 4 80"#);
    check("return ip.parse('[::ffff:10.0.0.1]:443')", r#""10.0.0.1" 4 443"#);
    check("return ip.parse('10.0.0')", "nil nil nil");
    check("return ip.in_cidr('[2001:db8::1]:9', '2001:db8::/32')", "true");
    check("return ip.in_cidr('10.1.2.3', '10.0.0.0/8')", "true");
    check("return ip.in_cidr('11.1.2.3', {'10.0.0.0/8', '11.1.2.3'})", "true");
    check("return ip.in_cidr('::ffff:10.1.2.3', {'10.0.0.0/8'})", "true");
    check("return ip.in_cidr('fe80::1', {'10.0.0.0/8', '::1'})", "false");
    check("return ip.in_cidr('nobody', {'10.0.0.0/8'})", "false");
    check(
        "local set = ip.set({'10.0.0.0/8', '2001:db8::/32', '192.0.2.1'})
         return set:has('10.9.9.9'), set:has('2001:db8::1'), set:has('192.0.2.2'), set:has('x')",
        "true true false false",
    );
    check(
        "return ip.in_cidr('10.1.2.3', {'10.0.0.0/33'})",
        "runtime error: test.lua:1: ip: `10.0.0.0/33` is no range; write 10.0.0.0/8, \
         2001:db8::/32 or one address",
    );
    // Those that nobody holds make room for others.
    check(
        "local list = table.create(60000, '::1')
         for n = 1, 3 do assert(ip.set(list):has('::1')) end
         kept = ip.set(list)
         local ok, why = pcall(ip.set, list)
         return ok, (string.find(tostring(why), 'more than 100000 ranges'))",
        "false 36",
    );
    check("return ip.set(7)", "runtime error: test.lua:1: ip: give a range or a list of ranges");
    check(
        "local list = table.create(1001, '::1') return ip.in_cidr('::1', list)",
        "runtime error: test.lua:1: ip: a list of 1001 ranges; 1000 at the most",
    );
}

#[test]
fn choices_are_stable_and_weighted() {
    let machine = Machine::new();
    let check = |script: &str, expected: &str| machine.check(script, expected);
    // Fixed: changing it would move everybody's clients.
    check("return hash.pick('alice', {'a:1', 'b:1', 'c:1'})", r#""b:1""#);
    check("return hash.pick('alice', {'c:1', 'b:1', 'a:1'})", r#""b:1""#);
    check("return hash.pick('x', {}), hash.pick('x', {a = 0})", "nil nil");
    check("return hash.number('alice')", "3318830445");
    check(
        "local count = {a = 0, b = 0, c = 0}
         for n = 1, 10000 do
           local one = hash.pick('client ' .. n, {a = 1, b = 3, c = 0})
           count[one] += 1
         end
         return count.a > 2300 and count.a < 2700, count.a + count.b",
        "true 10000",
    );
    // Where one goes only its keys move.
    check(
        "local moved = 0
         for n = 1, 1000 do
           local before = hash.pick(tostring(n), {'a', 'b', 'c', 'd'})
           local after = hash.pick(tostring(n), {'a', 'b', 'd'})
           if before ~= after then assert(before == 'c') moved += 1 end
         end
         return moved > 200 and moved < 300",
        "true",
    );
    let wrong = machine.run("return hash.pick('x', {{}})");
    assert!(wrong.contains("test.lua:1: hash.pick: a table at a number; give names"), "{wrong}");
}

#[test]
fn what_shards_share() {
    let machine = Machine::new();
    let check = |script: &str, expected: &str| machine.check(script, expected);
    check("shared.set('a', 'x\\0y') shared.set('b', 7) shared.set('c', false)", "");
    check(
        "return shared.get('a'), shared.get('b'), shared.get('c'), shared.get('d')",
        r#""x\0y" 7 false nil"#,
    );
    check("return shared.incr('n'), shared.incr('n', 2), shared.incr('n', -4, 60)", "1 3 -1");
    check(
        "shared.set('a', nil) return shared.get('a'), shared.delete('b'), shared.delete('b')",
        "nil true false",
    );
    check(
        "return shared.incr('c')",
        "runtime error: test.lua:1: shared.incr: what is there is no number",
    );
    check("shared.set('a', {})", "runtime error: test.lua:1: shared.set: a table cannot be shared");
    check(
        "shared.set('a', 1, 0)",
        "runtime error: test.lua:1: shared: a time is more than 0 seconds and at most a year",
    );
    check(
        "shared.set(string.rep('a', 1025), 1)",
        "runtime error: test.lua:1: shared.set: a name of more than 1024 bytes",
    );
    check(
        "shared.set('a', string.rep('a', 65537))",
        "runtime error: test.lua:1: shared.set: a string of more than 65536 bytes",
    );
}

#[test]
fn lines_for_the_log() {
    let machine = Machine::new();
    let caller = Caller { listener: Some("in".into()), session: Some(7) };
    machine.lua.set_app_data(caller.clone());
    machine.check("log('info', 'GET \\0\\r\\n')", "");
    machine.check("log('warning', string.rep('a', 2000))", "");
    let lines = machine.lines();
    assert_eq!(
        lines[0],
        Line { level: Level::Info, text: "GET \0\r\n".to_owned(), caller, unsaid: 0 }
    );
    assert_eq!(lines[1].text.len(), 1024);
    machine.check(
        "log('loud', 'x')",
        "runtime error: test.lua:1: log: no level `loud`; one of debug, info, warning, error",
    );
    machine.check("for n = 1, 100000 do log('error', 'x') end", "");
    assert!(machine.lines().len() < 20_000, "they are rationed");
    machine.check("return math.abs(time() - time()) < 60, time() > 1700000000", "true true");
}

#[test]
fn maps_from_files() {
    let machine = Machine::new();
    let path = machine.folder.join("map.txt");
    fs::write(&path, "# hosts\n\na.test 10.0.0.1:80 weight=2\r\nb.test\n7 seven\nb.test\tlast \n")
        .expect("a scratch file can be written");
    machine.check(
        "map = tables.load('map.txt') return map['a.test'], map['b.test'], map['c'], map[7], #map",
        r#""10.0.0.1:80 weight=2" "last" nil "seven" 3"#,
    );
    fs::write(&path, "alone\n").expect("a scratch file can be written");
    // It is looked at once a second; nothing tells when that is done.
    rig::wait::until("the file is read again", || machine.run("return map.alone") == "true");
    machine.check("return map['a.test'], #map", "nil 1");
    fs::remove_file(&path).expect("it is there");
    rig::wait::until("its loss is told", || {
        machine.run("return map.alone");
        !machine.lines().is_empty()
    });
    let lines = machine.lines();
    assert!(lines[0].text.ends_with("what was read before stands"), "{lines:?}");
    machine.check("map = nil", "");
    machine.lua.gc_collect().expect("there is memory");
    machine.lua.gc_collect().expect("there is memory");
    machine.check("return tables.load('map.txt').alone", "true");
    for name in ["../map.txt", "/etc/passwd", "", "a/../../b"] {
        machine.check(
            &format!("tables.load('{name}')"),
            &format!(
                "runtime error: test.lua:1: tables.load: {name}: name a file in the folder of the \
                 script, or below it"
            ),
        );
    }
    let wrong = machine.run("tables.load('none.txt')");
    assert!(wrong.contains("test.lua:1: tables.load: none.txt: No such file"), "{wrong}");
}

/// A server on a thread of its own that answers each connection by `answer`.
fn serve(answer: impl Fn(&mut std::net::TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            answer(&mut stream);
        }
    });
    address
}

#[test]
fn names() {
    let machine = Machine::new();
    let check = |script: &str, expected: &str| machine.check(script, expected);
    check("return dns('local.test')", r#"{"127.0.0.1" "::"}"#);
    check("return dns('192.0.2.1')", r#"{"192.0.2.1"}"#);
    check("return dns('none.test')", r#"nil "there is no such name""#);
    check("return dns('')", r#"nil "it is no host name""#);
    check("return dns('slow.test', {timeout = 0.05})", r#"nil "no answer within 0.05 s""#);
    check(
        "return dns('local.test', {timeout = 31})",
        "runtime error: test.lua:1: dns: timeout is more than 0 seconds and at most 30",
    );
    // A failure can be caught, and a look-up may stand in a function that is called with care.
    check("return pcall(function() return dns('local.test')[1] end)", r#"true "127.0.0.1""#);
}

#[test]
fn pages() {
    let machine = Machine::new();
    let address = serve(|stream| {
        let mut request = vec![0; 4096];
        let count = stream.read(&mut request).expect("a request");
        let request = String::from_utf8_lossy(&request[..count]).into_owned();
        let path = request.split(' ').nth(1).unwrap_or_default();
        if path == "/slow" {
            let _ = stream.read(&mut [0]);
            return;
        }
        let token = request.lines().find_map(|line| line.strip_prefix("x-token: "));
        let body = format!("{path} {}", token.unwrap_or("-"));
        let status = if path == "/none" { "404 Not Found" } else { "200 OK" };
        let head =
            format!("HTTP/1.1 {status}\r\nX-Pool: Blue\r\nContent-Length: {}\r\n", body.len());
        let answer = format!("{head}Connection: close\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).expect("the client is there");
    });
    let check = |script: &str, expected: &str| {
        machine.check(&script.replace("HERE", &format!("http://{address}")), expected);
    };
    check(
        "local page = http_get('HERE/a', {headers = {['X-Token'] = 'secret'}})
         return page.status, page.body, page.headers['x-pool']",
        r#"200 "/a secret" "Blue""#,
    );
    check("return http_get('HERE/none').status", "404");
    check("return http_get('HERE/abc', {max = 3})", r#"nil "the body is longer than 3 bytes""#);
    check("return http_get('HERE/slow', {timeout = 0.1})", r#"nil "no answer within 0.1 s""#);
    check("return http_get('ftp://x/')", r#"nil "a URL begins with http:// or https://""#);
    check(
        "return http_get('HERE/', {max = 1048577})",
        "runtime error: test.lua:1: http_get: max is at most 1048576 bytes",
    );
    let refused = machine.run("return http_get('http://127.0.0.1:1/')");
    assert!(refused.starts_with("nil \"") && refused.contains("efused"), "{refused}");
}

#[test]
fn replies_of_redis() {
    let machine = Machine::new();
    // Each connection answers two commands, in pieces of a byte.
    let address = serve(|stream| {
        let mut bytes = [0; 1024];
        for _ in 0..2 {
            let count = stream.read(&mut bytes).unwrap_or(0);
            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let reply = match text.split("\r\n").nth(2) {
                Some("GET") => "$2\r\nv1\r\n",
                Some("KEYS") => "*3\r\n$1\r\na\r\n:42\r\n$-1\r\n",
                Some("NONE") => "$-1\r\n",
                Some("TWICE") => "+OK\r\n+OK\r\n",
                Some("BAD") => "HTTP/1.1 400\r\n",
                Some("END") => return,
                _ => "-ERR unknown command\r\n",
            };
            let at_once = if reply.len() == 10 { reply.len() } else { 1 };
            for piece in reply.as_bytes().chunks(at_once) {
                if stream.write_all(piece).is_err() {
                    return;
                }
            }
        }
    });
    let check = |script: &str, expected: &str| {
        machine.check(&script.replace("HERE", &address), expected);
    };
    check("return redis('HERE', 'GET', 'k')", r#""v1""#);
    check("return redis('HERE', 'KEYS', '*')", r#"{"a" 42 false}"#);
    check("return redis('HERE', 'NONE')", "false");
    check("return redis('HERE', 'EXPLODE')", r#"nil "ERR unknown command""#);
    check("return redis('HERE', 'TWICE')", r#"nil "the server says more than it was asked""#);
    check("return redis('HERE', 'BAD')", r#"nil "not a reply of Redis""#);
    check("return redis('HERE', 'END')", r#"nil "the server has closed the connection""#);
    check("return redis('redis://:pw@HERE/1', 'GET', 'k')", r#"nil "ERR unknown command""#);
    check(
        "return redis('HERE', 'select', '1')",
        "runtime error: test.lua:1: redis: SELECT would change a connection that others use",
    );
    check("return redis('HERE')", "runtime error: test.lua:1: redis: a command is missing");
    let wrong = machine.run("return redis('redis://:secret@', 'GET')");
    assert!(wrong.contains("this is no address") && !wrong.contains("secret"), "{wrong}");
    let wrong = machine.run("return redis('127.0.0.1:1', 'GET', 'k')");
    assert!(wrong.contains("127.0.0.1:1: Connection refused"), "{wrong}");
}

/// Each example of the manual is a script that loads.
#[test]
fn examples() {
    let manual = include_str!("../../../../docs/script-library.md");
    let mut count = 0;
    for example in manual.split("```lua\n").skip(1) {
        let example = example.split("```").next().unwrap_or_default();
        let machine = Machine::new();
        for name in ["hosts.txt", "users.txt"] {
            fs::write(machine.folder.join(name), "alice 10.0.0.1:80\n").expect("a scratch file");
        }
        let loaded = machine.lua.load(example).set_name("=example").exec();
        loaded.unwrap_or_else(|error| panic!("{error}:\n{example}"));
        count += 1;
    }
    assert!(count >= 8, "{count} examples were found");
}

#[test]
fn while_it_is_loaded_a_script_looks_nothing_up() {
    let machine = Machine::new();
    let error = machine.lua.load("return dns('local.test')").exec().expect_err("nobody waits");
    assert!(error.to_string().contains("attempt to yield"), "{error}");
    let globals: Table = machine.lua.globals();
    assert!(globals.get::<Value>("dns").expect("it is there").is_function());
}
