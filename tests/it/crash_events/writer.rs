//! Somebody who writes all the time and remembers what became of it.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::World;
use super::journal::Fate;
use crate::realtime_checker::Chance;

/// Goes on as long as the world does.
pub async fn run(world: Arc<World>, name: usize, mut chance: Chance) {
    let mut number = 0;
    while *world.going.borrow() {
        number += 1;
        let id = format!("w{name}-{number}");
        match chance.below(7) {
            0 | 1 => changes(&world, &id, &mut chance).await,
            2 => batch(&world, &id, None).await,
            // The last of it exists: nothing of it may be done.
            3 => batch(&world, &id, Some("taken")).await,
            4 => event(&world, "thing.happened", &id).await,
            5 => event(&world, "thing.broken", &id).await,
            _ => transaction(&world, &id, chance.below(2) == 0).await,
        }
        tokio::time::sleep(chance.pause(20, 120)).await;
    }
}

/// A document and some changes of it, one after the other.
async fn changes(world: &World, id: &str, chance: &mut Chance) {
    let mut fate = {
        let body = json!({ "id": id, "n": 1 });
        send(world, Method::POST, "/api/collections/items", body, &[format!("create {id} 1")]).await
    };
    for n in 2..2 + chance.below(3) {
        // What nobody knows of cannot be followed by something that is certain.
        if fate != Fate::Acknowledged {
            return;
        }
        let path = format!("/api/collections/items/{id}");
        fate = send(world, Method::PATCH, &path, json!({ "n": n }), &[format!("update {id} {n}")]).await;
    }
}

async fn batch(world: &World, id: &str, last: Option<&str>) {
    let ids: Vec<String> = (0..3).map(|part| format!("{id}-{part}")).collect();
    let keys: Vec<String> = ids.iter().map(|id| format!("create {id} 1")).collect();
    let create = |id: &str| json!({ "op": "create", "collection": "items", "data": { "id": id, "n": 1 } });
    let operations: Vec<Value> = ids.iter().map(String::as_str).chain(last).map(create).collect();
    send(world, Method::POST, "/api/batch", json!({ "operations": operations }), &keys).await;
}

async fn event(world: &World, name: &str, key: &str) {
    let path = format!("/api/events/{name}");
    send(world, Method::POST, &path, json!({ "key": key }), &[format!("{name} {key}")]).await;
}

/// A function that writes and publishes in one transaction, and takes it back if it is told to.
async fn transaction(world: &World, id: &str, back: bool) {
    let keys = [format!("create {id} 1"), format!("thing.happened {id}")];
    let body = json!({ "id": id, "back": back });
    send(world, Method::POST, "/api/functions/both", body, &keys).await;
}

/// Sends it to the server of now, and notes what became of it.
async fn send(world: &World, method: Method, path: &str, body: Value, keys: &[String]) -> Fate {
    let Some(admin) = world.server().await else { return Fate::Unknown };
    let fate = match admin.try_send(method, path, Some(body.to_string())).await {
        Ok(answer) if answer.status.is_success() => Fate::Acknowledged,
        Ok(answer) if answer.status.is_client_error() => Fate::Refused,
        Ok(_) | Err(_) => Fate::Unknown,
    };
    let mut fates = world.fates.lock().expect("nobody panics with it");
    fates.extend(keys.iter().map(|key| (key.clone(), fate)));
    fate
}
