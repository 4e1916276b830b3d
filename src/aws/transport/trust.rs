//! The certificate authorities that may vouch for AWS, or for a proxy that inspects TLS.

use std::path::Path;

use aws_smithy_http_client::tls::TrustStore;
use aws_types::os_shim_internal::Env;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::TransportError;

const VARIABLE: &str = "AWS_CA_BUNDLE";

/// The system's authorities, and those of both bundles.
pub(super) fn store(env: &Env, ca_bundle: Option<&Path>) -> Result<TrustStore, TransportError> {
    let mut store = TrustStore::default();
    let variable = env.get(VARIABLE).ok().filter(|path| !path.is_empty());
    let bundles = [
        ("`ca_bundle` under [aws]", ca_bundle),
        (VARIABLE, variable.as_ref().map(Path::new)),
    ];
    for (named_by, path) in bundles {
        let Some(path) = path else { continue };
        let pem = read(path).map_err(|why| TransportError::CaBundle {
            path: path.to_owned(),
            named_by,
            why,
        })?;
        store.add_pem_certificate(pem);
    }
    Ok(store)
}

/// Reads a bundle, and checks each of its certificates, as the TLS library panics at a bad one.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    match roots.is_empty() {
        true => Err("it has no certificate".to_owned()),
        false => Ok(pem),
    }
}
