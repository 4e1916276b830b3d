//! One binary for all tests of the crate from outside.

mod cli;
mod config;
mod config_errors;
mod decide;
mod emulator;
mod error;
mod exhaustion;
mod package;
mod scene;
mod simulation;
mod systemd;
mod tick;
mod world;
