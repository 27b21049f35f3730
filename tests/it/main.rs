//! The integration tests: everything from outside, through the real binary.
mod support;
