//! audit-shipper: kube-apiserver's audit log, from the file to a remote endpoint.
pub mod config;
pub mod demo;
pub mod receive;
