//! The integration tests: everything from outside, through the real binary.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a helper that panics is a test that fails")]
mod cli;
mod config;
mod cursor;
mod demo;
mod docs;
mod mistakes;
mod receive;
mod stop;
mod support;
