//! Somebody who changes documents, memberships and roles all the time.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Chance, World};

/// Documents that there may be.
#[derive(Debug, Default)]
pub struct Ids {
    items: Vec<String>,
    notes: Vec<String>,
    members: Vec<String>,
}

/// As many of each are enough for windows to be full.
const MOST: usize = 30;

impl Ids {
    fn of(&mut self, collection: &str) -> &mut Vec<String> {
        match collection {
            "items" => &mut self.items,
            "notes" => &mut self.notes,
            _ => &mut self.members,
        }
    }
}

/// Goes on as long as things change.
pub async fn run(world: Arc<World>, mut chance: Chance) {
    while *world.going.borrow() {
        let (_, admin) = world.server().await;
        let (method, path, body) = next(&world, &mut chance);
        // It may be killed meanwhile; what comes of it the feed tells.
        let sent = admin.try_send(method, &path, body.map(|body| body.to_string())).await;
        if let Ok(answer) = sent {
            let (status, body) = (answer.status.as_u16(), answer.body_or_null());
            assert!(status < 500 || status == 503, "{path}: {answer}");
            for made in body["results"].as_array().into_iter().flatten().chain([&body]) {
                let made = made.get("document").or_else(|| made.get("doc")).unwrap_or(made);
                keep(&world, &path, made);
            }
        }
        tokio::time::sleep(chance.pause(5, 60)).await;
    }
}

fn keep(world: &World, path: &str, made: &Value) {
    let Some(id) = made["id"].as_str() else { return };
    let collection = match path.rsplit('/').next() {
        Some(name @ ("items" | "notes" | "members")) => name,
        Some("batch") => "items",
        _ => return,
    };
    let mut ids = world.ids.lock().expect("nobody panics with it");
    let known = ids.of(collection);
    if !known.iter().any(|other| other == id) {
        known.push(id.to_owned());
    }
}

fn document(world: &World, chance: &mut Chance, collection: &str) -> Value {
    let person = chance.pick(&world.people).map(|(_, id)| id.clone());
    let (room, n) = (format!("r{}", chance.below(3)), chance.below(100));
    match collection {
        "items" => {
            let team = chance.pick(&["a", "b", "c"]).copied();
            json!({ "n": n, "team": team, "public": chance.below(2) == 0, "owner": person })
        }
        "notes" => json!({ "n": n, "room": room }),
        _ => json!({ "room": room, "person": person }),
    }
}

/// What to do next.
fn next(world: &World, chance: &mut Chance) -> (Method, String, Option<Value>) {
    if chance.below(30) == 0 {
        // Ada and Bob stay what they are.
        let (_, id) = &world.people[2 + chance.below(2) as usize];
        let role = if chance.below(2) == 0 { "editor" } else { "user" };
        return (Method::PATCH, format!("/api/admin/users/{id}"), Some(json!({ "role": role })));
    }
    let collection =
        ["items", "items", "items", "items", "notes", "notes", "members"][chance.below(7) as usize];
    let mut fresh = document(world, chance, collection);
    let (known, full) = {
        let mut ids = world.ids.lock().expect("nobody panics with it");
        let known = ids.of(collection);
        (chance.pick(known).cloned(), known.len() >= MOST)
    };
    let path = format!("/api/collections/{collection}");
    let Some(id) = known else { return (Method::POST, path, Some(fresh)) };
    match chance.below(10) {
        0..=1 if !full => (Method::POST, path, Some(fresh)),
        2 if collection == "items" && !full => {
            let more = document(world, chance, collection);
            let operations = json!([
                { "op": "create", "collection": collection, "data": fresh },
                { "op": "update", "collection": collection, "id": id, "data": { "n": chance.below(100) } },
                { "op": "create", "collection": collection, "data": more },
            ]);
            (Method::POST, "/api/batch".to_owned(), Some(json!({ "operations": operations })))
        }
        0..=3 => {
            world.ids.lock().expect("nobody panics with it").of(collection).retain(|other| *other != id);
            (Method::DELETE, format!("{path}/{id}"), None)
        }
        _ => {
            let members = fresh.as_object_mut().expect("an object");
            let drop = members.keys().nth(chance.below(members.len() as u64) as usize).cloned();
            drop.into_iter().for_each(|name| drop_member(members, &name));
            (Method::PATCH, format!("{path}/{id}"), Some(fresh))
        }
    }
}

fn drop_member(members: &mut serde_json::Map<String, Value>, name: &str) {
    if members.len() > 1 {
        members.remove(name);
    }
}
