//! The configuration: what loads, what does not, and how it is said.
