//! Which mails there are, the words they have unless a project has its own, and where those are:
//! `mail/<locale>/<name>.txt` and `.html` in the project. They are read when a mail is sent, so an
//! edited one counts for the next mail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::is_tag;
use super::template::{Filled, Template, TemplateError};
use crate::limits::MAIL_TEMPLATE_MAX_BYTES;

macro_rules! kinds {
    ($($(#[$about:meta])* $variant:ident $name:literal [$($value:literal),*],)*) => {
        /// A kind of mail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $($(#[$about])* $variant,)* }

        impl Kind {
            const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Name of its template.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What its template can say.
            const fn values(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &["app", "email", $($value),*],)* }
            }

            /// Its words in English.
            const fn built_in(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("templates/", $name, ".txt")),)* }
            }
        }
    };
}

kinds! {
    /// A link that shows that the address is the owner's.
    Verify "verify" ["link", "hours"],
    /// Somebody registers with an address that has an account: a link to set a new password.
    Registered "registered" ["link", "minutes"],
    /// A link to set a new password.
    Reset "reset" ["link", "minutes"],
    /// A link, to the new address, that makes it the account's.
    Email "email" ["link", "minutes"],
    /// A code to sign in with.
    Code "code" ["code", "minutes"],
    /// The password was changed.
    PasswordChanged "password_changed" ["time", "address"],
    /// Another address was asked for; sent to the one that goes.
    EmailChanged "email_changed" ["time", "address", "new_email"],
    /// A second factor was set up.
    TotpEnabled "totp_enabled" ["time", "address"],
    /// The second factor was removed.
    TotpDisabled "totp_disabled" ["time", "address"],
    /// A passkey was registered.
    PasskeyAdded "passkey_added" ["time", "address"],
    /// A passkey was deleted.
    PasskeyRemoved "passkey_removed" ["time", "address"],
    /// An administrator removed the second factors.
    FactorsRemoved "factors_removed" ["time"],
}

/// The templates of a project.
pub struct Templates {
    folder: PathBuf,
}

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplatesError {
    #[error("{path}: {error}", path = path.display())]
    Wrong { path: PathBuf, error: TemplateError },
    #[error("{path} is no template: there are {known}", path = path.display())]
    Unknown { path: PathBuf, known: String },
    #[error("{path} may have {MAIL_TEMPLATE_MAX_BYTES} bytes", path = path.display())]
    TooLarge { path: PathBuf },
    #[error("read {path}", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Templates {
    /// Those of this project.
    pub fn new(project: &Path) -> Self {
        Self { folder: project.join("mail") }
    }

    /// Looks at every file of the project's templates.
    pub fn check(&self) -> Result<(), TemplatesError> {
        for locale in entries(&self.folder)? {
            let tag = locale.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if !locale.is_dir() || !is_tag(&tag) || tag != tag.to_ascii_lowercase() {
                let known = "directories named after a language, such as en or pt-br".to_owned();
                return Err(TemplatesError::Unknown { path: locale, known });
            }
            for path in entries(&locale)? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let stem = name.strip_suffix(".txt").or_else(|| name.strip_suffix(".html"));
                let Some(kind) = Kind::ALL.iter().find(|kind| stem == Some(kind.name())) else {
                    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
                    let known = format!("{}, each with .txt and .html", names.join(", "));
                    return Err(TemplatesError::Unknown { path, known });
                };
                self.load(*kind, &tag)?;
            }
        }
        Ok(())
    }

    /// The mail of this kind in the first of the languages that has it.
    pub fn fill(
        &self,
        name: &str,
        locales: &str,
        values: &BTreeMap<String, String>,
    ) -> Result<Option<Filled>, TemplatesError> {
        let Some(kind) = Kind::ALL.iter().find(|kind| kind.name() == name).copied() else { return Ok(None) };
        for locale in locales.split(',').filter(|locale| is_tag(locale)) {
            if let Some(template) = self.load(kind, locale)? {
                return Ok(Some(template.fill(values)));
            }
            if locale == "en" {
                break;
            }
        }
        let path = PathBuf::from(format!("built-in {name}"));
        let template = Template::parse(kind.built_in(), None, kind.values());
        let template = template.map_err(|error| TemplatesError::Wrong { path, error })?;
        Ok(Some(template.fill(values)))
    }

    fn load(&self, kind: Kind, locale: &str) -> Result<Option<Template>, TemplatesError> {
        let path = |extension: &str| self.folder.join(locale).join(format!("{}.{extension}", kind.name()));
        let (text, html) = (read(&path("txt"))?, read(&path("html"))?);
        let (at, text) = match (text, &html) {
            (Some(text), _) => (path("txt"), text),
            // HTML alone gets the words that there are anyway, for who does not show HTML.
            (None, Some(_)) => (path("html"), kind.built_in().to_owned()),
            (None, None) => return Ok(None),
        };
        let template = Template::parse(&text, html.as_deref(), kind.values());
        template.map(Some).map_err(|error| TemplatesError::Wrong { path: at, error })
    }
}

/// What a directory holds, in order; nothing if there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, TemplatesError> {
    let failed = |source| TemplatesError::Read { path: folder.to_owned(), source };
    let found = match fs::read_dir(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in found {
        let path = entry.map_err(failed)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Option<String>, TemplatesError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAIL_TEMPLATE_MAX_BYTES => {
            return Err(TemplatesError::TooLarge { path: path.to_owned() });
        }
        _ => {}
    }
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TemplatesError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Kind, Templates};

    #[test]
    fn every_built_in_template_is_sound() {
        let dir = tempfile::tempdir().unwrap();
        let templates = Templates::new(dir.path());
        templates.check().unwrap();
        for kind in Kind::ALL {
            let values: BTreeMap<String, String> =
                kind.values().iter().map(|name| ((*name).to_owned(), format!("<{name}>"))).collect();
            let filled = templates.fill(kind.name(), "xx,en", &values).unwrap().unwrap();
            assert!(filled.subject.contains("<app>"), "{filled:?}");
            for name in kind.values().iter().filter(|name| **name != "app" && **name != "email") {
                assert!(filled.text.contains(&format!("<{name}>")), "{name}: {filled:?}");
            }
        }
    }

    #[test]
    fn a_project_has_its_own_words() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join("mail").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("de/reset.txt", "Subject: Neues Passwort\n\n{{ link }}");
        write("de/reset.html", "<a href=\"{{ link }}\">weiter</a>");
        let templates = Templates::new(dir.path());
        templates.check().unwrap();
        let values = BTreeMap::from([("link".to_owned(), "https://a/?b=1&c=2".to_owned())]);
        let fill = |name: &str, locales: &str| templates.fill(name, locales, &values).unwrap().unwrap();
        let german = fill("reset", "de-ch,de,en");
        assert_eq!((german.subject.as_str(), german.text.as_str()), ("Neues Passwort", "https://a/?b=1&c=2"));
        assert_eq!(german.html.as_deref(), Some("<a href=\"https://a/?b=1&amp;c=2\">weiter</a>"));
        assert!(fill("reset", "en,de").subject.contains("password"));
        assert!(fill("code", "de,en").html.is_none());
        let check = |path: &str, text: &str, expected: &str| {
            write(path, text);
            let error = templates.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            std::fs::remove_file(dir.path().join("mail").join(path)).unwrap();
        };
        check("de/reset.text", "x", "is no template");
        check("de/code.txt", "Subject: x\n\n{{ link }}", "there is no value `link`");
        check("stray.txt", "x", "directories named after a language");
        check("de/code.html", &"x".repeat(300_000), "may have");
    }
}
