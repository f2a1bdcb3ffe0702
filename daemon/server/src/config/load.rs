//! Puts defaults, file, environment and flags together and lists every problem.

mod accounts;
mod backup;
mod providers;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::settings::{Apply, SETTINGS, Setting};
use super::tree::{Kind, Node, Place, parse};
use super::value::interpolate;
use super::{Algorithm, Config, ConfigProblem, MailSecurity, MailTransport, Mode, Tls, TlsFiles};
use crate::auth::may_use;

/// Where the configuration comes from. The environment comes in as a value, so tests can hold it still.
pub struct Source<'a> {
    /// `--config`; it must be readable. Without it `alyx.yaml` in the project's directory, if there is one.
    pub file: Option<&'a Path>,
    pub environment: &'a [(String, String)],
    pub overrides: &'a Overrides,
    pub mode: Mode,
}

/// Values of flags; they win.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub project: Option<PathBuf>,
    pub data: Option<PathBuf>,
    pub listen: Option<SocketAddr>,
    pub admin_socket: Option<PathBuf>,
    pub supervisor_socket: Option<PathBuf>,
}

/// Reads and checks everything.
///
/// # Errors
/// Every problem that was found, at least one.
pub fn load(source: &Source<'_>) -> Result<Config, Vec<ConfigProblem>> {
    let (config, problems) = (Config::defaults(source.mode), Vec::new());
    let mut loader = Loader { config, problems, registration_is_set: false, source };
    let file = source.file.map_or_else(|| default_file(source.overrides), |file| Some(file.to_owned()));
    if let Some(file) = &file {
        let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        loader.read_file(file);
        loader.resolve_paths(directory.unwrap_or(Path::new(".")));
    }
    loader.read_environment();
    loader.complete_s3();
    loader.apply_overrides();
    loader.complete_tls();
    loader.check_algorithm();
    loader.complete_registration();
    loader.check_mail();
    loader.check_public_url();
    loader.check_passkeys();
    if loader.problems.is_empty() { Ok(loader.config) } else { Err(loader.problems) }
}

fn default_file(overrides: &Overrides) -> Option<PathBuf> {
    let file = overrides.project.as_deref().unwrap_or(Path::new(".")).join("alyx.yaml");
    file.exists().then_some(file)
}

struct Loader<'a> {
    config: Config,
    problems: Vec<ConfigProblem>,
    /// Whether somebody chose `auth.registration`.
    registration_is_set: bool,
    source: &'a Source<'a>,
}

impl Loader<'_> {
    fn read_file(&mut self, file: &Path) {
        let name = file.display().to_string();
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => return self.problem(name, "", format!("cannot be read: {error}"), None),
        };
        match parse(&text) {
            Ok(tree) => self.read_sections(&name, tree),
            Err(error) => {
                let place = at(&name, error.place);
                self.problem(place, "", format!("is not valid YAML: {}", error.message), None);
            }
        }
    }

    fn read_sections(&mut self, file: &str, tree: Node) {
        let Kind::Map(sections) = tree.kind else {
            let accepted = format!("sections {}", sections().join(", "));
            return self.problem(
                at(file, tree.place),
                "",
                "does not have sections".to_owned(),
                Some(accepted),
            );
        };
        for (section, place, node) in sections {
            if section == providers::SECTION {
                self.read_providers(file, node);
                continue;
            }
            if !SETTINGS.iter().any(|setting| setting.section == section) {
                let accepted = self::sections().join(", ");
                self.problem(at(file, place), &section, "unknown section".to_owned(), Some(accepted));
                continue;
            }
            match node.kind {
                Kind::Empty => {}
                Kind::Map(keys) => {
                    keys.into_iter()
                        .for_each(|(key, place, node)| self.read_key(file, &section, &key, place, node));
                }
                _ => {
                    let accepted = keys_of(&section).join(", ");
                    self.problem(at(file, node.place), &section, "must hold keys".to_owned(), Some(accepted));
                }
            }
        }
    }

    fn read_key(&mut self, file: &str, section: &str, key: &str, place: Place, node: Node) {
        let full = format!("{section}.{key}");
        let Some(setting) = SETTINGS.iter().find(|setting| setting.section == section && setting.key == key)
        else {
            let accepted = Some(keys_of(section).join(", "));
            return self.problem(at(file, place), &full, "unknown key".to_owned(), accepted);
        };
        let value_place = at(file, node.place);
        let items = match (&setting.apply, node.kind) {
            (Apply::One(_) | Apply::Secret(_), Kind::Text(text)) => vec![(value_place.clone(), text)],
            (Apply::Many(_), Kind::List(items)) => {
                let mut texts = Vec::with_capacity(items.len());
                for item in items {
                    let Kind::Text(text) = item.kind else {
                        return self.wrong(
                            at(file, item.place),
                            setting,
                            "has an item of the wrong type".to_owned(),
                        );
                    };
                    texts.push((at(file, item.place), text));
                }
                texts
            }
            (_, Kind::Empty) => return self.wrong(value_place, setting, "has no value".to_owned()),
            _ => return self.wrong(value_place, setting, "has the wrong type".to_owned()),
        };
        let mut values = Vec::with_capacity(items.len());
        for (place, text) in items {
            match interpolate(&text, &|name| self.variable(name)) {
                Ok(value) => values.push(value),
                Err(message) => return self.wrong(place, setting, message),
            }
        }
        self.apply(value_place, setting, &values);
    }

    fn read_environment(&mut self) {
        for (name, value) in self.source.environment {
            let Some(rest) = name.strip_prefix("ALYX_") else { continue };
            let Some((section, key)) = rest.split_once('_') else { continue };
            let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
            // Other programs of ours have variables too; only those that look like settings are ours.
            if !sections().contains(&section.as_str()) {
                continue;
            }
            let found = SETTINGS.iter().find(|setting| setting.section == section && setting.key == key);
            match found {
                None => {
                    let accepted = Some(keys_of(&section).join(", "));
                    self.problem(
                        name.clone(),
                        &format!("{section}.{key}"),
                        "unknown key".to_owned(),
                        accepted,
                    );
                }
                Some(setting) => {
                    let values: Vec<String> = match setting.apply {
                        Apply::One(_) | Apply::Secret(_) => vec![value.clone()],
                        Apply::Many(_) => {
                            let items = value.split(',').map(|item| item.trim().to_owned());
                            items.filter(|item| !item.is_empty()).collect()
                        }
                    };
                    self.apply(name.clone(), setting, &values);
                }
            }
        }
    }

    fn apply(&mut self, place: String, setting: &Setting, values: &[String]) {
        self.registration_is_set |= (setting.section, setting.key) == ("auth", "registration");
        let applied = match (&setting.apply, values) {
            (Apply::One(apply) | Apply::Secret(apply), [value]) => apply(&mut self.config, value),
            (Apply::Many(apply), values) => apply(&mut self.config, values),
            (Apply::One(_) | Apply::Secret(_), _) => Err(()),
        };
        if applied.is_err() {
            let message = match setting.apply {
                Apply::Secret(_) => "the secret is too weak".to_owned(),
                _ => format!("{:?} is not accepted", values.join(", ")),
            };
            self.wrong(place, setting, message);
        }
    }

    /// Paths of the file are relative to its directory, so a service and a shell read the same thing.
    fn resolve_paths(&mut self, directory: &Path) {
        let config = &mut self.config;
        let paths = [
            &mut config.server.project,
            &mut config.server.data,
            &mut config.server.admin_socket,
            &mut config.database.path,
            &mut config.backup.directory,
            &mut config.sandbox.supervisor_socket,
        ];
        let tls = &mut config.tls_parts;
        let s3 = &mut config.backup.s3_parts.credentials;
        let own = [&mut config.functions.runtimes, &mut config.mail.ca_file, s3];
        let optional = own.into_iter().chain([&mut tls.certificate, &mut tls.key]);
        for path in paths.into_iter().chain(optional.flatten()) {
            if !path.as_os_str().is_empty() {
                *path = directory.join(&*path);
            }
        }
        if config.server.project.as_os_str().is_empty() {
            config.server.project = directory.to_owned();
        }
    }

    fn apply_overrides(&mut self) {
        let (config, flags) = (&mut self.config, self.source.overrides.clone());
        let set = |slot: &mut PathBuf, flag: Option<PathBuf>| {
            if let Some(flag) = flag {
                *slot = flag;
            }
        };
        set(&mut config.server.project, flags.project);
        set(&mut config.server.data, flags.data);
        set(&mut config.server.admin_socket, flags.admin_socket);
        set(&mut config.sandbox.supervisor_socket, flags.supervisor_socket);
        config.server.listen = flags.listen.unwrap_or(config.server.listen);
        let fill = |slot: &mut PathBuf, default: PathBuf| {
            if slot.as_os_str().is_empty() {
                *slot = default;
            }
        };
        fill(&mut config.server.project, PathBuf::from("."));
        fill(&mut config.server.data, config.server.project.join(".alyx"));
        fill(&mut config.server.admin_socket, config.server.data.join("run/admin.sock"));
        fill(&mut config.sandbox.supervisor_socket, config.server.data.join("run/control.sock"));
        fill(&mut config.database.path, config.server.data.join("data.db"));
        fill(&mut config.backup.directory, config.server.data.join("backups"));
    }

    /// TLS is served with all of its settings or not at all.
    fn complete_tls(&mut self) {
        let parts = std::mem::take(&mut self.config.tls_parts);
        let missing: Vec<&str> = [
            ("tls.listen", parts.listen.is_none()),
            ("tls.certificate", parts.certificate.is_none()),
            ("tls.key", parts.key.is_none()),
        ]
        .into_iter()
        .filter_map(|(key, missing)| missing.then_some(key))
        .collect();
        match (parts.listen, parts.certificate, parts.key) {
            (Some(listen), Some(certificate), Some(key)) => {
                self.config.tls = Some(Tls { listen, files: TlsFiles { certificate, key } });
            }
            (None, None, None) => {}
            _ => {
                let accepted = Some("tls.listen, tls.certificate and tls.key together".to_owned());
                let message = format!("{} missing", missing.join(" and "));
                self.problem("configuration".to_owned(), "tls", message, accepted);
            }
        }
    }

    fn check_algorithm(&mut self) {
        let auth = &self.config.auth;
        let message = match (auth.algorithm, &auth.secret) {
            (Algorithm::Hs256, None) => "is missing, and auth.algorithm is hs256",
            (Algorithm::EdDsa, Some(_)) => "is there, but auth.algorithm is eddsa, which makes its own keys",
            _ => return,
        };
        let setting = SETTINGS.iter().find(|setting| (setting.section, setting.key) == ("auth", "secret"));
        // A secret that was refused is reported already.
        let reported = self.problems.iter().any(|problem| problem.key == "auth.secret");
        if let (Some(setting), false) = (setting, reported) {
            self.wrong("configuration".to_owned(), setting, message.to_owned());
        }
    }

    /// What keys of `mail` need of each other.
    fn check_mail(&mut self) {
        let mail = &self.config.mail;
        if mail.transport != MailTransport::Smtp {
            return;
        }
        let is_here = mail.host == "localhost"
            || mail.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let mut wrong = Vec::new();
        if mail.host.is_empty() {
            wrong.push(("mail.host", "is missing; `smtp` needs it", "the name of the mail server"));
        } else if mail.security == MailSecurity::Plain && !is_here {
            wrong.push(("mail.security", "would send passwords and links in the open", "starttls or tls"));
        }
        if mail.link_url.is_none() {
            wrong.push((
                "mail.link_url",
                "is missing; `smtp` needs it",
                "the URL that links in mails lead to",
            ));
        }
        if mail.username.is_some() != mail.password.is_some() {
            wrong.push(("mail.password", "belongs to mail.username", "both, or neither"));
        }
        for (key, message, accepted) in wrong {
            let place = "configuration".to_owned();
            self.problem(place, key, message.to_owned(), Some(accepted.to_owned()));
        }
    }

    /// A provider sends people back to us, so we must know how browsers reach us.
    fn check_public_url(&mut self) {
        let server = &self.config.server;
        if server.public_url.is_none() && !self.config.oauth.is_empty() && !server.listen.ip().is_loopback() {
            let message = "is needed, because there is a section oauth".to_owned();
            let accepted = Some("the URL under which browsers reach the API".to_owned());
            self.problem("configuration".to_owned(), "server.public_url", message, accepted);
        }
    }

    /// Browsers refuse what does not go together, and only tell the person who tries.
    fn check_passkeys(&mut self) {
        let auth = &self.config.auth;
        let public = self.config.server.public_url.as_deref().and_then(|url| url::Url::parse(url).ok());
        let public =
            public.map(|url| (url.origin().ascii_serialization(), url.host_str().map(str::to_owned)));
        let host = public.as_ref().and_then(|(_, host)| host.clone());
        let Some(domain) = auth.passkey_domain.clone().or(host) else { return };
        let mut wrong = Vec::new();
        if let (Some(_), Some((origin, _))) = (&auth.passkey_domain, &public)
            && !may_use(origin, &domain)
        {
            wrong.push(("auth.passkey_domain", format!("pages of {origin} cannot use passkeys of {domain}")));
        }
        for origin in &auth.passkey_origins {
            if !may_use(origin, &domain) {
                let message = format!("pages of {origin} cannot use passkeys of {domain}");
                wrong.push(("auth.passkey_origins", message));
            }
        }
        for (key, message) in wrong {
            let accepted = "https, or http on localhost, and the domain itself or a name below it";
            self.problem("configuration".to_owned(), key, message, Some(accepted.to_owned()));
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.source.environment.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
    }

    fn wrong(&mut self, place: String, setting: &Setting, message: String) {
        let key = format!("{}.{}", setting.section, setting.key);
        self.problem(place, &key, message, Some(setting.accepts.to_owned()));
    }

    fn problem(&mut self, place: String, key: &str, message: String, accepted: Option<String>) {
        self.problems.push(ConfigProblem { place, key: key.to_owned(), message, accepted });
    }
}

fn at(file: &str, place: Place) -> String {
    if place.line == 0 { file.to_owned() } else { format!("{file}:{}:{}", place.line, place.column) }
}

fn sections() -> Vec<&'static str> {
    let mut seen = BTreeSet::new();
    SETTINGS.iter().map(|setting| setting.section).filter(|section| seen.insert(*section)).collect()
}

fn keys_of(section: &str) -> Vec<&'static str> {
    SETTINGS.iter().filter(|setting| setting.section == section).map(|setting| setting.key).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Overrides, Source, load};
    use crate::config::{Config, Mode, Registration};

    fn load_text(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("alyx.yaml");
        std::fs::write(&file, text).unwrap();
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let source = Source {
            file: Some(&file),
            environment: &environment,
            overrides: &Overrides::default(),
            mode: Mode::Production,
        };
        let prefix = format!("{}/", directory.path().display());
        load(&source).map_err(|problems| {
            problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect()
        })
    }

    #[test]
    fn later_sources_win() {
        let config =
            load_text("server: { listen: 127.0.0.1:1 }\nauth: { registration: closed }", &[]).unwrap();
        assert_eq!(config.server.listen.port(), 1);
        assert_eq!(config.auth.registration, Registration::Closed);
        let config =
            load_text("server: { listen: 127.0.0.1:1 }", &[("ALYX_SERVER_LISTEN", "127.0.0.1:2")]).unwrap();
        assert_eq!(config.server.listen.port(), 2);
        let config = load_text("server: { listen: \"127.0.0.1:${PORT}\" }", &[("PORT", "77")]).unwrap();
        assert_eq!(config.server.listen.port(), 77);
    }

    #[test]
    fn empty_files_and_sections_are_fine() {
        for text in ["", "# nothing\n", "server:\n"] {
            assert!(load_text(text, &[]).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = load_text("server: { data: state }", &[]).unwrap();
        assert!(config.server.data.is_absolute());
        assert!(config.database.path.ends_with("state/data.db"));
    }

    #[test]
    fn every_problem_is_listed_with_its_place() {
        let text = "serverr: {}\nserver:\n  lisen: 1\n  listen: nonsense\n  body_limit: [1]\n  trusted_proxies: x\nauth: 5\nlogging:\n  level:\n  format: ${FORMAT}\n";
        let problems = load_text(text, &[("ALYX_AUTH_TTL", "1"), ("ALYX_RUNTIMES_DIR", "x")]).unwrap_err();
        let expected = [
            "alyx.yaml:1:1: serverr: unknown section",
            "alyx.yaml:3:3: server.lisen: unknown key",
            "alyx.yaml:4:11: server.listen: \"nonsense\" is not accepted",
            "alyx.yaml:5:15: server.body_limit: has the wrong type",
            "alyx.yaml:6:20: server.trusted_proxies: has the wrong type",
            "alyx.yaml:7:7: auth: must hold keys",
            "logging.level: has no value",
            "alyx.yaml:10:11: logging.format: the environment variable FORMAT is not set",
            "ALYX_AUTH_TTL: auth.ttl: unknown key",
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (problem, expected) in problems.iter().zip(expected) {
            assert!(problem.contains(expected), "{problem} instead of {expected}");
            assert!(problem.contains("\n  accepted: "), "{problem}");
        }
    }

    #[test]
    fn an_unreadable_file_is_a_problem() {
        let source = Source {
            file: Some(Path::new("/nonexistent/alyx.yaml")),
            environment: &[],
            overrides: &Overrides::default(),
            mode: Mode::Production,
        };
        assert!(load(&source).unwrap_err()[0].message.starts_with("cannot be read"));
        assert!(load_text("server: [", &[]).unwrap_err()[0].contains("is not valid YAML"));
        assert!(load_text("- a", &[]).unwrap_err()[0].contains("does not have sections"));
    }

    #[test]
    fn m08_the_password_of_the_mail_server_is_not_printed() {
        let config = load_text("mail: { password: hunter2hunter2 }", &[]).unwrap();
        assert!(config.mail.password.is_some());
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn out_of_range_values_are_refused() {
        let check = |text: &str, valid: bool| assert_eq!(load_text(text, &[]).is_ok(), valid, "{text}");
        check("auth: { min_password_length: 7 }", false);
        check("auth: { min_password_length: 8 }", true);
        check("auth: { min_password_length: eight }", false);
        check("auth: { access_ttl: 0s }", false);
        check("auth: { access_ttl: 24h }", true);
        check("auth: { access_ttl: 25h }", false);
        check("server: { body_limit: 64mb }", true);
        check("server: { body_limit: 65mb }", false);
        check("cors: { allowed_origins: ['*'] }", false);
        check("auth: { secret: abc }", false);
        check("tls: { listen: 127.0.0.1:0, certificate: a.pem, key: b.pem }", true);
        check("tls: { listen: 127.0.0.1:0, certificate: a.pem }", false);
        check("tls: { certificate: a.pem, key: b.pem }", false);
        check("tls: { hsts: 0s }", true);
        check("limits: { reads_per_minute: off }", true);
        check("limits: { reads_per_minute: 0 }", false);
        check("mail: { transport: smtp }", false);
        check("mail: { transport: smtp, host: mail.example.com, link_url: 'https://example.com' }", true);
        let plain = "mail: { transport: smtp, link_url: 'http://x', security: plain, host: ";
        check(&format!("{plain} mail.example.com }}"), false);
        check(&format!("{plain} 127.0.0.1 }}"), true);
        check(&format!("{plain} localhost, username: x }}"), false);
        check(&format!("{plain} localhost, username: x, password: y }}"), true);
        check("mail: { link_url: 'javascript:alert(1)' }", false);
        check("mail: { from: \"a@b\\r\\nBcc: c@d\" }", false);
        check("mail: { locale: ../x }", false);
        check("auth: { registration: verified }", false);
        check("auth: { registration: verified }\nmail: { transport: file }", true);
        let both = "auth: { registration: verified, anonymous: allowed }";
        check(&format!("{both}\nmail: {{ transport: file }}"), false);
        check("auth: { registration: perhaps }", false);
    }

    #[test]
    fn m13_where_mail_goes_out_addresses_are_verified_first() {
        let smtp = "mail: { transport: smtp, host: localhost, link_url: 'https://example.com' }\n";
        let check = |text: &str, expected: Registration| {
            assert_eq!(load_text(text, &[]).unwrap().auth.registration, expected, "{text}");
        };
        check("", Registration::Open);
        check("mail: { transport: file }", Registration::Open);
        check(smtp, Registration::Verified);
        check(&format!("{smtp}auth: {{ registration: open }}"), Registration::Open);
        check(&format!("{smtp}auth: {{ registration: closed }}"), Registration::Closed);
        // Claiming an anonymous account has to sign in at once, and so cannot hide what is taken.
        check(&format!("{smtp}auth: {{ anonymous: allowed }}"), Registration::Open);
    }
}
