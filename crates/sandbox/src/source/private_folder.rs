//! A folder for a server's files: private, in a place that the account which runs the server can
//! reach, removed when its owner is done with it.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// The account that runs the server where this process is root, which PostgreSQL refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// The folder. Dropping it removes it with all that it holds.
#[derive(Debug)]
pub(crate) struct PrivateFolder {
    path: PathBuf,
    owner: Option<Owner>,
}

impl PrivateFolder {
    /// Makes an empty folder whose name begins so.
    pub(crate) fn create(prefix: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = temporary_root().join(format!("{prefix}-{}-{count}", std::process::id()));
        // A folder of this name can only stem from a process of the same id that is long gone.
        drop(fs::remove_dir_all(&path));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot create `{}`", path.display()))?;
        let mut folder = Self { path, owner: None };
        folder.hand_over_to_unprivileged()?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The account that the folder was given to, where this process is root.
    pub(crate) fn owner(&self) -> Option<Owner> {
        self.owner
    }

    /// Writes a file that the server alone may read.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        self.hand_over(name)
    }

    /// Makes a file readable for the server alone.
    pub(crate) fn hand_over(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        let change = || -> std::io::Result<()> {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            match &self.owner {
                Some(owner) => chown(&path, Some(owner.user), Some(owner.group)),
                None => Ok(()),
            }
        };
        change().with_context(|| format!("cannot protect `{}`", path.display()))
    }

    fn hand_over_to_unprivileged(&mut self) -> Result<()> {
        let data = fs::metadata(&self.path)
            .with_context(|| format!("cannot read `{}`", self.path.display()))?;
        if data.uid() != 0 {
            return Ok(());
        }
        let owner = unprivileged_account()?;
        chown(&self.path, Some(owner.user), Some(owner.group))
            .with_context(|| format!("cannot hand over `{}`", self.path.display()))?;
        self.owner = Some(owner);
        Ok(())
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.path));
    }
}

/// The folder for temporary files, or `/tmp` if other accounts cannot get there.
fn temporary_root() -> PathBuf {
    let folder = std::env::temp_dir();
    let open_to_all = folder
        .ancestors()
        .all(|part| fs::metadata(part).is_ok_and(|data| data.permissions().mode() & 0o001 != 0));
    if open_to_all {
        folder
    } else {
        PathBuf::from("/tmp")
    }
}

fn unprivileged_account() -> Result<Owner> {
    let accounts = fs::read_to_string("/etc/passwd").context("cannot read `/etc/passwd`")?;
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| account(&accounts, name))
        .context("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`")
}

fn account(accounts: &str, name: &str) -> Option<Owner> {
    let fields: Vec<&str> = accounts
        .lines()
        .map(|line| line.split(':').collect())
        .find(|fields: &Vec<&str>| fields[0] == name)?;
    Some(Owner {
        user: fields.get(2)?.parse().ok()?,
        group: fields.get(3)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let accounts = "nobody2:x:1:2::/:/bin/sh\nnobody:x:65534:65533::/:/bin/sh\nbroken\n";
        assert_eq!(
            account(accounts, "nobody"),
            Some(Owner {
                user: 65_534,
                group: 65_533
            })
        );
        assert_eq!(account(accounts, "postgres"), None);
    }

    #[test]
    fn a_folder_goes_with_its_owner_and_is_private() {
        let folder = PrivateFolder::create("antiphon-folder-test").unwrap();
        let path = folder.path().to_owned();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        folder.write("password", "secret").unwrap();
        let mode = fs::metadata(path.join("password"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(folder);
        assert!(!path.exists());
    }
}
