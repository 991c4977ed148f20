//! `replug cert`: a certificate to try TLS with, and what a certificate says.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use control::Exit;
use tls::{Facts, disk};

use crate::{say, tell};

/// Days that a certificate is valid, unless told: what browsers take at the most.
const DAYS: u32 = 398;
/// Names that one certificate may have.
const NAMES_MAX: usize = 100;
const DAY: i64 = 86_400;

/// The words behind `replug cert`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Cert {
    #[command(subcommand)]
    order: Order,
}

#[derive(Clone, Debug, Subcommand)]
enum Order {
    /// Make a key and a certificate that is signed by it
    SelfSigned(SelfSigned),
    /// Show the names, the time and the key of the certificates in a PEM file
    Show(Show),
}

#[derive(Clone, Debug, Args)]
struct SelfSigned {
    /// Host names and addresses that it is for; the first one names the files
    #[arg(value_name = "NAME", default_value = "localhost")]
    names: Vec<String>,
    /// Where to write NAME.pem and NAME.key; made if its parent is there
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// How many days it is valid
    #[arg(long, value_name = "N", default_value_t = DAYS,
          value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

#[derive(Clone, Debug, Args)]
struct Show {
    /// Certificates in PEM
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Cert {
    pub(crate) fn run(&self) -> Exit {
        match &self.order {
            Order::SelfSigned(order) => order.run(),
            Order::Show(order) => order.run(),
        }
    }
}

impl SelfSigned {
    fn run(&self) -> Exit {
        if self.names.len() > NAMES_MAX {
            tell(&format!("replug: a certificate is for at most {NAMES_MAX} names\n"));
            return Exit::Usage;
        }
        if let Some(wrong) = self.names.iter().find(|name| !is_name(name)) {
            tell(&format!(
                "replug: `{wrong}` is neither a host name nor an address\n  \
                 write names as clients ask for them: `www.example.com`, `*.example.com`, `::1`\n"
            ));
            return Exit::Usage;
        }
        let now = now();
        // A client whose clock is late takes it too.
        let (from, until) = (now - DAY, now + i64::from(self.days) * DAY);
        let Ok(made) = tls::self_signed(&self.names, from, until) else {
            tell("replug: this machine gives no random numbers\n");
            return Exit::Failed;
        };
        if let Err(error) = make_folder(&self.out) {
            tell(&format!(
                "replug: cannot make the directory {}: {error}\n  name one with --out whose parent \
                 is there\n",
                self.out.display()
            ));
            return Exit::Failed;
        }
        let first = self.names.first().map_or("localhost", String::as_str);
        let name = first.replace('*', "_");
        let [cert, key] = ["pem", "key"].map(|kind| self.out.join(format!("{name}.{kind}")));
        for (path, mode, text) in [(&key, 0o600, &made.key), (&cert, 0o644, &made.cert)] {
            if let Err(error) = write_new(path, mode, text) {
                let hint = match error.kind() {
                    io::ErrorKind::AlreadyExists => "what is there is kept; name another --out",
                    _ => "name a directory that can be written to with --out",
                };
                tell(&format!("replug: cannot write {}: {error}\n  {hint}\n", path.display()));
                return Exit::Failed;
            }
        }
        let quoted = |path: &Path| format!("{:?}", path.display().to_string());
        say(&format!(
            "[listener.{}]\nbind = \":8443\"\nto = \"127.0.0.1:8080\"\ntls = {{ cert = {}, key = {} }}\n",
            listener(first),
            quoted(&cert),
            quoted(&key)
        ));
        tell(&format!(
            "replug: wrote {} and {}, valid until {} UTC; the lines above use them\n  \
             clients believe it if they are told to: `curl --cacert {} https://...`\n",
            cert.display(),
            key.display(),
            tls::moment(until),
            cert.display()
        ));
        Exit::Done
    }
}

impl Show {
    fn run(&self) -> Exit {
        let path = self.file.display();
        let content = match disk::read(&self.file) {
            Ok(content) => content,
            Err(error) => {
                tell(&format!("replug: cannot read {path}: {error}\n"));
                return Exit::Failed;
            }
        };
        let Some(facts) = tls::read_certificates(&content.bytes) else {
            tell(&format!(
                "replug: there is no sound certificate in {path}\n  \
                 certificates in PEM begin with `-----BEGIN CERTIFICATE-----`\n"
            ));
            return Exit::Failed;
        };
        let now = now();
        let shown: Vec<_> = facts.iter().map(|facts| shown(facts, now)).collect();
        say(&shown.join("\n"));
        Exit::Done
    }
}

/// What a certificate says, line by line.
fn shown(facts: &Facts, now: i64) -> String {
    let names: Vec<_> = facts.names.iter().map(ToString::to_string).collect();
    let state = match (facts.not_after - now).div_euclid(DAY) {
        _ if now < facts.not_before => "not yet valid".to_owned(),
        days if days < 0 => "EXPIRED".to_owned(),
        1 => "1 day left".to_owned(),
        days => format!("{days} days left"),
    };
    let lines = [
        ("subject", facts.common_name.clone().unwrap_or_else(|| "-".to_owned())),
        ("issuer", facts.issuer.clone().unwrap_or_else(|| "-".to_owned())),
        ("names", if names.is_empty() { "-".to_owned() } else { names.join(" ") }),
        ("from", format!("{} UTC", tls::moment(facts.not_before))),
        ("until", format!("{} UTC, {state}", tls::moment(facts.not_after))),
        ("key", facts.key.to_string()),
    ];
    // Whoever made the certificate may not move the cursor.
    let line = |(word, text): &(&str, String)| {
        let plain = text.replace(char::is_control, "?");
        format!("{word:8} {plain}\n")
    };
    lines.iter().map(line).collect()
}

/// Makes `folder`, for its owner alone, if it is not there.
fn make_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}

/// A host name, one with `*` for its first label, or an address.
fn is_name(text: &str) -> bool {
    let host = text.strip_prefix("*.").unwrap_or(text);
    let is_label = |label: &str| {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_legal)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.parse::<IpAddr>().is_ok() || host.len() <= 253 && host.split('.').all(is_label)
}

/// A name for a listener, made of a host name.
fn listener(host: &str) -> String {
    let word = |char: char| if char.is_ascii_alphanumeric() { char } else { '-' };
    let name: String = host.chars().map(word).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "tls".to_owned() } else { name.to_owned() }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_can_be_in_a_certificate() {
        for name in ["localhost", "www.example.com", "*.example.com", "10.0.0.1", "::1", "a_b"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "*", "a..b", "a/b", "-a", "a.*.b", "\u{e9}", "a b", "../x"] {
            assert!(!is_name(name), "{name}");
        }
        assert_eq!(listener("*.example.com"), "example-com");
        assert_eq!(listener("::"), "tls");
    }
}
