//! Servers: services, conversations and the engines that drive them.

pub mod counters;
pub mod services;
