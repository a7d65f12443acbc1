//! Reads an HTTP body of a bounded size.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

/// A body that was read to its end.
pub(super) enum Read {
    /// All of it.
    Whole(Bytes),
    /// It had this many bytes, more than were wanted; none was kept.
    TooLarge(usize),
}

/// Reads `body` and keeps at most `limit` bytes. It is read to its end even if it is larger: a client that is
/// refused while it writes loses its connection and cannot read why.
pub(super) async fn read(mut body: Body, limit: usize) -> Result<Read, axum::Error> {
    // Most bodies come in one piece, which needs no copy.
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        length += data.len();
        if length > limit {
            rest.clear();
        } else if length == data.len() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    if length > limit {
        return Ok(Read::TooLarge(length));
    }
    Ok(Read::Whole(if rest.is_empty() { first } else { rest.freeze() }))
}
