//! Signatures of others: what is right, and everything that is not.

use std::time::Duration;

use alyx_core::schema::{Encoding, HmacForm, HmacHash, Verify};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Key, Signed, Wrong, check};
use crate::clock::hex;

const NOW: i64 = 1_700_000_000;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const BODY: &[u8] = br#"{"id":"evt_1","event_id":"Ev1"}"#;

fn timed() -> Duration {
    Duration::from_secs(300)
}

fn form(hash: HmacHash, encoding: Encoding, id: Option<&str>) -> Verify {
    let (header, prefix) = ("x-sig".to_owned(), "v=".to_owned());
    Verify::Hmac(HmacForm { hash, header, encoding, prefix, id: id.map(str::to_owned) })
}

fn schemes() -> Vec<Verify> {
    vec![
        Verify::Standard { tolerance: timed() },
        Verify::Github,
        Verify::Stripe { tolerance: timed() },
        Verify::Slack { tolerance: timed() },
        form(HmacHash::Sha256, Encoding::Hex, Some("x-id")),
        form(HmacHash::Sha256, Encoding::Base64, None),
        form(HmacHash::Sha1, Encoding::Hex, None),
    ]
}

/// The signature as bytes, by another way than that of the checks.
fn tag(verify: &Verify, secret: &str, content: &[u8]) -> Vec<u8> {
    let key = match verify {
        Verify::Standard { .. } => STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap(),
        _ => secret.as_bytes().to_vec(),
    };
    let algorithm = match verify {
        Verify::Hmac(HmacForm { hash: HmacHash::Sha1, .. }) => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        _ => hmac::HMAC_SHA256,
    };
    hmac::sign(&hmac::Key::new(algorithm, &key), content).as_ref().to_vec()
}

/// The headers that a sender with this secret sends at this time.
fn signed(verify: &Verify, secret: &str, at: i64, body: &[u8]) -> Vec<(&'static str, String)> {
    let join = |prefix: String| [prefix.as_bytes(), body].concat();
    let of = |prefix: String| tag(verify, secret, &join(prefix));
    match verify {
        Verify::Standard { .. } => vec![
            ("webhook-id", "msg_1".to_owned()),
            ("webhook-timestamp", at.to_string()),
            ("webhook-signature", format!("v1,{}", STANDARD.encode(of(format!("msg_1.{at}."))))),
        ],
        Verify::Github => vec![
            ("x-hub-signature-256", format!("sha256={}", hex(&of(String::new())))),
            ("x-github-delivery", "d-1".to_owned()),
        ],
        Verify::Stripe { .. } => {
            vec![("stripe-signature", format!("t={at},v1={}", hex(&of(format!("{at}.")))))]
        }
        Verify::Slack { .. } => vec![
            ("x-slack-signature", format!("v0={}", hex(&of(format!("v0:{at}:"))))),
            ("x-slack-request-timestamp", at.to_string()),
        ],
        Verify::Hmac(form) => {
            let tag = of(String::new());
            let text = if form.encoding == Encoding::Hex { hex(&tag) } else { STANDARD.encode(tag) };
            let mut headers = vec![("x-sig", format!("v={text}"))];
            headers.extend(form.id.is_some().then(|| ("x-id", "7".to_owned())));
            headers
        }
    }
}

fn map(headers: &[(&'static str, String)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, String)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    };
    let mut found = HeaderMap::new();
    for (name, value) in headers.iter().map(pair) {
        found.append(name, value);
    }
    found
}

fn keys(verify: &Verify, secrets: &[&str]) -> Vec<Key> {
    secrets.iter().map(|secret| Key::read(verify, secret).unwrap()).collect()
}

fn ask(verify: &Verify, headers: &[(&'static str, String)], body: &[u8]) -> Result<Signed, Wrong> {
    check(verify, &keys(verify, &[OTHER, SECRET]), &map(headers), body, NOW)
}

#[test]
fn m36_what_is_signed_as_agreed_is_right() {
    for verify in schemes() {
        let headers = signed(&verify, SECRET, NOW, BODY);
        let found = ask(&verify, &headers, BODY).unwrap();
        let id = match &verify {
            Verify::Standard { .. } => Some("msg_1"),
            Verify::Github => Some("d-1"),
            Verify::Stripe { .. } => Some("evt_1"),
            Verify::Slack { .. } => Some("Ev1"),
            Verify::Hmac(form) => form.id.as_ref().map(|_| "7"),
        };
        assert_eq!(found.id.as_deref(), id, "{verify:?}");
        // Either secret, and no other.
        assert!(ask(&verify, &signed(&verify, OTHER, NOW, BODY), BODY).is_ok(), "{verify:?}");
        let one = keys(&verify, &[OTHER]);
        assert_eq!(check(&verify, &one, &map(&headers), BODY, NOW), Err(Wrong::Different));
        assert_eq!(check(&verify, &[], &map(&headers), BODY, NOW), Err(Wrong::Different));
        // Nothing of it is needed to be text.
        let odd = b"\xff\0\x80";
        assert!(ask(&verify, &signed(&verify, SECRET, NOW, odd), odd).is_ok(), "{verify:?}");
        assert!(ask(&verify, &signed(&verify, SECRET, NOW, b""), b"").is_ok(), "{verify:?}");
    }
}

#[test]
fn m36_every_byte_counts() {
    for verify in schemes() {
        let headers = signed(&verify, SECRET, NOW, BODY);
        for at in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[at] ^= 1;
            assert_eq!(ask(&verify, &headers, &body), Err(Wrong::Different), "{verify:?} {at}");
        }
        for body in [&BODY[1..], &BODY[..BODY.len() - 1], &[BODY, b"\n"].concat()[..], b""] {
            assert_eq!(ask(&verify, &headers, body), Err(Wrong::Different), "{verify:?}");
        }
        // Nor is anything of a header that could be left out, cut, or another one.
        let deciding = headers.iter().filter(|(name, _)| !["x-github-delivery", "x-id"].contains(name));
        for (name, value) in deciding {
            let with = |value: Option<String>| {
                let mut headers = map(&headers);
                headers.remove(*name);
                if let Some(value) = value {
                    headers.insert(*name, HeaderValue::from_str(&value).unwrap());
                }
                check(&verify, &keys(&verify, &[SECRET]), &headers, BODY, NOW)
            };
            assert_eq!(with(None), Err(Wrong::Missing((*name).to_owned())), "{verify:?}");
            assert_eq!(with(Some(String::new())), Err(Wrong::Malformed((*name).to_owned())), "{verify:?}");
            for end in 0..value.len() {
                assert!(with(Some(value[..end].to_owned())).is_err(), "{verify:?} {name} {end}");
                let mut changed = value.clone().into_bytes();
                changed[end] = if changed[end] == b'1' { b'2' } else { b'1' };
                let changed = String::from_utf8(changed).unwrap();
                assert!(with(Some(changed)).is_err(), "{verify:?} {name} {end}");
            }
            assert!(with(Some(format!("{value}0"))).is_err(), "{verify:?} {name}");
            let mut twice = map(&headers);
            twice.append(*name, HeaderValue::from_str(value).unwrap());
            let found = check(&verify, &keys(&verify, &[SECRET]), &twice, BODY, NOW);
            assert_eq!(found, Err(Wrong::Repeated((*name).to_owned())), "{verify:?}");
            let mut bytes = map(&headers);
            bytes.insert(*name, HeaderValue::from_bytes(b"v=\xff\xfe").unwrap());
            let found = check(&verify, &keys(&verify, &[SECRET]), &bytes, BODY, NOW);
            assert_eq!(found, Err(Wrong::Malformed((*name).to_owned())), "{verify:?}");
        }
    }
}

#[test]
fn m36_times_count_on_both_sides_of_the_tolerance() {
    for verify in schemes() {
        let at = |at: i64| ask(&verify, &signed(&verify, SECRET, at, BODY), BODY).map(drop);
        let timed = verify.tolerance().is_some();
        for (time, expected) in [
            (NOW - 300, Ok(())),
            (NOW - 301, Err(Wrong::Old(301))),
            (NOW + 300, Ok(())),
            (NOW + 301, Err(Wrong::Early(301))),
            (0, Err(Wrong::Old(NOW))),
        ] {
            assert_eq!(at(time), if timed { expected } else { Ok(()) }, "{verify:?} {time}");
        }
    }
}

#[test]
fn m36_a_delivery_is_known_by_what_nobody_else_can_change() {
    let ids = |verify: &Verify, headers: &[(&'static str, String)], body: &[u8]| {
        ask(verify, headers, body).unwrap().keys
    };
    for verify in schemes() {
        let first = ids(&verify, &signed(&verify, SECRET, NOW, BODY), BODY);
        // The same again, and with another secret: at least one of its keys is the same.
        for (secret, at) in [(SECRET, NOW), (OTHER, NOW), (SECRET, NOW + 7)] {
            let again = ids(&verify, &signed(&verify, secret, at, BODY), BODY);
            assert!(again.iter().any(|key| first.contains(key)), "{verify:?} {at}");
        }
        // Another one shares none.
        let body = br#"{"id":"evt_2","event_id":"Ev2"}"#;
        let mut headers = signed(&verify, SECRET, NOW, body);
        for (name, value) in &mut headers {
            if ["x-github-delivery", "x-id"].contains(name) {
                "other".clone_into(value);
            }
        }
        if !matches!(verify, Verify::Standard { .. }) {
            let other = ids(&verify, &headers, body);
            assert!(!other.iter().any(|key| first.contains(key)), "{verify:?}");
        }
        // Whoever has seen one gives it another id in a header that is not signed.
        let mut headers = signed(&verify, SECRET, NOW, BODY);
        for (name, value) in &mut headers {
            if ["x-github-delivery", "x-id"].contains(name) {
                "another".clone_into(value);
            }
        }
        let again = ids(&verify, &headers, BODY);
        assert!(again.iter().any(|key| first.contains(key)), "{verify:?}");
    }
    // Without an id of their own they are known by all that was signed, the time with it.
    for verify in [Verify::Stripe { tolerance: timed() }, Verify::Slack { tolerance: timed() }] {
        for body in [&b"{}"[..], b"payload=x", br#"{"id":7}"#, br#"{"id":"a","id":"b"}"#, b"\xff"] {
            let one = ids(&verify, &signed(&verify, SECRET, NOW, body), body);
            assert_eq!(one, ids(&verify, &signed(&verify, SECRET, NOW, body), body));
            assert_ne!(one, ids(&verify, &signed(&verify, SECRET, NOW + 1, body), body));
        }
    }
}

#[test]
fn m36_several_signatures_and_other_spellings() {
    let standard = Verify::Standard { tolerance: timed() };
    let with = |verify: &Verify, name: &'static str, change: &dyn Fn(&str) -> String| {
        let mut headers = signed(verify, SECRET, NOW, BODY);
        for (found, value) in &mut headers {
            if *found == name {
                *value = change(value);
            }
        }
        ask(verify, &headers, BODY).is_ok()
    };
    let wrong = STANDARD.encode([7; 32]);
    let sig = "webhook-signature";
    assert!(with(&standard, sig, &|right| format!("v1,{wrong} {right}")));
    assert!(with(&standard, sig, &|right| format!("v1a,{wrong} {right} v2,x")));
    assert!(!with(&standard, sig, &|right| right.replace("v1,", "v1a,")));
    assert!(!with(&standard, sig, &|right| right.replace("v1,", "V1,")));
    assert!(!with(&standard, sig, &|right| right.replace("v1,", "")));
    assert!(with(&standard, sig, &|right| format!("{}{right}", format!("v1,{wrong} ").repeat(15))));
    assert!(!with(&standard, sig, &|right| format!("{}{right}", format!("v1,{wrong} ").repeat(16))));
    assert!(!with(&standard, "webhook-id", &|_| "msg.1".to_owned()));
    assert!(!with(&standard, "webhook-timestamp", &|at| format!("+{at}")));
    assert!(!with(&standard, "webhook-timestamp", &|at| format!("{at}.0")));
    assert!(!with(&standard, "webhook-timestamp", &|at| format!("00000{at}")));
    // The names of Svix mean the same, and one family does not complete the other.
    let rename = |from: usize| {
        let names = ["svix-id", "svix-timestamp", "svix-signature"];
        let headers = signed(&standard, SECRET, NOW, BODY).into_iter().enumerate();
        let headers: Vec<_> =
            headers.map(|(at, (name, value))| (if at >= from { names[at] } else { name }, value)).collect();
        ask(&standard, &headers, BODY)
    };
    assert!(rename(0).is_ok());
    assert_eq!(rename(1), Err(Wrong::Missing("svix-id".to_owned())));
    let stripe = Verify::Stripe { tolerance: timed() };
    let sig = "stripe-signature";
    let zero = "0".repeat(64);
    assert!(with(&stripe, sig, &|right| format!("{right},v1={zero},v0=zz")));
    assert!(with(&stripe, sig, &|right| right.replace(",v1=", &format!(",v1={zero},v1="))));
    assert!(with(&stripe, sig, &|right| right.replace(',', ", ")));
    assert!(!with(&stripe, sig, &|right| format!("{right},t={NOW}")));
    assert!(!with(&stripe, sig, &|right| right.replace("v1=", "v0=")));
    assert!(!with(&stripe, sig, &|right| format!("{right},v1=zz")));
    assert!(!with(&stripe, sig, &|right| format!("{right},x")));
    assert!(!with(&stripe, sig, &|right| right.replace("t=", "t=-")));
    // Hexadecimal digits are the same in either case; words before them are not.
    for (verify, name) in [(&stripe, sig), (&Verify::Github, "x-hub-signature-256")] {
        let upper = |right: &str| {
            let (word, digits) = right.rsplit_once('=').unwrap();
            format!("{word}={}", digits.to_uppercase())
        };
        assert!(with(verify, name, &upper));
        assert!(!with(verify, name, &|right| right.to_uppercase()));
    }
}

/// What we make of a request is used for nothing but to be compared, and that in constant time.
#[test]
fn m36_signatures_are_compared_in_one_place_whose_time_tells_nothing() {
    let source = include_str!("../signature.rs");
    let used: Vec<&str> = source.lines().map(str::trim).filter(|line| line.contains("tag")).collect();
    let expected =
        ["let tag = context.sign();", "right |= verify_slices_are_equal(tag.as_ref(), signature).is_ok();"];
    assert_eq!(used, expected);
    // The first that fits does not end it.
    let after = source.split_once(expected[1]).unwrap().1.split_once("if !right").unwrap().0;
    assert!(!after.contains("break") && !after.contains("return"), "{after}");
}

#[test]
fn m36_secrets_that_are_none_never_verify() {
    for verify in schemes() {
        let short = ["", " ", "a", "whsec_", "0123456789abcde", " 0123456789abcde\n"];
        for secret in short {
            assert!(Key::read(&verify, secret).is_none(), "{verify:?} {secret:?}");
        }
        assert!(Key::read(&verify, &format!(" {SECRET}\n")).is_some());
        let whole = Key::read(&verify, "0123456789abcdef").is_some();
        assert_eq!(whole, !matches!(verify, Verify::Standard { .. }));
        assert_eq!(format!("{:?}", Key::read(&verify, SECRET).unwrap()), "Key");
    }
}

/// Whatever stands in a header, it is read or refused, and nothing of it is right by chance.
#[test]
fn m36_odd_headers_are_refused() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let pieces: [&[u8]; 16] = [
        b"v1,",
        b"v1=",
        b"v0=",
        b"sha256=",
        b"t=",
        b"t=1700000000",
        b",",
        b" ",
        b"=",
        b"==",
        b"AAAA",
        b"00ff",
        b"\xff",
        b"\x80\xfe",
        b".",
        b"1700000000",
    ];
    let names = [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "svix-signature",
        "x-hub-signature-256",
        "stripe-signature",
        "x-slack-signature",
        "x-slack-request-timestamp",
        "x-sig",
        "x-id",
    ];
    let rounds = if std::env::var_os("ALYX_LONG").is_some() { 400_000 } else { 20_000 };
    for _ in 0..rounds {
        let mut headers = HeaderMap::new();
        for name in names {
            let mut value = Vec::new();
            for _ in 0..random() % 6 {
                let piece = pieces[(random() % 16) as usize];
                value.extend_from_slice(piece);
                if random().is_multiple_of(4) {
                    value.push(0x20 + (random() % 0x5f) as u8);
                }
            }
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(name, value);
            }
        }
        for verify in schemes() {
            let found = check(&verify, &keys(&verify, &[SECRET]), &headers, BODY, NOW);
            assert!(found.is_err(), "{verify:?} {headers:?}");
        }
    }
}
