//! The world of the targets: a schema with every type of field, a document of it, and who asks.

use std::sync::{Arc, LazyLock};

use alyx_core::catalog::Catalog;
use alyx_core::document::{Access, Document, DocumentError, Fresh, IdKind, parse_create};
use alyx_core::identity::{AdminIdentity, Identity, RequestFacts, UserIdentity};
use alyx_core::schema::{Collection, parse};

/// The time in all targets.
pub const NOW: &str = "2026-01-02T03:04:05.000006Z";

/// What the names of fields start with that no client may learn of.
pub const SECRET: &str = "zz_";

/// The schema, compiled.
pub static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let schema = parse("schema.yaml", include_str!("schema.yaml")).expect("valid");
    Catalog::build("schema.yaml", schema).expect("its rules compile")
});

/// Nobody, somebody, an administrator.
pub static CALLERS: LazyLock<[Identity; 3]> = LazyLock::new(|| {
    let somebody = UserIdentity {
        id: "ada".to_owned(),
        email: "ada@example.org".to_owned(),
        role: "user".to_owned(),
        verified: true,
        session: "s".to_owned(),
        metadata: Arc::default(),
        scopes: Arc::default(),
    };
    [Identity::Anonymous, Identity::User(somebody), Identity::Admin(AdminIdentity::Peer { uid: 0 })]
});

/// The request in all targets.
pub static REQUEST: LazyLock<RequestFacts> = LazyLock::new(|| RequestFacts {
    time: NOW.to_owned(),
    method: "GET".to_owned(),
    ..RequestFacts::default()
});

/// A document with a value in every field that rules and updates like to look at.
pub static POST: LazyLock<Document> = LazyLock::new(|| {
    let body = br#"{"title":"One","views":3,"at":"2026-01-01T00:00:00Z","data":{"a":[1,2]},"tags":["red"],"author":"ada"}"#;
    create(posts(), body, Access::System).expect("valid")
});

/// The collection in most targets.
pub fn posts() -> &'static Collection {
    &CATALOG.collection("posts").expect("is in the schema").collection
}

/// Creates with ids that are always the same.
pub fn create(collection: &Collection, body: &[u8], access: Access) -> Result<Document, DocumentError> {
    let mut ids = |kind| match kind {
        IdKind::Id => "00000000000000000001".to_owned(),
        IdKind::Uuid => "0190b3a0-0000-7000-8000-000000000000".to_owned(),
    };
    parse_create(collection, body, access, &mut Fresh { now: NOW, ids: &mut ids })
}
