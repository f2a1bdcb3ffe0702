//! The environment of a function, and the secrets that it is given. Names that change how a runtime or
//! the dynamic linker starts are refused: with them a variable would be code that runs before the shim.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{At, Reader, join, shorten};
use super::yaml::Yaml;
use crate::limits::{ENV_MAX, ENV_VALUE_MAX_BYTES, NAME_MAX_BYTES, SECRETS_MAX};

/// Prefixes of names that are refused, and why.
const REFUSED_PREFIXES: &[(&str, &str)] = &[
    ("LD_", "it steers the dynamic linker"),
    ("NODE_", "it steers Node.js"),
    ("PYTHON", "it steers Python"),
    ("GO", "it steers Go"),
    ("MALLOC_", "it steers the C library"),
    ("GLIBC_", "it steers the C library"),
    ("ALYX_", "names that start with ALYX_ are ours"),
];

/// Names that are refused, and why.
const REFUSED_NAMES: &[(&str, &str)] = &[
    ("PATH", "the sandbox sets it"),
    ("HOME", "the sandbox sets it"),
    ("LANG", "the sandbox sets it"),
    ("TZ", "the sandbox sets it"),
    ("TMPDIR", "the sandbox sets it"),
    ("IFS", "it steers shells"),
    ("ENV", "it steers shells"),
    ("BASH_ENV", "it steers shells"),
    ("LOCPATH", "it steers the C library"),
    ("NLSPATH", "it steers the C library"),
    ("GCONV_PATH", "it steers the C library"),
    ("RES_OPTIONS", "it steers the C library"),
    ("HOSTALIASES", "it steers the C library"),
    ("OPENSSL_CONF", "it steers OpenSSL"),
    ("OPENSSL_MODULES", "it steers OpenSSL"),
    ("SSLKEYLOGFILE", "it writes keys of TLS connections to a file"),
    ("UV_THREADPOOL_SIZE", "the sandbox sets it"),
];

/// Reads `env:`. What is wrong is reported and left out.
pub(super) fn read(reader: &mut Reader<'_>, at: &At<'_>) -> BTreeMap<String, String> {
    let entries = reader.entries(at).unwrap_or_default();
    if entries.len() > ENV_MAX {
        reader.refuse(at, format!("has {} variables, more than {ENV_MAX}", entries.len()), "");
        return BTreeMap::new();
    }
    let mut env = BTreeMap::new();
    for (key, node) in entries {
        let path = join(&at.path, &key.text);
        if let Some(reason) = refusal(&key.text) {
            let message = format!("the variable \"{}\" is refused: {reason}", shorten(&key.text));
            reader.report(key.position, &path, message, "use another name");
            continue;
        }
        let at = At { node, path, key: key.position };
        let value = match &node.value {
            // Numbers and truth values would be text in any environment, but not the text written.
            Yaml::Null => Some(""),
            _ => reader.text(&at),
        };
        match value {
            Some(value) if value.len() > ENV_VALUE_MAX_BYTES || value.contains('\0') => {
                let message = format!("must have at most {ENV_VALUE_MAX_BYTES} bytes and no U+0000");
                reader.refuse(&at, message, "");
            }
            Some(value) => {
                env.insert(key.text.clone(), value.to_owned());
            }
            None => {}
        }
    }
    env
}

/// Reads `secrets:`, a list of names. What is wrong is reported and left out.
pub(super) fn read_secrets(reader: &mut Reader<'_>, at: &At<'_>) -> Vec<String> {
    let mut names = BTreeSet::new();
    for item in reader.list(at, SECRETS_MAX).unwrap_or_default() {
        let Some(name) = reader.text(&item) else { continue };
        if !is_secret_name(name) {
            reader.refuse(&item, format!("\"{}\" is no name of a secret: {NAMES}", shorten(name)), "");
        } else if !names.insert(name.to_owned()) {
            reader.refuse(&item, format!("the secret \"{name}\" stands here twice"), "");
        }
    }
    names.into_iter().collect()
}

/// What names of variables and secrets look like.
const NAMES: &str = "names match ^[A-Za-z_][A-Za-z0-9_]*$ and have at most 63 characters";

/// Whether a secret can have this name: `[A-Za-z_][A-Za-z0-9_]*`, at most 63 characters.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    first && rest && name.len() <= NAME_MAX_BYTES
}

fn refusal(name: &str) -> Option<&'static str> {
    if !is_secret_name(name) {
        return Some(NAMES);
    }
    let upper = name.to_ascii_uppercase();
    // The one well-known name that looks like one of Go's and is not.
    let by_prefix = REFUSED_PREFIXES
        .iter()
        .find(|(prefix, _)| upper.starts_with(prefix) && !upper.starts_with("GOOGLE_"));
    let refused = by_prefix.or_else(|| REFUSED_NAMES.iter().find(|(name, _)| *name == upper));
    refused.map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn names() {
        let check = |name: &str, accepted: bool| assert_eq!(refusal(name).is_none(), accepted, "{name}");
        check("API_URL", true);
        check("api_url", true);
        check("_X1", true);
        check("LDAP_URL", true);
        check("NODEMAILER_HOST", true);
        check("LD_PRELOAD", false);
        check("ld_preload", false);
        check("NODE_OPTIONS", false);
        check("NODE_ENV", false);
        check("PYTHONPATH", false);
        check("GODEBUG", false);
        check("GOMAXPROCS", false);
        check("GOOGLE_API_KEY", true);
        check("PATH", false);
        check("BASH_ENV", false);
        check("1A", false);
        check("A-B", false);
        check("A=B", false);
        check("", false);
        check(&"A".repeat(63), true);
        check(&"A".repeat(64), false);
    }
}
