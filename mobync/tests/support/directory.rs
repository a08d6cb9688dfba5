//! A directory for one test, removed after it.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    files: AtomicUsize,
}

impl Directory {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("mobync-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&path).unwrap();
        Self { path, files: AtomicUsize::new(0) }
    }

    /// The path of a file that does not exist yet.
    pub fn file(&self) -> PathBuf {
        self.path.join(format!("{}.sqlite", self.files.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
