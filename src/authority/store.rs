//! The CA in the state folder: one file with certificate and key, whole or not there.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::KeyPair;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::ca;
use super::constraint::{Constraints, Permit};
use super::error::CaError;
use super::external;
use super::invent::Invented;
use super::names;
use super::profile::Profile;
use super::sign::Signer;

/// A CA that is being written stands in a file between these, with the key in it.
const PREFIX: &str = ".inspection-ca-";
const SUFFIX: &str = ".tmp";

/// From then on nobody writes it any more.
const STALE: Duration = Duration::from_secs(60 * 60);

/// Where the CA of a profile is kept. Each profile has its own, because its root has its own name and key.
pub(super) fn path(state_dir: &Path, profile: &Profile) -> PathBuf {
    match profile.name() {
        "generic" => state_dir.join("inspection-ca.pem"),
        name => state_dir.join(format!("inspection-ca-{name}.pem")),
    }
}

/// Loads the CA, or makes it. Of processes that start at once, one makes it and the others load that.
pub(super) fn load_or_make(state_dir: &Path, profile: &Profile, permits: &[Permit]) -> Result<Signer, CaError> {
    let path = path(state_dir, profile);
    look_after(state_dir)?;
    if let Some(root) = load(&path, profile, permits)? {
        return Ok(root);
    }
    let root = ca::make_root(profile, permits)?;
    let written = write(state_dir, &path, &root)?;
    // A hard link or an exclusive rename: either fails where another process was first.
    match written.persist_noclobber(&path) {
        Ok(_) => {
            sync_folder(state_dir, &path)?;
            Ok(root)
        }
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => load(&path, profile, permits)?
            .ok_or_else(|| CaError::Read { path, reason: "another process removed it at this moment".to_owned() }),
        Err(error) => Err(CaError::Write { path, reason: error.error.to_string() }),
    }
}

/// Makes a new CA in place of whatever is there.
pub(super) fn replace(state_dir: &Path, profile: &Profile, permits: &[Permit]) -> Result<Signer, CaError> {
    let path = path(state_dir, profile);
    look_after(state_dir)?;
    let root = ca::make_root(profile, permits)?;
    let written = write(state_dir, &path, &root)?;
    written.persist(&path).map_err(|error| CaError::Write { path: path.clone(), reason: error.error.to_string() })?;
    sync_folder(state_dir, &path)?;
    Ok(root)
}

/// Refuses a folder that others can write to, and removes what a process left behind that ended while it wrote.
fn look_after(state_dir: &Path) -> Result<(), CaError> {
    let Ok(metadata) = fs::metadata(state_dir) else { return Ok(()) };
    refuse_open(state_dir, &metadata)?;
    // A file that cannot be removed is no reason not to start.
    for entry in fs::read_dir(state_dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
        if is_ours && age.is_some_and(|age| age > STALE) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Writes the CA to a file beside its place, mode 0600, and to the disk.
fn write(state_dir: &Path, path: &Path, root: &Signer) -> Result<NamedTempFile, CaError> {
    let cannot = |error: &io::Error| CaError::Write { path: path.to_owned(), reason: error.to_string() };
    make_folder(state_dir).map_err(|error| cannot(&error))?;
    let mut file = tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(SUFFIX)
        .tempfile_in(state_dir)
        .map_err(|error| cannot(&error))?;
    let head = format!(
        "The inspection CA of middlebox: {}\nWhoever has this file can forge certificates for those who trust it.\n\n{}",
        root.common_name,
        ca::pem("CERTIFICATE", &root.certificate),
    );
    let key = Zeroizing::new(ca::pem("PRIVATE KEY", root.key.serialized_der()));
    let done = file.write_all(head.as_bytes()).and_then(|()| file.write_all(key.as_bytes()));
    let done = done.and_then(|()| file.as_file().sync_all());
    done.map_err(|error| cannot(&error))?;
    Ok(file)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// Makes the new name of the file survive a power cut; on Windows the file system sees to it.
fn sync_folder(folder: &Path, path: &Path) -> Result<(), CaError> {
    if !cfg!(unix) {
        return Ok(());
    }
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| CaError::Write { path: path.to_owned(), reason: error.to_string() })
}

/// Loads the CA; `None` where there is no file.
fn load(path: &Path, profile: &Profile, permits: &[Permit]) -> Result<Option<Signer>, CaError> {
    let unreadable = |error: &io::Error| CaError::Read { path: path.to_owned(), reason: error.to_string() };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&error)),
    };
    refuse_exposed(path, &file)?;
    let bytes = external::bounded(&file).map_err(|error| unreadable(&error))?;
    let damaged = |reason: &str| CaError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
    let certificate =
        CertificateDer::from_pem_slice(&bytes).map_err(|_| damaged("it holds no whole certificate"))?.into_owned();
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| damaged("it holds no whole private key"))?;
    let key = Zeroizing::new(key);
    let key = KeyPair::try_from(&*key).map_err(|_| damaged("its private key does not parse"))?;
    if !external::belongs(&certificate, &key) {
        return Err(damaged("its private key does not belong to its certificate"));
    }
    let root = Signer::of(certificate, Arc::new(key)).map_err(|error| damaged(&error.to_string()))?;
    if root.subject != names::write(&Invented::of(&*root.key).name(profile.root.subject.get_ref())) {
        return Err(CaError::OtherProfile { path: path.to_owned() });
    }
    external::valid_now(&root, path, "run `middlebox ca renew`, then let clients trust the new one")?;
    let constraints = Constraints::of(&root.certificate);
    let list = |permits: Vec<String>| if permits.is_empty() { "every host".to_owned() } else { permits.join(", ") };
    let mut has: Vec<String> = constraints.permits().map(ToString::to_string).collect();
    let mut asked: Vec<String> = permits.iter().map(ToString::to_string).collect();
    has.sort_unstable();
    asked.sort_unstable();
    if !asked.is_empty() && has != asked {
        return Err(CaError::OtherConstraints { path: path.to_owned(), has: list(has), asked: list(asked) });
    }
    Ok(Some(root))
}

#[cfg(unix)]
fn refuse_exposed(path: &Path, file: &fs::File) -> Result<(), CaError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = file.metadata().map_err(|error| CaError::Read { path: path.into(), reason: error.to_string() })?;
    let mode = metadata.permissions().mode() & 0o7777;
    let of_others = mode & 0o077;
    if of_others == 0 { Ok(()) } else { Err(CaError::Exposed { path: path.to_owned(), mode }) }
}

// Windows keeps the state folder in the user's profile, whose access list shuts others out.
#[cfg(not(unix))]
fn refuse_exposed(_: &Path, _: &fs::File) -> Result<(), CaError> {
    Ok(())
}

/// Whoever can write to the folder can put another CA in the place of ours. The sticky bit (as on `/tmp`) keeps others
/// from that.
#[cfg(unix)]
fn refuse_open(folder: &Path, metadata: &fs::Metadata) -> Result<(), CaError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o7777;
    let (writable, sticky) = (mode & 0o022 != 0, mode & 0o1000 != 0);
    if writable && !sticky { Err(CaError::OpenFolder { path: folder.to_owned(), mode }) } else { Ok(()) }
}

#[cfg(not(unix))]
fn refuse_open(_: &Path, _: &fs::Metadata) -> Result<(), CaError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::InspectionCa;
    use super::*;

    fn generic() -> Arc<Profile> {
        Profile::load("generic").unwrap()
    }

    #[test]
    fn the_ca_is_made_once_and_loaded_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("a/b");
        let first = InspectionCa::persisted(&state, &generic(), &[]).unwrap();
        let again = InspectionCa::persisted(&state, &generic(), &[]).unwrap();
        assert_eq!(first.fingerprint(), again.fingerprint());
        assert_eq!(first.fingerprint().len(), 64);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&state.join("inspection-ca.pem")), 0o600);
            assert_eq!(mode(&state), 0o700);
            assert_eq!(mode(&folder.path().join("a")), 0o700);
        }
        let renewed = InspectionCa::renew(&state, &generic(), &[]).unwrap();
        assert_ne!(first.fingerprint(), renewed.fingerprint());
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
        let zscaler = InspectionCa::persisted(&state, &Profile::load("zscaler").unwrap(), &[]).unwrap();
        assert_ne!(zscaler.fingerprint(), renewed.fingerprint());
    }

    #[test]
    fn whoever_starts_at_once_gets_the_same_ca() {
        let folder = tempfile::tempdir().unwrap();
        let barrier = std::sync::Barrier::new(8);
        let fingerprints: Vec<String> = std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                InspectionCa::persisted(folder.path(), &generic(), &[]).unwrap().fingerprint()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(fingerprints.iter().all(|fingerprint| *fingerprint == fingerprints[0]), "{fingerprints:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_cut_anywhere_is_damaged_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        InspectionCa::persisted(folder.path(), &generic(), &[]).unwrap();
        let path = folder.path().join("inspection-ca.pem");
        let whole = fs::read(&path).unwrap();
        for length in [0, 40, whole.len() / 2, whole.len() - 30] {
            fs::write(&path, &whole[..length]).unwrap();
            let error = InspectionCa::persisted(folder.path(), &generic(), &[]).unwrap_err();
            assert!(matches!(error, CaError::Damaged { .. }), "{length}: {error}");
            assert!(error.to_string().contains("middlebox ca renew"), "{error}");
        }
        InspectionCa::renew(folder.path(), &generic(), &[]).unwrap();
        InspectionCa::persisted(folder.path(), &generic(), &[]).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        for (mode, fits) in [(0o700, true), (0o755, true), (0o1777, true), (0o775, false), (0o702, false)] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            let read = InspectionCa::persisted(folder.path(), &generic(), &[]);
            assert_eq!(read.is_ok(), fits, "{mode:o}");
            let renewed = InspectionCa::renew(folder.path(), &generic(), &[]);
            assert_eq!(renewed.is_ok(), fits, "{mode:o}");
            if let Err(error) = renewed {
                assert!(error.to_string().contains(&format!("(mode {mode:04o})")), "{error}");
            }
        }
    }

    #[test]
    fn what_a_crash_left_behind_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, minutes: u64| {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(60 * minutes)).unwrap();
        };
        make(".inspection-ca-old.tmp", 61);
        make(".inspection-ca-new.tmp", 59);
        make("inspection-ca-mine.tmp", 600);
        make(".inspection-ca-mine", 600);
        InspectionCa::persisted(folder.path(), &generic(), &[]).unwrap();
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [".inspection-ca-mine", ".inspection-ca-new.tmp", "inspection-ca-mine.tmp", "inspection-ca.pem"]
        );
    }

    #[test]
    fn made_up_names_stay_with_the_stored_ca() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["netskope", "cloudflare", "sophos"] {
            let profile = Profile::load(name).unwrap();
            let first = InspectionCa::persisted(folder.path(), &profile, &[]).unwrap();
            let again = InspectionCa::persisted(folder.path(), &profile, &[]).unwrap();
            let issuer =
                |ca: &InspectionCa| ca.issuing(time::OffsetDateTime::now_utc()).unwrap().signer.subject.clone();
            assert_eq!(issuer(&first), issuer(&again), "{name}");
            assert!(!first.facts().subject.contains('{') && !first.issuer_name().contains('{'), "{name}");
            let renewed = InspectionCa::renew(folder.path(), &profile, &[]).unwrap();
            assert_ne!(issuer(&first), issuer(&renewed), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_exposed_key_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        InspectionCa::persisted(folder.path(), &generic(), &[]).unwrap();
        let path = folder.path().join("inspection-ca.pem");
        for mode in [0o640, 0o604] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = InspectionCa::persisted(folder.path(), &generic(), &[]).unwrap_err();
            assert!(error.to_string().contains(&format!("mode {mode:04o}")), "{error}");
        }
    }

    #[test]
    fn stored_constraints_stay_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let okta = ["okta.com".parse().unwrap()];
        InspectionCa::persisted(folder.path(), &generic(), &okta).unwrap();
        let ca = InspectionCa::persisted(folder.path(), &generic(), &[]).unwrap();
        assert_eq!(ca.permitted().cloned().collect::<Vec<_>>(), okta);
        let other = ["example.com".parse().unwrap()];
        let error = InspectionCa::persisted(folder.path(), &generic(), &other).unwrap_err();
        assert!(error.to_string().contains("for okta.com, not for example.com"), "{error}");
    }
}
