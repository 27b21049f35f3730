//! The integration tests: everything from outside, through the real binary.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a helper that panics is a test that fails")]
#![allow(clippy::float_cmp, reason = "counters are whole numbers")]
mod any_bytes;
mod batching;
mod checkpoint;
mod cli;
mod compression;
mod config;
mod connect;
mod crash;
mod cursor;
mod delivery;
mod demo;
mod docs;
mod filter;
mod gaps;
mod instructions;
mod liveness;
mod logs;
mod mistakes;
mod nspawn;
mod policy;
mod receive;
mod redaction;
mod rejected;
mod renewal;
mod rotation;
mod scenarios;
mod simulate;
mod sinks;
mod soak;
mod stop;
mod support;
mod top;
mod truncation;
mod weather;
mod wire;
