//! Answers that wait to be read. What they take together is bounded, and so is their wait: over HTTP/2
//! a client can ask for many and open no window for them, which stalls no write that could time out.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::Method;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use crate::limits::{ANSWER_FREE_BYTES, ANSWER_UNREAD_MAX, ANSWERS_MAX_BYTES};
use crate::problem::{ApiError, Code, internal};

/// Memory for the large answers of all connections, as one connection sees it.
#[derive(Clone, Debug)]
pub struct Unread {
    /// One permit per KiB, of all connections.
    room: Arc<Semaphore>,
    /// Told when an answer of this connection was not read in time.
    stuck: Arc<Notify>,
}

/// An answer and the room it takes, until its last byte went to the kernel.
struct Held {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
    watchdog: AbortHandle,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.watchdog.abort();
    }
}

impl Default for Unread {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(ANSWERS_MAX_BYTES / 1024)), stuck: Arc::default() }
    }
}

impl Unread {
    /// The same memory for another connection.
    pub fn of_connection(&self) -> Self {
        Self { room: Arc::clone(&self.room), stuck: Arc::default() }
    }

    /// Resolves when an answer of this connection was not read in time.
    pub async fn stuck(&self) {
        self.stuck.notified().await;
    }

    /// Counts a large answer. One that tells of a change is never refused: the change has been made.
    pub async fn hold(&self, method: &Method, response: Response) -> Response {
        let size = response.body().size_hint().exact().and_then(|size| usize::try_from(size).ok());
        let Some(size) = size.filter(|size| *size > ANSWER_FREE_BYTES) else { return response };
        let permits = u32::try_from(size.div_ceil(1024)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits).ok();
        if room.is_none() && method.is_safe() {
            let detail = "Too many large answers wait to be read; ask for less or try again.";
            return ApiError::new(Code::Overloaded, detail).into_response();
        }
        let (parts, body) = response.into_parts();
        let bytes = match to_bytes(body, size).await {
            Ok(bytes) => bytes,
            Err(error) => return ApiError::from(internal("hold an answer", &error)).into_response(),
        };
        let stuck = Arc::clone(&self.stuck);
        let watchdog = tokio::spawn(async move {
            tokio::time::sleep(ANSWER_UNREAD_MAX).await;
            stuck.notify_one();
        });
        let held = Held { bytes, _room: room, watchdog: watchdog.abort_handle() };
        Response::from_parts(parts, Body::from(Bytes::from_owner(held)))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::response::Response;
    use http::{Method, StatusCode};

    use super::Unread;
    use crate::limits::{ANSWER_FREE_BYTES, ANSWERS_MAX_BYTES};

    #[tokio::test]
    async fn large_answers_are_bounded() {
        const LARGE: usize = 16 * 1024 * 1024;
        let unread = Unread::default();
        let answer = async |method: Method, size: usize| {
            unread.hold(&method, Response::new(Body::from(vec![b'x'; size]))).await
        };
        let mut held = Vec::new();
        for _ in 0..ANSWERS_MAX_BYTES / LARGE {
            let answer = answer(Method::GET, LARGE).await;
            assert_eq!(answer.status(), StatusCode::OK);
            held.push(answer);
        }
        assert_eq!(answer(Method::GET, LARGE).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer(Method::GET, ANSWER_FREE_BYTES).await.status(), StatusCode::OK);
        assert_eq!(answer(Method::POST, LARGE).await.status(), StatusCode::OK);
        let bytes = to_bytes(held.pop().unwrap().into_body(), LARGE).await.unwrap();
        assert_eq!(bytes.len(), LARGE);
        assert_eq!(answer(Method::GET, LARGE).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(bytes);
        assert_eq!(answer(Method::GET, LARGE).await.status(), StatusCode::OK);
    }
}
