//! The explanation of each code, in the order of the codes. One that is missing does not compile.

use model::Code;

use super::Example::{File, Line, Plug, Shell, Tcprelay};
use super::Explanation;

macro_rules! cases {
    ($($code:ident: $why:literal, $example:expr => $mended:expr;)+) => {
        /// What is to be known about `code`.
        pub fn of(code: Code) -> Explanation {
            match code {
                $(Code::$code => Explanation { why: $why, example: $example, mended: $mended },)+
            }
        }
    };
}

cases! {
    Usage:
        "A command line that is not a command forwards LISTEN to one or several TARGETs, with \
         options before, between or behind them. `replug --help` shows all of it on one screen.",
        Line(&[b"8080"]) => Line(&[b"8080", b"10.0.0.11:80"]);

    NotText:
        "Everything in a configuration is UTF-8, names of files too, so that it can be shown, \
         logged and written down as it is.",
        Line(&[b"--pidfile", b"/run/caf\xe9.pid", b"8080", b"10.0.0.11:80"]) =>
        Line(&[b"--pidfile", b"/run/caf\xc3\xa9.pid", b"8080", b"10.0.0.11:80"]);

    File:
        "The file or folder is not there, or may not be read, or holds no text. Of a folder, the \
         files whose names end in `.toml` are read, in the order of their names.",
        Shell("replug check /etc/replug.tml") => Shell("replug check /etc/replug.toml");

    Syntax:
        "Files are TOML (https://toml.io): texts in quotes, lists in brackets, tables within a \
         line in braces. Where a line cannot be read, the lines around it still are.",
        File("[listener.web]\nbind = \":8080\"\nto = 10.0.0.11:80\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n");

    KeyUnknown:
        "A key that nobody reads would be a setting that is not in effect, so it is refused. \
         `replug check --dump` shows all keys with their values, and with `replug schema` an \
         editor completes them.",
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\nallowed = \"10.0.0.0/8\"\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\nallow = \"10.0.0.0/8\"\n");

    KeyMissing:
        "A listener needs an address to listen on and somewhere to forward to, a pool its \
         backends; nothing can be assumed for them.",
        File("[listener.web]\nto = \"10.0.0.11:80\"\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n");

    Type:
        "Each key takes values of one type. Addresses, times and sizes are strings; counts are \
         plain numbers; switches are `true` or `false` without quotes.",
        File("[listener.web]\nbind = 8080\nto = \"10.0.0.11:80\"\n") =>
        File("[listener.web]\nbind = \"8080\"\nto = \"10.0.0.11:80\"\n");

    NotBuilt:
        "Parts that bring many other crates are left out of the program unless they are asked for when \
         it is built. Certificates by ACME are one.",
        Shell("cargo build --release") =>
        Shell("cargo build --release --features acme");

    NotYet:
        "The key or value has a settled meaning, but this version cannot carry it out. It is \
         refused and not passed over, so that nobody relies on what does not happen.",
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\non_down = \"cut\"\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n");

    Variable:
        "In a string, `${NAME}` stands for a variable of the environment in which replug is \
         started, and `$${` for the characters themselves. A variable that is not set is a \
         fault: an empty address would be a worse one.",
        File("[listener.web]\nbind = \":8080\"\nto = \"${BACKND}:80\"\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"${BACKEND}:80\"\n");

    Port:
        "Ports are numbers from 0 to 65535. To listen on port 0 lets the kernel choose one; a \
         target cannot have port 0. Names of services are not looked up.",
        Line(&[b"8080", b"10.0.0.11:80000"]) => Line(&[b"8080", b"10.0.0.11:8000"]);

    Address:
        "An IPv4 address is four numbers from 0 to 255. An IPv6 address stands in brackets where \
         a port follows it: `[2001:db8::1]:80`.",
        Line(&[b"8080", b"10.0.0.256:80"]) => Line(&[b"8080", b"10.0.0.25:80"]);

    PortMissing:
        "A target without a port is reached on the listener's own port. Where a listener has \
         several addresses, or a pool has backends for several listeners, there is no such port \
         and each backend names its own.",
        File("[listener.web]\nbind = [\":8080\", \":8081\"]\nto = \"10.0.0.11\"\n") =>
        File("[listener.web]\nbind = [\":8080\", \":8081\"]\nto = \"10.0.0.11:80\"\n");

    HostName:
        "The labels of a host name have 1 to 63 letters, digits, `-` and `_`, and do not begin or \
         end with `-` (RFC 1123); the whole has at most 253.",
        Line(&[b"8080", b"db..example:80"]) => Line(&[b"8080", b"db.example:80"]);

    NameRefused:
        "With --numeric, targets are addresses. A host name would be looked up while replug runs, \
         which is what the option rules out.",
        Line(&[b"--numeric", b"8080", b"web.example:80"]) =>
        Line(&[b"--numeric", b"8080", b"10.0.0.11:80"]);

    UnixName:
        "A unix socket is `unix:` and a path, or `unix:@` and a name in the abstract namespace, \
         of at most 107 bytes (unix(7)).",
        Line(&[b"unix:", b"10.0.0.11:80"]) => Line(&[b"unix:/run/web.sock", b"10.0.0.11:80"]);

    Source:
        "What connections leave from is an address of this machine or a network interface. An \
         IPv4 address cannot reach an IPv6 target, nor the other way round.",
        File("[listener.web]\nbind = \":8080\"\nto = \"[2001:db8::1]:80\"\nsource = \"10.0.3.1\"\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\nsource = \"10.0.3.1\"\n");

    Cidr:
        "A range is an address, or an address and the number of its leading bits that count: \
         `10.0.0.7`, `10.0.0.0/24`, `2001:db8::/32`. Lists of clients may also name patterns: `*` \
         stands for any text and `?` for one character of an address. Names are not looked up.",
        Line(&[b"--allow", b"10.0.0.*/24", b"8080", b"10.0.0.11:80"]) =>
        Line(&[b"--allow", b"10.0.0.0/24", b"8080", b"10.0.0.11:80"]);

    TargetOption:
        "Behind a target's address, in the same quoted word, may stand `weight=N`, `max=N` and \
         `backup`.",
        Line(&[b"8080", b"10.0.0.11:80 wieght=2"]) => Line(&[b"8080", b"10.0.0.11:80 weight=2"]);

    Weight:
        "A weight is a whole number from 1 to 256: a backend's share of the sessions, relative to \
         the others of its pool. A backend that is to get none is left out.",
        Line(&[b"8080", b"10.0.0.11:80 weight=0"]) => Line(&[b"8080", b"10.0.0.11:80 weight=1"]);

    Duration:
        "A time is a whole number and a unit (ms, s, m, h, d), or several of them without spaces, \
         as in `1h30m`. It is at most a year. Where 0 has a meaning, it is never.",
        Line(&[b"--idle", b"10minutes", b"8080", b"10.0.0.11:80"]) =>
        Line(&[b"--idle", b"10m", b"8080", b"10.0.0.11:80"]);

    UnitMissing:
        "Whether `30` means seconds or milliseconds is the one thing its reader cannot know, and \
         the tools that replug stands in for disagree about it.",
        Line(&[b"--idle", b"30", b"8080", b"10.0.0.11:80"]) =>
        Line(&[b"--idle", b"30s", b"8080", b"10.0.0.11:80"]);

    Number:
        "A count is a whole number in decimal digits and within its range. To have no limit, \
         leave the key out.",
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\n[limits]\nsessions = 0\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\n[limits]\nsessions = 9000\n");

    Choice:
        "The value is one of a few words, and what was written is none of them.",
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\nbalance = \"least-session\"\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\nbalance = \"least-sessions\"\n");

    Path:
        "What is to be written into must be a file: a path that is not empty and does not end \
         in `/`.",
        Line(&[b"--pidfile", b"/run/", b"8080", b"10.0.0.11:80"]) =>
        Line(&[b"--pidfile", b"/run/replug.pid", b"8080", b"10.0.0.11:80"]);

    User:
        "A user is a name or number of this machine, with its group behind a `:` if that is not \
         the user's own.",
        Line(&[b"--user", b"www:", b"8080", b"10.0.0.11:80"]) =>
        Line(&[b"--user", b"www:www-data", b"8080", b"10.0.0.11:80"]);

    Name:
        "Names of listeners and pools stand in every record, so they are letters, digits, `-`, \
         `_` and `.`, at most 64 of them.",
        File("[listener.\"my web\"]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n") =>
        File("[listener.my-web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n");

    Rate:
        "A rate is a whole number of new sessions, `/`, and `s`, `m` or `h`: `20/s`, `600/m`. To have \
         no limit, leave the key out.",
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\n[limits]\nrate = \"many\"\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\n[limits]\nrate = \"500/s\"\n");

    Program:
        "A program that is asked about clients is run by itself, without a shell: `exec` is a list \
         of its path from the root and each of its words.",
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\
              authorize = { exec = \"check --strict\" }\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\
              authorize = { exec = [\"/usr/local/bin/check\", \"--strict\"] }\n");
    Url:
        "A URL that stands in requests begins with a scheme and `://`, as in `http://www.example.com/`, \
         and has no blanks; other characters than those of ASCII stand in it as `%` and two digits.",
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.3.1:3128\"\n\
              http = { requests = \"translate\", force_url = \"www.example.com\" }\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.3.1:3128\"\n\
              http = { requests = \"translate\", force_url = \"http://www.example.com/\" }\n");

    Pattern:
        "Routes compare what clients say with hosts (`www.example.com`, `*.example.com`), paths \
         (`/api/*`), bytes (`SSH-`, `hex:16 03 01`), hours (`mon-fri 08:00-18:00`), and regular \
         expressions. A `*` stands for all below a name or all that begins so, and nowhere else.",
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\n\
              [[listener.web.route]]\nwhen = { sni = \"www.*\" }\npool = \"web\"\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\n\
              [[listener.web.route]]\nwhen = { sni = \"*.example.com\" }\npool = \"web\"\n");

    BindConflict:
        "Each client must arrive at one listener, so no two of them can have the same address and \
         port, and none can have one address of a port that another has on all. One listener with \
         routes by `address` tells such clients apart.",
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\n\
              [listener.api]\nbind = \":8080\"\nto = \"10.0.0.12:80\"\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\n\
              [listener.api]\nbind = \":8081\"\nto = \"10.0.0.12:80\"\n");

    PoolUnknown:
        "A listener names a pool that stands in no file. A pool is a table `[pool.NAME]` with \
         `backends`; a listener with `to` makes one of its own name.",
        File("[listener.web]\nbind = \":8080\"\npool = \"wbe\"\n\n\
              [pool.web]\nbackends = [\"10.0.0.11:80\"]\n") =>
        File("[listener.web]\nbind = \":8080\"\npool = \"web\"\n\n\
              [pool.web]\nbackends = [\"10.0.0.11:80\"]\n");

    Loop:
        "A session would come back to the listener it was accepted by, and open the next one, \
         until descriptors run out.",
        Line(&[b"8080", b"127.0.0.1:8080"]) => Line(&[b"8080", b"127.0.0.1:80"]);

    PoolEmpty:
        "A pool without a backend can serve nobody. To refuse clients, leave the listener out: \
         then their connections are refused.",
        File("[listener.web]\nbind = \":8080\"\nto = []\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = [\"10.0.0.11:80\"]\n");

    RouteImpossible:
        "What the conditions of a route ask for is never there together: the host of an HTTP \
         request cannot be seen within TLS, and no datagram holds a ClientHello. Such a route is \
         never taken, which is hardly what was meant.",
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\n\
              [[listener.web.route]]\n\
              when = { protocol = \"ssh\", sni = \"a.example\" }\npool = \"web\"\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\n\
              [[listener.web.route]]\nwhen = { sni = \"a.example\" }\npool = \"web\"\n");

    Conflict:
        "Two settings say different things about the same matter, and which of them was meant \
         cannot be known.",
        Line(&[b"--verbose", b"--quiet", b"8080", b"10.0.0.11:80"]) =>
        Line(&[b"--quiet", b"8080", b"10.0.0.11:80"]);

    NameTwice:
        "Listeners and pools have names of their own in all files together, and each key and \
         table is written once: which of two values holds would depend on their order.",
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\nto = \"10.0.0.12:80\"\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = [\"10.0.0.11:80\", \"10.0.0.12:80\"]\n");

    HostBits:
        "Bits beyond the length of a range do not count. Often the one address was meant, or \
         another length.",
        Line(&[b"--allow", b"10.0.0.5/8", b"8080", b"10.0.0.11:80"]) =>
        Line(&[b"--allow", b"10.0.0.0/8", b"8080", b"10.0.0.11:80"]);

    TargetTwice:
        "A backend that stands twice in a pool has twice the share, which `weight=2` says \
         plainly, and is tried twice when it is down.",
        Line(&[b"8080", b"10.0.0.11:80", b"10.0.0.11:80", b"10.0.0.12:80"]) =>
        Line(&[b"8080", b"10.0.0.11:80 weight=2", b"10.0.0.12:80"]);

    AllowShadowed:
        "Deny wins over allow. A range that is denied as a whole lets nobody in, however it is \
         allowed.",
        Line(&[b"--allow", b"10.1.0.0/16", b"--deny", b"10.0.0.0/8", b"8080", b"10.0.0.11:80"]) =>
        Line(&[b"--allow", b"10.0.0.0/8", b"--deny", b"10.1.0.0/16", b"8080", b"10.0.0.11:80"]);

    Repeated:
        "An option that takes one value was given several. The last one counts.",
        Line(&[b"--idle", b"5m", b"--idle", b"1h", b"8080", b"10.0.0.11:80"]) =>
        Line(&[b"--idle", b"1h", b"8080", b"10.0.0.11:80"]);

    RouteShadowed:
        "Routes are asked in their order, and the first that matches counts. Where an earlier one \
         matches every session that a later one would, the later one never does.",
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\n\
              [[listener.web.route]]\nwhen = { client = \"10.0.0.0/8\" }\npool = \"web\"\n\n\
              [[listener.web.route]]\nwhen = { client = \"10.1.0.0/16\" }\npool = \"web\"\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\n\
              [[listener.web.route]]\nwhen = { client = \"10.1.0.0/16\" }\npool = \"web\"\n\n\
              [[listener.web.route]]\nwhen = { client = \"10.0.0.0/8\" }\npool = \"web\"\n");

    PoolUnused:
        "No listener leads to the pool. Either the listener's `pool` is missing or misspelt, or \
         the pool is left over.",
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\n\
              [pool.api]\nbackends = [\"10.0.0.12:80\"]\n") =>
        File("[listener.web]\nbind = \":8080\"\nto = \"10.0.0.11:80\"\n\n\
              [listener.api]\nbind = \":8081\"\npool = \"api\"\n\n\
              [pool.api]\nbackends = [\"10.0.0.12:80\"]\n");

    QueueUnused:
        "Sessions wait in a pool's queue while each of its backends has as many as its `max` allows. \
         A backend without `max` is never full, so nobody ever waits.",
        File("[listener.web]\nbind = \":8080\"\npool = \"web\"\n\n\
              [pool.web]\nbackends = [\"10.0.0.11:80\"]\nqueue = { length = 100 }\n") =>
        File("[listener.web]\nbind = \":8080\"\npool = \"web\"\n\n\
              [pool.web]\nbackends = [\"10.0.0.11:80 max=50\"]\nqueue = { length = 100 }\n");

    Script:
        "A script is loaded before anybody is served: its file ends in `.lua` and is Lua, what stands \
         outside of its functions ends by itself, and there is a function `route`. `replug check` \
         loads it too.",
        File("[listener.web]\nbind = \":8080\"\nscript = \"route\"\n") =>
        File("[listener.web]\nbind = \":8080\"\nscript = \"route.lua\"\n");

    Store:
        "Keys, certificates and the account at their authority are kept in a folder, so that a start \
         orders nothing that is there. replug makes it (mode 0700) and writes there as the user that \
         it runs as. It has to outlive the process: a folder in /tmp or /run does not.",
        Shell("replug check    # with `store` in a folder of root's, as another user") =>
        Shell("install -d -m 700 -o replug /var/lib/replug/acme");

    Certificate:
        "The file is there and is not what is needed: a chain of certificates in PEM with its own \
         first, the private key that belongs to it, authorities, a list of what they have revoked, \
         or an OCSP response. What is wrong is said, and how to look at it or convert it.",
        Shell("replug check    # with the key of another certificate") =>
        Shell("replug cert self-signed www.example.com    # makes a pair to try it out");

    CertificateDate:
        "Clients refuse a certificate outside of its time. replug serves it all the same: those \
         that do not look are served as before, and a new file is taken up as soon as it is there.",
        Shell("replug cert show /etc/replug/expired.pem") =>
        Shell("replug cert show /etc/replug/renewed.pem");

    CertificateFile:
        "It works, but not everywhere or not for long: a private key that anybody on this machine \
         may read is no secret, and of certificates that are not in the order in which they have \
         signed each other some clients make nothing.",
        Shell("ls -l /etc/replug/site.key    # -rw-r--r--") =>
        Shell("chmod 600 /etc/replug/site.key");

    CertificateName:
        "Clients that ask for this name get the certificate, as `names` has it, and do not take it \
         for that of the host that they mean: it is for other names.",
        Shell("replug cert show /etc/replug/site.pem") =>
        Shell("replug check    # with names = [\"www.example.com\"], which stands in it");

    Pin:
        "A public key is named by the SHA-256 of its `SubjectPublicKeyInfo`, in Base64, as in RFC \
         7469. It stays the same when a certificate is renewed for the same key. curl's \
         `--pinnedpubkey` takes the same.",
        File("[listener.db]\nbind = \":5432\"\npool = \"db\"\n\n\
              [pool.db]\nbackends = [\"10.0.0.21:5432\"]\n\
              tls = { verify = \"pin\", pin = \"e3b0c442\" }\n") =>
        File("[listener.db]\nbind = \":5432\"\npool = \"db\"\n\n\
              [pool.db]\nbackends = [\"10.0.0.21:5432\"]\n\
              tls = { verify = \"pin\", \
              pin = \"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\" }\n");

    Unverified:
        "TLS towards somebody who may be anybody keeps nothing secret: whoever is between replug \
         and the backend can take its place. `verify = \"none\"` is there to find out whether it is \
         the certificate that is at fault. Name the authority that has signed it, or its key.",
        File("[listener.db]\nbind = \":5432\"\npool = \"db\"\n\n\
              [pool.db]\nbackends = [\"10.0.0.21:5432\"]\ntls = { verify = \"none\" }\n") =>
        File("[listener.db]\nbind = \":5432\"\npool = \"db\"\n\n\
              [pool.db]\nbackends = [\"10.0.0.21:5432\"]\ntls = { ca = \"/etc/replug/ca.pem\" }\n");

    Ignored:
        "The old tool takes this word and does nothing with it, or nothing that is left to do. It is \
         taken here too, so that scripts go on working.",
        Plug(&[b"-s", b"8080", b"10.0.0.11:80"]) => Plug(&[b"8080", b"10.0.0.11:80"]);

    ReadAs:
        "The old tool reads this in a way of its own, and so does replug. Write it out, so that \
         nobody has to know.",
        Plug(&[b"8080", b"010.0.0.1:80"]) => Plug(&[b"8080", b"8.0.0.1:80"]);

    UdpToUnix:
        "What arrives as datagrams is passed on as datagrams. A unix backend is a stream socket, \
         which has no room for them.",
        Line(&[b"udp://:5353", b"unix:/run/dns.sock"]) =>
        Line(&[b"udp://:5353", b"10.0.0.11:53"]);

    Original:
        "The target `original` is where a client meant to go before the kernel diverted it to replug. \
         Only a listener with `transparent` knows that; to others every client meant to come.",
        File("[listener.web]\nbind = \":3129\"\nto = \"original\"\n") =>
        File("[listener.web]\nbind = \":3129\"\ntransparent = \"redirect\"\nto = \"original\"\n");

    Requested:
        "The target `requested` is where a client says that it wants to go. Only clients of a listener \
         with `proxy` say so.",
        File("[listener.gate]\nbind = \"127.0.0.1:1080\"\nto = \"requested\"\n") =>
        File("[listener.gate]\nbind = \"127.0.0.1:1080\"\nproxy = {}\nto = \"requested\"\n");

    OpenProxy:
        "Whoever finds a proxy that serves everybody uses it, to hide where they come from. One that \
         strangers can reach must know who its clients are: by their passwords (`users`), or by where \
         they come from (`allow`).",
        File("[listener.gate]\nbind = \":1080\"\nproxy = {}\nto = \"requested\"\n") =>
        File("[listener.gate]\nbind = \":1080\"\nproxy = { users = [\"alice:secret\"] }\n\
              to = \"requested\"\n");

    IncludeMissing:
        "An `include` that names no file, or one that cannot be read, includes nothing; what stands \
         around it is read all the same, as tcprelay does it.",
        Tcprelay("include = \"$CONFDIR/more.cfg\"\n\
                  id = spawnd { listen = { port = 8080 } }\n\
                  id = tcprelay { remote = { address = 10.0.0.11 port = 80 } }\n") =>
        Tcprelay("id = spawnd { listen = { port = 8080 } }\n\
                  id = tcprelay { remote = { address = 10.0.0.11 port = 80 } }\n");
}
