//! Servers: services, conversations and the engines that drive them.

pub mod bucket;
pub mod counters;
pub mod policy;
pub mod services;

pub use bucket::RateLimit;
pub use counters::{Counters, DropReason, EndReason, RefuseReason, Totals};
pub use policy::Policy;
pub use services::{Builtin, Greeting, Service};
