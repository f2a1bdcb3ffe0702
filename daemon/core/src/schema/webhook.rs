//! Reads `webhooks:`: who elsewhere is told of what happens.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde_json::{Map, Value, json};
use url::Url;

use super::env::is_secret_name;
use super::function::duration;
use super::hook::{read_on, read_retry};
use super::reader::{At, Reader, join, shorten};
use super::units::show_duration;
use super::users::USERS;
use super::yaml::Yaml;
use super::{HookOn, Retry, Schema};
use crate::limits::{WEBHOOK_HEADERS_MAX, WEBHOOK_SECRETS_MAX, WEBHOOK_URL_MAX_BYTES, WEBHOOKS_MAX};
use crate::rules::Condition;

/// Shortest, usual and longest wait for an answer.
const TIMEOUTS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(15), Duration::from_secs(60)];

/// Headers that are ours, or that frame the request; what starts with `webhook-` is, too.
const OWN_HEADERS: [&str; 11] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "te",
    "upgrade",
    "trailer",
    "user-agent",
    "expect",
    "keep-alive",
];

/// A request to somebody else whenever something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its name. No two webhooks have the same.
    pub id: String,
    /// Of what it tells.
    pub on: HookOn,
    /// Where requests go: `http` or `https`, without user and password.
    pub url: Url,
    /// What of it is told; all if there is none.
    pub condition: Option<Condition>,
    /// Names of the secrets that sign, the newest first; at least one.
    pub secrets: Vec<String>,
    /// Sent besides ours, by name in lower case.
    pub headers: BTreeMap<String, String>,
    /// How a delivery is tried again.
    pub retry: Retry,
    /// Longest wait for an answer.
    pub timeout: Duration,
}

/// Reads the webhooks of a schema whose collections and events are known.
pub(super) fn read(reader: &mut Reader<'_>, at: &At<'_>, schema: &Schema) -> Vec<Webhook> {
    let (mut ids, mut webhooks) = (HashSet::new(), Vec::new());
    for item in reader.list(at, WEBHOOKS_MAX).unwrap_or_default() {
        let Some(webhook) = read_one(reader, &item, schema) else { continue };
        if !ids.insert(webhook.id.clone()) {
            let message = format!("there are two webhooks with the id \"{}\"", webhook.id);
            reader.report(item.key, &item.path, message, "give one of them another id");
        }
        webhooks.push(webhook);
    }
    webhooks
}

/// Reads one webhook.
pub(super) fn read_one(reader: &mut Reader<'_>, at: &At<'_>, schema: &Schema) -> Option<Webhook> {
    let mut section = reader.section(at)?;
    let (id, on, url) = (section.take("id"), section.take("on"), section.take("url"));
    let (name, actions) = (section.take("name"), section.take("actions"));
    let (condition, secret) = (section.take("condition"), section.take("secret"));
    let (headers, retry) = (section.take("headers"), section.take("retry"));
    let timeout = section.take("timeout");
    section.finish(reader);
    let id = match id {
        Some(at) => reader.text(&at).filter(|id| reader.name(id, at.key, &at.path)).map(str::to_owned),
        None => missing(reader, at, "id", "add id: a name of its own"),
    };
    let on = match on {
        Some(on) => read_on(reader, at, (&on, name.as_ref(), actions.as_ref()), schema),
        None => missing(reader, at, "on", "add on: the name of a collection, auth, or event"),
    };
    let url = match url {
        Some(at) => read_url(reader, &at),
        None => missing(reader, at, "url", "add url: https://…"),
    };
    let secrets = match secret {
        Some(at) => read_secrets(reader, &at),
        None => missing(reader, at, "secret", "add secret: the name of a secret, set by `alyx secrets set`"),
    };
    let condition = match (&condition, &on) {
        (Some(at), Some(on)) => read_condition(reader, at, on, schema).map(Some),
        _ => Some(None),
    };
    let headers = headers.map(|at| read_headers(reader, &at)).unwrap_or_default();
    let retry = read_retry(reader, retry.as_ref(), Retry::default());
    let [shortest, usual, longest] = TIMEOUTS;
    let timeout = duration(reader, timeout.as_ref(), usual, shortest..=longest);
    let (condition, secrets) = (condition?, secrets?);
    Some(Webhook { id: id?, on: on?, url: url?, condition, secrets, headers, retry, timeout })
}

fn read_url(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Url> {
    let text = reader.text(at)?;
    // The URL standard mends what nobody means: it drops line breaks, and finds a host behind `///`.
    let plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.port() != Some(0)
            && !text.contains(|letter: char| letter.is_control() || letter == ' ' || letter == '\\')
            && !text.contains(":///")
    };
    let url = Url::parse(text).ok().filter(plain);
    let Some(url) = url.filter(|_| text.len() <= WEBHOOK_URL_MAX_BYTES) else {
        let message = format!("\"{}\" is no address that requests can go to", shorten(text));
        reader.refuse(at, message, "write an http or https URL");
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        let hint = "remove it: receivers check the signature instead";
        reader.refuse(at, "the URL holds a user or a password", hint);
        return None;
    }
    Some(url)
}

/// A name, or several.
pub(super) fn read_secrets(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Vec<String>> {
    let items = match at.node.value {
        Yaml::List(_) => reader.list(at, WEBHOOK_SECRETS_MAX)?,
        _ => vec![At { node: at.node, path: at.path.clone(), key: at.key }],
    };
    if items.is_empty() {
        reader.refuse(at, "must name at least one secret", "write secret: NAME");
        return None;
    }
    let mut names = Vec::new();
    for item in &items {
        let name = reader.text(item)?;
        if !is_secret_name(name) {
            let message = format!("\"{}\" is not a name of a secret", shorten(name));
            reader.refuse(item, message, "write letters, digits and _, such as SHOP_WEBHOOK");
            return None;
        }
        names.push(name.to_owned());
    }
    Some(names)
}

fn read_condition(reader: &mut Reader<'_>, at: &At<'_>, on: &HookOn, schema: &Schema) -> Option<Condition> {
    let variables: &[&str] = match on {
        HookOn::Documents { .. } => &["collection", "action", "id", "seq", "identity", "doc", "old"],
        HookOn::Auth(_) => &["action", "id", "identity", "doc"],
        HookOn::Event(_) => &["event", "id", "identity", "payload"],
    };
    match Condition::compile(reader.text(at)?, variables) {
        Ok(condition) => {
            let unknown = unknown_field(&condition, on, schema);
            if let Some(field) = &unknown {
                let message = format!("there is no field \"{field}\" that webhooks are told of");
                reader.refuse(at, message, "fields that are hidden or internal are not told");
            }
            unknown.is_none().then_some(condition)
        }
        Err(message) => {
            reader.refuse(at, message, "");
            None
        }
    }
}

/// A field that a condition reads and no document that is told has.
fn unknown_field(condition: &Condition, on: &HookOn, schema: &Schema) -> Option<String> {
    let collection = match on {
        HookOn::Documents { collection, .. } => collection.as_str(),
        HookOn::Auth(_) => USERS,
        HookOn::Event(_) => return None,
    };
    let collection = schema.collections.get(collection)?;
    let is_told =
        |name: &str| collection.field(name).is_some_and(|(_, field)| !field.hidden && !field.internal);
    let fields = condition.members_of(&["doc", "old"]);
    fields.into_iter().find(|name| !is_told(name)).map(str::to_owned)
}

fn read_headers(reader: &mut Reader<'_>, at: &At<'_>) -> BTreeMap<String, String> {
    let entries = reader.entries(at).unwrap_or_default();
    if entries.len() > WEBHOOK_HEADERS_MAX {
        let message = format!("has {} headers, more than {WEBHOOK_HEADERS_MAX}", entries.len());
        reader.refuse(at, message, "");
        return BTreeMap::new();
    }
    let mut headers = BTreeMap::new();
    for (key, node) in entries {
        let item = At { node, path: join(&at.path, &key.text), key: key.position };
        let name = key.text.to_ascii_lowercase();
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if name.is_empty() || name.len() > 100 || !name.bytes().all(token) {
            reader.report(item.key, &item.path, "is not a name of a header", "write letters, digits and -");
            continue;
        }
        if OWN_HEADERS.contains(&name.as_str()) || name.starts_with("webhook-") {
            reader.report(item.key, &item.path, "this header is set for every request", "remove it");
            continue;
        }
        let Some(value) = reader.text(&item) else { continue };
        if value.len() > 1_000 || !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            reader.refuse(&item, "is not a value of a header", "write at most 1,000 characters of ASCII");
            continue;
        }
        if headers.insert(name, value.to_owned()).is_some() {
            reader.report(
                item.key,
                &item.path,
                "this header is there already",
                "names differ by more than case",
            );
        }
    }
    headers
}

fn missing<T>(reader: &mut Reader<'_>, webhook: &At<'_>, key: &str, hint: &str) -> Option<T> {
    reader.report(webhook.key, &join(&webhook.path, key), format!("the webhook has no {key}"), hint);
    None
}

impl Webhook {
    /// Its members as they are written in a schema, with what is left out filled in.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
        put("id", json!(self.id));
        self.on.write(&mut put);
        put("url", json!(self.url.as_str()));
        if let Some(condition) = &self.condition {
            put("condition", json!(condition.text()));
        }
        put("secret", json!(self.secrets));
        if !self.headers.is_empty() {
            put("headers", json!(self.headers));
        }
        let Retry { attempts, first, longest } = self.retry;
        let (first, longest) = (show_duration(first), show_duration(longest));
        put("retry", json!({ "attempts": attempts, "first": first, "longest": longest }));
        put("timeout", json!(show_duration(self.timeout)));
        members
    }
}

#[cfg(test)]
mod tests {
    use crate::schema::parse;

    #[test]
    fn m36_wrong_webhooks_are_named_with_their_place() {
        let check = |webhook: &str, expected: &str| {
            let text = format!(
                "version: 1\ncollections: {{ posts: {{ fields: {{ id: {{ type: id, primary: true }} }} }} }}\nevents: {{ paid: }}\nwebhooks: [{webhook}]\n"
            );
            match parse("s.yaml", &text) {
                Ok(_) => assert_eq!(expected, "", "{webhook}"),
                Err(problems) => assert!(
                    !expected.is_empty() && problems.iter().any(|problem| problem.message.contains(expected)),
                    "{webhook}: {problems:#?}"
                ),
            }
        };
        let with =
            |more: &str| format!("{{ id: w, on: posts, url: 'https://a.example/x', secret: S, {more} }}");
        check(&with(""), "");
        check(&with("actions: [create], condition: \"doc.id != '' && old == null\", timeout: 5s"), "");
        check(&with("headers: { X-Shop: a }, retry: { attempts: 3 }"), "");
        check("{ id: w, on: event, name: paid, url: 'http://a.example', secret: [NEW, OLD] }", "");
        check("{ id: w, on: auth, actions: [login], url: 'http://a.example', secret: S }", "");
        check("{ on: posts, url: 'https://a.example', secret: S }", "the webhook has no id");
        check("{ id: w, on: posts, secret: S }", "the webhook has no url");
        check("{ id: w, on: posts, url: 'https://a.example' }", "the webhook has no secret");
        for url in [
            "ftp://a.example",
            "http:///x",
            "http://a.example:0/",
            "http://a.example/\\r\\nX: y",
            "http:\\\\a",
        ] {
            let webhook = format!("{{ id: w, on: posts, url: \"{url}\", secret: S }}");
            check(&webhook, "no address that requests can go to");
        }
        check(&with("headers: { X-Shop: a, x-shop: b }"), "there already");
        check(&with("headers: { Expect: 100-continue }"), "set for every request");
        check("{ id: w, on: posts, url: 'https://u:p@a.example', secret: S }", "a user or a password");
        check("{ id: w, on: zzz, url: 'https://a.example', secret: S }", "there is no collection");
        check("{ id: w, on: posts, url: 'https://a.example', secret: a b }", "not a name of a secret");
        check(&with("condition: 'payload.x == 1'"), "there is no \"payload\"");
        check(&with("condition: 'doc.x =='"), "syntax error");
        check(&with("condition: \"size(old.x + 'a') == 1\""), "there is no field \"x\"");
        check(&with("headers: { Host: a }"), "is set for every request");
        check(&with("headers: { Webhook-Id: a }"), "is set for every request");
        check(&with("timeout: 2h"), "must be a duration");
        check(&format!("{}, {}", with(""), with("")), "two webhooks");
    }
}
