//! What `bench` and `compare` share: the arms, the servers that sockkit starts itself, and one round of one arm.

mod arms;
mod embedded;
mod placement;
mod record;
mod round;
mod saturation;

pub(crate) use arms::{Arm, arms};
pub(crate) use embedded::ServerUsage;
pub(crate) use record::Recorder;
pub(crate) use round::{Round, Setup, round};
pub(crate) use saturation::{Saturation, saturation};
