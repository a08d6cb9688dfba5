#![doc = include_str!("../README.md")]

mod extract;
mod response;
mod route;

pub use self::{
    extract::{Authenticated, SyncBody},
    response::{Answer, SyncError},
    route::{route, router},
};
