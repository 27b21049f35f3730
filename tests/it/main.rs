//! The integration tests: everything from outside, through the real binary.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a helper that panics is a test that fails")]
mod crash;
mod demo;
mod receive;
mod rotation;
mod support;
