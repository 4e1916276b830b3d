//! One binary for all tests of the crate from outside.

mod cli;
mod config;
mod config_errors;
mod crash;
mod decide;
mod emulator;
mod error;
mod exhaustion;
mod hosts;
mod scene;
mod simulation;
mod tick;
mod world;
