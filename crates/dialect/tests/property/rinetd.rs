//! Any text is read as a configuration of rinetd, any fault of it can be shown, and what is sound
//! can be explained as native TOML that means the same.

use dialect::rinetd::{self, Included, Options, Surroundings};
use model::Sources;

use crate::shown::{means, shown};

/// Reads `data`.
pub(crate) fn holds(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let surroundings = Surroundings {
        include: &|_, name| {
            let text = Ok(text.to_string());
            (name == "a").then(|| Included { name: "a".to_owned(), text }).into_iter().collect()
        },
        service: &|name, _| (name == "http").then_some(80),
        address: &|host| match host {
            "localhost" => Ok([127, 0, 0, 1].into()),
            _ => Err("no such host".to_owned()),
        },
    };
    let mut sources = Sources::default();
    let file = sources.add("rinetd.conf", &*text);
    let options = Options::default();
    let reading = rinetd::read(file, &options, &mut sources, surroundings);
    shown(&reading.diagnostics, &sources);
    if reading.is_sound {
        means(&reading.explain(), &reading.config);
    }
}
