//! The folder of a project: a copy of an example, or files written in the test.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::tree;

/// A project in a folder of its own. The folder goes with the value.
#[derive(Debug)]
pub struct Project {
    root: TempDir,
}

impl Project {
    /// An empty project. Give it a schema.
    #[must_use]
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("alyx-it-").tempdir().expect("make a temporary folder");
        fs::create_dir(root.path().join("project")).expect("make the project's folder");
        fs::create_dir(root.path().join("tmp")).expect("make the folder for temporary files");
        let cache = root.path().join("data/cache");
        fs::create_dir_all(&cache).expect("make the cache's folder");
        // Go's own build cache is made for sharing; without it every test would compile Go's library.
        let shared = tree::go_cache();
        fs::create_dir_all(&shared).expect("make Go's build cache");
        std::os::unix::fs::symlink(shared, cache.join("go-build")).expect("link Go's build cache");
        Self { root }
    }

    /// A copy of `examples/blog`.
    #[must_use]
    pub fn blog() -> Self {
        Self::example("blog")
    }

    /// A copy of an example.
    #[must_use]
    pub fn example(name: &str) -> Self {
        Self::copy(&format!("examples/{name}"))
    }

    /// A copy of a project that only tests use.
    #[must_use]
    pub fn fixture(name: &str) -> Self {
        Self::copy(&format!("tests/fixtures/{name}"))
    }

    fn copy(folder: &str) -> Self {
        let project = Self::new();
        let source = tree::root().join(folder);
        for file in tree::files(folder) {
            let relative = file.strip_prefix(&source).expect("files lie below their folder");
            let target = project.folder().join(relative);
            fs::create_dir_all(target.parent().expect("a file has a folder")).expect("make a folder");
            fs::copy(&file, &target).expect("copy a file");
        }
        project
    }

    /// A project of this schema.
    #[must_use]
    pub fn schema(text: &str) -> Self {
        let project = Self::new();
        project.write("schema.yaml", text);
        project
    }

    /// The same project with one more file.
    #[must_use]
    pub fn with(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    /// Writes a file of the project in one step, as editors do.
    pub fn write(&self, path: &str, text: &str) {
        let target = self.folder().join(path);
        let fresh = target.with_extension("fresh");
        fs::create_dir_all(target.parent().expect("a file has a folder")).expect("make a folder");
        fs::write(&fresh, text).expect("write a file");
        fs::rename(&fresh, &target).expect("put a file in place");
    }

    /// Where the project lies.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.root.path().join("project")
    }

    /// Where its data lies.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// The folder that the service is given for temporary files.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.root.path().join("tmp")
    }

    /// Holds everything of this project; its path appears in nothing else.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}
