//! The demo's world.
pub const SPEED: u32 = 240;
pub fn build(_: &super::Sandbox) {}
pub fn config() -> crate::config::Config { crate::config::Config::from_toml("").unwrap() }
