//! Files in the state directory. Symbolic links are never followed, and after a crash a file has
//! either its old or its new content.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Options that refuse a symbolic link.
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(libc::O_NOFOLLOW);
    options
}

/// Reads the whole file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    options().read(true).open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces the file atomically and syncs it to disk.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = options()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_planted_link_is_neither_read_nor_written_through() {
        let folder = tempfile::tempdir().expect("a directory");
        let target = folder.path().join("target");
        fs::write(&target, "precious").expect("it is written");
        for name in ["state", "state.new"] {
            let link = folder.path().join(name);
            symlink(&target, &link).expect("a link");
        }
        let state = folder.path().join("state");
        assert!(read(&state).is_err(), "a link is not read through");
        assert!(
            replace(&state, b"x").is_err(),
            "a link is not written through"
        );
        let kept = fs::read_to_string(&target).expect("it is read");
        assert_eq!(kept, "precious");
    }

    #[test]
    fn what_was_replaced_is_read_back() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("state");
        for content in ["first", "second"] {
            replace(&path, content.as_bytes()).expect("it is written");
            assert_eq!(read(&path).expect("it is read"), content.as_bytes());
        }
    }
}
