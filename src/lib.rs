//! audit-shipper: kube-apiserver's audit log, from the file to a remote endpoint.
pub mod batch;
pub mod checkpoint;
pub mod config;
pub mod deliver;
pub mod event;
pub mod fingerprint;
pub mod flags;
pub mod health;
pub mod kubeconfig;
pub mod metrics;
pub mod rejected;
pub mod route;
pub mod sink;
pub mod source;
pub mod throttle;
pub mod truncate;
