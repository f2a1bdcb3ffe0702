//! Answers without an end: one JSON object a line as it happens, until the client goes away or the daemon
//! stops.
//!
//! A client that reads too slowly is told how many lines it missed rather than holding anything up.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, header};
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::app::App;
use crate::serve::told_to_stop;

/// Answers with what there is and, of what is to come, what is wanted.
pub fn follow<T: Serialize + Send + Sync + 'static>(
    app: &App,
    known: &[T],
    to_come: Receiver<Arc<T>>,
    wanted: impl Fn(&T) -> bool + Send + 'static,
) -> Response {
    let known: String = known.iter().map(line).collect();
    let known = (!known.is_empty()).then_some(Ok::<_, Infallible>(Bytes::from(known)));
    let state = (to_come, app.stopped.clone(), wanted);
    let to_come = stream::unfold(state, |(mut to_come, mut stopped, wanted)| async move {
        let line = loop {
            let next = tokio::select! {
                () = told_to_stop(&mut stopped) => return None,
                next = to_come.recv() => next,
            };
            match next {
                Ok(value) if wanted(&value) => break line(&*value),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => break format!("{{\"missed\":{missed}}}\n"),
                Err(RecvError::Closed) => return None,
            }
        };
        Some((Ok(Bytes::from(line)), (to_come, stopped, wanted)))
    });
    let mut response = Response::new(Body::from_stream(stream::iter(known).chain(to_come)));
    let ndjson = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, ndjson);
    response
}

fn line(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("what is followed holds text and numbers");
    text.push('\n');
    text
}
