//! Encryption of the few secrets that must be read back: mails that wait and second factors. AES-256-GCM
//! under a key in a file of its own, so that a copy of the database alone tells none of them.
//!
//! Layout of what is sealed: 12 bytes nonce, ciphertext, 16 bytes tag. What it belongs to is
//! authenticated with it, so it cannot be moved to another row.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{Context, SHA256};

use crate::clock;

/// Seals and opens. A cheap clone.
#[derive(Clone)]
pub struct Sealer(Arc<Inner>);

struct Inner {
    key: RandomizedNonceKey,
    name: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[error("read or make the key file {path}", path = path.display())]
pub struct KeyFileError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// It was sealed with another key, for something else, or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was not sealed for this with the key of this data directory")]
pub struct NotOurs;

impl Sealer {
    /// Reads the key, or makes one that only our user can read.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |source| KeyFileError { path: path.to_owned(), source };
        let key = match fs::read(path) {
            Ok(key) => key,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path).map_err(failed)?,
            Err(error) => return Err(failed(error)),
        };
        let damaged = || failed(io::Error::new(io::ErrorKind::InvalidData, "it does not hold 32 bytes"));
        let name = name_of(&key);
        let key = RandomizedNonceKey::new(&AES_256_GCM, &key).map_err(|_| damaged())?;
        Ok(Self(Arc::new(Inner { key, name })))
    }

    /// Tells this key from others and nothing of it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Encrypts `secret`, which belongs to `owner`.
    pub fn seal(&self, owner: &str, secret: &[u8]) -> Vec<u8> {
        let mut text = secret.to_vec();
        let nonce = self
            .0
            .key
            .seal_in_place_append_tag(Aad::from(owner.as_bytes()), &mut text)
            .expect("a few kilobytes are within the algorithm's bounds");
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut text);
        sealed
    }

    /// Decrypts what was sealed for the same owner.
    pub fn open(&self, owner: &str, sealed: &[u8]) -> Result<Vec<u8>, NotOurs> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(NotOurs)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| NotOurs)?;
        let mut text = text.to_vec();
        let length = self
            .0
            .key
            .open_in_place(nonce, Aad::from(owner.as_bytes()), &mut text)
            .map_err(|_| NotOurs)?
            .len();
        text.truncate(length);
        Ok(text)
    }
}

fn name_of(key: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    context.update(b"alyx secret.key ");
    context.update(key);
    clock::hex(&context.finish().as_ref()[..16])
}

/// The name of the key in a file; `None` if there is no file.
pub fn name_of_file(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path) {
        Ok(key) => Ok(Some(name_of(&key))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Written whole or not at all: a half-written key would shut everybody out after a crash.
fn make(path: &Path) -> io::Result<Vec<u8>> {
    let fresh = path.with_extension("fresh");
    let key = clock::random::<32>();
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    Ok(key.to_vec())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{NotOurs, Sealer};

    #[test]
    fn what_is_sealed_opens_only_for_its_owner_and_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret.key");
        let sealer = Sealer::load(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let sealed = sealer.seal("totp:ada", b"secret");
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_ne!(sealed, sealer.seal("totp:ada", b"secret"));
        let again = Sealer::load(&path).unwrap();
        assert_eq!(again.open("totp:ada", &sealed).unwrap(), b"secret");
        assert_eq!(again.open("totp:bob", &sealed), Err(NotOurs));
        assert_eq!(again.open("totp:ada", &sealed[..sealed.len() - 1]), Err(NotOurs));
        assert_eq!(again.open("totp:ada", b"short"), Err(NotOurs));
        let other = Sealer::load(&dir.path().join("other.key")).unwrap();
        assert_eq!(other.open("totp:ada", &sealed), Err(NotOurs));
        std::fs::write(&path, b"damaged").unwrap();
        assert!(Sealer::load(&path).is_err());
    }
}
