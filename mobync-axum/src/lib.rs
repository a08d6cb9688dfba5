#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod extract;
mod live;
mod response;
mod route;

pub use self::{
    extract::{Authenticated, SyncBody},
    live::{live, live_route},
    response::{Answer, SyncError},
    route::{route, router},
};
