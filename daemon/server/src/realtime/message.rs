//! What clients and server say to each other: one JSON object a message. `docs/realtime.md` is the
//! reference.

use alyx_protocol::api::Problem;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::outbox::Message;
use crate::limits::REALTIME_ID_MAX_BYTES;
use crate::problem::{ApiError, Code};

/// What a client says.
#[derive(Debug)]
pub enum Said {
    Auth {
        token: String,
    },
    Subscribe {
        id: String,
        wanted: Wanted,
    },
    /// To be told what is said on a channel.
    Listen {
        id: String,
        channel: String,
    },
    Unsubscribe {
        id: String,
    },
    Broadcast(Broadcast),
    /// To be in a channel with a state, which is JSON; without one, to leave it.
    Presence {
        channel: String,
        state: Option<String>,
    },
    Ping,
}

/// What somebody says on a channel.
#[derive(Debug)]
pub struct Broadcast {
    pub channel: String,
    pub event: String,
    /// JSON.
    pub payload: String,
}

/// What somebody wants to be told of.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub collection: String,
    /// Parameters of a list.
    pub params: Vec<(String, String)>,
    /// The text of `where`.
    pub condition: Option<String>,
    /// The place that the client has seen.
    pub since: Option<String>,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The daemon stops.
    Stopping,
    /// The session has ended, or the account or key is gone.
    SessionEnded,
    /// The token ran out and no other came.
    TokenExpired,
    /// The client reads too slowly.
    Slow,
    /// The client says too much.
    TooManyMessages,
    /// The client has gone.
    Gone,
}

impl Reason {
    /// In `closing`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::SessionEnded => "session_ended",
            Self::TokenExpired => "token_expired",
            Self::Slow => "slow",
            Self::TooManyMessages => "too_many_messages",
            Self::Gone => "gone",
        }
    }

    /// Status of a WebSocket's close frame (RFC 6455 §7.4).
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Gone => 1000,
            Self::Stopping => 1012,
            Self::Slow => 1013,
            Self::TooManyMessages => 1008,
            Self::SessionEnded | Self::TokenExpired => 4401,
        }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object with a `type`")]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Auth {
    #[serde(rename = "type")]
    _kind: IgnoredAny,
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unsubscribe {
    #[serde(rename = "type")]
    _kind: IgnoredAny,
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BroadcastSaid<'a> {
    #[serde(rename = "type", default)]
    _kind: IgnoredAny,
    channel: String,
    event: String,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PresenceSaid<'a> {
    #[serde(rename = "type")]
    _kind: IgnoredAny,
    channel: String,
    #[serde(borrow)]
    state: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenSaid {
    #[serde(rename = "type", default)]
    _kind: IgnoredAny,
    id: String,
    channel: String,
}

/// Tells a subscription to a channel from others.
#[derive(Deserialize)]
struct Target {
    channel: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subscribe<'a> {
    #[serde(rename = "type", default)]
    _kind: IgnoredAny,
    id: String,
    collection: String,
    #[serde(rename = "where", borrow)]
    condition: Option<&'a RawValue>,
    sort: Option<Words>,
    limit: Option<u64>,
    fields: Option<Words>,
    expand: Option<Words>,
    since: Option<String>,
}

/// One text, or a list of words that are put together with commas.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl Words {
    fn text(self) -> String {
        match self {
            Self::One(text) => text,
            Self::Many(words) => words.join(","),
        }
    }
}

/// Reads a message.
///
/// # Errors
/// `invalid_json`, or `validation_failed` with what is wrong.
pub fn read(text: &str) -> Result<Said, ApiError> {
    let Kind { kind } = parse(text)?;
    match kind.as_str() {
        "auth" => Ok(Said::Auth { token: parse::<Auth>(text)?.token }),
        "subscribe" => read_subscribe(text),
        "unsubscribe" => Ok(Said::Unsubscribe { id: parse::<Unsubscribe>(text)?.id }),
        "broadcast" => Ok(Said::Broadcast(read_broadcast(text)?)),
        "presence" => {
            let PresenceSaid { channel, state, .. } = parse(text)?;
            let state = state.map(|raw| raw.get().to_owned()).filter(|state| state != "null");
            Ok(Said::Presence { channel, state })
        }
        "ping" => Ok(Said::Ping),
        other => Err(ApiError::new(
            Code::ValidationFailed,
            format!(
                "There is no message {other:.40?}; known are auth, subscribe, unsubscribe, broadcast, \
                 presence and ping."
            ),
        )),
    }
}

/// The id that a message `subscribe` gives, also one that is wrong otherwise: so a client knows which of its
/// subscriptions did not begin.
pub fn id_of_subscribe(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "type")]
        kind: String,
        id: String,
    }
    let Named { kind, id } = parse(text).ok()?;
    (kind == "subscribe" && check_id(&id).is_ok()).then_some(id)
}

/// Reads a message `subscribe`, of which `type` may be left out.
pub fn read_subscribe(text: &str) -> Result<Said, ApiError> {
    if parse::<Target>(text)?.channel.is_some() {
        let ListenSaid { id, channel, .. } = parse(text)?;
        check_id(&id)?;
        return Ok(Said::Listen { id, channel });
    }
    let asked: Subscribe<'_> = parse(text)?;
    check_id(&asked.id)?;
    let condition = asked.condition.map(|raw| raw.get().to_owned());
    let given = [
        ("where", condition.clone()),
        ("sort", asked.sort.map(Words::text)),
        ("limit", asked.limit.map(|limit| limit.to_string())),
        ("fields", asked.fields.map(Words::text)),
        ("expand", asked.expand.map(Words::text)),
    ];
    let params = given.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?))).collect();
    let wanted = Wanted { collection: asked.collection, params, condition, since: asked.since };
    Ok(Said::Subscribe { id: asked.id, wanted })
}

/// Reads a message `broadcast`, of which `type` may be left out.
pub fn read_broadcast(text: &str) -> Result<Broadcast, ApiError> {
    let BroadcastSaid { channel, event, payload, .. } = parse(text)?;
    let payload = payload.map_or("null", RawValue::get).to_owned();
    Ok(Broadcast { channel, event, payload })
}

fn check_id(id: &str) -> Result<(), ApiError> {
    if id.is_empty() || id.len() > REALTIME_ID_MAX_BYTES {
        let detail = format!("The id of a subscription has 1 to {REALTIME_ID_MAX_BYTES} bytes.");
        return Err(ApiError::new(Code::ValidationFailed, detail));
    }
    Ok(())
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ApiError> {
    serde_json::from_str(text).map_err(|error| {
        let code = if error.is_data() { Code::ValidationFailed } else { Code::InvalidJson };
        ApiError::new(code, format!("The message is not what is expected here: {error}."))
    })
}

/// The beginning of what is told of a subscription.
pub fn head(id: &str) -> String {
    format!("{{\"id\":{},", Value::from(id))
}

/// `error`, about one subscription or about none.
pub fn error(id: Option<&str>, problem: &Problem) -> Message {
    Message::own(json!({ "id": id, "type": "error", "problem": problem }).to_string())
}

/// `resync`: what was told before is void, a snapshot follows.
pub fn resync(id: &str, reason: &str) -> Message {
    Message::own(json!({ "id": id, "type": "resync", "reason": reason }).to_string())
}
