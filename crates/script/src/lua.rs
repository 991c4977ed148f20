//! Luau: a script as it was loaded, and where it runs.
//!
//! A [`LuaScript`] is text, shared by all shards. Each shard makes a machine of it, and another one
//! when that has used up its memory; what a script remembers in its variables is of one shard, and
//! begins anew then.

mod decision;
mod desk;
mod fence;
mod introduction;
mod machine;
mod modules;
mod talk;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use engine::Lookups;
use engine::journal::{Wants, journal};
use engine::script::{Answers, Desk, Failure, Place, Script};

use crate::library::{Around, Library, Loaded};
use crate::load::Read;
use desk::LuaDesk;
use machine::{Machine, Missing};
use modules::Modules;

/// How long a script may take to load: what stands outside of its functions.
const LOAD_MAX: Duration = Duration::from_secs(1);

/// A script that was loaded, and can be asked.
#[derive(Debug)]
pub struct LuaScript {
    text: Arc<Text>,
    library: Arc<Library>,
}

/// What each shard makes a machine of.
#[derive(Debug)]
struct Text {
    /// The path of its file.
    name: Box<str>,
    modules: Modules,
    limits: Limits,
    answers: Answers,
    fingerprint: u64,
    /// The tables that it has loaded: their files may be out of reach for whoever loads them again.
    tables: Loaded,
}

/// What a machine may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Processor time for the answer to one question.
    deadline: Duration,
    /// Bytes.
    memory: usize,
}

impl LuaScript {
    /// Reads a script with all that it requires, and tries whether it loads. The files that were
    /// read, or were to be read, are told in any case.
    ///
    /// # Errors
    /// Why it cannot run, with the place in its text where there is one.
    pub fn load(
        script: &model::Script,
        library: &Arc<Library>,
        read: Read<'_>,
    ) -> (Result<Self, String>, Vec<PathBuf>) {
        let mut modules = match Modules::new(&script.file, read) {
            Ok(modules) => modules,
            Err(why) => return (Err(why), vec![script.file.as_str().into()]),
        };
        let limits = Limits { deadline: script.deadline(), memory: script.memory() as usize };
        // What it says while it is tried was not said to anybody.
        let nobody =
            Place { shard: 0, lookups: Lookups::default(), journal: journal(Wants::QUIET).0 };
        let tables = Loaded::default();
        let around = around(&modules, &nobody, &tables);
        loop {
            let missing = Missing::default();
            let known = Rc::new(modules.clone());
            let tried = Machine::new(&known, limits, (library, &around), &missing);
            // What it requires is known only by what it does: it is run until nothing is missing.
            if let Some(name) = missing.take() {
                modules.add(&name, read);
                continue;
            }
            let files = modules.files();
            let loaded = tried.map_err(|Failure(why)| why).map(|machine| {
                let mut hasher = DefaultHasher::new();
                modules.hash(&mut hasher);
                let text = Arc::new(Text {
                    name: script.file.as_str().into(),
                    answers: machine.answers(),
                    fingerprint: hasher.finish(),
                    modules,
                    limits,
                    tables,
                });
                Self { text, library: Arc::clone(library) }
            });
            return (loaded, files);
        }
    }
}

impl Script for LuaScript {
    fn name(&self) -> &str {
        &self.text.name
    }

    fn fingerprint(&self) -> u64 {
        self.text.fingerprint
    }

    fn desk(&self, place: Place) -> Rc<dyn Desk> {
        let around = around(&self.text.modules, &place, &self.text.tables);
        Rc::new(LuaDesk::new(Arc::clone(&self.text), Arc::clone(&self.library), around))
    }
}

/// What a machine has around it.
fn around(modules: &Modules, place: &Place, tables: &Loaded) -> Around {
    let folder = Path::new(&*modules.file).with_file_name("./");
    Around {
        // The process may change its directory.
        folder: std::path::absolute(&folder).unwrap_or(folder),
        loaded: tables.clone(),
        voice: Arc::new(place.journal.clone()),
        names: place.lookups.clone(),
    }
}

#[cfg(test)]
mod tests;
