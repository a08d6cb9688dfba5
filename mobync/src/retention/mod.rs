//! Retention: what of a log below its horizon goes, and what stays. Pure, like the merge; the words and the laws
//! are those of the [protocol](crate::protocol::document).

mod horizon;
mod thin;

pub(crate) use self::{
    horizon::{Begun, Horizon, Marks},
    thin::{Thinned, Thinning},
};
