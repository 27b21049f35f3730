//! demo
pub mod lumberjack;
