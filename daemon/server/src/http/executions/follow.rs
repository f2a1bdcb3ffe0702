//! Executions as they are recorded: one JSON object a line, until the client goes away.
//!
//! A client that reads too slowly is told how many it missed rather than holding anything up.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header};
use tokio::sync::broadcast::error::RecvError;

use crate::app::App;
use crate::functions::Execution;
use crate::serve::told_to_stop;

/// Which executions are wanted.
pub struct Wanted {
    /// Of this function.
    pub function: Option<String>,
    /// With this outcome.
    pub outcome: Option<String>,
}

/// Answers with executions to come.
pub fn follow(app: &App, wanted: Wanted) -> Response {
    let state = (app.functions.follow(), app.stopped.clone(), wanted);
    let lines = stream::unfold(state, |(mut executions, mut stopped, wanted)| async move {
        let line = loop {
            let next = tokio::select! {
                () = told_to_stop(&mut stopped) => return None,
                next = executions.recv() => next,
            };
            match next {
                Ok(execution) if wanted.includes(&execution) => break line(&execution),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => break format!("{{\"missed\":{missed}}}\n"),
                Err(RecvError::Closed) => return None,
            }
        };
        Some((Ok::<_, Infallible>(Bytes::from(line)), (executions, stopped, wanted)))
    });
    let mut response = Response::new(Body::from_stream(lines));
    let ndjson = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, ndjson);
    response
}

impl Wanted {
    fn includes(&self, execution: &Execution) -> bool {
        self.function.as_ref().is_none_or(|function| *function == execution.function)
            && self.outcome.as_ref().is_none_or(|outcome| outcome == execution.outcome)
    }
}

fn line(execution: &Arc<Execution>) -> String {
    let mut text = serde_json::to_string(&**execution).expect("an execution holds text and numbers");
    text.push('\n');
    text
}
