//! The collection `users`: always there, with fields that accounts rely on. A schema may add fields
//! and rules, never change or remove what is built in.

use super::field::plain;
use super::reader::{At, Reader};
use super::{Collection, CollectionRules, DefaultValue, Field, FieldKind};
use crate::identity::USER_ROLE;

/// Its name.
pub(super) const USERS: &str = "users";

/// Members of requests that make or change accounts, beside the fields: secrets and what is shown to
/// confirm who one is. A field of one of these names could never be written.
pub const ACCOUNT_MEMBERS: [&str; 7] =
    ["password", "password_hash", "current_password", "code", "recovery_code", "passkey", "token"];

/// The built-in fields.
pub(super) fn base_fields() -> Vec<Field> {
    let text = |text: &str| Some(DefaultValue::Literal(text.into()));
    let truth = |value: bool| Some(DefaultValue::Literal(value.into()));
    let now = Some(DefaultValue::Now);
    vec![
        Field { primary: true, default: Some(DefaultValue::Auto), ..plain("id", FieldKind::Id) },
        // Null for anonymous accounts only; whoever makes another one sees to it.
        Field { unique: true, nullable: true, ..plain("email", FieldKind::Email) },
        Field { default: text(USER_ROLE), ..plain("role", FieldKind::String) },
        Field { default: truth(false), ..plain("verified", FieldKind::Bool) },
        Field { default: truth(false), internal: true, ..plain("disabled", FieldKind::Bool) },
        Field { default: now.clone(), ..plain("created_at", FieldKind::Timestamp) },
        Field { default: now, on_update_now: true, ..plain("updated_at", FieldKind::Timestamp) },
    ]
}

/// `users` of a schema that does not declare it.
pub(super) fn built_in() -> Collection {
    Collection {
        name: USERS.to_owned(),
        fields: base_fields(),
        indexes: Vec::new(),
        rules: CollectionRules::default(),
        position: super::collection::BUILT_IN,
    }
}

/// Checks a declared field of `users`; `declared` is `None` if it could not be read.
pub(super) fn accepts(reader: &mut Reader<'_>, name: &str, at: &At<'_>, declared: Option<&Field>) -> bool {
    if base_fields().iter().any(|field| field.name == name) {
        let message = format!("\"{name}\" is a built-in field of users");
        reader.report(at.key, &at.path, message, "remove it here: it is always there");
        return false;
    }
    if ACCOUNT_MEMBERS.contains(&name) {
        let message = format!("the name \"{name}\" is reserved in users");
        let hint = "requests about accounts have a member of this name; choose another one";
        reader.report(at.key, &at.path, message, hint);
        return false;
    }
    if declared.is_some_and(|field| field.primary) {
        reader.report(at.key, &at.path, "users has a primary field already", "remove primary: true");
        return false;
    }
    let has_value = |field: &Field| field.nullable || field.default.is_some() || field.on_update_now;
    if declared.is_some_and(|field| !has_value(field)) {
        let message = "a field of users must be nullable or have a default";
        let hint = "accounts are created by e-mail address and password alone; add nullable: true";
        reader.report(at.key, &at.path, message, hint);
    }
    true
}
