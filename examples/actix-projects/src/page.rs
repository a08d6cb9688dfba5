//! The page and its files, which are compiled into the program. The client is that of the example `todo`.

#[path = "../../todo/src/client.rs"]
mod client;

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    web::{self, ServiceConfig},
};

const FILES: &[(&str, &str)] = &[
    ("index.html", include_str!("../web/index.html")),
    ("app.css", include_str!("../web/app.css")),
    ("app.js", include_str!("../web/app.js")),
    ("dom.js", include_str!("../web/dom.js")),
    ("everything.js", include_str!("../web/everything.js")),
    ("notices.js", include_str!("../web/notices.js")),
    ("project.js", include_str!("../web/project.js")),
    ("server.js", include_str!("../web/server.js")),
    ("tasks.js", include_str!("../web/tasks.js")),
    ("airplane.js", include_str!("../../todo/web/airplane.js")),
    ("icon.svg", include_str!("../../todo/web/icons/icon.svg")),
    ("status.js", include_str!("../../todo/web/status.js")),
];

/// Everything from the server itself, and in no frame.
const POLICY: &str =
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// `GET` of the page and its files.
pub(crate) fn files(config: &mut ServiceConfig) {
    for (name, content) in FILES.iter().chain(client::FILES) {
        let path = if *name == "index.html" { "" } else { name };
        let serve = move || async move {
            HttpResponse::Ok()
                .insert_header((CONTENT_TYPE, media_type(name)))
                .insert_header((CACHE_CONTROL, "no-cache"))
                .insert_header((CONTENT_SECURITY_POLICY, POLICY))
                .body(*content)
        };
        config.route(&format!("/{path}"), web::get().to(serve));
    }
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    }
}
