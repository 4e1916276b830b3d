//! One binary for all tests of the crate from outside.

mod check;
mod cli;
mod commands;
mod config;
mod config_errors;
mod crash;
mod decide;
mod emulator;
mod error;
mod exhaustion;
mod history;
mod hosts;
mod lease;
mod metrics;
mod package;
mod process;
mod provision;
mod readme;
mod scale;
mod scene;
mod simulation;
mod status;
mod storm;
mod systemd;
mod tick;
mod world;
