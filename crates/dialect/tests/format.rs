//! Native TOML put in order.

use dialect::native;
use dialect::render::{Colour, render};
use model::Sources;

fn format(text: &str) -> String {
    let mut sources = Sources::default();
    let file = sources.add("replug.toml", text);
    native::format(file, &sources).unwrap_or_else(|faults| {
        panic!("{}", render(&faults, &sources, Colour::Never));
    })
}

/// Checks what becomes of `text`, and that it stays so.
#[track_caller]
fn check(text: &str, expected: &str) {
    let once = format(text);
    assert_eq!(once, expected);
    assert_eq!(format(&once), once, "a second time");
}

#[test]
fn keys_and_tables_go_in_their_order_and_line_up() {
    check(
        "[log]\nto='-'\nformat = \"json\"\n[pool.pg]\nretry_down=\"5s\"\nbackends=[\"a:1\",'b:2']\n\
         [listener.\"pg\"]\npool = \"pg\"\n\n\nbind=[ \":5432\" ]\ntimeouts={idle=\"1h\",connect=\"5s\"}\n\
         [listener.a]\nto=\"x:1\"\nbind=\":1\"\n",
        r#"[listener.pg]
bind     = [":5432"]
pool     = "pg"
timeouts = { connect = "5s", idle = "1h" }

[listener.a]
bind = ":1"
to   = "x:1"

[pool.pg]
backends   = ["a:1", 'b:2']
retry_down = "5s"

[log]
format = "json"
to     = '-'
"#,
    );
}

#[test]
fn each_comment_stays_with_what_it_is_about() {
    check(
        "# The whole file.\n# Second line.\n\n# About the log.\n[log]   # beside\nformat = \"text\"\n\
         # below the log\n\n\n\n# About web.\n\n# More about web.\n[listener.web]\n\
         # about to\nto = \"a:1\" # beside to\n\n\n  # about bind\nbind = \":1\"\n# idle = \"5s\"\n\n\
         # the end\n\n# really\n",
        "# The whole file.\n# Second line.\n\n# About web.\n\n# More about web.\n[listener.web]\n\
         # about bind\nbind = \":1\"\n# about to\nto = \"a:1\"  # beside to\n# idle = \"5s\"\n\n\
         # About the log.\n[log]  # beside\nformat = \"text\"\n# below the log\n\n\
         # the end\n\n# really\n",
    );
    check("# only\n\n\n# comments", "# only\n\n# comments\n");
    check("", "");
    check("\n\n", "");
}

#[test]
fn comments_line_up_in_rows() {
    check(
        "[limits]\nsessions = 5 # a\n[listener.a]\nbind = \":1\" # b\nto = [\"a:1\", \"b:1\"] # c\n\
         allow = \"10.0.0.0/8\"\ndeny = \"10.1.0.0/16\" # d\n\nretry_down = \"5s\" # e\n",
        "[listener.a]\nbind  = \":1\"            # b\nto    = [\"a:1\", \"b:1\"]  # c\n\
         allow = \"10.0.0.0/8\"\ndeny  = \"10.1.0.0/16\"  # d\n\nretry_down = \"5s\"  # e\n\n\
         [limits]\nsessions = 5  # a\n",
    );
}

#[test]
fn lists_have_a_line_or_a_line_for_each_item() {
    let long = "\"backend-with-a-long-name.example.com:8080\"";
    check(
        &format!("[listener.a]\nbind=[]\nto = [{long},{long},{long}]\n"),
        &format!("[listener.a]\nbind = []\nto   = [\n    {long},\n    {long},\n    {long},\n]\n"),
    );
    check(
        "[listener.a]\nto = [ # these\n\"a:1\", # first\n  # then\n \"b:1\" # second\n , # third\n# end\n]# beside\n",
        "[listener.a]\nto = [\n    # these\n    \"a:1\",  # first\n    # then\n    \"b:1\",  # second\n    \
         # third\n    # end\n]  # beside\n",
    );
    check(
        "x = [\n]\ny = [1,\n2]\nz = [[1,\n2],[]]",
        "x = []\ny = [\n    1,\n    2,\n]\nz = [[\n    1,\n    2,\n], []]\n",
    );
}

#[test]
fn what_nobody_knows_is_kept() {
    check(
        "b.x = 1\na . y=2\n[z]\n'a b'=1\n\"c\" = {z=1,  y . x={} }\n[[t]]\nq=1\n[t.u]\n[[t]]\n[listener]\n",
        "b.x = 1\na.y = 2\n\n[listener]\n\n[z]\n'a b' = 1\nc     = { z = 1, y.x = {} }\n\n[[t]]\n\
         q = 1\n\n[t.u]\n\n[[t]]\n",
    );
    check("a = \"\"\"\nx\n# no comment\n\"\"\"", "a = \"\"\"\nx\n# no comment\n\"\"\"\n");
    check(
        "[listener.a]\ntimeouts.idle = \"1h\"\nbind = \":1\"\ntimeouts.connect = \"1s\"\n",
        "[listener.a]\nbind             = \":1\"\ntimeouts.connect = \"1s\"\ntimeouts.idle    = \"1h\"\n",
    );
}

#[test]
fn what_is_not_toml_is_left_alone() {
    let mut sources = Sources::default();
    let file = sources.add("replug.toml", "[a]\nb = :1\nc = :2\n");
    let faults = native::format(file, &sources).expect_err("this is not TOML");
    assert!(faults.len() >= 2, "all faults at once: {faults:?}");
}
