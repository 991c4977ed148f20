//! The house style, where a machine can hold it: what CONTRIBUTING.md and ARCHITECTURE.md say about
//! files, names and floors is true of the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest file in lines, its tests apart.
const LINES_MAX: usize = 700;

/// Names of files in which everything would end up.
const NAMES_REFUSED: [&str; 10] =
    ["util", "utils", "helper", "helpers", "common", "misc", "base", "manager", "types", "mod"];

/// Folders that hold Rust of ours.
const FOLDERS: [&str; 4] = ["crates", "bench", "rig", "fuzz"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn rust_files() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root().join(folder)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 30, "the tree was found");
    files
}

/// Fails with every fault there is, not only the first.
#[track_caller]
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn each_file_says_what_it_is_for() {
    let faults = rust_files().into_iter().filter_map(|path| {
        let text = fs::read_to_string(&path).expect("a source file reads");
        let opens = text.starts_with("//!") || text.starts_with("#![no_main]\n//!");
        (!opens).then(|| format!("{}: does not open with //!", path.display()))
    });
    none(faults.collect());
}

#[test]
fn no_file_is_too_long() {
    let faults = rust_files().into_iter().filter_map(|path| {
        let text = fs::read_to_string(&path).expect("a source file reads");
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        let is_test = path.components().any(|part| part.as_os_str() == "tests");
        (lines > LINES_MAX && !is_test).then(|| format!("{}: {lines} lines", path.display()))
    });
    none(faults.collect());
}

#[test]
fn no_file_is_named_for_everything() {
    let faults = rust_files().into_iter().filter_map(|path| {
        let stem = path.file_stem()?.to_str()?;
        let is_refused = NAMES_REFUSED.contains(&stem);
        is_refused.then(|| format!("{}: name it for what is in it", path.display()))
    });
    none(faults.collect());
}

#[test]
fn nothing_is_left_undone() {
    let words =
        [concat!("FIX", "ME"), concat!("XX", "X"), concat!("todo", "!("), concat!("dbg", "!(")];
    let faults = rust_files().into_iter().flat_map(|path| {
        let text = fs::read_to_string(&path).expect("a source file reads");
        let found = words.iter().filter(|word| text.contains(**word));
        found.map(|word| format!("{}: {word}", path.display())).collect::<Vec<_>>()
    });
    none(faults.collect());
}

#[test]
fn unsafe_code_has_one_home() {
    let faults = rust_files().into_iter().filter_map(|path| {
        let text = fs::read_to_string(&path).expect("a source file reads");
        let word = concat!("unsafe", " {");
        let homes = ["crates/relay/src/sys.rs", "crates/relay/src/sys/ring.rs"];
        let is_home = homes.iter().any(|home| path.ends_with(home));
        (text.contains(word) && !is_home).then(|| format!("{}: {word}", path.display()))
    });
    none(faults.collect());
}

#[test]
fn every_path_in_the_documents_exists() {
    let mut faults = Vec::new();
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        let text = fs::read_to_string(root().join(document)).expect("the document reads");
        let quoted = text.split('`').skip(1).step_by(2);
        for path in quoted.filter(|word| word.starts_with("crates/") && !word.contains(' ')) {
            if !root().join(path).exists() {
                faults.push(format!("{document}: there is no {path}"));
            }
        }
    }
    none(faults);
}

#[test]
fn crates_stand_on_their_floors() {
    let floors = floors();
    let depends = dependencies();
    let named: BTreeSet<_> = floors.keys().collect();
    let found: BTreeSet<_> = depends.keys().collect();
    assert_eq!(named, found, "ARCHITECTURE.md names exactly the crates that there are");
    let mut faults = Vec::new();
    for (name, uses) in &depends {
        for used in uses.iter().filter(|used| floors[*used] >= floors[name]) {
            faults.push(format!("{name} uses {used}, which does not stand on a lower floor"));
        }
    }
    none(faults);
}

/// The table in ARCHITECTURE.md: crate to floor.
fn floors() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the document reads");
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        Some((cells.next()?.parse::<u32>().ok()?, cells.next()?.to_owned()))
    };
    text.lines().filter_map(row).map(|(floor, name)| (name, floor)).collect()
}

/// What each crate under `crates/` uses of the others, tests apart.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    let ours: Vec<_> = packages
        .filter(|package| {
            package["manifest_path"].as_str().is_some_and(|path| path.contains("/crates/"))
        })
        .collect();
    let name = |value: &serde_json::Value| value["name"].as_str().expect("a name").to_owned();
    let all: BTreeSet<String> = ours.iter().map(|package| name(package)).collect();
    let uses = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        dependencies
            .filter(|dependency| dependency["kind"].is_null())
            .map(&name)
            .filter(|used| all.contains(used))
            .collect()
    };
    ours.iter().map(|package| (name(package), uses(package))).collect()
}
