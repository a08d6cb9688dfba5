//! Retention: which entries of a log below its horizon are removed, and which stay. Pure, like the merge. The
//! terms and the laws are those of the [protocol](crate::protocol::document).

mod horizon;
mod thin;

pub(crate) use self::{
    horizon::{Begun, Horizon, Marks},
    thin::{Thinned, Thinning},
};
