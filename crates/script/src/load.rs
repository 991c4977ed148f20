//! The scripts of a configuration: read, tried, and kept.
//!
//! All that a script may ever read is read here, before the process gives up what it gives up
//! (`--chroot`, `--user`): its file, and those that it requires while it is loaded.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::script::Scripts;
use model::{Code, Config, Diagnostic, Language, Script, Spanned};

use crate::library::Library;
use crate::lua::LuaScript;
use crate::ruby;

/// The scripts of a configuration.
#[derive(Debug, Default)]
pub struct Loaded {
    /// By their listeners; without those that have faults.
    pub scripts: Scripts,
    /// What is wrong with others, each at the word that names the script.
    pub faults: Vec<Diagnostic>,
    /// All files that were read, or were to be read.
    pub files: Vec<PathBuf>,
}

/// Gives the text of a file, or why it cannot be read.
pub type Read<'a> = &'a dyn Fn(&Path) -> Result<String, String>;

/// What is told of a script that cannot run. A log has no room for more than the message.
pub fn fault(configured: &Spanned<Script>, why: &str) -> Diagnostic {
    let message = format!("the script `{}` cannot run: {why}", configured.value.file);
    Diagnostic::new(Code::Script, configured.span, message)
}

/// Loads scripts; what they share with each other lives as long as this.
#[derive(Clone, Debug, Default)]
pub struct Loader {
    library: Arc<Library>,
}

impl Loader {
    /// Loads the scripts of all listeners. Listeners that say the same of a script share it.
    pub fn load(&self, config: &Config, read: Read<'_>) -> Loaded {
        let mut loaded = Loaded::default();
        let mut known: Vec<(&Script, Option<Arc<dyn engine::script::Script>>)> = Vec::new();
        for listener in &config.listeners {
            let Some(configured) = &listener.script else { continue };
            let script = &configured.value;
            if !known.iter().any(|(other, _)| *other == script) {
                let one = self.one(script, read, &mut loaded.files);
                let one = one.map_err(|why| {
                    loaded.faults.push(fault(configured, &why));
                });
                known.push((script, one.ok()));
            }
            let same = known.iter().find(|(other, _)| *other == script);
            if let Some((_, Some(one))) = same {
                loaded.scripts.insert(listener.name.as_str(), Arc::clone(one));
            }
        }
        loaded
    }

    /// One script. The files that were read, or were to be read, go into `files`.
    ///
    /// # Errors
    /// Why it cannot run, with the place in its text where there is one.
    pub fn one(
        &self,
        script: &Script,
        read: Read<'_>,
        files: &mut Vec<PathBuf>,
    ) -> Result<Arc<dyn engine::script::Script>, String> {
        match script.language {
            Language::Lua => {
                let (loaded, read_files) = LuaScript::load(script, &self.library, read);
                files.extend(read_files);
                Ok(Arc::new(loaded?))
            }
            Language::Ruby => {
                let path = PathBuf::from(&script.file);
                files.push(path.clone());
                // What is in it a worker finds out, once the process may start one.
                Ok(Arc::new(ruby::File::new(ruby::Source::new(script, &read(&path)?))))
            }
        }
    }
}
