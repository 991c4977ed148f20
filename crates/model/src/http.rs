//! What is done with the requests of clients that speak HTTP.

use crate::source::Spanned;

/// What is done with the requests of clients that speak HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Whether they are changed on their way.
    pub requests: HttpRequests,
    /// The URL that the target of every request becomes, if they are translated.
    pub force_url: Option<Spanned<Url>>,
}

/// Whether requests are changed on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpRequests {
    /// They are looked at, so that logs can tell of them.
    Watch,
    /// The backends are proxies: targets become URLs.
    Translate,
}

impl HttpRequests {
    /// Both, by the names under which they are configured.
    pub const NAMES: [(&str, Self); 2] = [("watch", Self::Watch), ("translate", Self::Translate)];
}

/// A URL that can stand in a request: a scheme, `://`, and no blanks or controls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// Longest URL in bytes: it stands in every request.
    pub const BYTES_MAX: usize = 1024;

    /// A URL, if `text` is one.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let begins = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
        let good = begins
            && scheme.bytes().all(letter)
            && !rest.is_empty()
            && text.len() <= Self::BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        good.then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_can_stand_in_a_request() {
        let long = format!("http://a/{}", "x".repeat(Url::BYTES_MAX));
        for good in ["http://a", "https://[::1]:8/x?y#z", "x+y-1.z://a", &long[..Url::BYTES_MAX]] {
            assert!(Url::parse(good).is_some(), "{good}");
        }
        for bad in ["", "a", "/a", "://a", "1x://a", "a b://c", "http://", "http://a b", &long] {
            assert!(Url::parse(bad).is_none(), "{bad}");
        }
        assert!(Url::parse("http://ä").is_none() && Url::parse("http://a\r\nb").is_none());
    }
}
