//! What of this machine's set-up can be seen: rules of nftables, policy rules, routes, settings.
//!
//! `nft` and `ip` are asked, which know more than a few lines here could. Rules that iptables has
//! made are seen by nft, but not what they do; those of iptables-legacy are not seen at all.

use std::fs;
use std::io;
use std::process::Command;

use serde_json::Value;

use super::need::{Family, Of};

/// What there is.
pub(super) struct State {
    rules: Result<Vec<Rule>, Blind>,
    /// For IPv4 and IPv6.
    policy: [Result<Vec<Policy>, Blind>; 2],
    transparent: Result<(), String>,
}

/// Why something cannot be seen.
#[derive(Clone, Debug)]
enum Blind {
    /// There is no such program.
    NoProgram(&'static str),
    /// It says this.
    Refused(String),
}

/// Whether something that is needed is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    /// It is not; why, if that is not plain.
    Missing(Option<String>),
    /// That cannot be seen.
    Unknown(String),
}

impl Verdict {
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing(_) => "missing",
            Self::Unknown(_) => "unknown",
        }
    }

    pub(super) fn why(&self) -> Option<&str> {
        match self {
            Self::Ok => None,
            Self::Missing(why) => why.as_deref(),
            Self::Unknown(why) => Some(why),
        }
    }

    fn of(is_there: bool) -> Self {
        if is_there { Self::Ok } else { Self::Missing(None) }
    }
}

/// A rule of nftables.
#[derive(Debug)]
struct Rule {
    /// Where its chain stands; `None`: others may jump there.
    hook: Option<String>,
    /// Of its table: `ip`, `ip6`, `inet`.
    family: String,
    parts: Vec<Value>,
}

/// A policy rule for packets with a mark.
#[derive(Debug, PartialEq, Eq)]
struct Policy {
    mark: u32,
    table: u32,
}

impl State {
    /// Looks at everything.
    pub(super) fn look() -> Self {
        Self {
            rules: ask("nft", &["-j", "list", "ruleset"]).map(|text| rules(&text)),
            policy: [Family::Ipv4, Family::Ipv6].map(|family| {
                ask("ip", &["-j", family.option(), "rule"]).map(|text| policy(&text))
            }),
            transparent: control::may_be_transparent().map_err(|error| error.to_string()),
        }
    }

    /// The marks that rules give to what is to be delivered here.
    pub(super) fn marks(&self) -> Vec<u32> {
        let rules = self.rules.iter().flatten();
        let ours = rules.filter(|rule| rule.tproxy_port().is_some() || rule.is_for_answers());
        ours.filter_map(Rule::mark).collect()
    }

    /// The table by which packets with this mark are routed.
    pub(super) fn table(&self, family: Family, mark: u32) -> Option<u32> {
        let policy = self.policy(family).as_ref().ok()?;
        policy.iter().find(|policy| policy.mark == mark).map(|policy| policy.table)
    }

    /// Whether something is there.
    pub(super) fn verdict(&self, of: &Of) -> Verdict {
        match of {
            Of::TransparentSockets => match &self.transparent {
                Ok(()) => Verdict::Ok,
                Err(why) => Verdict::Missing(Some(why.clone())),
            },
            Of::Translation(family, port) => {
                self.rule(|rule| rule.is_of(*family) && rule.translated_port() == Some(*port))
            }
            Of::Tproxy(family, port) => self.rule(|rule| {
                rule.is_of(*family) && rule.tproxy_port() == Some(*port) && rule.mark().is_some()
            }),
            Of::Answers(family) => self
                .rule(|rule| rule.is_of(*family) && rule.is_for_answers() && rule.mark().is_some()),
            Of::Rule(family, mark) => match self.policy(*family) {
                Ok(policy) => Verdict::of(policy.iter().any(|policy| policy.mark == *mark)),
                Err(blind) => blind.verdict(),
            },
            Of::Route(family, table) => delivers(*family, *table),
            Of::RouteLocalnet(interface) => {
                let is_on = |name: &str| setting(name, "route_localnet") == Some(true);
                Verdict::of(is_on("all") || interface.as_deref().is_some_and(is_on))
            }
            Of::SourceUnmarked => {
                let marked: Vec<_> = confs()
                    .into_iter()
                    .filter(|name| setting(name, "src_valid_mark") == Some(true))
                    .collect();
                match marked.is_empty() {
                    true => Verdict::Ok,
                    false => Verdict::Missing(Some(format!(
                        "src_valid_mark is 1 for {}: the kernel drops marked packets there",
                        marked.join(", ")
                    ))),
                }
            }
            Of::OwnUndiverted(port) => {
                let diverts = |rule: &Rule| {
                    rule.is_for_all_that_leaves() && rule.translated_port() == Some(*port)
                };
                match self.rule(diverts) {
                    Verdict::Ok => {
                        Verdict::Missing(Some("it would come back without end".to_owned()))
                    }
                    Verdict::Missing(_) => Verdict::Ok,
                    unknown @ Verdict::Unknown(_) => unknown,
                }
            }
            Of::Nothing => Verdict::Missing(None),
        }
    }

    fn rule(&self, wanted: impl Fn(&Rule) -> bool) -> Verdict {
        match &self.rules {
            Ok(rules) => Verdict::of(rules.iter().any(wanted)),
            Err(blind) => blind.verdict(),
        }
    }

    fn policy(&self, family: Family) -> &Result<Vec<Policy>, Blind> {
        match family {
            Family::Ipv4 => &self.policy[0],
            Family::Ipv6 => &self.policy[1],
        }
    }
}

impl Blind {
    fn verdict(&self) -> Verdict {
        match self {
            Self::NoProgram(name) => {
                let package = if *name == "nft" { "nftables" } else { "iproute2" };
                Verdict::Unknown(format!("there is no `{name}` here: install {package}"))
            }
            Self::Refused(why) => Verdict::Unknown(why.clone()),
        }
    }
}

impl Rule {
    /// Whether packets of this family come to it as they arrive.
    fn is_of(&self, family: Family) -> bool {
        let in_table = self.family == "inet" || self.family == family.keyword();
        let excludes = |part: &Value| {
            let (left, right) = (&part["match"]["left"], &part["match"]["right"]);
            let is_other_protocol = left["meta"]["key"] == "nfproto" && right != family.nfproto();
            let protocol = left["payload"]["protocol"].as_str();
            is_other_protocol
                || protocol
                    .is_some_and(|name| ["ip", "ip6"].contains(&name) && name != family.keyword())
        };
        let other = |part: &Value| {
            let family_of = |what: &str| part[what]["family"].as_str();
            let told = family_of("tproxy").or_else(|| family_of("dnat"));
            told.is_some_and(|told| told != family.keyword())
        };
        let comes_in = self.hook.as_deref().is_none_or(|hook| hook == "prerouting");
        comes_in && in_table && !self.parts.iter().any(|part| excludes(part) || other(part))
    }

    fn port(&self, what: &str) -> Option<u16> {
        let port = self.parts.iter().find_map(|part| part[what]["port"].as_u64())?;
        port.try_into().ok()
    }

    fn translated_port(&self) -> Option<u16> {
        self.port("redirect").or_else(|| self.port("dnat"))
    }

    fn tproxy_port(&self) -> Option<u16> {
        self.port("tproxy")
    }

    /// Whether it is for packets that belong to sockets with addresses of others.
    fn is_for_answers(&self) -> bool {
        let is_it = |part: &Value| part["match"]["left"]["socket"]["key"] == "transparent";
        self.parts.iter().any(is_it)
    }

    /// Whether it is for all that leaves from here, whoever has sent it.
    fn is_for_all_that_leaves(&self) -> bool {
        let tells_whose = |part: &Value| {
            let left = &part["match"]["left"];
            let key = left["meta"]["key"].as_str().unwrap_or_default();
            ["skuid", "skgid", "mark", "cgroup"].contains(&key) || left["socket"].is_object()
        };
        self.hook.as_deref() == Some("output") && !self.parts.iter().any(tells_whose)
    }

    /// The mark that it gives.
    fn mark(&self) -> Option<u32> {
        let mark = |part: &Value| {
            let mangle = &part["mangle"];
            (mangle["key"]["meta"]["key"] == "mark").then(|| mangle["value"].as_u64())?
        };
        self.parts.iter().find_map(mark)?.try_into().ok()
    }
}

/// All rules.
fn rules(text: &str) -> Vec<Rule> {
    let all: Value = serde_json::from_str(text).unwrap_or_default();
    let items = all["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let hook = |rule: &Value| {
        let same = |chain: &&Value| {
            chain["family"] == rule["family"]
                && chain["table"] == rule["table"]
                && chain["name"] == rule["chain"]
        };
        items.iter().map(|item| &item["chain"]).find(same)?["hook"].as_str()
    };
    let rules = items.iter().map(|item| &item["rule"]).filter(|rule| rule.is_object());
    rules
        .map(|rule| Rule {
            hook: hook(rule).map(str::to_owned),
            family: rule["family"].as_str().unwrap_or_default().to_owned(),
            parts: rule["expr"].as_array().cloned().unwrap_or_default(),
        })
        .collect()
}

fn policy(text: &str) -> Vec<Policy> {
    let all: Value = serde_json::from_str(text).unwrap_or_default();
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let policy = |rule: &Value| {
        let (mark, table) = (rule["fwmark"].as_str()?, rule["table"].as_str()?);
        Some(Policy { mark: number(mark)?, table: number(table)? })
    };
    all.as_array().into_iter().flatten().filter_map(policy).collect()
}

/// Whether a routing table has everything delivered to this machine.
fn delivers(family: Family, table: u32) -> Verdict {
    match ask("ip", &["-j", family.option(), "route", "show", "table", &table.to_string()]) {
        Ok(text) => {
            let all: Value = serde_json::from_str(&text).unwrap_or_default();
            let is_it = |route: &Value| route["type"] == "local" && route["dst"] == "default";
            Verdict::of(all.as_array().into_iter().flatten().any(is_it))
        }
        // A table without a route does not exist.
        Err(Blind::Refused(_)) => Verdict::Missing(None),
        Err(blind) => blind.verdict(),
    }
}

/// What a program prints.
fn ask(program: &'static str, words: &[&str]) -> Result<String, Blind> {
    let in_sbin = format!("/usr/sbin/{program}");
    let run = |name: &str| Command::new(name).args(words).output();
    let output = match run(program) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => run(&in_sbin),
        result => result,
    };
    let output = output.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Blind::NoProgram(program),
        _ => Blind::Refused(format!("{program}: {error}")),
    })?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(Blind::Refused(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

/// The interfaces that have settings of their own, and `all`.
fn confs() -> Vec<String> {
    let entries = fs::read_dir("/proc/sys/net/ipv4/conf").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name != "default").collect()
}

fn setting(interface: &str, name: &str) -> Option<bool> {
    let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{interface}/{name}")).ok()?;
    Some(text.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nft 1.0.6 writes it.
    const RULESET: &str = r#"{"nftables": [
        {"table": {"family": "inet", "name": "t", "handle": 1}},
        {"chain": {"family": "inet", "table": "t", "name": "in", "type": "filter", "hook": "prerouting", "prio": -150, "policy": "accept"}},
        {"chain": {"family": "inet", "table": "t", "name": "out", "type": "nat", "hook": "output", "prio": -100, "policy": "accept"}},
        {"rule": {"family": "inet", "table": "t", "chain": "in", "expr": [
            {"match": {"op": "==", "left": {"socket": {"key": "transparent"}}, "right": 1}},
            {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}, {"accept": null}]}},
        {"rule": {"family": "inet", "table": "t", "chain": "in", "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv4"}},
            {"tproxy": {"family": "ip", "port": 3129}},
            {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}]}},
        {"rule": {"family": "inet", "table": "t", "chain": "out", "expr": [{"redirect": {"port": 3129}}]}}]}"#;

    fn state() -> State {
        let policies = r#"[{"priority":0,"src":"all","table":"local"},
            {"priority":1,"src":"all","fwmark":"0x7","table":"100"}]"#;
        State {
            rules: Ok(rules(RULESET)),
            policy: [Ok(policy(policies)), Ok(Vec::new())],
            transparent: Ok(()),
        }
    }

    #[track_caller]
    fn check(of: Of, is_there: bool) {
        assert_eq!(state().verdict(&of) == Verdict::Ok, is_there, "{of:?}");
    }

    #[test]
    fn rules_are_recognized_by_what_they_do() {
        check(Of::Tproxy(Family::Ipv4, 3129), true);
        check(Of::Tproxy(Family::Ipv6, 3129), false);
        check(Of::Tproxy(Family::Ipv4, 3130), false);
        check(Of::Answers(Family::Ipv4), true);
        check(Of::Answers(Family::Ipv6), true);
        // This one is for what leaves from here.
        check(Of::Translation(Family::Ipv4, 3129), false);
        check(Of::OwnUndiverted(3129), false);
        check(Of::OwnUndiverted(3130), true);
        check(Of::Rule(Family::Ipv4, 7), true);
        check(Of::Rule(Family::Ipv4, 8), false);
        check(Of::Rule(Family::Ipv6, 7), false);
        assert_eq!(state().marks(), [7, 7]);
        assert_eq!(state().table(Family::Ipv4, 7), Some(100));
    }
}
