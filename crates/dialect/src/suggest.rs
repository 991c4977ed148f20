//! Which word was meant by one that is not known.

/// The longest word that is compared; longer ones are no slip of the finger.
const WORD_BYTES_MAX: usize = 40;

/// The one of `known` that is nearest to `word`, if it is near enough to be meant.
///
/// One slip (a letter missing, extra, wrong, or two exchanged) is forgiven in
/// words of three letters, two from six on, three from nine on. A word that only
/// breaks off too early counts as meant as well.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('_', "-");
    let slips_max = word.chars().count() / 3;
    let distance = |candidate: &str| match word.len() >= 3 && candidate.starts_with(&word) {
        true => 1,
        false => strsim::osa_distance(&word, candidate),
    };
    known
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, _)| *distance <= slips_max.min(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, expected: Option<&str>) {
        const KNOWN: [&str; 5] = ["demo", "idle", "sticky", "connect-timeout", "log"];
        assert_eq!(nearest(word, KNOWN), expected, "{word}");
    }

    #[test]
    fn slips_are_forgiven_by_length() {
        check("demp", Some("demo"));
        check("demmo", Some("demo"));
        check("dmeo", Some("demo"));
        check("Idle", Some("idle"));
        check("stiky", Some("sticky"));
        check("connect_timeout", Some("connect-timeout"));
        check("connect-timout", Some("connect-timeout"));
        check("connect", Some("connect-timeout"));
        check("lug", Some("log"));
    }

    #[test]
    fn strangers_are_not_taken_for_known_words() {
        check("x", None);
        check("", None);
        check("http", None);
        check("example", None);
        check(&"sticky".repeat(100), None);
    }
}
