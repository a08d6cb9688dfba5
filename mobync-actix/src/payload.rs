//! What the core reads of actix-web's requests.

use std::future::Future;

use actix_web::{
    FromRequest, HttpRequest, dev,
    error::PayloadError,
    http::header::{self, HeaderName, HeaderValue},
    web::{self, PayloadConfig},
};
use bytes::Bytes;
use mobync::http::{Head, OverLimit};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn head(request: &HttpRequest) -> Head<'_> {
    let value = |name: HeaderName| request.headers().get(name).map(HeaderValue::as_bytes);
    let encodings = request.headers().get_all(header::CONTENT_ENCODING);
    Head {
        method: request.method().as_str(),
        authorization: value(header::AUTHORIZATION),
        content_type: value(header::CONTENT_TYPE),
        content_length: value(header::CONTENT_LENGTH),
        content_encodings: encodings.map(HeaderValue::as_bytes).collect(),
    }
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(payload: web::Payload, limit: usize) -> Result<Bytes, BoxError> {
    match payload.to_bytes_limited(limit).await {
        Ok(body) => body.map_err(|error| explain(&error)),
        Err(_) => Err(OverLimit.into()),
    }
}

/// Reads a body within the application's `PayloadConfig`, else actix-web's 256 KiB.
pub(crate) fn extract(
    request: &HttpRequest,
    payload: &mut dev::Payload,
) -> impl Future<Output = Result<Bytes, BoxError>> + use<> {
    let body = web::Bytes::from_request(request, payload);
    async { body.await.map_err(|error| explain(&error)) }
}

fn explain(error: &actix_web::Error) -> BoxError {
    match error.as_error() {
        Some(PayloadError::Overflow) => OverLimit.into(),
        _ => error.to_string().into(),
    }
}

/// Whether the application has set a limit of actix-web's own, in one of the two usual ways.
pub(crate) fn has_config(request: &HttpRequest) -> bool {
    request.app_data::<PayloadConfig>().is_some()
        || request.app_data::<web::Data<PayloadConfig>>().is_some()
}
