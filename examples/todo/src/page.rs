//! The files of `web/`, which are part of the program, so that it runs from anywhere.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::Path,
};

use axum::{
    Router,
    body::Bytes,
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
    routing::get,
};

use crate::client;

#[derive(Clone, Copy)]
struct File {
    path: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

macro_rules! files {
    ($($path:literal => $media_type:expr,)*) => {
        &[$(File {
            path: $path,
            media_type: $media_type,
            content: include_bytes!(concat!("../web/", $path)),
        }),*]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: &[File] = files! {
    "index.html" => HTML,
    "app.css" => CSS,
    "app.js" => JAVASCRIPT,
    "airplane.js" => JAVASCRIPT,
    "drawer.js" => JAVASCRIPT,
    "list.js" => JAVASCRIPT,
    "notices.js" => JAVASCRIPT,
    "status.js" => JAVASCRIPT,
    "schema.json" => "application/json",
    "devices.html" => HTML,
    "people.html" => HTML,
    "devices.css" => CSS,
    "manifest.webmanifest" => "application/manifest+json",
    "icons/icon.svg" => "image/svg+xml",
    "icons/icon-192.png" => "image/png",
    "icons/icon-512.png" => "image/png",
    "icons/maskable-512.png" => "image/png",
    "icons/touch-180.png" => "image/png",
};

const SERVICE_WORKER: &str = include_str!("../web/sw.js");

/// The page's own files, and those of the client.
fn files() -> impl Iterator<Item = File> {
    let client = |&(path, content): &(&'static str, &'static str)| File {
        path,
        media_type: JAVASCRIPT,
        content: content.as_bytes(),
    };
    FILES.iter().copied().chain(client::FILES.iter().map(client))
}

/// Everything from the server itself; the page may be framed by those with two devices.
const POLICY: &str =
    "default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'";

impl File {
    /// What is in it, or in the file of that name in the directory, if there is one.
    fn content(&self, instead: Option<&Path>) -> io::Result<Bytes> {
        let Some(directory) = instead else { return Ok(Bytes::from_static(self.content)) };
        match fs::read(directory.join(self.path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Bytes::from_static(self.content))
            }
            read => Ok(read?.into()),
        }
    }
}

/// `GET` of the page and its files, or of those in the directory in their place.
pub(crate) fn router(instead: Option<&Path>) -> io::Result<Router> {
    let contents = files().map(|file| file.content(instead)).collect::<io::Result<Vec<Bytes>>>()?;
    // A page of another version of these files has another cache.
    let version = hash(&(&contents, SERVICE_WORKER));
    let worker = SERVICE_WORKER.replace("VERSION_OF_THE_FILES", &version);
    let mut router = Router::new().route(
        "/sw.js",
        get(async move |headers: HeaderMap| serve(JAVASCRIPT, worker.clone(), &version, &headers)),
    );
    for (file, content) in files().zip(contents) {
        let tag = hash(&content);
        let answer =
            async move |headers: HeaderMap| serve(file.media_type, content.clone(), &tag, &headers);
        if file.path == "index.html" {
            router = router.route("/", get(answer.clone()));
        }
        router = router.route(&format!("/{}", file.path), get(answer));
    }
    Ok(router)
}

/// The file; or that it has not changed, to a browser that has it already.
fn serve(
    media_type: &'static str,
    content: impl IntoResponse,
    tag: &str,
    headers: &HeaderMap,
) -> Response {
    let tag = format!("\"{tag}\"");
    let has_it = headers.get(IF_NONE_MATCH).is_some_and(|tags| tags.as_bytes() == tag.as_bytes());
    let cache = [(ETAG, tag), (CACHE_CONTROL, "no-cache".to_owned())];
    if has_it {
        return (StatusCode::NOT_MODIFIED, cache).into_response();
    }
    let content_type = [(CONTENT_TYPE, media_type), (CONTENT_SECURITY_POLICY, POLICY)];
    (cache, content_type, content).into_response()
}

fn hash(content: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
