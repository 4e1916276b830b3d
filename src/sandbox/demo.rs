//! The demo's world.
