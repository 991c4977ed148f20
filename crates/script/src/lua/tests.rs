//! Scripts that are asked, without sessions around them.

use std::path::Path;

use engine::account::{ClientAddress, Spoken};
use engine::journal::{Wants, journal};
use engine::script::{About, Counsel, Decision, Now, Question, Whither};
use model::ByteSize;

use super::*;

fn configured() -> model::Script {
    model::Script {
        // Tests share their processor with others.
        deadline: Some(Duration::from_millis(200)),
        ..model::Script::new("dir/route.lua", model::Language::Lua)
    }
}

fn load_as(script: &model::Script, text: &str) -> Result<LuaScript, String> {
    let read = |path: &Path| match path.to_str() {
        Some("dir/route.lua") => Ok(text.to_owned()),
        Some("dir/lib.lua") => Ok("local lib = {count = 0} return lib".to_owned()),
        Some("dir/round.lua") => Ok("return require('round')".to_owned()),
        Some("dir/broken.lua") => Ok("local = 1".to_owned()),
        _ => Err("it is not there".to_owned()),
    };
    LuaScript::load(script, &Arc::default(), &read).0
}

fn load(text: &str) -> Result<LuaScript, String> {
    load_as(&configured(), text)
}

fn place() -> Place {
    let (journal, _) = journal(Wants::QUIET);
    Place { shard: 0, lookups: Lookups::default(), journal }
}

fn about() -> About {
    About {
        id: 7,
        client: ClientAddress::Ip("192.0.2.1:5000".parse().expect("an address")),
        local: "10.0.0.1:80".parse().ok(),
        listener: "web".into(),
        spoken: Spoken { sni: Some("a.example".into()), ..Spoken::default() },
    }
}

fn desk_of(text: &str) -> Rc<dyn Desk> {
    load(text).expect("a sound script").desk(place())
}

/// Who waits for nothing: no script here asks anybody.
fn ask(counsel: &mut dyn Counsel, question: Question<'_>, now: Now) -> Result<Decision, String> {
    let mut asking = counsel.ask(question, now);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match asking.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(answer) => answer.map_err(|Failure(why)| why),
        std::task::Poll::Pending => panic!("it waits"),
    }
}

fn route(desk: &Rc<dyn Desk>, said: &[u8]) -> Result<Decision, String> {
    ask(&mut *desk.attend(about()), Question::Route(said), Now::default())
}

/// What a script says by closing with a text.
fn said(desk: &Rc<dyn Desk>, data: &[u8]) -> String {
    match route(desk, data) {
        Ok(Decision::Close(text)) => String::from_utf8(text).expect("a text"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_failure(text: &str, expected: &str) {
    let desk = desk_of(&format!("function route(data, conn) {text} end"));
    let why = route(&desk, b"data").expect_err("it fails");
    assert!(why.contains(expected), "{text}: {why}");
    assert!(!why.contains('\n') && why.len() < 500, "{why:?}");
}

#[test]
fn a_script_sees_the_session() {
    let desk = desk_of(
        "function route(data, conn)
            local c = conn
            return {close = table.concat({data, c.peer, c['local'], c.listener, c.id, c.sni,
                tostring(c.alpn), c.elapsed, c.attempt, tostring(c.eof)}, ' ')}
        end",
    );
    assert_eq!(said(&desk, b"x"), "x 192.0.2.1:5000 10.0.0.1:80 web 7 a.example nil 0 0 false");
    let mut counsel = desk.attend(about());
    let now = Now { elapsed: Duration::from_millis(1500), attempt: 2, has_ended: true };
    let Ok(Decision::Close(text)) = ask(&mut *counsel, Question::Route(b""), now) else { panic!() };
    assert!(text.ends_with(b" 1.5 2 true"));
    let all: Vec<u8> = (0..=255).collect();
    let desk = desk_of("function route(data) return {close = data} end");
    assert_eq!(route(&desk, &all), Ok(Decision::Close(all)));
}

#[test]
fn sessions_are_told_apart() {
    let desk = desk_of(
        "function route(data, conn)
            local here = conn['local'] or 'nowhere'
            return {close = conn.listener .. ' ' .. here .. ' ' .. (conn.peer or 'nobody')}
        end",
    );
    let said =
        |about: About| match ask(&mut *desk.attend(about), Question::Route(b"x"), Now::default()) {
            Ok(Decision::Close(text)) => String::from_utf8(text).expect("a text"),
            other => panic!("{other:?}"),
        };
    for _ in 0..2 {
        assert_eq!(said(about()), "web 10.0.0.1:80 192.0.2.1:5000");
        let there = About { local: "[::1]:81".parse().ok(), ..about() };
        assert_eq!(said(there), "web [::1]:81 192.0.2.1:5000");
        let unix = About { local: None, client: ClientAddress::Unix, ..about() };
        assert_eq!(said(unix), "web nowhere nobody");
        let other = About { listener: "other".into(), ..about() };
        assert_eq!(said(other), "other 10.0.0.1:80 192.0.2.1:5000");
    }
    let about = about();
    let same = || About { listener: Arc::clone(&about.listener), ..about.clone() };
    assert_eq!(said(same()), said(same()));
    assert_eq!(said(About { local: None, ..same() }), "web nowhere 192.0.2.1:5000");
}

#[test]
fn calls_do_not_mix() {
    // A coroutine serves again when it has ended, and not when it has failed.
    let desk = desk_of(
        "function route(data, conn)
            local own = coroutine.running()
            conn.co = own
            if data == 'fail' then error('oh') end
            return {close = data .. ' ' .. coroutine.status(own)}
        end",
    );
    for _ in 0..3 {
        assert_eq!(said(&desk, b"a"), "a running");
        assert!(route(&desk, b"fail").expect_err("it fails").contains("oh"));
        assert_eq!(said(&desk, b"b"), "b running");
    }
}

#[test]
fn callbacks_are_those_that_there_are() {
    let desk = desk_of(
        "function route() end
        function on_connect(conn) conn.seen = true return 'hello' end
        function on_connect_error(remote, conn)
            return {remote = conn.seen and 'next.example:1' or 'x', data = remote}
        end",
    );
    let expected = Answers { connect: true, connect_error: true, inactivity: false };
    assert_eq!(desk.answers(), expected);
    let mut counsel = desk.attend(about());
    let mut answer = |question| ask(&mut *counsel, question, Now::default());
    assert_eq!(answer(Question::Connect), Ok(Decision::Greet(b"hello".to_vec())));
    assert_eq!(answer(Question::Route(b"x")), Ok(Decision::Wait));
    let Ok(Decision::Go(way)) = answer(Question::ConnectError("a:1")) else { panic!() };
    let Whither::Remotes(remotes) = &way.to else { panic!("{way:?}") };
    assert_eq!(remotes[0].to_string(), "next.example:1");
    assert_eq!(way.data.as_deref(), Some(&b"a:1"[..]));
    assert_eq!(answer(Question::Inactivity("a:1")), Ok(Decision::Wait));
}

#[test]
fn what_does_not_load_says_where() {
    for (text, expected) in [
        ("", "no function `route`"),
        ("route = 7", "`route` is not a function but a "),
        ("function route() end on_connect = {}", "`on_connect` is not a function"),
        ("function route() end\nlocal = 1", "dir/route.lua:2: "),
        ("function route() end\n\nerror('oh')", "dir/route.lua:3: oh"),
        ("while true do end", "it works for more than 1s"),
        ("local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end", "16 MiB of memory"),
        ("require('../x')", "modules stand in the folder"),
        ("require('nowhere')", "cannot read dir/nowhere.lua: it is not there"),
        ("require('round')", "requires itself"),
        ("require('broken')", "broken:1: "),
        ("io.open('/etc/passwd')", "nil"),
        ("os.execute('true')", "nil"),
        ("loadstring('x')", "nil"),
        ("string.format = nil", "readonly"),
    ] {
        let why = load(text).expect_err(text);
        assert!(why.contains(expected), "{text}: {why}");
    }
    let lost = model::Script { file: "dir/lost.lua".to_owned(), ..configured() };
    assert_eq!(load_as(&lost, "").expect_err("no file"), "cannot read it: it is not there");
}

#[test]
fn modules_are_loaded_once_and_known_from_then_on() {
    let text = "local lib = require('lib')
        function route(data)
            lib.count += 1
            if data == 'new' then require('other') end
            return {close = tostring(require('lib').count)}
        end";
    let desk = desk_of(text);
    assert_eq!(said(&desk, b""), "1");
    assert_eq!(said(&desk, b""), "2");
    let why = route(&desk, b"new").expect_err("it was not there before");
    assert!(why.contains("not required while the script was loaded"), "{why}");
    let kept = load("local ok = pcall(require, 'nowhere') function route() end");
    kept.expect("it copes without");
    let one = load("function route() end").expect("sound").fingerprint();
    assert_eq!(load("function route() end").expect("sound").fingerprint(), one);
    assert_ne!(load("function route()  end").expect("sound").fingerprint(), one);
}

#[test]
fn whatever_runs_away_is_stopped() {
    for text in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function f() while true do pcall(f) end end f()",
        "xpcall(function() while true do end end, function() while true do end end)",
        "coroutine.wrap(function() while true do end end)()",
        "setmetatable({}, {__index = function(t, k) while true do end end}).x = 1 \
         local t = setmetatable({}, {__index = function() while true do end end}) return t.x",
        "return string.find(('a'):rep(60000), '.-.-.-.-b')",
        "return (('a'):rep(60000)):gsub('.-.-.-.-b', '')",
        "for _ in (('a'):rep(60000)):gmatch('.-.-.-.-b') do end",
        "local t = table.create(20000, 1) while true do table.sort(t) end",
        "repeat local x = ('x'):rep(100000) until false",
    ] {
        check_failure(text, "it works for more than 200ms");
    }
    check_failure("table.move({}, 1, 2^31 - 2, 1, {})", "at most 1000000 elements");
    check_failure("local t = table.create(200000, 1) table.sort(t)", "at most 20000 elements");
}

#[test]
fn memory_and_depth_are_bounded() {
    for text in [
        "local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end",
        "return ('x'):rep(2^30)",
        "return table.create(2^26, 1)",
        "return buffer.create(2^30)",
        "local s = 'x' while true do s = s .. s end",
    ] {
        check_failure(text, "it needs more than 16 MiB of memory");
    }
    check_failure("local function f() return 1 + f() end return f()", "stack overflow");
    check_failure(
        "local function f() return (('x'):gsub('x', f)) end return f()",
        "stack overflow",
    );
    check_failure("local t = {} t = setmetatable(t, {__index = t}) return t.x", "loop");
    let small = model::Script { memory: ByteSize::new(1 << 20), ..configured() };
    let script = load_as(&small, "function route() return {close = ('x'):rep(900000)} end");
    let why = route(&script.expect("it loads").desk(place()), b"").expect_err("too much");
    assert!(why.contains("1 MiB"), "{why}");
}

#[test]
fn a_machine_that_has_used_up_its_memory_is_replaced() {
    let text = "local kept, count = {}, 0
        function route(data)
            count += 1
            if data == 'hoard' then
                while true do kept[#kept + 1] = ('x'):rep(10000) .. #kept end
            end
            return {close = tostring(count)}
        end";
    let desk = desk_of(text);
    assert_eq!(said(&desk, b""), "1");
    let mut before = desk.attend(about());
    ask(&mut *before, Question::Route(b"hoard"), Now::default()).expect_err("too much");
    assert_eq!(said(&desk, b""), "1", "it has begun anew");
    assert_eq!(
        ask(&mut *before, Question::Route(b""), Now::default()),
        Ok(Decision::Close(b"2".to_vec())),
        "and so have those who talked to it"
    );
}

#[test]
fn a_failure_is_of_one_question() {
    let desk = desk_of(
        "local count = 0
        function route(data)
            count += 1
            if data == 'error' then error('bad\\n\\7thing') end
            if data == 'table' then error({}) end
            if data == 'yield' then coroutine.yield(1) end
            if data == 'loop' then while true do end end
            return {close = tostring(count)}
        end",
    );
    for (data, expected) in [
        ("error", "dir/route.lua:4: bad"),
        ("table", ""),
        ("yield", "nobody waits for"),
        ("loop", "200ms"),
    ] {
        let why = route(&desk, data.as_bytes()).expect_err("it fails");
        assert!(why.contains(expected), "{data}: {why}");
    }
    assert_eq!(said(&desk, b""), "5", "it goes on where it was");
}

#[test]
fn what_comes_in_is_not_what_goes_out() {
    let desk = desk_of(
        "function route(data, conn)
            data = data .. 'more'
            conn.peer = nil
            table.clear(conn)
            return {default = true}
        end",
    );
    let mut counsel = desk.attend(about());
    for _ in 0..2 {
        let decision = ask(&mut *counsel, Question::Route(b"x"), Now::default());
        let Ok(Decision::Go(way)) = decision else { panic!("{decision:?}") };
        assert_eq!((way.to, way.data), (Whither::Default, None));
    }
}
