//! What `bench` and `compare` share: the arms, the servers that sockkit starts itself, and one round of one arm.

mod arms;
mod embedded;
mod placement;
mod round;

pub(crate) use arms::{Arm, arms};
pub(crate) use embedded::ServerUsage;
pub(crate) use round::{Round, Setup, round};
