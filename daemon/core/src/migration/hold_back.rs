//! The schema to serve while structural changes wait for a confirmation: tables as they are, rules and
//! everything else that decides who may see or set what as wanted. So a rule that was removed or
//! narrowed never stays in force because something beside it waits.

use std::sync::Arc;

use crate::schema::{
    ChannelRules, Collection, CollectionRules, Diagnostic, Field, HookOn, RuleSource, Schema,
};

/// `applied` with the rules, functions, visibility, defaults and conditions of `wanted`. A collection
/// that is not wanted any more has no rules left: it denies everyone but administrators.
#[must_use]
pub fn hold_back(applied: &Schema, wanted: &Schema) -> Schema {
    let collection = |old: &Arc<Collection>| match wanted.collections.get(&old.name) {
        None => Collection { rules: CollectionRules::default(), ..(**old).clone() },
        Some(new) => Collection {
            rules: new.rules.clone(),
            fields: old.fields.iter().map(|field| mix(field, new)).collect(),
            ..(**old).clone()
        },
    };
    let is_there = |on: &HookOn| match on {
        HookOn::Documents { collection, .. } => applied.collections.contains_key(collection),
        HookOn::Auth(_) | HookOn::Event(_) => true,
    };
    Schema {
        collections: applied
            .collections
            .iter()
            .map(|(name, old)| (name.clone(), Arc::new(collection(old))))
            .collect(),
        functions: wanted.functions.clone(),
        events: wanted.events.clone(),
        hooks: wanted.hooks.iter().filter(|hook| is_there(&hook.on)).cloned().collect(),
        webhooks: wanted.webhooks.iter().filter(|webhook| is_there(&webhook.on)).cloned().collect(),
        inbound: wanted.inbound.clone(),
        uses: wanted.uses.clone(),
        channels: wanted.channels.clone(),
        schedules: wanted.schedules.clone(),
    }
}

fn mix(old: &Field, collection: &Collection) -> Field {
    match collection.field(&old.name) {
        None => old.clone(),
        Some((_, new)) if new.kind == old.kind => Field {
            kind: old.kind.clone(),
            primary: old.primary,
            nullable: old.nullable,
            unique: old.unique,
            index: old.index,
            search: old.search,
            ..new.clone()
        },
        // Values of the old type are still written, under the old conditions.
        Some((_, new)) => Field {
            internal: old.internal || new.internal,
            hidden: old.hidden || new.hidden,
            rules: new.rules.clone(),
            ..old.clone()
        },
    }
}

/// The schema with `false` in place of every rule that one of the diagnostics is about: a rule that
/// does not fit the tables as they are denies.
#[must_use]
pub fn deny_rules(mut schema: Schema, diagnostics: &[Diagnostic]) -> Schema {
    let deny = |rule: &mut Option<RuleSource>| {
        if let Some(rule) = rule
            && diagnostics.iter().any(|diagnostic| diagnostic.path == rule.path)
        {
            "false".clone_into(&mut rule.text);
        }
    };
    for collection in schema.collections.values_mut() {
        let collection = Arc::make_mut(collection);
        let CollectionRules { create, get, list, subscribe, update, delete } = &mut collection.rules;
        [create, get, list, subscribe, update, delete].into_iter().for_each(deny);
        for field in &mut collection.fields {
            [&mut field.rules.read, &mut field.rules.write].into_iter().for_each(deny);
        }
    }
    for channel in schema.channels.values_mut() {
        let ChannelRules { subscribe, broadcast, presence } = &mut Arc::make_mut(channel).rules;
        [subscribe, broadcast, presence].into_iter().for_each(deny);
    }
    schema
}
