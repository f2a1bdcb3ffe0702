//! The ceremonies against the test vectors of Web Authentication Level 3 (§16), against an authenticator
//! of our own that can be told to lie, and against what is left of an answer after cuts and changes.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::party::Party;
use super::{Known, NewCredential, Refusal, Registered, Shown, ShownCredential};

const HANDLE: &[u8] = b"whose it is";

fn party() -> Party {
    Party::of("example.org", vec!["https://example.org".to_owned()])
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// What an answer says; each member can be made a lie.
struct Answer {
    kind: &'static str,
    challenge: String,
    origin: &'static str,
    more: &'static str,
    party: &'static str,
    flags: u8,
    count: u32,
    format: &'static str,
    key: Key,
    handle: Option<Vec<u8>>,
}

const PRESENT_AND_VERIFIED: u8 = 0b101;

enum Key {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    fn cose(&self) -> Vec<u8> {
        match self {
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                let head = [0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32];
                [&head[..], &point[1..33], &[0x22, 0x58, 32], &point[33..]].concat()
            }
            Self::Ed25519(pair) => {
                [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32], pair.public_key().as_ref()].concat()
            }
            Self::Rsa(pair) => {
                let key = pair.public_key();
                let modulus = key.modulus().big_endian_without_leading_zero();
                let length = u16::try_from(modulus.len()).unwrap().to_be_bytes();
                let head = [0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, length[0], length[1]];
                [&head[..], modulus, &[0x21, 0x43, 1, 0, 1]].concat()
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }
}

impl Answer {
    fn new(kind: &'static str) -> Self {
        Self {
            kind,
            challenge: "the-challenge".to_owned(),
            origin: "https://example.org",
            more: "",
            party: "example.org",
            flags: PRESENT_AND_VERIFIED,
            count: 1,
            format: "none",
            key: Key::p256(),
            handle: Some(HANDLE.to_vec()),
        }
    }

    fn client_data(&self) -> Vec<u8> {
        let Self { kind, challenge, origin, more, .. } = self;
        format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}"{more}}}"#).into_bytes()
    }

    fn data(&self, attested: &[u8]) -> Vec<u8> {
        let party = digest(&SHA256, self.party.as_bytes());
        [party.as_ref(), &[self.flags], &self.count.to_be_bytes(), attested].concat()
    }

    fn created(&self) -> Value {
        let id = b"a credential";
        let attested = [&[0; 16][..], &[0, 12], id, &self.key.cose()].concat();
        let data = if self.flags & 64 == 0 { self.data(&[]) } else { self.data(&attested) };
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        let format = self.format.as_bytes();
        let object = [
            &[0xa3, 0x63][..],
            b"fmt",
            &[0x60 + u8::try_from(format.len()).unwrap()],
            format,
            &[0x67],
            b"attStmt",
            &[0xa0, 0x68],
            b"authData",
            &[0x59, length[0], length[1]],
            &data,
        ];
        // Lengths are in their shortest form.
        let object = object.concat();
        let object = if data.len() < 256 { shorten(&object, data.len()) } else { object };
        json!({
            "id": base64url(id), "rawId": base64url(id), "type": "public-key",
            "response": {
                "clientDataJSON": base64url(&self.client_data()),
                "attestationObject": base64url(&object),
                "transports": ["internal", "hybrid", "x".repeat(99), "<script>"],
            },
            "clientExtensionResults": {},
        })
    }

    fn shown(&self) -> Value {
        let (client_data, data) = (self.client_data(), self.data(&[]));
        let signature = self.key.sign(&[&data, digest(&SHA256, &client_data).as_ref()].concat());
        json!({
            "id": base64url(b"a credential"), "type": "public-key",
            "response": {
                "clientDataJSON": base64url(&client_data),
                "authenticatorData": base64url(&data),
                "signature": base64url(&signature),
                "userHandle": self.handle.as_ref().map(|handle| base64url(handle)),
            },
        })
    }
}

fn shorten(object: &[u8], length: usize) -> Vec<u8> {
    let at = object.len() - length - 3;
    [&object[..at], &[0x58, u8::try_from(length).unwrap()], &object[at + 3..]].concat()
}

fn create(answer: &Answer) -> Result<Registered, Refusal> {
    check_new(answer.created())
}

fn check_new(credential: Value) -> Result<Registered, Refusal> {
    let credential: NewCredential = serde_json::from_value(credential).map_err(|_| Refusal::Encoding)?;
    credential.check(&party(), |challenge| challenge == "the-challenge")
}

fn show(answer: &Answer, key: &[u8]) -> Result<Shown, Refusal> {
    check_shown(answer.shown(), key)
}

fn check_shown(credential: Value, public_key: &[u8]) -> Result<Shown, Refusal> {
    let credential: ShownCredential = serde_json::from_value(credential).map_err(|_| Refusal::Encoding)?;
    let known = Known { public_key, backup_eligible: false, user_handle: HANDLE };
    credential.check(&party(), &known, |challenge| challenge == "the-challenge")
}

fn creating(change: impl FnOnce(&mut Answer)) -> Result<Registered, Refusal> {
    let mut answer = Answer::new("webauthn.create");
    answer.flags |= 64;
    change(&mut answer);
    create(&answer)
}

fn showing(change: impl FnOnce(&mut Answer)) -> Result<Shown, Refusal> {
    let mut answer = Answer::new("webauthn.get");
    let key = answer.key.cose();
    change(&mut answer);
    show(&answer, &key)
}

#[test]
fn every_algorithm_that_is_offered_registers_and_signs() {
    for key in [
        Key::p256,
        || Key::Ed25519(Ed25519KeyPair::generate().unwrap()),
        || Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
    ] {
        let mut answer = Answer::new("webauthn.create");
        answer.flags |= 64;
        answer.key = key();
        let made = create(&answer).unwrap();
        assert_eq!(made.public_key, answer.key.cose());
        assert_eq!((made.credential_id.as_slice(), made.sign_count), (&b"a credential"[..], 1));
        assert_eq!(made.transports, ["internal", "hybrid"]);
        (answer.kind, answer.flags, answer.count) = ("webauthn.get", PRESENT_AND_VERIFIED, 2);
        assert_eq!(show(&answer, &made.public_key), Ok(Shown { sign_count: 2, backed_up: false }));
    }
}

#[test]
fn a_wrong_type_is_refused() {
    assert_eq!(creating(|answer| answer.kind = "webauthn.get"), Err(Refusal::Type));
    assert_eq!(showing(|answer| answer.kind = "webauthn.create"), Err(Refusal::Type));
    assert_eq!(showing(|answer| answer.kind = "payment.get"), Err(Refusal::Type));
}

#[test]
fn a_wrong_challenge_is_refused() {
    assert_eq!(creating(|answer| answer.challenge = "another".to_owned()), Err(Refusal::Challenge));
    assert_eq!(showing(|answer| answer.challenge = String::new()), Err(Refusal::Challenge));
}

#[test]
fn a_wrong_origin_is_refused() {
    for origin in [
        "https://example.org.evil.net",
        "https://app.example.org",
        "http://example.org",
        "https://example.org:444",
        "https://example.org/",
        "https://EXAMPLE.org",
        "null",
        "",
    ] {
        assert_eq!(creating(|answer| answer.origin = origin), Err(Refusal::Origin), "{origin}");
        assert_eq!(showing(|answer| answer.origin = origin), Err(Refusal::Origin), "{origin}");
    }
}

#[test]
fn a_page_in_a_frame_is_refused() {
    for more in [r#","crossOrigin":true"#, r#","topOrigin":"https://evil.net""#] {
        assert_eq!(creating(|answer| answer.more = more), Err(Refusal::Framed));
        assert_eq!(showing(|answer| answer.more = more), Err(Refusal::Framed));
    }
    assert!(showing(|answer| answer.more = r#","crossOrigin":false,"later":[1]"#).is_ok());
}

#[test]
fn client_data_that_says_a_thing_twice_is_refused() {
    let more = r#","origin":"https://example.org""#;
    assert_eq!(showing(|answer| answer.more = more), Err(Refusal::ClientData));
    assert_eq!(showing(|answer| answer.more = r#","crossOrigin":"no""#), Err(Refusal::ClientData));
}

#[test]
fn a_credential_of_another_domain_is_refused() {
    assert_eq!(creating(|answer| answer.party = "evil.net"), Err(Refusal::PartyId));
    assert_eq!(showing(|answer| answer.party = "app.example.org"), Err(Refusal::PartyId));
}

#[test]
fn without_presence_or_verification_it_is_refused() {
    assert_eq!(creating(|answer| answer.flags = 0b100 | 64), Err(Refusal::Absent));
    assert_eq!(creating(|answer| answer.flags = 0b001 | 64), Err(Refusal::Unverified));
    assert_eq!(showing(|answer| answer.flags = 0b100), Err(Refusal::Absent));
    assert_eq!(showing(|answer| answer.flags = 0b001), Err(Refusal::Unverified));
}

#[test]
fn flags_that_contradict_each_other_or_the_rest_are_refused() {
    // Backed up without being eligible; a key that is not there; extensions that are not there.
    assert_eq!(showing(|answer| answer.flags |= 16), Err(Refusal::Data));
    assert_eq!(showing(|answer| answer.flags |= 64), Err(Refusal::Data));
    assert_eq!(showing(|answer| answer.flags |= 128), Err(Refusal::Data));
    assert_eq!(creating(|answer| answer.flags &= !64), Err(Refusal::Data));
    // Eligible now, and not when it was registered.
    assert_eq!(showing(|answer| answer.flags |= 8), Err(Refusal::Data));
}

#[test]
fn a_wrong_signature_is_refused() {
    assert_eq!(showing(|answer| answer.key = Key::p256()), Err(Refusal::Signature));
    let answer = Answer::new("webauthn.get");
    let mut shown = answer.shown();
    // Signed before the counter was changed.
    let data = Answer { count: 9, key: Key::p256(), ..Answer::new("webauthn.get") }.data(&[]);
    shown["response"]["authenticatorData"] = json!(base64url(&data));
    assert_eq!(check_shown(shown, &answer.key.cose()), Err(Refusal::Signature));
}

#[test]
fn the_algorithm_is_that_of_the_stored_key() {
    let stored = Key::p256().cose();
    for key in [
        Key::Ed25519(Ed25519KeyPair::generate().unwrap()),
        Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
    ] {
        let answer = Answer { key, ..Answer::new("webauthn.get") };
        assert_eq!(show(&answer, &stored), Err(Refusal::Signature));
    }
    // A stored key whose algorithm was swapped is none.
    let mut swapped = stored;
    swapped[4] = 0x27;
    assert_eq!(show(&Answer::new("webauthn.get"), &swapped), Err(Refusal::Data));
}

#[test]
fn another_users_handle_is_refused() {
    assert_eq!(showing(|answer| answer.handle = Some(b"somebody else".to_vec())), Err(Refusal::Signature));
    assert!(showing(|answer| answer.handle = None).is_ok());
}

#[test]
fn attestation_of_other_formats_is_refused() {
    assert!(creating(|answer| answer.format = "packed").is_ok());
    for format in ["tpm", "fido-u2f", "android-key", "apple", ""] {
        assert_eq!(creating(|answer| answer.format = format), Err(Refusal::Attestation), "{format}");
    }
}

#[test]
fn an_id_that_is_not_that_of_the_key_is_refused() {
    let mut answer = Answer::new("webauthn.create");
    answer.flags |= 64;
    let mut created = answer.created();
    created["id"] = json!(base64url(b"another one!"));
    assert_eq!(check_new(created.clone()), Err(Refusal::Data));
    created["type"] = json!("password");
    assert_eq!(check_new(created), Err(Refusal::Encoding));
}

/// Members of the vectors "none.ES256" and "packed-self.ES256" of §16, of which only the second verified
/// its user when it registered, and neither when it signed.
mod vectors {
    pub const NONE_OBJECT: &str = "a363666d74646e6f6e656761747453746d74a068617574684461746158a4bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b559000000008446ccb9ab1db374750b2367ff6f3a1f0020f91f391db4c9b2fde0ea70189cba3fb63f579ba6122b33ad94ff3ec330084be4a5010203262001215820afefa16f97ca9b2d23eb86ccb64098d20db90856062eb249c33a9b672f26df61225820930a56b87a2fca66334b03458abf879717c12cc68ed73290af2e2664796b9220";
    pub const NONE_DATA: &str = "bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b51900000000";
    pub const NONE_CLIENT: &str = "7b2274797065223a22776562617574686e2e676574222c226368616c6c656e6765223a224f63446e55685158756c5455506f334a5558543049393770767a7a59425039745a63685879617630314167222c226f726967696e223a2268747470733a2f2f6578616d706c652e6f7267222c2263726f73734f726967696e223a66616c73657d";
    pub const NONE_SIGNATURE: &str = "3046022100f50a4e2e4409249c4a853ba361282f09841df4dd4547a13a87780218deffcd380221008480ac0f0b93538174f575bf11a1dd5d78c6e486013f937295ea13653e331e87";
    pub const NONE_CHALLENGE: &str = "39c0e7521417ba54d43e8dc95174f423dee9bf3cd804ff6d65c857c9abf4d408";
    pub const PACKED_ID: &str = "455ef34e2043a87db3d4afeb39bbcb6cc32df9347c789a865ecdca129cbef58c";
    pub const PACKED_CHALLENGE: &str = "7869c2b772d4b58eba9378cf8f29e26cf935aa77df0da89fa99c0bdc0a76f7e5";
    pub const PACKED_CLIENT: &str = "7b2274797065223a22776562617574686e2e637265617465222c226368616c6c656e6765223a2265476e4374334c55745936366b336a506a796e6962506b31716e666644616966715a774c33417032392d55222c226f726967696e223a2268747470733a2f2f6578616d706c652e6f7267222c2263726f73734f726967696e223a66616c73652c22657874726144617461223a22636c69656e74446174614a534f4e206d617920626520657874656e6465642077697468206164646974696f6e616c206669656c647320696e20746865206675747572652c207375636820617320746869733a205539685458764b453255526b4d6e625f307859485667227d";
    pub const PACKED_OBJECT: &str = "a363666d74667061636b65646761747453746d74a263616c672663736967584630440220067a20754ab925005dbf378097c92120031581c73228d1fb4f5b881bcd7da98302207fc7b147558c7c0eba3af18bd9d121fa3d3a26d17fe3f220272178f473b6006d68617574684461746158a4bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b55d00000000df850e09db6afbdfab51697791506cfc0020455ef34e2043a87db3d4afeb39bbcb6cc32df9347c789a865ecdca129cbef58ca5010203262001215820eb151c8176b225cc651559fecf07af450fd85802046656b34c18f6cf193843c5225820927b8aa427a2be1b8834d233a2d34f61f13bfd44119c325d5896e183fee484f2";
}

#[test]
fn the_specifications_registration_with_verification_is_accepted() {
    let credential: NewCredential = serde_json::from_value(json!({
        "id": base64url(&hex(vectors::PACKED_ID)), "type": "public-key",
        "response": {
            "clientDataJSON": base64url(&hex(vectors::PACKED_CLIENT)),
            "attestationObject": base64url(&hex(vectors::PACKED_OBJECT)),
        },
    }))
    .unwrap();
    let challenge = base64url(&hex(vectors::PACKED_CHALLENGE));
    let made = credential.check(&party(), |shown| shown == challenge).unwrap();
    assert_eq!(made.credential_id, hex(vectors::PACKED_ID));
    assert!(made.backup_eligible && made.backed_up && made.sign_count == 0);
}

#[test]
fn the_specifications_signature_is_right_and_lacks_verification() {
    use super::super::data::AuthenticatorData;
    use super::super::key::PublicKey;
    use super::{Reader, attested_data};

    let object = hex(vectors::NONE_OBJECT);
    let made = AuthenticatorData::read(attested_data(&object).unwrap()).unwrap();
    assert!(made.is_present() && !made.is_verified() && made.is_backup_eligible());
    let public_key = made.attested.unwrap().public_key;
    let (data, client_data) = (hex(vectors::NONE_DATA), hex(vectors::NONE_CLIENT));
    let message = [&data[..], digest(&SHA256, &client_data).as_ref()].concat();
    let key = PublicKey::read(&mut Reader::new(public_key)).unwrap();
    assert!(key.verify(&message, &hex(vectors::NONE_SIGNATURE)));

    let credential: ShownCredential = serde_json::from_value(json!({
        "id": "AA", "type": "public-key",
        "response": {
            "clientDataJSON": base64url(&client_data),
            "authenticatorData": base64url(&data),
            "signature": base64url(&hex(vectors::NONE_SIGNATURE)),
        },
    }))
    .unwrap();
    let challenge = base64url(&hex(vectors::NONE_CHALLENGE));
    let known = Known { public_key, backup_eligible: true, user_handle: HANDLE };
    assert_eq!(credential.check(&party(), &known, |shown| shown == challenge), Err(Refusal::Unverified));
}

/// Bytes that come out the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((value ^ (value >> 31)) % most as u64).unwrap()
    }
}

#[test]
fn cut_and_changed_answers_are_refused_and_never_panic() {
    let mut answer = Answer::new("webauthn.create");
    answer.flags |= 64;
    let created = answer.created();
    let (key, shown) = (answer.key.cose(), Answer { key: answer.key, ..Answer::new("webauthn.get") }.shown());
    assert!(check_new(created.clone()).is_ok() && check_shown(shown.clone(), &key).is_ok());
    let with = |whole: &Value, member: &str, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed["response"][member] = json!(base64url(bytes));
        changed
    };
    let bytes_of = |whole: &Value, member: &str| {
        URL_SAFE_NO_PAD.decode(whole["response"][member].as_str().unwrap()).unwrap()
    };
    // Every shorter answer, and one that is longer.
    for (whole, member) in
        [(&created, "attestationObject"), (&created, "clientDataJSON"), (&shown, "authenticatorData")]
    {
        let good = bytes_of(whole, member);
        for cut in 0..=good.len() {
            let bytes = if cut == good.len() { [&good[..], &[0]].concat() } else { good[..cut].to_vec() };
            let changed = with(whole, member, &bytes);
            let refused = if changed["response"]["signature"].is_string() {
                check_shown(changed, &key).is_err()
            } else {
                check_new(changed).is_err()
            };
            assert!(refused, "{member} cut at {cut}");
        }
    }
    // A changed byte of what is signed, or of the signature, is never accepted.
    let mut dice = Dice(1);
    let rounds = if std::env::var_os("ALYX_LONG").is_some() { 200_000 } else { 3_000 };
    for _ in 0..rounds {
        let member = ["authenticatorData", "clientDataJSON", "signature"][dice.below(3)];
        let mut bytes = bytes_of(&shown, member);
        let at = dice.below(bytes.len());
        bytes[at] ^= u8::try_from(1 + dice.below(255)).unwrap();
        assert!(check_shown(with(&shown, member, &bytes), &key).is_err(), "{member} at {at}");
        // An attestation is not signed: some bytes are the owner's to choose. Nothing else may happen.
        let mut bytes = bytes_of(&created, "attestationObject");
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len());
            bytes[at] = u8::try_from(dice.below(256)).unwrap();
        }
        if let Ok(made) = check_new(with(&created, "attestationObject", &bytes)) {
            assert_eq!(made.credential_id, b"a credential");
        }
    }
}

#[test]
fn sizes_are_bounded() {
    let check = |member: &str, length: usize, expected: Refusal| {
        let answer = Answer::new("webauthn.get");
        let mut shown = answer.shown();
        shown["response"][member] = json!(base64url(&vec![b'x'; length]));
        assert_eq!(check_shown(shown, &answer.key.cose()), Err(expected), "{member} {length}");
    };
    check("clientDataJSON", 4_096, Refusal::ClientData);
    check("clientDataJSON", 4_097, Refusal::Encoding);
    check("authenticatorData", 16_384, Refusal::Data);
    check("authenticatorData", 16_385, Refusal::Encoding);
    check("signature", 1_024, Refusal::Signature);
    check("signature", 1_025, Refusal::Encoding);
    check("userHandle", 65, Refusal::Encoding);
}
