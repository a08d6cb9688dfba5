//! What the core reads of Rocket's requests and data.

use bytes::Bytes;
use mobync::http::{DEFAULT_MAX_BODY_BYTES, Head, OverLimit, Received, receive};
use rocket::{Data, Request, data::ToByteUnit, tokio::io::AsyncReadExt};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Receives within the limit `mobync` of Rocket's configuration, else the core's.
pub(crate) async fn received(
    request: &Request<'_>,
    data: Data<'_>,
) -> Result<Received, mobync::Error> {
    let limit =
        request.limits().get("mobync").unwrap_or_else(|| DEFAULT_MAX_BODY_BYTES.bytes()).as_u64();
    let max_bytes = usize::try_from(limit).unwrap_or(usize::MAX);
    receive(head(request), max_bytes, read(data, limit)).await
}

pub(crate) fn head<'r>(request: &'r Request<'_>) -> Head<'r> {
    let headers = request.headers();
    let value = |name| headers.get_one(name).map(str::as_bytes);
    Head {
        method: request.method().as_str(),
        authorization: value("authorization"),
        content_type: value("content-type"),
        content_length: value("content-length"),
        content_encodings: headers.get("content-encoding").map(str::as_bytes).collect(),
    }
}

/// Reads a body of at most `limit` bytes.
async fn read(data: Data<'_>, limit: u64) -> Result<Bytes, BoxError> {
    let mut body = Vec::new();
    // One byte more tells whether there is more.
    let read = data.open(limit.saturating_add(1).bytes()).read_to_end(&mut body).await?;
    if u64::try_from(read)? > limit {
        return Err(OverLimit.into());
    }
    Ok(body.into())
}
