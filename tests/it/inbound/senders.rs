//! Senders of every scheme, as they sign by themselves.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The schemes, each the path of [`super::schema`] that checks it.
pub const SCHEMES: [&str; 7] = ["standard", "github", "stripe", "slack", "shop/hex", "shop/base64", "sha1"];

/// Those that sign a time.
pub const TIMED: [&str; 3] = ["standard", "stripe", "slack"];

/// Headers of a request.
pub type Headers = Vec<(&'static str, String)>;

/// Seconds since 1970.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac(algorithm: hmac::Algorithm, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, key), &parts.concat()).as_ref().to_vec()
}

/// The headers with which a sender sends `body` under an id at a time. Stripe and Slack have the id in the
/// body, where the caller puts it.
pub fn sign(scheme: &str, secret: &str, id: &str, at: i64, body: &[u8]) -> Headers {
    let of = |prefix: &str| mac(hmac::HMAC_SHA256, secret.as_bytes(), &[prefix.as_bytes(), body]);
    match scheme {
        "standard" => {
            let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a secret of this form")).unwrap();
            let tag = mac(hmac::HMAC_SHA256, &key, &[format!("{id}.{at}.").as_bytes(), body]);
            vec![
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", at.to_string()),
                ("webhook-signature", format!("v1,{}", STANDARD.encode(tag))),
            ]
        }
        "github" => vec![
            ("x-hub-signature-256", format!("sha256={}", hex(&of("")))),
            ("x-github-delivery", id.to_owned()),
        ],
        "stripe" => vec![("stripe-signature", format!("t={at},v1={}", hex(&of(&format!("{at}.")))))],
        "slack" => vec![
            ("x-slack-signature", format!("v0={}", hex(&of(&format!("v0:{at}:"))))),
            ("x-slack-request-timestamp", at.to_string()),
        ],
        "shop/hex" => vec![("x-shop-signature", hex(&of(""))), ("x-shop-id", id.to_owned())],
        "shop/base64" => vec![("x-shop-hmac", format!("v1={}", STANDARD.encode(of(""))))],
        "sha1" => {
            let tag = mac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes(), &[body]);
            vec![("x-hub-signature", format!("sha1={}", hex(&tag)))]
        }
        other => panic!("{other}"),
    }
}

/// The name of the header with the signature.
pub fn header(scheme: &str) -> &'static str {
    match scheme {
        "standard" => "webhook-signature",
        "github" => "x-hub-signature-256",
        "stripe" => "stripe-signature",
        "slack" => "x-slack-signature",
        "shop/hex" => "x-shop-signature",
        "shop/base64" => "x-shop-hmac",
        _ => "x-hub-signature",
    }
}

/// The same headers with another signature.
pub fn change(scheme: &str, headers: &Headers, change: impl Fn(&str) -> String) -> Headers {
    let name = header(scheme);
    let one = |(found, value): &(&'static str, String)| {
        (*found, if *found == name { change(value) } else { value.clone() })
    };
    headers.iter().map(one).collect()
}

/// The body of the delivery with this id, for every scheme.
pub fn body(id: &str) -> Vec<u8> {
    format!("{{\"id\": \"{id}\",  \"event_id\": \"{id}\", \"text\": \"Grüße\"}}\n").into_bytes()
}
