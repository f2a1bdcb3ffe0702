//! Create one document, or change the one that has the same value in a unique field.

use alyx_core::document::named_value;
use alyx_core::identity::{Identity, RequestFacts};
use alyx_store::Abort;

use super::writing::{Change, Refusal, Writing, may_create, parse_new, refuse};
use super::{Documents, Once, Precondition, Written, access_of, entry};
use crate::problem::{ApiError, Code};

impl Documents {
    /// Creates a document.
    pub async fn create(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        body: &[u8],
        once: Option<Once>,
    ) -> Result<Written, ApiError> {
        let catalog = self.catalog.load_full();
        let found = entry(&catalog, collection)?;
        may_create(found, who)?;
        // What is wrong is found before the writer is asked.
        let document = parse_new(found, body, access_of(who))?;
        let (collection, body) = (collection.to_owned(), body.to_vec());
        self.write(catalog, who, facts, move |writing| {
            writing.kept(once.as_ref(), |writing| writing.insert(&collection, document.clone(), &body))
        })
        .await
    }

    /// Creates a document, or changes the one that has the same value in the unique `field`.
    pub async fn upsert(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        field: &str,
        body: &[u8],
        once: Option<Once>,
    ) -> Result<Written, ApiError> {
        let catalog = self.catalog.load_full();
        let (collection, field, body) = (collection.to_owned(), field.to_owned(), body.to_vec());
        self.write(catalog, who, facts, move |writing| {
            writing.kept(once.as_ref(), |writing| writing.upsert(&collection, &field, &body))
        })
        .await
    }
}

impl Writing<'_, '_, '_> {
    /// The document kept for a key, or the new one.
    fn kept(
        &mut self,
        once: Option<&Once>,
        work: impl FnOnce(&mut Self) -> Result<Written, Refusal>,
    ) -> Result<Written, Refusal> {
        let Some(once) = once else { return work(self) };
        let (status, kept) = self.once(Some(once), |writing| {
            let written = work(writing)?;
            Ok((written.status, [written.id.as_bytes(), b"\n", &written.json].concat()))
        })?;
        // Ids have no line ends of their own: JSON has none, and the first one ends the id.
        let end = kept.iter().position(|byte| *byte == b'\n').unwrap_or_default();
        let id = String::from_utf8_lossy(&kept[..end]).into_owned();
        Ok(Written { status, id, json: kept[end + 1..].to_vec() })
    }

    /// Creates a document, or changes the one that has the same value in the unique `field`. Who may not
    /// change that one is answered as by [`Writing::create`], so its presence shows only to those whose own
    /// creation it hinders.
    pub fn upsert(&mut self, collection: &str, field: &str, body: &[u8]) -> Result<Written, Refusal> {
        let entry = entry(self.catalog, collection).map_err(Abort::Refused)?;
        let access = access_of(self.who);
        let sight = entry.sight(self.who, &self.facts);
        let unique = entry
            .collection
            .field(field)
            .filter(|(place, field)| field.unique && !field.primary && sight.may_ask(*place, field));
        let Some((place, _)) = unique else {
            let detail = format!("{field:.64?} is not a unique field of this collection.");
            return Err(refuse(ApiError::new(Code::InvalidParameter, detail)));
        };
        let value = named_value(&entry.collection, body, place).map_err(refuse)?;
        let Some(old) = self.tx.find(&entry.collection, place, &value)? else {
            return self.create(collection, body);
        };
        let changed = match Change::parse(entry, body, access) {
            Ok(change) => self.update_found(entry, &old, &change, &Precondition::None),
            Err(error) => Err(self.wrong(entry, &old, error)),
        };
        match changed {
            // To somebody who may not change it, it is what it is to a creation: in the way, and only if
            // a creation would come that far.
            Err(Abort::Refused(error)) if error.code() == Code::DocumentNotFound.as_str() => {
                self.create(collection, body)
            }
            other => other,
        }
    }
}
