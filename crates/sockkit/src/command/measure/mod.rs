//! What `bench` and `compare` share: the arms, the servers that sockkit starts itself, one round of one arm, and what
//! is written down beside the figures.

mod arms;
mod embedded;
mod environment;
mod placement;
mod record;
mod repeat;
mod round;
mod saturation;
mod ticks;

pub(crate) use arms::{Arm, arms};
pub(crate) use embedded::usage;
pub(crate) use environment::Survey;
pub(crate) use placement::has_two_processors;
pub(crate) use record::{NOBODY_TELLS, Recorder, nobody_tells};
pub(crate) use repeat::{command, seed};
pub(crate) use round::{Round, Setup, engine, round};
#[cfg(test)]
pub(crate) use saturation::Saturation;
pub(crate) use ticks::Ticks;
