//! The pure core: what is read of a stream goes in, what to do about it and why comes out.
//!
//! No async, clock, I/O or randomness, and no floating point in the arithmetic of targets. `now` is
//! an argument.

// What tests share with the benchmarks names the crate as they do.
#[cfg(test)]
extern crate self as autoscaler_core;

pub mod alarm;
pub mod alarm_template;
pub mod audit;
pub mod constraints;
pub mod datetime;
pub mod decide;
pub mod decision;
pub mod external;
pub mod facts;
pub mod glob;
pub mod limits;
pub mod metric_math;
pub mod partition;
pub mod pattern;
pub mod pause;
pub mod policy;
pub mod priority;
pub mod reason;
pub mod scaling;
#[cfg(test)]
mod scene;
pub mod shards;
pub mod subscription;
pub mod trigger;
pub mod window;
