//! Amounts of bytes, and rates.

use model::unit::bytes::BytesFault;
use model::{ByteRate, ByteSize, Code, Diagnostic};

use crate::line::Word;

/// How many bytes per second.
pub(crate) fn rate(word: Word<'_>) -> Result<ByteRate, Diagnostic> {
    let text = word.text;
    let fault = |code, message: String| Diagnostic::new(code, word.span, message);
    let not_a_rate = || fault(Code::Number, format!("`{text}` is not a rate"));
    ByteRate::parse(text).map_err(|why| match why {
        BytesFault::NotANumber => not_a_rate()
            .label("must begin with a number")
            .help("write a number and a unit, as in `10MiB/s`, `500KB/s`, `8Mbit/s`"),
        BytesFault::UnitMissing => rate_without_unit(word, |rate| format!("`{rate}`")),
        BytesFault::PerSecondMissing => fault(Code::UnitMissing, format!("`{text}` is no rate yet"))
            .label("per what?")
            .help(format!("write `{text}/s`")),
        BytesFault::UnitUnknown if text.contains('.') => not_a_rate()
            .label("not a whole number")
            .help("take a smaller unit: instead of `1.5MiB/s` write `1536KiB/s`"),
        BytesFault::UnitUnknown => not_a_rate().label("not a unit").help(match rate_meant(text) {
            Some(meant) => format!("write `{meant}`"),
            None => "write a whole number and one of B/s, KB/s, MB/s, GB/s, KiB/s, MiB/s, GiB/s, Kbit/s, Mbit/s, Gbit/s".to_owned(),
        }),
        BytesFault::TooSmall => not_a_rate()
            .label(format!("less than {}", ByteRate::MIN))
            .help("leave it out for no limit"),
        BytesFault::TooLarge => not_a_rate()
            .label(format!("more than {}", ByteRate::MAX))
            .help("leave it out for no limit"),
    })
}

/// A number that is a rate of nobody knows what; `quote` writes a rate as the dialect has it.
pub(crate) fn rate_without_unit(word: Word<'_>, quote: impl Fn(&str) -> String) -> Diagnostic {
    let number = word.text.trim_end_matches("/s");
    let [bytes, bits] = ["MiB/s", "Mbit/s"].map(|unit| quote(&format!("{number}{unit}")));
    Diagnostic::new(Code::UnitMissing, word.span, format!("`{}` has no unit", word.text))
        .label("bytes or bits?")
        .help(format!("write {bytes} for mebibytes, {bits} for megabits per second"))
}

/// How many bytes.
pub(crate) fn size(word: Word<'_>) -> Result<ByteSize, Diagnostic> {
    let text = word.text;
    let not_a_size =
        || Diagnostic::new(Code::Number, word.span, format!("`{text}` is not a size in bytes"));
    ByteSize::parse(text).map_err(|why| match why {
        BytesFault::NotANumber => not_a_size()
            .label("must begin with a number")
            .help("write a number and a unit, as in `256KiB`, `1MiB`"),
        BytesFault::UnitMissing => size_without_unit(word, |size| format!("`{size}`")),
        BytesFault::UnitUnknown | BytesFault::PerSecondMissing => {
            not_a_size().label("not a unit").help(match size_meant(text) {
                Some(meant) => format!("write `{meant}`"),
                None => "write a whole number and one of B, KB, MB, GB, KiB, MiB, GiB".to_owned(),
            })
        }
        BytesFault::TooSmall => {
            not_a_size().label("must be at least 1B").help("leave it out for that of the kernel")
        }
        BytesFault::TooLarge => not_a_size()
            .label(format!("more than {}", ByteSize::MAX))
            .help("leave it out for that of the kernel"),
    })
}

/// A number that is a size of nobody knows what; `quote` writes a size as the dialect has it.
pub(crate) fn size_without_unit(word: Word<'_>, quote: impl Fn(&str) -> String) -> Diagnostic {
    let number = word.text;
    let [bytes, more] = ["B", "KiB"].map(|unit| quote(&format!("{number}{unit}")));
    Diagnostic::new(Code::UnitMissing, word.span, format!("`{number}` has no unit"))
        .label("bytes?")
        .help(format!("write {bytes} for bytes, {more} for kibibytes"))
}

/// `10M/s`, `10Mbps`, `10 MB/sec`, `10mib/s`, rewritten as was meant.
fn rate_meant(text: &str) -> Option<String> {
    let compact: String = text.chars().filter(|c| *c != ' ').collect();
    let digits = compact.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = compact.split_at(digits);
    let unit = ["/sec", "/second", "ps", "/s"]
        .iter()
        .find_map(|suffix| unit.strip_suffix(suffix))
        .unwrap_or(unit);
    let prefix = unit.chars().next().map(|c| c.to_ascii_uppercase());
    let prefix = prefix.filter(|c| "KMG".contains(*c)).map_or(String::new(), String::from);
    let unit = match unit.get(prefix.len()..)? {
        // In networks a small `b` is a bit.
        "b" | "bit" | "bits" | "Bit" | "Bits" => format!("{prefix}bit"),
        "" | "ib" | "iB" | "IB" | "i" if !prefix.is_empty() => format!("{prefix}iB"),
        "B" | "byte" | "bytes" | "Byte" | "Bytes" => format!("{prefix}B"),
        _ => return None,
    };
    let meant = format!("{number}{unit}/s");
    ByteRate::parse(&meant).is_ok().then_some(meant)
}

/// `64K`, `64 kb`, `1 mib`, `1MiB/s`, rewritten as was meant.
fn size_meant(text: &str) -> Option<String> {
    let compact: String = text.chars().filter(|c| *c != ' ').collect();
    let digits = compact.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = compact.split_at(digits);
    let unit = match unit.trim_end_matches("/s").to_ascii_lowercase().as_str() {
        "b" | "byte" | "bytes" => "B",
        "k" | "kib" | "ki" => "KiB",
        "m" | "mib" | "mi" => "MiB",
        "g" | "gib" | "gi" => "GiB",
        "kb" => "KB",
        "mb" => "MB",
        "gb" => "GB",
        _ => return None,
    };
    let meant = format!("{number}{unit}");
    ByteSize::parse(&meant).is_ok().then_some(meant)
}
