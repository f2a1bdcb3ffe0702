//! Embeds the example projects that `alyx init` writes, so that a template is always an example
//! that runs. It lists the files of each folder and emits a table of names and `include_bytes!`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let examples = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("../examples");
    let mut text = String::new();
    for (name, folder) in [("BASIC", "basic"), ("BLOG", "blog")] {
        let root = examples.join(folder);
        let mut files = Vec::new();
        list(&root, &mut files)?;
        files.sort();
        let doc = format!("/// Files of `examples/{folder}`.\nconst {name}: &[TemplateFile] = &[\n");
        text.push_str(&doc);
        for file in files {
            let relative = file.strip_prefix(&root).map_err(io::Error::other)?;
            writeln!(text, "    ({:?}, include_bytes!({:?})),", relative, file.canonicalize()?)
                .map_err(io::Error::other)?;
        }
        text.push_str("];\n");
    }
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    fs::write(out.join("templates.rs"), text)
}

/// Every file below a folder, without what running or testing a project leaves there.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let left_behind = [".alyx", "node_modules", "__pycache__"].contains(&name.as_str());
        match (left_behind, path.is_dir()) {
            (true, _) => {}
            (false, true) => list(&path, files)?,
            (false, false) => {
                println!("cargo::rerun-if-changed={}", path.display());
                files.push(path);
            }
        }
    }
    Ok(())
}
