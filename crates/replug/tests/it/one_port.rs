//! Programs that people use, all through one port.
//!
//! They are installed by `./test`, as for [`crate::clients`].

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rig::wait::until;
use rig::{Address, Closed, Forwarder, Program, Scratch};

use crate::clients::{curl, git, git_daemon, redis, ssh, sshd, start_server};
use crate::path::REPLUG;

/// A server certificate for these names, and its key.
fn certificate(scratch: &Scratch, name: &str) -> [String; 2] {
    let [key, certificate] = ["key", "pem"].map(|end| scratch.join(&format!("{name}.{end}")));
    Program::run(
        Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-keyout", &key, "-out", &certificate])
            .args([
                "-subj",
                &format!("/CN={name}"),
                "-addext",
                &format!("subjectAltName=DNS:{name}"),
            ])
            .stderr(Stdio::null()),
    );
    [key, certificate]
}

/// nginx with sites in plain text and within TLS, each of which says its own name.
pub(crate) fn nginx(scratch: &Scratch) -> (Program, [Address; 2]) {
    let reserved = [(); 2].map(|()| Closed::bind());
    let [plain, tls] = reserved.each_ref().map(|port| port.address().clone());
    let mut sites = String::new();
    for name in ["one.example", "two.example"] {
        let [key, certificate] = certificate(scratch, name);
        sites += &format!(
            "server {{ listen {plain}; listen {tls} ssl; server_name {name}; ssl_certificate {certificate}; \
             ssl_certificate_key {key}; return 200 \"{name} $scheme\"; }}\n"
        );
    }
    let folder = scratch.path().display();
    let config = scratch.join("nginx.conf");
    let text = format!(
        "daemon off; master_process off; pid {folder}/pid; error_log stderr;\n\
         events {{ }}\nhttp {{ access_log off; client_body_temp_path {folder}/a; \
         proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; \
         scgi_temp_path {folder}/e;\n{sites} }}\n"
    );
    fs::write(&config, text).expect("the folder is there");
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-c", &config]);
    let mut server = Program::start(&mut command);
    until("nginx to accept", || {
        let ended = server.exit_status();
        assert!(ended.is_none(), "{server} ended: {ended:?}");
        rig::Peer::try_connect(&tls).is_ok()
    });
    (server, [plain, tls])
}

/// PostgreSQL with TLS and a database for each user. It does not run as root.
pub(crate) fn postgres(scratch: &Scratch) -> (Program, Address) {
    const BIN: &str = "/usr/lib/postgresql/15/bin";
    const NOBODY: u32 = 65_534;
    let data = scratch.join("data");
    fs::create_dir(&data).expect("the folder is new");
    let [key, certificate] = certificate(scratch, "db.example");
    let is_root = rustix::process::geteuid().is_root();
    let command = |name: &str| {
        let mut command = Command::new(format!("{BIN}/{name}"));
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.current_dir(scratch.path()).env("LC_ALL", "C");
        command
    };
    if is_root {
        for path in [&data, &key, &certificate] {
            chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give files away");
        }
        use std::os::unix::fs::PermissionsExt;
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(scratch.path(), open).expect("it is ours");
    }
    Program::run(command("initdb").args(["-D", &data, "-U", "alice", "-A", "trust", "-N"]));
    let mut server = command("postgres");
    server.args(["-D", &data, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
    server.args(["-c", &format!("unix_socket_directories={data}"), "-c", "ssl=on"]);
    server.args([
        "-c",
        &format!("ssl_key_file={key}"),
        "-c",
        &format!("ssl_cert_file={certificate}"),
    ]);
    start_server(server, |command, port| {
        command.args(["-p", &port.to_string()]);
    })
}

/// MariaDB, which knows no users and greets before it is asked.
fn mariadb(scratch: &Scratch) -> (Program, Address) {
    let data = scratch.join("mysql");
    fs::create_dir(&data).expect("the folder is new");
    let mut server = Command::new("/usr/sbin/mariadbd");
    server.args(["--no-defaults", "--skip-grant-tables", "--innodb=OFF", "--user=root"]);
    server.args(["--default-storage-engine=Aria", "--bind-address=127.0.0.1"]);
    server.arg(format!("--datadir={data}")).arg(format!("--socket={data}/socket"));
    start_server(server, |command, port| {
        command.arg(format!("--port={port}"));
    })
}

/// What a client of PostgreSQL gets for its question.
pub(crate) fn ask_postgres(forwarder: &Forwarder, words: &str) -> Vec<String> {
    let port = forwarder.address().port();
    let question = "select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()";
    let to = format!("hostaddr=127.0.0.1 port={port} dbname=postgres connect_timeout=20 {words}");
    Program::run(
        Command::new("psql").args(["--no-psqlrc", "-At", "-c", question, &to]).env("HOME", "/"),
    )
}

#[test]
fn one_port_serves_what_each_client_wants() {
    let scratch = Scratch::new();
    let (_sshd, ssh_address, user_key) = sshd(&scratch);
    let (_nginx, [plain, tls]) = nginx(&scratch);
    let (_redis, redis_address) = redis(&scratch);
    let [served, repository, copy] =
        ["served", "served/project.git", "copy"].map(|name| scratch.join(name));
    fs::create_dir(&served).expect("the folder is new");
    git(&scratch, &["init", "--quiet", &repository]);
    fs::write(format!("{repository}/content"), b"content").expect("the folder is there");
    git(&scratch, &["-C", &repository, "add", "content"]);
    git(&scratch, &["-C", &repository, "commit", "--quiet", "--message", "content"]);
    let (_git, git_address) = git_daemon(&served);
    let (_postgres, postgres_address) = postgres(&scratch);
    let (_mariadb, mysql_address) = mariadb(&scratch);
    let text = format!(
        "[listener.all]\nbind = \"127.0.0.1:0\"\notherwise = \"close\"\non_silence = \"mysql\"\n\
         timeouts = {{ sniff = \"2s\" }}\n\
         [[listener.all.route]]\nwhen = {{ protocol = \"ssh\" }}\npool = \"ssh\"\n\
         [[listener.all.route]]\nwhen = {{ sni = \"*.example\" }}\npool = \"https\"\n\
         [[listener.all.route]]\nwhen = {{ host = [\"one.example\", \"two.example\"] }}\npool = \"http\"\n\
         [[listener.all.route]]\nwhen = {{ git_repository = \"/project*\" }}\npool = \"git\"\n\
         [[listener.all.route]]\nwhen = {{ protocol = \"redis\" }}\npool = \"redis\"\n\
         [[listener.all.route]]\nwhen = {{ protocol = \"postgres\" }}\npool = \"postgres\"\n\
         [pool.ssh]\nbackends = \"{ssh_address}\"\n[pool.https]\nbackends = \"{tls}\"\n\
         [pool.http]\nbackends = \"{plain}\"\n[pool.git]\nbackends = \"{git_address}\"\n\
         [pool.redis]\nbackends = \"{redis_address}\"\n[pool.mysql]\nbackends = \"{mysql_address}\"\n\
         [pool.postgres]\nbackends = \"{postgres_address}\"\n\
         [log]\nformat = \"json\"\nto = \"-\"\n"
    );
    let path = scratch.join("replug.toml");
    fs::write(&path, text).expect("a scratch file can be written");
    let forwarder = Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &path]), 1);
    let port = forwarder.address().port();

    let lines = Program::run(ssh(&user_key, port).args(["127.0.0.1", "echo through ssh"]));
    assert_eq!(lines, ["through ssh"]);
    for (scheme, name) in
        [("http", "one.example"), ("https", "one.example"), ("https", "two.example")]
    {
        let lines = Program::run(
            curl()
                .args(["--resolve", &format!("{name}:{port}:127.0.0.1")])
                .args(["--cacert", &scratch.join(&format!("{name}.pem"))])
                .arg(format!("{scheme}://{name}:{port}/")),
        );
        assert_eq!(lines, [format!("{name} {scheme}")]);
    }
    git(&scratch, &["clone", "--quiet", &format!("git://127.0.0.1:{port}/project.git"), &copy]);
    assert_eq!(fs::read(format!("{copy}/content")).expect("it was cloned"), b"content");
    let lines = Program::run(Command::new("redis-cli").args(["-p", &port.to_string(), "ping"]));
    assert_eq!(lines, ["PONG"]);
    assert_eq!(ask_postgres(&forwarder, "user=alice sslmode=require"), ["alice|t"]);
    let lines = Program::run(
        Command::new("mariadb")
            .args(["--no-defaults", "-h", "127.0.0.1", "-P", &port.to_string(), "-u", "root"])
            .args(["-N", "-e", "select 6 * 7"]),
    );
    assert_eq!(lines, ["42"]);
    let stranger = rig::Peer::connect(forwarder.address());
    stranger.send(b"\0\0\0\0");
    stranger.expect_reset();
}

#[test]
fn postgres_goes_by_its_user_in_plain_text_and_by_its_host_in_tls() {
    let scratch = Scratch::new();
    let (_postgres, address) = postgres(&scratch);
    let start = |route: &str| {
        let text = format!(
            "[listener.db]\nbind = \"127.0.0.1:0\"\notherwise = \"close\"\n\
             [[listener.db.route]]\nname = \"db\"\nwhen = {{ {route} }}\npool = \"db\"\n\
             [pool.db]\nbackends = \"{address}\"\n[log]\nformat = \"json\"\nto = \"-\"\n"
        );
        let path = scratch.join("replug.toml");
        fs::write(&path, text).expect("a scratch file can be written");
        Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &path]), 1)
    };
    let by_user = start("user = \"alice\"");
    assert_eq!(ask_postgres(&by_user, "user=alice sslmode=prefer"), ["alice|f"]);
    assert_eq!(ask_postgres(&by_user, "user=alice sslmode=disable"), ["alice|f"]);

    let by_host = start("protocol = \"postgres\", sni = \"db.example\"");
    let ask = "user=alice host=db.example sslmode=require";
    assert_eq!(ask_postgres(&by_host, ask), ["alice|t"]);
    assert_eq!(by_host.record().field("sni"), "db.example");

    // Nobody looks inside: server and client agree on TLS by themselves.
    let by_protocol = start("protocol = \"postgres\"");
    assert_eq!(ask_postgres(&by_protocol, "user=alice sslmode=prefer"), ["alice|t"]);
    assert_eq!(by_protocol.record().field("route"), "db");
}
