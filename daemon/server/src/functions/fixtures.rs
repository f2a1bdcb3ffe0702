//! What the tests of this module share: a function, an invocation, somewhere for records to go.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alyx_core::identity::{Identity, RequestFacts, UserIdentity};
use alyx_core::schema::{
    Concurrency, FunctionConfig, FunctionLimits, FunctionRules, Instances, Position, Runtime,
};
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::calls::{Asked, CallHandler, CallResult};
use super::ending::Audience;
use super::job::{Answer, InvokeError, Job};
use super::recorder::{Execution, Sink};

/// A node function with small limits.
pub fn config() -> FunctionConfig {
    FunctionConfig {
        name: "echo".to_owned(),
        runtime: Runtime::Node,
        entrypoint: "index.js".to_owned(),
        timeout: Duration::from_secs(5),
        limits: FunctionLimits {
            memory_bytes: 64 << 20,
            cpu_percent: 100,
            cpu_time: Duration::from_secs(5),
            processes: 32,
            files: 64,
            tmp_bytes: 1 << 20,
            output_bytes: 1 << 20,
            logs_bytes: 1 << 16,
        },
        concurrency: Concurrency(1),
        instances: Instances { min: 0, max: 4, idle: Duration::from_secs(300), recycle_after: 10_000 },
        env: std::collections::BTreeMap::new(),
        secrets: Vec::new(),
        record: alyx_core::schema::Record::default(),
        rules: FunctionRules::default(),
        position: Position::default(),
    }
}

/// An invocation by a user, and where its answer arrives.
pub fn job(input: &str) -> (Box<Job>, oneshot::Receiver<Result<Answer, InvokeError>>) {
    let (reply, answer) = oneshot::channel();
    let queued = Instant::now();
    let user = UserIdentity {
        id: "u1".to_owned(),
        email: "ada@example.com".to_owned(),
        role: "user".to_owned(),
        verified: true,
        session: "s1".to_owned(),
        metadata: Arc::default(),
        scopes: Arc::default(),
    };
    let job = Job {
        execution_id: "e1".into(),
        identity: Identity::Function {
            name: "echo".to_owned(),
            on_behalf_of: Box::new(Identity::User(user)),
        },
        facts: Arc::new(RequestFacts {
            method: "POST".to_owned(),
            path: "/api/functions/echo".to_owned(),
            ip: "127.0.0.1".to_owned(),
            ..RequestFacts::default()
        }),
        input: RawValue::from_string(input.to_owned()).expect("tests give JSON"),
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        request_id: "r1".to_owned(),
        trigger: "http",
        audience: Audience::Author,
        started_at: crate::clock::now_text(),
        queued,
        deadline: queued + Duration::from_secs(20),
        reply,
    };
    (Box::new(job), answer)
}

/// Keeps records in memory.
#[derive(Debug, Default)]
pub struct Records(pub Mutex<Vec<Arc<Execution>>>);

impl Sink for Records {
    fn write(&self, batch: Vec<Arc<Execution>>) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
        self.0.lock().unwrap().extend(batch);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Answers every call with who made it.
#[derive(Debug)]
pub struct WhoCalls;

impl CallHandler for WhoCalls {
    fn run(&self, asked: Asked) -> Pin<Box<dyn Future<Output = CallResult> + Send>> {
        let identity = asked.identity;
        Box::pin(std::future::ready(Ok(format!("\"{}\"", identity.label()).into_bytes())))
    }
}
