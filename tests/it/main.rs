//! The integration tests: everything from outside, through the real binary.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a helper that panics is a test that fails")]
mod batching;
mod crash;
mod delivery;
mod demo;
mod logs;
mod receive;
mod rotation;
mod support;
mod truncation;
mod wire;
