//! `tables`: maps from files beside the script, read again when they change.
//!
//! A file is read when the script is loaded, and then looked at once a second at the most, by a
//! thread of its own, and only while it is asked. All shards use the same map; a changed one is
//! swapped whole. While a file cannot be read, what was read last stands.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use engine::journal::Level;
use mlua::{Lua, MetaMethod, Result, Table, UserData, UserDataMethods, Value};
use relay::Tick;

use super::workers::Workers;
use super::{Around, Caller, Library, Line, Loaded, Voice, blame, number};

/// Longest file, in bytes.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Most entries of a file.
const ENTRIES_MAX: usize = 200_000;

/// Most files of a process.
const FILES_MAX: usize = 64;

/// Least time between two looks at a file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The table `tables`.
pub(super) fn table(lua: &Lua, library: &Arc<Library>, around: &Around) -> Result<Table> {
    let tables = lua.create_table()?;
    let (library, around) = (Arc::clone(library), around.clone());
    let load = move |lua: &Lua, name: String| {
        let file = within(&around.folder, &name).and_then(|path| library.files.open(&path));
        let file = file.map_err(|why| blame(lua, format!("tables.load: {name}: {why}")))?;
        around.loaded.keep(&file);
        lua.create_userdata(Map {
            file,
            workers: library.workers.clone(),
            voice: Arc::clone(&around.voice),
        })
    };
    tables.set("load", lua.create_function(load)?)?;
    Ok(tables)
}

/// A path below the folder of the script.
fn within(folder: &Path, name: &str) -> std::result::Result<PathBuf, String> {
    let is_below = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    match Path::new(name).components().all(is_below) && !name.is_empty() {
        true => Ok(folder.join(name)),
        false => Err("name a file in the folder of the script, or below it".to_owned()),
    }
}

/// What a script holds: `map[key]` and `#map`.
struct Map {
    file: Arc<File>,
    workers: Workers,
    voice: Arc<dyn Voice>,
}

impl UserData for Map {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Index, |lua, map, key: Value| {
            map.look();
            let entries = map.file.entries.load();
            let value = match &key {
                Value::String(key) => entries.get(&*key.as_bytes()),
                // Names of numbers are numbers to those who write the script.
                Value::Integer(key) => entries.get(key.to_string().as_bytes()),
                Value::Number(key) => entries.get(key.to_string().as_bytes()),
                _ => None,
            };
            match value {
                Some(Some(text)) => lua.create_string(text).map(Value::String),
                Some(None) => Ok(Value::Boolean(true)),
                None => Ok(Value::Nil),
            }
        });
        methods.add_meta_method(MetaMethod::Len, |_, map, ()| {
            map.look();
            Ok(number(map.file.entries.load().len()))
        });
    }
}

/// The files that scripts have loaded, for as long as one holds them.
#[derive(Default)]
pub(super) struct Files(Mutex<HashMap<PathBuf, Weak<File>>>);

/// A value, or `None` for a key alone.
type Entries = HashMap<Box<[u8]>, Option<Box<[u8]>>>;

impl Loaded {
    fn keep(&self, file: &Arc<File>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.iter().any(|known| Arc::ptr_eq(known, file)) {
            kept.push(Arc::clone(file));
        }
    }
}

/// A file.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    entries: ArcSwap<Entries>,
    /// What it was like when it was read; locked by whoever looks at it.
    stamp: Mutex<Stamp>,
    /// When it was looked at last.
    looked: AtomicU64,
    /// Whether it has been told that it cannot be read.
    is_told: AtomicBool,
}

/// Tells versions of a file apart: time of change with its fraction, length and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            length: metadata.len(),
            inode: metadata.ino(),
        }
    }
}

impl Files {
    /// The file at `path`, which is read unless a script has it already.
    fn open(&self, path: &Path) -> std::result::Result<Arc<File>, String> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(path).and_then(Weak::upgrade) {
            return Ok(file);
        }
        files.retain(|_, file| file.strong_count() > 0);
        if files.len() >= FILES_MAX {
            return Err(format!("more than {FILES_MAX} files"));
        }
        let (entries, stamp) = read(path)?;
        let file = Arc::new(File {
            path: path.to_owned(),
            entries: ArcSwap::from_pointee(entries),
            stamp: Mutex::new(stamp),
            looked: AtomicU64::new(Tick::now().millis()),
            is_told: AtomicBool::new(false),
        });
        files.insert(path.to_owned(), Arc::downgrade(&file));
        Ok(file)
    }
}

impl Map {
    /// Has the file looked at, if the last look was long enough ago.
    fn look(&self) {
        let (file, now) = (Arc::clone(&self.file), Tick::now());
        let last = file.looked.load(Ordering::Relaxed);
        if now.since(Tick::from_millis(last)) < LOOK_EVERY {
            return;
        }
        let (order, millis) = (Ordering::Relaxed, now.millis());
        if file.looked.compare_exchange(last, millis, order, order).is_ok() {
            let voice = Arc::clone(&self.voice);
            // When all threads are taken, the next second will do.
            let _ = self.workers.begin(move || file.refresh(&*voice));
        }
    }
}

impl File {
    fn refresh(&self, voice: &dyn Voice) {
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        let metadata = fs::metadata(&self.path);
        if metadata.as_ref().is_ok_and(|metadata| Stamp::of(metadata) == *stamp) {
            self.is_told.store(false, Ordering::Relaxed);
            return;
        }
        match read(&self.path) {
            Ok((entries, read)) => {
                self.entries.store(Arc::new(entries));
                *stamp = read;
                self.is_told.store(false, Ordering::Relaxed);
            }
            Err(why) => {
                if !self.is_told.swap(true, Ordering::Relaxed) {
                    let path = self.path.display();
                    voice.say(Line {
                        level: Level::Warning,
                        text: format!("{path}: {why}; what was read before stands"),
                        caller: Caller::default(),
                        unsaid: 0,
                    });
                }
            }
        }
    }
}

fn read(path: &Path) -> std::result::Result<(Entries, Stamp), String> {
    let words = |error: io::Error| error.to_string();
    let file = fs::File::open(path).map_err(words)?;
    let metadata = file.metadata().map_err(words)?;
    if !metadata.is_file() {
        return Err("this is no file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(words)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("more than {} MiB", FILE_BYTES_MAX / 1024 / 1024));
    }
    Ok((parse(&bytes)?, Stamp::of(&metadata)))
}

/// `key value` in each line: the value is all behind the blanks, and may be missing. Empty lines
/// and those that begin with `#` mean nothing; of two lines with a key the last one counts.
fn parse(bytes: &[u8]) -> std::result::Result<Entries, String> {
    let mut entries = Entries::new();
    for line in bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (key, value) = (&line[..end], line[end..].trim_ascii_start());
        entries.insert(key.into(), (!value.is_empty()).then(|| value.into()));
        if entries.len() > ENTRIES_MAX {
            return Err(format!("more than {ENTRIES_MAX} entries"));
        }
    }
    Ok(entries)
}
