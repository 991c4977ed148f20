//! Private keys in PEM: PKCS#1, PKCS#8, SEC1, and PKCS#8 under a passphrase.
//!
//! Of what passphrases do, that is read which OpenSSL 1.1 and later write unless told otherwise:
//! PBES2 (RFC 8018) with PBKDF2 and AES-CBC. For older forms it is said how to convert them; their
//! protection is a single round of MD5, so that is worth doing anyway.

use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::der::{Reader, tag};

/// Rounds of PBKDF2 that are done for a key; a file could ask for hours of them.
const ROUNDS_MAX: u32 = 10_000_000;

const LABEL: &str = "PRIVATE KEY-----";
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
/// A line of the old way to encrypt (RFC 1421).
const OLD: &str = "Proc-Type: 4,ENCRYPTED";

/// A passphrase. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Passphrase(Vec<u8>);

impl Passphrase {
    /// A passphrase of these bytes.
    pub(crate) fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is none in the file.
    None,
    /// It is encrypted, and there is no passphrase.
    Encrypted,
    /// The passphrase does not fit.
    Passphrase,
    /// It is encrypted as OpenSSL did before 1.0.
    OldEncryption,
    /// It is encrypted by something else than PBKDF2 and AES.
    OtherEncryption,
    /// It is no key, although it says so.
    Broken,
}

impl Fault {
    /// What to tell, and what to do about it.
    pub(crate) fn text(self, path: &Path) -> (&'static str, String) {
        let path = path.display();
        let convert = format!("convert it: `openssl pkcs8 -topk8 -v2 aes256 -in {path} -out NEW`");
        match self {
            Self::None => (
                "there is no private key in it",
                "a key begins with `-----BEGIN PRIVATE KEY-----`, or the same with `RSA`, `EC` or \
                 `ENCRYPTED`"
                    .to_owned(),
            ),
            Self::Encrypted => (
                "its key is encrypted",
                "say where its passphrase is: `passphrase = \"file:PATH\"` or `\"env:NAME\"`"
                    .to_owned(),
            ),
            Self::Passphrase => (
                "the passphrase does not fit its key",
                format!("try it: `openssl pkey -noout -in {path}`"),
            ),
            Self::OldEncryption => {
                ("its key is encrypted in the form of old OpenSSL (`Proc-Type`)", convert)
            }
            Self::OtherEncryption => {
                ("its key is encrypted by something else than PBKDF2 and AES", convert)
            }
            Self::Broken => (
                "its private key cannot be read",
                format!("look at it: `openssl pkey -noout -text -in {path}`"),
            ),
        }
    }
}

/// The first private key of a PEM text.
pub(crate) fn read(
    pem: &[u8],
    passphrase: Option<&Passphrase>,
) -> Result<PrivateKeyDer<'static>, Fault> {
    let text = String::from_utf8_lossy(pem);
    if !text.contains(LABEL) {
        return Err(Fault::None);
    }
    if text.contains(OLD) {
        return Err(Fault::OldEncryption);
    }
    if !text.contains(ENCRYPTED) {
        return PrivateKeyDer::from_pem_slice(pem).map_err(|_| Fault::Broken);
    }
    let passphrase = passphrase.ok_or(Fault::Encrypted)?;
    let start = text.find(ENCRYPTED).unwrap_or_default();
    let plain = text[start..]
        .replace(ENCRYPTED, "-----BEGIN PRIVATE KEY-----")
        .replace(ENCRYPTED_END, "-----END PRIVATE KEY-----");
    let sealed = <(SectionKind, Vec<u8>)>::pem_slice_iter(plain.as_bytes()).find_map(Result::ok);
    let sealed = sealed.filter(|(kind, _)| *kind == SectionKind::PrivateKey);
    let (_, sealed) = sealed.ok_or(Fault::Broken)?;
    let key = decrypt(&sealed, passphrase)?;
    Ok(PrivatePkcs8KeyDer::from(key).into())
}

mod object {
    pub(super) const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 5, 13];
    pub(super) const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 5, 12];
    /// Of HMAC, behind which stands which hash it uses.
    pub(super) const HMAC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 2];
    /// Of AES, behind which stand the length of the key and the mode.
    pub(super) const AES: &[u8] = &[0x60, 0x86, 0x48, 1, 101, 3, 4, 1];
}

/// How a key was encrypted.
struct Scheme<'a> {
    hash: pbkdf2::Algorithm,
    salt: &'a [u8],
    rounds: NonZeroU32,
    cipher: &'static aws_lc_rs::cipher::Algorithm,
    key_bytes: usize,
    iv: [u8; 16],
}

/// Opens an `EncryptedPrivateKeyInfo` (RFC 5958).
fn decrypt(sealed: &[u8], passphrase: &Passphrase) -> Result<Vec<u8>, Fault> {
    let mut outer = Reader::new(sealed).sequence().ok_or(Fault::Broken)?;
    let algorithm = outer.sequence().ok_or(Fault::Broken)?;
    let mut data = outer.content(tag::OCTET_STRING).ok_or(Fault::Broken)?.to_vec();
    let scheme = scheme(algorithm).ok_or(Fault::OtherEncryption)?;
    let mut key = [0; 32];
    let key = &mut key[..scheme.key_bytes];
    pbkdf2::derive(scheme.hash, scheme.rounds, scheme.salt, &passphrase.0, key);
    let mut open = || {
        let key = UnboundCipherKey::new(scheme.cipher, key).ok()?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
        let context = DecryptionContext::Iv128(FixedLength::from(scheme.iv));
        let plain = key.decrypt(&mut data, context).ok()?;
        // One wrong passphrase of 256 leaves padding that looks sound.
        Reader::new(plain).sequence()?.content(tag::INTEGER)?;
        Some(plain.to_vec())
    };
    open().ok_or(Fault::Passphrase)
}

fn scheme(mut algorithm: Reader<'_>) -> Option<Scheme<'_>> {
    let is_known = algorithm.content(tag::OBJECT)? == object::PBES2;
    let mut parameters = algorithm.sequence().filter(|_| is_known)?;
    let mut derivation = parameters.sequence()?;
    let mut cipher = parameters.sequence()?;
    let is_known = derivation.content(tag::OBJECT)? == object::PBKDF2;
    let mut derivation = derivation.sequence().filter(|_| is_known)?;
    let salt = derivation.content(tag::OCTET_STRING)?;
    let rounds = derivation.content(tag::INTEGER)?;
    let rounds = match rounds.len() {
        1..=4 => rounds.iter().fold(0, |rounds, byte| rounds << 8 | u32::from(*byte)),
        _ => return None,
    };
    let rounds = NonZeroU32::new(rounds).filter(|rounds| rounds.get() <= ROUNDS_MAX)?;
    derivation.content(tag::INTEGER);
    let hash = match derivation.sequence() {
        // The default of RFC 8018.
        None => pbkdf2::PBKDF2_HMAC_SHA1,
        Some(mut hash) => match hash.content(tag::OBJECT)?.strip_prefix(object::HMAC)? {
            [7] => pbkdf2::PBKDF2_HMAC_SHA1,
            [9] => pbkdf2::PBKDF2_HMAC_SHA256,
            [10] => pbkdf2::PBKDF2_HMAC_SHA384,
            [11] => pbkdf2::PBKDF2_HMAC_SHA512,
            _ => return None,
        },
    };
    let (key_bytes, algorithm) = match cipher.content(tag::OBJECT)?.strip_prefix(object::AES)? {
        [2] => (16, &AES_128),
        [22] => (24, &AES_192),
        [42] => (32, &AES_256),
        _ => return None,
    };
    let iv = cipher.content(tag::OCTET_STRING)?.try_into().ok()?;
    Some(Scheme { hash, salt, rounds, cipher: algorithm, key_bytes, iv })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::openssl;
    use rig::Scratch;

    fn made_by_openssl(words: &[&str]) -> Vec<u8> {
        let scratch = Scratch::new();
        let (plain, made) = (scratch.join("plain.pem"), scratch.join("made.pem"));
        let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
        openssl(&[&["genpkey", "-out", &plain][..], &curve].concat());
        let words: Vec<_> = words
            .iter()
            .map(|word| match *word {
                "IN" => plain.as_str(),
                "OUT" => made.as_str(),
                word => word,
            })
            .collect();
        openssl(&words);
        std::fs::read(&made).expect("openssl wrote it")
    }

    const NEW: [&str; 8] = ["pkcs8", "-topk8", "-passout", "pass:p w", "-in", "IN", "-out", "OUT"];

    fn encrypted(options: &[&str]) -> Vec<u8> {
        made_by_openssl(&[&NEW[..], options].concat())
    }

    #[test]
    fn passphrases_open_what_openssl_has_sealed() {
        let fits = Passphrase::new("p w");
        for options in [
            &[][..],
            &["-v2", "aes128"],
            &["-v2", "aes-192-cbc"],
            &["-v2", "aes256", "-v2prf", "hmacWithSHA1"],
            &["-v2", "aes256", "-v2prf", "hmacWithSHA512", "-iter", "5"],
        ] {
            let pem = encrypted(options);
            let key = read(&pem, Some(&fits)).expect("the passphrase fits");
            aws_lc_rs_takes(&key);
            assert_eq!(read(&pem, None), Err(Fault::Encrypted), "{options:?}");
            for wrong in ["p", "", "p w\n"] {
                let wrong = Passphrase::new(wrong);
                assert_eq!(read(&pem, Some(&wrong)), Err(Fault::Passphrase), "{options:?}");
            }
            // Behind a certificate, as in combined files.
            let combined = [b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", &*pem];
            assert!(read(&combined.concat(), Some(&fits)).is_ok());
        }
    }

    fn aws_lc_rs_takes(key: &PrivateKeyDer<'_>) {
        rustls::crypto::aws_lc_rs::sign::any_supported_type(key).expect("a key");
    }

    #[test]
    fn keys_in_each_form() {
        for words in [
            &["pkcs8", "-topk8", "-nocrypt", "-in", "IN", "-out", "OUT"][..],
            &["ec", "-in", "IN", "-out", "OUT"],
            &["genrsa", "-traditional", "-out", "OUT", "2048"],
            &["genpkey", "-algorithm", "ED25519", "-out", "OUT"],
            &["ecparam", "-name", "prime256v1", "-genkey", "-out", "OUT"],
        ] {
            let key = read(&made_by_openssl(words), None);
            aws_lc_rs_takes(&key.unwrap_or_else(|fault| panic!("{words:?}: {fault:?}")));
        }
    }

    #[test]
    fn other_forms_are_told_apart() {
        let passphrase = Passphrase::new("p w");
        let old = ["ec", "-aes256", "-passout", "pass:p w", "-in", "IN", "-out", "OUT"];
        let scrypt = encrypted(&["-scrypt"]);
        let des = encrypted(&["-v2", "des3"]);
        for (pem, expected) in [
            (made_by_openssl(&old), Fault::OldEncryption),
            (scrypt, Fault::OtherEncryption),
            (des, Fault::OtherEncryption),
            (b"-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----\n".into(), Fault::Broken),
            (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n".into(), Fault::Broken),
            (b"nothing".into(), Fault::None),
        ] {
            let found = read(&pem, Some(&passphrase));
            assert_eq!(found, Err(expected), "{}", String::from_utf8_lossy(&pem));
            assert!(!expected.text(Path::new("x.key")).1.is_empty());
        }
        assert_eq!(format!("{passphrase:?}"), "Passphrase(..)");
    }

    #[test]
    fn what_is_sealed_is_opened_or_refused_however_it_is_cut() {
        let pem = String::from_utf8(encrypted(&["-iter", "1"])).expect("PEM");
        let plain = pem.replace("ENCRYPTED ", "");
        let (_, der) = <(SectionKind, Vec<u8>)>::from_pem_slice(plain.as_bytes()).expect("PEM");
        let passphrase = Passphrase::new("p w");
        assert!(decrypt(&der, &passphrase).is_ok());
        for cut in 0..der.len() {
            assert!(decrypt(&der[..cut], &passphrase).is_err(), "cut at {cut}");
        }
    }
}
