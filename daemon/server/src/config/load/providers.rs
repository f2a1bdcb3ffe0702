//! Section `oauth`: a name for each provider, with settings below it.

use super::super::providers::{Draft, PROVIDER_SETTINGS, PROVIDERS_MAX, is_name};
use super::super::tree::{Kind, Node, Place};
use super::{Loader, at};
use crate::config::value::interpolate;

/// Name of the section.
pub const SECTION: &str = "oauth";

impl Loader<'_> {
    pub(super) fn read_providers(&mut self, file: &str, node: Node) {
        let providers = match node.kind {
            Kind::Empty => return,
            Kind::Map(providers) => providers,
            _ => {
                let accepted = Some("a name for each provider, with its settings below it".to_owned());
                return self.problem(
                    at(file, node.place),
                    SECTION,
                    "must hold providers".to_owned(),
                    accepted,
                );
            }
        };
        if providers.len() > PROVIDERS_MAX {
            let message = format!("has more than {PROVIDERS_MAX} providers");
            return self.problem(at(file, node.place), SECTION, message, None);
        }
        for (name, place, node) in providers {
            self.read_provider(file, &name, place, node);
        }
    }

    fn read_provider(&mut self, file: &str, name: &str, place: Place, node: Node) {
        let full = format!("{SECTION}.{name}");
        if !is_name(name) {
            let accepted = "1 to 40 small letters, digits and dashes".to_owned();
            return self.problem(at(file, place), &full, "is no name".to_owned(), Some(accepted));
        }
        let Kind::Map(settings) = node.kind else {
            let accepted = Some(known_keys());
            return self.problem(at(file, node.place), &full, "must hold settings".to_owned(), accepted);
        };
        let (mut draft, problems) = (Draft::default(), self.problems.len());
        for (key, place, node) in settings {
            self.read_provider_setting(file, &full, &key, place, node, &mut draft);
        }
        if self.problems.len() > problems {
            return;
        }
        match draft.finish(name) {
            Ok(provider) => self.config.oauth.push(provider),
            Err(message) => self.problem(at(file, place), &full, message.to_owned(), Some(known_keys())),
        }
    }

    fn read_provider_setting(
        &mut self,
        file: &str,
        provider: &str,
        key: &str,
        place: Place,
        node: Node,
        draft: &mut Draft,
    ) {
        let full = format!("{provider}.{key}");
        let Some(setting) = PROVIDER_SETTINGS.iter().find(|setting| setting.key == key) else {
            return self.problem(at(file, place), &full, "unknown key".to_owned(), Some(known_keys()));
        };
        let accepted = Some(setting.accepts.to_owned());
        let value_place = at(file, node.place);
        let items = match node.kind {
            Kind::Text(text) => vec![text],
            Kind::List(items) => {
                let texts = items
                    .into_iter()
                    .map(|item| if let Kind::Text(text) = item.kind { Some(text) } else { None });
                match texts.collect() {
                    Some(texts) => texts,
                    None => {
                        return self.problem(
                            value_place,
                            &full,
                            "has an item of the wrong type".to_owned(),
                            accepted,
                        );
                    }
                }
            }
            _ => return self.problem(value_place, &full, "has the wrong type".to_owned(), accepted),
        };
        let values: Result<Vec<String>, String> =
            items.iter().map(|item| interpolate(item, &|name| self.variable(name))).collect();
        match values {
            Err(message) => self.problem(value_place, &full, message, accepted),
            // The value may be a secret, so it is not repeated.
            Ok(values) if (setting.apply)(draft, &values).is_none() => {
                self.problem(value_place, &full, "is not accepted".to_owned(), accepted);
            }
            Ok(_) => {}
        }
    }
}

fn known_keys() -> String {
    let keys: Vec<&str> = PROVIDER_SETTINGS.iter().map(|setting| setting.key).collect();
    keys.join(", ")
}
