//! Server-sent events (HTML §9.2): each message is the data of one event.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, header};

use crate::realtime::{Next, Open};

/// The answer that goes on until either end has enough.
pub fn answer(open: Open) -> Response {
    let events = stream::unfold(Some(open), |open| async {
        let open = open?;
        let next = tokio::time::timeout(open.hub.heartbeat(), open.connection.outbox.next()).await;
        let event = match next {
            Ok((Next::End(_), _)) => return None,
            Ok((Next::Send(message), roomy)) => {
                if roomy {
                    open.connection.wake_groups();
                }
                open.hub.note_sent();
                format!("data: {}\n\n", message.text())
            }
            Err(_) => ":\n\n".to_owned(),
        };
        Some((Ok::<_, Infallible>(Bytes::from(event)), Some(open)))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy that collects the answer would hold back what is to be told at once.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}
