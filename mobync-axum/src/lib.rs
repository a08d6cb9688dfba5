#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod auth;
mod body;
mod extract;
mod live;
mod owner;
mod response;
mod route;

pub use self::{
    auth::{from_extractor, from_extractor_with_state},
    extract::{Authenticated, SyncBody},
    live::{live, live_route},
    owner::{AuthenticatedOwner, BearerToken},
    response::{Answer, SyncError},
    route::{route, router},
};
