//! WebSockets (RFC 6455): each message is one text frame.

use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use http::header;
use http::request::Parts;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tungstenite::Error as Fault;
use tungstenite::error::CapacityError;

use crate::app::App;
use crate::limits::{REALTIME_CLOSE_MAX, REALTIME_WRITE_MAX_BYTES};
use crate::problem::{ApiError, Code};
use crate::realtime::{Next, Open, Reason};

/// The subprotocol.
const PROTOCOL: &str = "alyx.v1";

/// Bytes that are read at once. Clients say little.
const READ_BYTES: usize = 2 * 1024;

/// Reads what a client asks for.
///
/// # Errors
/// `invalid_request` if it is no handshake, or one for another subprotocol.
pub async fn read(parts: &mut Parts, app: &App) -> Result<WebSocketUpgrade, ApiError> {
    let invalid = |detail: String| ApiError::new(Code::InvalidRequest, detail);
    let upgrade = WebSocketUpgrade::from_request_parts(parts, app)
        .await
        .map_err(|refused| invalid(format!("This is no handshake of a WebSocket: {refused}.")))?;
    let upgrade = upgrade.protocols([PROTOCOL]);
    if upgrade.selected_protocol().is_none() && parts.headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        return Err(invalid(format!("The subprotocol is {PROTOCOL}.")));
    }
    let limit = app.realtime.message_limit();
    Ok(upgrade
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(REALTIME_WRITE_MAX_BYTES)
        .max_message_size(limit)
        .max_frame_size(limit))
}

/// The answer after which the connection is a WebSocket.
pub fn answer(upgrade: WebSocketUpgrade, open: Open) -> Response {
    upgrade.on_upgrade(|socket| serve(socket, open))
}

async fn serve(mut socket: WebSocket, open: Open) {
    let Open { hub, connection } = &open;
    let beat = hub.heartbeat();
    let mut due = interval_at(Instant::now() + beat, beat);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    let end = loop {
        let sent = tokio::select! {
            (next, roomy) = connection.outbox.next() => {
                if roomy {
                    connection.wake_groups();
                }
                match next {
                    Next::Send(message) => {
                        hub.note_sent();
                        socket.send(Message::text(message.text())).await
                    }
                    Next::End(reason) => break Some((reason.close_code(), reason.as_str())),
                }
            }
            received = socket.recv() => {
                heard = Instant::now();
                match received {
                    Some(Ok(Message::Text(text))) => hub.hear(connection, &text).await,
                    Some(Ok(Message::Binary(_))) => break Some((1003, "text only")),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => hub.hear_noise(connection),
                    Some(Ok(Message::Close(_))) => {
                        // The library has the answer ready; reading on sends it.
                        drop(timeout(REALTIME_CLOSE_MAX, socket.recv()).await);
                        break None;
                    }
                    None => break None,
                    Some(Err(error)) => break close_for(error),
                }
                Ok(())
            }
            _ = due.tick() => {
                if heard.elapsed() > beat * 2 {
                    break Some((Reason::Gone.close_code(), "silent"));
                }
                socket.send(Message::Ping(Vec::new().into())).await
            }
        };
        if sent.is_err() {
            break None;
        }
    };
    // Whoever asks whether it is still there finds that it is not.
    drop(open);
    if let Some((code, reason)) = end {
        let frame = CloseFrame { code, reason: reason.into() };
        drop(timeout(REALTIME_CLOSE_MAX, close(socket, frame)).await);
    }
}

/// Says that it is over, and waits until the other end agrees, so that nothing sent before is lost.
async fn close(mut socket: WebSocket, frame: CloseFrame) {
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

/// What a client is told that does not keep to the protocol (RFC 6455 §7.4.1).
fn close_for(error: axum::Error) -> Option<(u16, &'static str)> {
    let fault = error.into_inner().downcast::<Fault>().ok()?;
    match *fault {
        Fault::Capacity(CapacityError::MessageTooLong { .. }) => Some((1009, "message too long")),
        Fault::Utf8(_) => Some((1007, "not UTF-8")),
        Fault::Protocol(_) => Some((1002, "not the protocol")),
        _ => None,
    }
}
