//! One binary for all tests of the crate from outside.

mod check;
mod cli;
mod commands;
mod config;
mod config_errors;
mod decide;
mod emulator;
mod error;
mod exhaustion;
mod scene;
mod provision;
mod scale;
mod simulation;
mod tick;
mod world;
