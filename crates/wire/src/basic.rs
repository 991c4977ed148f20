//! Signing in at an HTTP proxy by user name and password: the scheme `Basic` (RFC 7617), whose
//! word is the two in base64 (RFC 4648 section 4).

/// The name of the scheme; its case means nothing.
const SCHEME: &[u8] = b"Basic";

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends `Basic ` and the word. A colon in `user` would end it.
pub fn write(out: &mut Vec<u8>, user: &str, password: &str) {
    out.extend_from_slice(SCHEME);
    out.push(b' ');
    let text = format!("{user}:{password}");
    for group in text.as_bytes().chunks(3) {
        let bits = |at: usize| group.get(at).copied().map_or(0, u32::from) << (16 - 8 * at);
        let bits = bits(0) | bits(1) | bits(2);
        for at in 0..4 {
            let digit = (bits >> (18 - 6 * at)) & 63;
            // A group of one byte has two digits, one of two bytes three.
            out.push(if at <= group.len() { DIGITS[digit as usize] } else { b'=' });
        }
    }
}

/// Reads user name and password from the value of `Proxy-Authorization` or `Authorization`.
/// `None`: another scheme, or no word of this one.
pub fn read(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, word) = value.split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) || !word.starts_with(b" ") {
        return None;
    }
    let text = decode(word.trim_ascii())?;
    let colon = text.iter().position(|byte| *byte == b':')?;
    Some((text[..colon].to_vec(), text[colon + 1..].to_vec()))
}

fn decode(word: &[u8]) -> Option<Vec<u8>> {
    let digits = word.strip_suffix(b"==").or_else(|| word.strip_suffix(b"=")).unwrap_or(word);
    let padding = word.len() - digits.len();
    let is_sound = match digits.len() % 4 {
        0 => padding == 0,
        1 => false,
        // The word may do without its padding.
        rest => padding == 0 || padding == 4 - rest,
    };
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0;
        for at in 0..4 {
            let digit = match group.get(at) {
                Some(digit) => DIGITS.iter().position(|known| known == digit)?,
                None => 0,
            };
            bits |= u32::try_from(digit).ok()? << (18 - 6 * at);
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    is_sound.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_in_the_documents() {
        let mut out = Vec::new();
        write(&mut out, "Aladdin", "open sesame");
        assert_eq!(out, b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let both = |user: &str, password: &str| Some((user.into(), password.into()));
        assert_eq!(read(&out), both("Aladdin", "open sesame"));
        assert_eq!(read(b"basic   dTpw"), both("u", "p"));
        assert_eq!(read(b"Basic dTo="), both("u", ""));
        assert_eq!(read(b"Basic dTo"), both("u", ""));
        assert_eq!(read(b"Basic OnA6cQ=="), both("", "p:q"));
    }

    #[test]
    fn strangers() {
        for value in
            ["", "Basic", "Basic ", "Basicx dTpw", "Bearer dTpw", "Basic dTpw=", "Basic dTp"]
        {
            let expected = value == "Basic dTp";
            assert_eq!(read(value.as_bytes()).is_some(), expected, "{value}");
        }
        for value in ["Basic dT!w", "Basic d", "Basic dTpw====", "Basic dXA=", "Basic dT pw"] {
            assert_eq!(read(value.as_bytes()), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(user in "[^:]{0,20}", password in "\\PC{0,20}") {
            let mut out = Vec::new();
            write(&mut out, &user, &password);
            prop_assert_eq!(read(&out), Some((user.into_bytes(), password.into_bytes())));
        }

        #[test]
        fn any_bytes_are_read(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = read(&[b"Basic ", &value[..]].concat());
        }
    }
}
