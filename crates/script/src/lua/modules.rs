//! The texts of a script: its file, and those that it requires.
//!
//! A module is named by its path from the folder of the script on, as in `require("lib/users")`,
//! and is nowhere else. Each is read once, when the script is loaded, and run once in each machine.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::load::Read;

/// Modules of one script.
pub(super) const MODULES_MAX: usize = 64;

/// The texts of a script.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Modules {
    /// The path of the script.
    pub(super) file: Arc<str>,
    pub(super) main: Arc<str>,
    /// By their names, what is told of those that cannot be had.
    others: BTreeMap<String, Result<Arc<str>, Arc<str>>>,
}

impl Modules {
    /// The script itself.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) fn new(file: &str, read: Read<'_>) -> Result<Self, String> {
        let main = read(Path::new(file)).map_err(|why| format!("cannot read it: {why}"))?;
        Ok(Self { file: file.into(), main: main.into(), others: BTreeMap::new() })
    }

    /// The text of a module; `None`: nobody has asked for it yet.
    pub(super) fn get(&self, name: &str) -> Option<&Result<Arc<str>, Arc<str>>> {
        self.others.get(name)
    }

    /// Reads a module.
    pub(super) fn add(&mut self, name: &str, read: Read<'_>) {
        let text = if self.others.len() >= MODULES_MAX {
            Err(format!("a script has at most {MODULES_MAX} modules"))
        } else {
            self.path(name).and_then(|path| {
                read(&path).map_err(|why| format!("cannot read {}: {why}", path.display()))
            })
        };
        self.others.insert(name.to_owned(), text.map(Into::into).map_err(Into::into));
    }

    /// All files.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let others = self.others.keys().filter_map(|name| self.path(name).ok());
        std::iter::once(PathBuf::from(&*self.file)).chain(others).collect()
    }

    /// The file of a module, in the folder of the script or below.
    fn path(&self, name: &str) -> Result<PathBuf, String> {
        let named = Path::new(name.strip_prefix("./").unwrap_or(name));
        let is_below = named.components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || !is_below || name.contains('\0') {
            return Err("modules stand in the folder of the script, or below".to_owned());
        }
        let mut path = Path::new(&*self.file).with_file_name("").join(named);
        if path.extension().is_none_or(|end| end != "lua") {
            path.as_mut_os_string().push(".lua");
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_stand_beside_the_script_and_nowhere_else() {
        let read = |path: &Path| match path.to_str() {
            Some("conf/route.lua") => Ok("main".to_owned()),
            Some("conf/lib/users.lua") => Ok("users".to_owned()),
            _ => Err("it is not there".to_owned()),
        };
        let mut modules = Modules::new("conf/route.lua", &read).expect("it is there");
        Modules::new("conf/other.lua", &read).expect_err("it is not");
        for name in ["lib/users", "./lib/users.lua", "../passwd", "/etc/passwd", "", "a\0b", "no"] {
            modules.add(name, &read);
        }
        let text = |name| modules.get(name).expect("it was read").as_deref();
        assert_eq!(text("lib/users"), Ok("users"));
        assert_eq!(text("./lib/users.lua"), Ok("users"));
        let elsewhere = "modules stand in the folder of the script, or below";
        for name in ["../passwd", "/etc/passwd", "", "a\0b"] {
            assert_eq!(text(name).expect_err("it is elsewhere"), &elsewhere.into(), "{name:?}");
        }
        assert_eq!(text("no"), Err(&"cannot read conf/no.lua: it is not there".into()));
        assert!(modules.get("new").is_none());
    }
}
