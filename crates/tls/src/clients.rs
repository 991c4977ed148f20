//! Clients that prove who they are: by whom, and until when.
//!
//! Everything that decides about clients goes into a [`Boundary`]. A session is resumed only on
//! the side of the boundary on which it began, so that nobody who has proven something to one
//! listener, or has before a certificate was revoked, comes by that to where it would not do.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use model::{ClientAuth, ClientProof, Code, Diagnostic, Spanned};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use crate::disk::Disk;
use crate::identity::{authorities, fault, read};

/// Tells apart what is asked of clients. Two are equal if the same was asked by the same files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Boundary([u8; 32]);

impl Boundary {
    /// Nothing is asked.
    pub(crate) const NONE: Self = Self([0; 32]);

    /// One of its own for tests.
    #[cfg(test)]
    pub(crate) fn of(text: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&SHA256, text);
        Self(digest.as_ref().try_into().unwrap_or_default())
    }
}

/// How clients are looked at; errors are put into `faults`.
pub(crate) fn verifier(
    proof: &ClientProof,
    provider: &Arc<CryptoProvider>,
    disk: Disk<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Option<(Arc<dyn ClientCertVerifier>, Boundary)> {
    let mut digest = Context::new(&SHA256);
    digest.update(match proof.need {
        ClientAuth::Required => b"required",
        ClientAuth::Optional => b"optional",
    });
    let mut take_in = |der: &[u8]| {
        digest.update(&der.len().to_be_bytes());
        digest.update(der);
    };
    let before = faults.len();
    let mut roots = RootCertStore::empty();
    for at in &proof.authorities {
        for cert in authorities(at, disk, faults).unwrap_or_default() {
            take_in(&cert);
            if let Err(error) = roots.add(cert) {
                faults.push(
                    fault(at, &format!("a certificate in it is no authority: {error}")).help(
                        "name the certificate of who signs those of clients, not those of clients",
                    ),
                );
            }
        }
    }
    let mut lists = Vec::new();
    for at in &proof.revoked {
        for list in revoked(at, disk, faults) {
            take_in(&list);
            lists.push(list);
        }
    }
    if faults.len() > before {
        return None;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    // A list says nothing about what other authorities, on the way to ours, have signed.
    let builder = builder
        .with_crls(lists)
        .only_check_end_entity_revocation()
        .allow_unknown_revocation_status();
    let builder = match proof.need {
        ClientAuth::Required => builder,
        ClientAuth::Optional => builder.allow_unauthenticated(),
    };
    match builder.build() {
        Ok(verifier) => {
            let digest = digest.finish();
            // SHA-256 has 32 bytes.
            let boundary = digest.as_ref().try_into().unwrap_or_default();
            Some((verifier, Boundary(boundary)))
        }
        Err(error) => {
            let at = proof.revoked.first().or_else(|| proof.authorities.first());
            let message = format!("clients cannot be looked at: {error}");
            faults.push(Diagnostic::new(Code::Certificate, at.and_then(|at| at.span), message));
            None
        }
    }
}

/// The lists in a file, in PEM or one in DER.
pub(crate) fn revoked(
    at: &Spanned<String>,
    disk: Disk<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Vec<CertificateRevocationListDer<'static>> {
    let Some(content) = read(at, disk, faults) else { return Vec::new() };
    if content.bytes.first() == Some(&crate::der::tag::SEQUENCE) {
        return vec![content.bytes.into()];
    }
    let lists: Result<Vec<_>, _> =
        CertificateRevocationListDer::pem_slice_iter(&content.bytes).collect();
    match lists {
        Ok(lists) if !lists.is_empty() => lists,
        _ => {
            faults.push(
                fault(at, "there is no list of revoked certificates in it")
                    .help("such lists begin with `-----BEGIN X509 CRL-----`"),
            );
            Vec::new()
        }
    }
}
