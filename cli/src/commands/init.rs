//! `alyx init`: writes a new project from a template that is built in.
//!
//! It never overwrites: the folder must be missing or empty, apart from hidden files such as `.git`.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::args::{Init, Template};
use crate::exit::{Exit, Failure};
use crate::print;

/// One file of a template: its path below the project and its bytes.
type TemplateFile = (&'static str, &'static [u8]);

include!(concat!(env!("OUT_DIR"), "/templates.rs"));

pub fn run(args: &Init) -> Result<Exit, Failure> {
    let files = match args.template {
        Template::Basic => BASIC,
        Template::Blog => BLOG,
    };
    refuse_to_overwrite(&args.dir)?;
    for (name, bytes) in files {
        let path = args.dir.join(name);
        write(&path, bytes)
            .map_err(|error| Failure::new(format!("failed to write {}: {error}", path.display())))?;
    }
    print::note(&format!("wrote {} files to {}", files.len(), args.dir.display()));
    print::note(&format!("\nstart it with `alyx dev {}`", args.dir.display()));
    Ok(Exit::Ok)
}

fn refuse_to_overwrite(dir: &Path) -> Result<(), Failure> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::new(format!("failed to open {}: {error}", dir.display()))),
    };
    let visible = entries.flatten().find(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    match visible {
        None => Ok(()),
        Some(entry) => Err(Failure::new(format!(
            "{} is not empty: it holds {}",
            dir.display(),
            entry.file_name().to_string_lossy()
        ))
        .hint("name a new folder, as in `alyx init my-project`")),
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::OpenOptions::new().write(true).create_new(true).open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{BASIC, BLOG, run};
    use crate::args::{Init, Template};

    #[test]
    fn templates_hold_a_schema() {
        for files in [BASIC, BLOG] {
            assert!(files.iter().any(|(name, _)| *name == "schema.yaml"));
            assert!(files.iter().all(|(name, _)| !name.starts_with('/') && !name.contains("..")));
        }
    }

    #[test]
    fn an_existing_project_is_not_touched() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("new");
        let init = || run(&Init { dir: dir.clone(), template: Template::Basic });
        init().unwrap();
        fs::write(dir.join("schema.yaml"), "mine").unwrap();
        assert!(init().is_err());
        assert_eq!(fs::read_to_string(dir.join("schema.yaml")).unwrap(), "mine");
    }
}
