//! From Rocket's requests and data to the types of the core.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use http_body::{Body, Frame};
use http_body_util::StreamBody;
use mobync::http::{DEFAULT_MAX_BODY_BYTES, OverLimit};
use rocket::{
    Data, Request,
    data::{ByteUnit, ToByteUnit},
    futures::stream,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The limit `mobync` of Rocket's configuration, else the core's.
pub(crate) fn limit(request: &Request<'_>) -> ByteUnit {
    request.limits().get("mobync").unwrap_or_else(|| DEFAULT_MAX_BODY_BYTES.bytes())
}

/// A limit as the core takes it.
pub(crate) fn bytes(limit: ByteUnit) -> usize {
    usize::try_from(limit.as_u64()).unwrap_or(usize::MAX)
}

/// The core looks at the method and the headers only, and reads the data when these are right.
pub(crate) fn convert<'r>(
    request: &Request<'_>,
    data: Data<'r>,
) -> http::Request<impl Body<Data = Bytes, Error = BoxError> + Send + use<'r>> {
    let limit = limit(request);
    let body = StreamBody::new(stream::once(async move {
        let read = data.open(limit).into_bytes().await?;
        if !read.is_complete() {
            return Err(OverLimit.into());
        }
        Ok(Frame::data(Bytes::from(read.into_inner())))
    }));
    convert_head(request, body)
}

pub(crate) fn convert_head<B>(request: &Request<'_>, body: B) -> http::Request<B> {
    let mut converted = http::Request::new(body);
    let method = request.method().as_str().as_bytes();
    *converted.method_mut() = Method::from_bytes(method).unwrap_or_default();
    for header in request.headers().iter() {
        let name = HeaderName::from_bytes(header.name().as_str().as_bytes());
        let value = HeaderValue::from_bytes(header.value().as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            converted.headers_mut().append(name, value);
        }
    }
    converted
}
