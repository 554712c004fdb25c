//! The public certificates of a lab as files, because that is how clients are told what to trust.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tempfile::TempDir;

use super::{CaSource, LabError};
use crate::authority::{InspectionCa, Profile};
use crate::child::{ClientTrust, java_store};

/// Files with public certificates only; keys are never among them. Those in a temporary folder go with the lab.
#[derive(Debug)]
pub struct TrustFiles {
    /// The inspection root.
    pub inspection_root: PathBuf,
    /// The root of the simulated internet.
    pub public_root: Option<PathBuf>,
    folder: TempDir,
    /// In PEM: the inspection root, and that of the simulated internet.
    roots: (String, Option<String>),
    /// In PEM: the CAs that are trusted for origins in addition.
    others: String,
}

impl TrustFiles {
    pub(super) fn write(
        source: &CaSource,
        profile: &Profile,
        ca: &InspectionCa,
        public_root: Option<&str>,
        others: String,
    ) -> Result<Self, LabError> {
        let folder = tempfile::Builder::new().prefix("middlebox-").tempdir().map_err(|error| LabError::Write {
            path: std::env::temp_dir().display().to_string(),
            reason: error.to_string(),
        })?;
        let root_pem = ca.root_pem();
        let inspection_root = match source {
            // Beside its key, where it stays between runs.
            CaSource::State(state) => InspectionCa::path(state, profile).with_extension("crt"),
            CaSource::Memory | CaSource::External { .. } => folder.path().join("inspection-ca.pem"),
        };
        write_public(&inspection_root, root_pem.as_bytes())?;
        let public_path = public_root.map(|pem| (folder.path().join("public-ca.pem"), pem));
        if let Some((path, pem)) = &public_path {
            write_public(path, pem.as_bytes())?;
        }
        let roots = (root_pem, public_root.map(ToOwned::to_owned));
        Ok(Self { inspection_root, public_root: public_path.map(|(path, _)| path), folder, roots, others })
    }

    /// All roots that a client of this lab may need, for clients that take one file: the inspection root, the simulated
    /// internet's, those of other origins, and the system's. Written when it is first asked for, since the system's take their time.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn bundle(&self) -> Result<PathBuf, LabError> {
        let path = self.folder.path().join("bundle.pem");
        if !path.exists() {
            let (inspection, public) = &self.roots;
            write_public(&path, self.bundle_of(Some(inspection), public.as_deref()).as_bytes())?;
        }
        Ok(path)
    }

    /// The files for a client whose trust is chosen.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn for_client(
        &self,
        inspection_root: Option<&str>,
        public_root: Option<&str>,
    ) -> Result<ClientTrust, LabError> {
        let trusts = if inspection_root.is_some() { "trusting" } else { "wary" };
        let path = |name: &str| self.folder.path().join(format!("{trusts}-{name}"));
        let trust = ClientTrust { bundle: path("bundle.pem"), extra: path("extra.pem"), java_store: path("store.jks") };
        let bundle = self.bundle_of(inspection_root, public_root);
        write_public(&trust.bundle, bundle.as_bytes())?;
        let added: String = [inspection_root, public_root, Some(&self.others)].into_iter().flatten().collect();
        write_public(&trust.extra, added.as_bytes())?;
        // What does not read is left out, as others do with it.
        let roots: Vec<_> = CertificateDer::pem_slice_iter(bundle.as_bytes()).filter_map(Result::ok).collect();
        write_public(&trust.java_store, &java_store(&roots))?;
        Ok(trust)
    }

    /// The roots for a client that takes one file: those given, those of other origins, and the system's.
    fn bundle_of(&self, inspection_root: Option<&str>, public_root: Option<&str>) -> String {
        let mut bundle = String::new();
        for pem in [inspection_root, public_root, Some(&self.others)].into_iter().flatten() {
            bundle.push_str(pem.trim_end());
            bundle.push('\n');
        }
        bundle.push_str(&SYSTEM_ROOTS);
        bundle
    }

    /// A folder for further files of the lab; removed with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The system's roots, PEM; they take their time, and do not change while the program runs.
static SYSTEM_ROOTS: LazyLock<String> =
    LazyLock::new(|| rustls_native_certs::load_native_certs().certs.iter().map(|root| crate::net::pem(root)).collect());

/// Writes a file whole or not at all.
fn write_public(path: &Path, content: &[u8]) -> Result<(), LabError> {
    let unwritable =
        |error: std::io::Error| LabError::Write { path: path.display().to_string(), reason: error.to_string() };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.tempfile_in(folder).map_err(unwritable)?;
    file.write_all(content).map_err(unwritable)?;
    file.persist(path).map_err(|error| unwritable(error.error))?;
    Ok(())
}
