//! Reads `inbound:`: which requests of others run a function, and how their signatures are checked.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::function::duration;
use super::hook::read_retry;
use super::reader::{At, Reader, join, shorten};
use super::units::show_duration;
use super::webhook::read_secrets;
use super::{FunctionUse, Retry, Schema};
use crate::limits::{INBOUND_MAX, INBOUND_PATH_MAX_BYTES};

/// Least, usual and most by which the time of a request may differ from ours.
const TOLERANCES: [Duration; 3] =
    [Duration::from_secs(10), Duration::from_secs(5 * 60), Duration::from_secs(3_600)];

/// Least, usual and most time for which a delivery is known to have come.
const WINDOWS: [Duration; 3] =
    [Duration::from_secs(60), Duration::from_secs(24 * 3_600), Duration::from_secs(7 * 24 * 3_600)];

/// A path below `/hooks/` that runs a function for whoever signs as agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// What stands behind `/hooks/`: segments of `a-z`, `0-9`, `_` and `-`. No two have the same.
    pub path: String,
    /// How the signature is made.
    pub verify: Verify,
    /// Names of the secrets that may have signed, the newest first; at least one.
    pub secrets: Vec<String>,
    /// The function.
    pub function: String,
    /// Whether the sender waits for it.
    pub mode: InboundMode,
    /// How long a delivery is known to have come; at least as long as its signature is good.
    pub window: Duration,
}

/// How whoever sends signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Standard Webhooks.
    Standard {
        /// How far the signed time may be from ours.
        tolerance: Duration,
    },
    /// GitHub: `X-Hub-Signature-256`.
    Github,
    /// Stripe: `Stripe-Signature`.
    Stripe {
        /// How far the signed time may be from ours.
        tolerance: Duration,
    },
    /// Slack: `X-Slack-Signature`.
    Slack {
        /// How far the signed time may be from ours.
        tolerance: Duration,
    },
    /// An HMAC of the body in a header.
    Hmac(HmacForm),
}

/// Where an HMAC of the body stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HmacForm {
    /// Of which hash.
    pub hash: HmacHash,
    /// Name of the header, in lower case.
    pub header: String,
    /// How it is written there.
    pub encoding: Encoding,
    /// What stands before it there.
    pub prefix: String,
    /// Name of the header with the id of the delivery, in lower case.
    pub id: Option<String>,
}

/// Hash of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HmacHash {
    /// SHA-256.
    Sha256,
    /// SHA-1, for senders that know nothing better.
    Sha1,
}

/// How bytes are written in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal digits in either case.
    Hex,
    /// Base64 with padding.
    Base64,
}

/// Whether the sender waits for the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboundMode {
    /// It is answered once there is a job, which is tried again so.
    Async(Retry),
    /// It is answered what the function answers.
    Sync,
}

/// A word of `verify`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Standard,
    Github,
    Stripe,
    Slack,
    Hmac(HmacHash),
}

const SCHEMES: [(&str, Scheme); 6] = [
    ("standard", Scheme::Standard),
    ("github", Scheme::Github),
    ("stripe", Scheme::Stripe),
    ("slack", Scheme::Slack),
    ("hmac-sha256", Scheme::Hmac(HmacHash::Sha256)),
    ("hmac-sha1", Scheme::Hmac(HmacHash::Sha1)),
];

/// Reads the list. What is wrong is reported and left out.
pub(super) fn read(reader: &mut Reader<'_>, at: &At<'_>, schema: &mut Schema) {
    let mut paths = HashSet::new();
    for item in reader.list(at, INBOUND_MAX).unwrap_or_default() {
        let Some((inbound, function)) = read_one(reader, &item) else { continue };
        if !paths.insert(inbound.path.clone()) {
            let message = format!("the path \"{}\" is there twice", inbound.path);
            reader.report(item.key, &item.path, message, "give one of them another path");
        }
        schema.inbound.push(inbound);
        schema.uses.push(function);
    }
}

fn read_one(reader: &mut Reader<'_>, at: &At<'_>) -> Option<(Inbound, FunctionUse)> {
    let mut section = reader.section(at)?;
    let (path, verify, secret) = (section.take("path"), section.take("verify"), section.take("secret"));
    let (function, mode, retry) = (section.take("function"), section.take("mode"), section.take("retry"));
    let (tolerance, window) = (section.take("tolerance"), section.take("window"));
    let form = Form {
        header: section.take("header"),
        encoding: section.take("encoding"),
        prefix: section.take("prefix"),
        id: section.take("id"),
    };
    section.finish(reader);
    let path = match path {
        Some(at) => read_path(reader, &at),
        None => missing(reader, at, "path", "add path: what stands behind /hooks/, such as stripe"),
    };
    let scheme = match verify {
        Some(at) => reader.word(&at, "scheme", &SCHEMES),
        None => missing(reader, at, "verify", "add verify: standard, github, stripe, slack or hmac-sha256"),
    };
    let secrets = match secret {
        Some(at) => read_secrets(reader, &at),
        None => missing(reader, at, "secret", "add secret: the name of a secret, set by `alyx secrets set`"),
    };
    let function = match function {
        Some(function) => reader.text(&function).map(|name| FunctionUse {
            function: name.to_owned(),
            path: function.path.clone(),
            position: function.node.position,
        }),
        None => missing(reader, at, "function", "add function: the name of a function"),
    };
    let mode = read_mode(reader, mode.as_ref(), retry.as_ref());
    let verify = scheme.and_then(|scheme| read_verify(reader, at, scheme, tolerance.as_ref(), &form));
    let window = read_window(reader, window.as_ref(), verify.as_ref());
    let function = function?;
    let name = function.function.clone();
    let inbound =
        Inbound { path: path?, verify: verify?, secrets: secrets?, function: name, mode: mode?, window };
    Some((inbound, function))
}

fn read_path(reader: &mut Reader<'_>, at: &At<'_>) -> Option<String> {
    let path = reader.text(at)?;
    let segment = |segment: &str| {
        segment.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
            && segment.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
            })
    };
    if path.len() > INBOUND_PATH_MAX_BYTES || !path.split('/').all(segment) {
        let message = format!("\"{}\" is no path below /hooks/", shorten(path));
        reader.refuse(at, message, "write words of a-z, 0-9, _ and - with / between them, such as stripe");
        return None;
    }
    Some(path.to_owned())
}

/// `mode: async`, with `retry`, if nothing is said.
fn read_mode(reader: &mut Reader<'_>, mode: Option<&At<'_>>, retry: Option<&At<'_>>) -> Option<InboundMode> {
    let sync = mode.map_or(Some(false), |at| reader.word(at, "mode", &[("sync", true), ("async", false)]))?;
    if !sync {
        return Some(InboundMode::Async(read_retry(reader, retry, Retry::default())));
    }
    if let Some(at) = retry {
        let hint = "remove retry, or use mode: async";
        reader.report(at.key, &at.path, "only a job is tried again", hint);
    }
    Some(InboundMode::Sync)
}

/// What only some schemes have.
struct Form<'n> {
    header: Option<At<'n>>,
    encoding: Option<At<'n>>,
    prefix: Option<At<'n>>,
    id: Option<At<'n>>,
}

fn read_verify(
    reader: &mut Reader<'_>,
    at: &At<'_>,
    scheme: Scheme,
    tolerance: Option<&At<'_>>,
    form: &Form<'_>,
) -> Option<Verify> {
    let [least, usual, most] = TOLERANCES;
    let timed = matches!(scheme, Scheme::Standard | Scheme::Stripe | Scheme::Slack);
    if let Some(at) = tolerance.filter(|_| !timed) {
        let hint = "remove tolerance; window says how long a delivery is known";
        reader.report(at.key, &at.path, "nobody signs a time here", hint);
    }
    let tolerance = duration(reader, tolerance.filter(|_| timed), usual, least..=most);
    if let Scheme::Hmac(hash) = scheme {
        return read_form(reader, at, hash, form).map(Verify::Hmac);
    }
    let fixed = [&form.header, &form.encoding, &form.prefix, &form.id];
    for at in fixed.into_iter().flatten() {
        let message = "this scheme says itself where the signature is";
        reader.report(at.key, &at.path, message, "remove it, or use verify: hmac-sha256");
    }
    Some(match scheme {
        Scheme::Standard => Verify::Standard { tolerance },
        Scheme::Stripe => Verify::Stripe { tolerance },
        Scheme::Slack => Verify::Slack { tolerance },
        Scheme::Github | Scheme::Hmac(_) => Verify::Github,
    })
}

fn read_form(reader: &mut Reader<'_>, at: &At<'_>, hash: HmacHash, form: &Form<'_>) -> Option<HmacForm> {
    let header = match &form.header {
        Some(at) => read_header(reader, at),
        None => missing(reader, at, "header", "add header: the name of the header with the signature"),
    };
    let words = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
    let encoding =
        form.encoding.as_ref().map_or(Some(Encoding::Hex), |at| reader.word(at, "encoding", &words));
    let prefix = form.prefix.as_ref().map_or(Some(""), |at| {
        let prefix = reader.text(at)?;
        if prefix.len() > 32 || !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            reader.refuse(at, "is no prefix of a signature", "write up to 32 characters, such as sha256=");
            return None;
        }
        Some(prefix)
    });
    let id = form.id.as_ref().map_or(Some(None), |at| read_header(reader, at).map(Some));
    Some(HmacForm { hash, header: header?, encoding: encoding?, prefix: prefix?.to_owned(), id: id? })
}

/// Headers that are not handed on, or that do not come from whoever signs.
const UNFIT_HEADERS: [&str; 7] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
];

fn read_header(reader: &mut Reader<'_>, at: &At<'_>) -> Option<String> {
    let name = reader.text(at)?.to_ascii_lowercase();
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.is_empty() || name.len() > 100 || !name.bytes().all(token) {
        reader.refuse(at, "is not a name of a header", "write letters, digits and -, such as X-Signature");
        return None;
    }
    if UNFIT_HEADERS.contains(&name.as_str()) {
        reader.refuse(at, "this header has another meaning", "");
        return None;
    }
    Some(name)
}

fn read_window(reader: &mut Reader<'_>, at: Option<&At<'_>>, verify: Option<&Verify>) -> Duration {
    let [least, usual, most] = WINDOWS;
    // As long as a signature is good: from `tolerance` before its time to as long after it.
    let good = verify.and_then(Verify::tolerance).map_or(Duration::ZERO, |tolerance| tolerance * 2);
    duration(reader, at, usual, least.max(good)..=most)
}

fn missing<T>(reader: &mut Reader<'_>, inbound: &At<'_>, key: &str, hint: &str) -> Option<T> {
    reader.report(inbound.key, &join(&inbound.path, key), format!("there is no {key}"), hint);
    None
}

impl Verify {
    /// How far the signed time may be from ours, where a time is signed.
    #[must_use]
    pub const fn tolerance(&self) -> Option<Duration> {
        match self {
            Self::Standard { tolerance } | Self::Stripe { tolerance } | Self::Slack { tolerance } => {
                Some(*tolerance)
            }
            Self::Github | Self::Hmac(_) => None,
        }
    }

    /// Its word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Standard { .. } => "standard",
            Self::Github => "github",
            Self::Stripe { .. } => "stripe",
            Self::Slack { .. } => "slack",
            Self::Hmac(HmacForm { hash: HmacHash::Sha256, .. }) => "hmac-sha256",
            Self::Hmac(HmacForm { hash: HmacHash::Sha1, .. }) => "hmac-sha1",
        }
    }
}

impl Inbound {
    /// Its members as they are written in a schema, with what is left out filled in.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
        put("path", json!(self.path));
        put("verify", json!(self.verify.as_str()));
        put("secret", json!(self.secrets));
        put("function", json!(self.function));
        if let Some(tolerance) = self.verify.tolerance() {
            put("tolerance", json!(show_duration(tolerance)));
        }
        if let Verify::Hmac(form) = &self.verify {
            put("header", json!(form.header));
            put("encoding", json!(if form.encoding == Encoding::Hex { "hex" } else { "base64" }));
            put("prefix", json!(form.prefix));
            if let Some(id) = &form.id {
                put("id", json!(id));
            }
        }
        put("window", json!(show_duration(self.window)));
        match self.mode {
            InboundMode::Sync => put("mode", json!("sync")),
            InboundMode::Async(Retry { attempts, first, longest }) => {
                put("mode", json!("async"));
                let (first, longest) = (show_duration(first), show_duration(longest));
                put("retry", json!({ "attempts": attempts, "first": first, "longest": longest }));
            }
        }
        members
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::schema::{Schema, parse};

    fn schema(inbound: &str) -> Result<Schema, Vec<crate::schema::Diagnostic>> {
        parse(
            "s.yaml",
            &format!("version: 1\nfunctions: {{ f: {{ runtime: node }} }}\ninbound: [{inbound}]\n"),
        )
    }

    #[test]
    fn m36_wrong_inbound_paths_are_named_with_their_place() {
        let check = |inbound: &str, expected: &str| match schema(inbound) {
            Ok(_) => assert_eq!(expected, "", "{inbound}"),
            Err(problems) => assert!(
                !expected.is_empty() && problems.iter().any(|problem| problem.message.contains(expected)),
                "{inbound}: {problems:#?}"
            ),
        };
        let with = |more: &str| format!("{{ path: p, secret: S, function: f, {more} }}");
        for scheme in ["standard", "github", "stripe", "slack"] {
            check(&with(&format!("verify: {scheme}")), "");
            check(&with(&format!("verify: {scheme}, header: X-A")), "says itself where");
        }
        check(&with("verify: stripe, tolerance: 10s, window: 1m"), "");
        check(&with("verify: stripe, tolerance: 9s"), "must be a duration");
        check(&with("verify: stripe, tolerance: 61m"), "must be a duration");
        check(&with("verify: stripe, window: 9m"), "from 10m to 168h");
        check(&with("verify: stripe, tolerance: 1h, window: 2h"), "");
        check(&with("verify: github, tolerance: 5m"), "nobody signs a time");
        check(&with("verify: github, window: 169h"), "must be a duration");
        check(&with("verify: hmac-sha256"), "there is no header");
        check(&with("verify: hmac-sha256, header: X-Sig, encoding: base64, prefix: 'v1=', id: X-Id"), "");
        check(&with("verify: hmac-sha1, header: X-Sig"), "");
        check(&with("verify: hmac-sha256, header: 'X Sig'"), "not a name of a header");
        check(&with("verify: hmac-sha256, header: Authorization"), "another meaning");
        check(&with("verify: hmac-sha256, header: X-Sig, prefix: 'a b'"), "no prefix");
        check(&with("verify: md5"), "unknown scheme \"md5\"");
        check(&with("verify: stripe, mode: sync"), "");
        check(&with("verify: stripe, mode: sync, retry: { attempts: 2 }"), "only a job is tried again");
        check(&with("verify: stripe, mode: later"), "unknown mode");
        check("{ verify: stripe, secret: S, function: f }", "there is no path");
        check("{ path: p, secret: S, function: f }", "there is no verify");
        check("{ path: p, verify: stripe, function: f }", "there is no secret");
        check("{ path: p, verify: stripe, secret: S }", "there is no function");
        check("{ path: p, verify: stripe, secret: [A, B, C, D, E], function: f }", "more than 4");
        check("{ path: p, verify: stripe, secret: [], function: f }", "at least one secret");
        for (path, fine) in [
            ("a", true),
            ("shop/stripe_1-x", true),
            ("0a", true),
            ("A", false),
            ("/a", false),
            ("a/", false),
            ("a//b", false),
            ("a.b", false),
            ("-a", false),
            ("''", false),
        ] {
            let inbound = format!("{{ path: {path}, verify: github, secret: S, function: f }}");
            check(&inbound, if fine { "" } else { "no path below" });
        }
        let one = with("verify: github");
        check(&format!("{one}, {one}"), "is there twice");
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let found = schema("{ path: p, verify: stripe, secret: S, function: f }").unwrap();
        let expected = json!({
            "path": "p", "verify": "stripe", "secret": ["S"], "function": "f", "tolerance": "5m",
            "window": "24h", "mode": "async", "retry": { "attempts": 8, "first": "1s", "longest": "1h" },
        });
        assert_eq!(json!(found.inbound[0].to_json()), expected);
        assert_eq!(
            (found.uses[0].function.as_str(), found.uses[0].path.as_str()),
            ("f", "inbound[0].function")
        );
    }
}
