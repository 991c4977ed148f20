//! How it is known who a server is, by what `verify` of a pool says.
//!
//! Whatever is verified of its certificate, a server has to prove that it has the key.

use std::net::Ipv4Addr;
use std::sync::Arc;

use aws_lc_rs::digest;
use model::{Pin, VerifyExtent};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use crate::x509::Facts;

/// Verifies servers.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub(crate) extent: VerifyExtent,
    /// Who is believed, where authorities are asked.
    pub(crate) authorities: Authorities,
    /// Asked about what these have revoked, if there are lists of that.
    pub(crate) revocation: Option<Arc<WebPkiServerVerifier>>,
    /// The keys that a server may have; any, if there are none.
    pub(crate) pins: Vec<Pin>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

/// Who is believed.
#[derive(Clone, Debug)]
pub(crate) struct Authorities {
    /// Whoever these have signed.
    pub(crate) roots: Arc<RootCertStore>,
    /// And these themselves: a certificate that stands in the file of authorities as the server
    /// shows it needs nobody else to vouch for it.
    pub(crate) known: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn authority(
        &self,
        cert: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.authorities.known.iter().any(|known| known == cert) {
            let facts = Facts::read(cert).ok_or(CertificateError::BadEncoding)?;
            let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            return match now {
                now if now > facts.not_after => Err(CertificateError::Expired.into()),
                now if now < facts.not_before => Err(CertificateError::NotValidYet.into()),
                _ => Ok(()),
            };
        }
        if let Some(judge) = &self.revocation {
            // It looks at the name last. What a name should be is not for it to say.
            let nobody = ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into());
            return match judge.verify_server_cert(cert, between, &nobody, &[], now) {
                Ok(_)
                | Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) => Ok(()),
                Err(error) => Err(error),
            };
        }
        let parsed = ParsedCertificate::try_from(cert)?;
        let (roots, algorithms) = (&*self.authorities.roots, self.algorithms.all);
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, between, now, algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(cert)?;
        match self.extent {
            VerifyExtent::Full => {
                self.authority(cert, between, now)?;
                verify_server_name(&parsed, name)?;
            }
            VerifyExtent::Authority => self.authority(cert, between, now)?,
            VerifyExtent::Pins | VerifyExtent::None => {}
        }
        let key = parsed.subject_public_key_info();
        let key = digest::digest(&digest::SHA256, &key);
        let is_known = self.pins.iter().any(|pin| pin.digest() == key.as_ref());
        // Nobody gets here with no pins where they are all there is: that is no configuration.
        match is_known || (self.pins.is_empty() && self.extent != VerifyExtent::Pins) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::Other(OtherError(Arc::new(OtherKey))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The key of a server is none of those that were named.
#[derive(Debug)]
pub(crate) struct OtherKey;

impl std::fmt::Display for OtherKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("its key is another one")
    }
}

impl std::error::Error for OtherKey {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::self_signed::self_signed;
    use crate::testing::{DAY, NOW};
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::pem::PemObject as _;
    use std::time::Duration;

    fn certificate(names: &[&str]) -> CertificateDer<'static> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = self_signed(&names, NOW - DAY, NOW + DAY).expect("random numbers");
        CertificateDer::from_pem_slice(made.cert.as_bytes()).expect("it is PEM")
    }

    fn pin(cert: &CertificateDer<'_>) -> Pin {
        let parsed = ParsedCertificate::try_from(cert).expect("a certificate");
        let key = digest::digest(&digest::SHA256, &parsed.subject_public_key_info());
        Pin::new(key.as_ref().try_into().expect("32 bytes"))
    }

    fn verifier(extent: VerifyExtent, known: &[&CertificateDer<'static>]) -> Verifier {
        Verifier {
            extent,
            authorities: Authorities {
                roots: Arc::new(RootCertStore::empty()),
                known: known.iter().map(|cert| (*cert).clone()).collect(),
            },
            revocation: None,
            pins: Vec::new(),
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        }
    }

    /// What is said of `cert` for `name`, so many seconds from now.
    fn told(verifier: &Verifier, cert: &CertificateDer<'_>, name: &str, later: i64) -> String {
        let name = ServerName::try_from(name).expect("a name");
        let now = u64::try_from(NOW + later).expect("after 1970");
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        match verifier.verify_server_cert(cert, &[], &name, &[], now) {
            Ok(_) => "yes".to_owned(),
            Err(Error::InvalidCertificate(error)) => {
                format!("{error:?}").split([' ', '(']).next().unwrap_or_default().to_owned()
            }
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn a_certificate_that_is_known_itself_needs_no_authority() {
        let (mine, other) = (certificate(&["db.example"]), certificate(&["db.example"]));
        let full = verifier(VerifyExtent::Full, &[&mine]);
        assert_eq!(told(&full, &mine, "db.example", 0), "yes");
        assert_eq!(told(&full, &mine, "db.example", 2 * DAY), "Expired");
        assert_eq!(told(&full, &mine, "db.example", -2 * DAY), "NotValidYet");
        assert_eq!(told(&full, &mine, "x.example", 0), "NotValidForNameContext");
        assert_ne!(told(&full, &other, "db.example", 0), "yes");
        let authority = verifier(VerifyExtent::Authority, &[&mine]);
        assert_eq!(told(&authority, &mine, "x.example", 0), "yes");
        assert_ne!(told(&authority, &other, "db.example", 0), "yes");
    }

    #[test]
    fn keys_are_told_apart() {
        let (mine, other) = (certificate(&["db.example"]), certificate(&["db.example"]));
        let mut pins = verifier(VerifyExtent::Pins, &[]);
        assert_eq!(told(&pins, &mine, "x.example", 0), "Other", "without pins there is nobody");
        pins.pins = vec![pin(&mine)];
        assert_eq!(told(&pins, &mine, "x.example", 99 * DAY), "yes");
        assert_eq!(told(&pins, &other, "x.example", 0), "Other");
        let mut full = verifier(VerifyExtent::Full, &[&mine, &other]);
        full.pins = vec![pin(&mine)];
        assert_eq!(told(&full, &mine, "db.example", 0), "yes");
        assert_eq!(told(&full, &other, "db.example", 0), "Other");
        assert_eq!(told(&verifier(VerifyExtent::None, &[]), &other, "x.example", 0), "yes");
    }
}
