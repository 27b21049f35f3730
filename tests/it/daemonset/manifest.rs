//! The objects of the rendered manifests. A field that is not known here is an error, so that nothing stands in the manifest that the
//! trial of the pod passes over.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// By their kinds.
#[derive(Deserialize)]
#[serde(tag = "kind")]
pub(crate) enum Object {
    ServiceAccount(ServiceAccount),
    ConfigMap(ConfigMap),
    Secret(Secret),
    DaemonSet(DaemonSet),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ServiceAccount {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    pub(crate) metadata: Metadata,
    pub(crate) automount_service_account_token: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ConfigMap {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    pub(crate) metadata: Metadata,
    pub(crate) data: BTreeMap<String, String>,
}

/// Its data is base64.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Secret {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    pub(crate) metadata: Metadata,
    #[serde(rename = "type")]
    _type: IgnoredAny,
    pub(crate) data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// Debian 12's kubectl says that there are none.
    #[serde(rename = "annotations", default)]
    _annotations: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DaemonSet {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    pub(crate) metadata: Metadata,
    pub(crate) spec: DaemonSetSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DaemonSetSpec {
    pub(crate) selector: Selector,
    #[serde(rename = "updateStrategy")]
    _update_strategy: IgnoredAny,
    pub(crate) template: Template,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Selector {
    pub(crate) match_labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Template {
    pub(crate) metadata: TemplateMetadata,
    pub(crate) spec: PodSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TemplateMetadata {
    pub(crate) labels: BTreeMap<String, String>,
}

/// What has no counterpart here is the scheduler's: where the pod runs, and who has to make room for it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PodSpec {
    #[serde(rename = "affinity")]
    _affinity: IgnoredAny,
    #[serde(rename = "tolerations")]
    _tolerations: IgnoredAny,
    #[serde(rename = "priorityClassName")]
    _priority_class_name: IgnoredAny,
    pub(crate) service_account_name: String,
    pub(crate) automount_service_account_token: bool,
    pub(crate) enable_service_links: bool,
    pub(crate) host_network: bool,
    pub(crate) dns_policy: String,
    pub(crate) termination_grace_period_seconds: u32,
    pub(crate) containers: Vec<Container>,
    pub(crate) volumes: Vec<Volume>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Container {
    #[serde(rename = "name")]
    _name: IgnoredAny,
    pub(crate) image: String,
    #[serde(rename = "imagePullPolicy")]
    _image_pull_policy: IgnoredAny,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<Variable>,
    pub(crate) ports: Vec<Port>,
    pub(crate) startup_probe: Probe,
    pub(crate) liveness_probe: Probe,
    pub(crate) readiness_probe: Probe,
    pub(crate) security_context: SecurityContext,
    pub(crate) resources: Resources,
    pub(crate) volume_mounts: Vec<Mount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value_from: ValueFrom,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ValueFrom {
    pub(crate) field_ref: FieldRef,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FieldRef {
    pub(crate) field_path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) container_port: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Probe {
    pub(crate) http_get: HttpGet,
    #[serde(rename = "periodSeconds")]
    _period_seconds: IgnoredAny,
    #[serde(rename = "timeoutSeconds", default)]
    _timeout_seconds: IgnoredAny,
    #[serde(rename = "failureThreshold", default)]
    _failure_threshold: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HttpGet {
    pub(crate) path: String,
    pub(crate) port: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SecurityContext {
    pub(crate) run_as_user: u32,
    pub(crate) run_as_group: u32,
    pub(crate) privileged: bool,
    pub(crate) allow_privilege_escalation: bool,
    pub(crate) read_only_root_filesystem: bool,
    pub(crate) capabilities: Capabilities,
    pub(crate) seccomp_profile: SeccompProfile,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Capabilities {
    #[serde(default)]
    pub(crate) add: Vec<String>,
    pub(crate) drop: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SeccompProfile {
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Resources {
    pub(crate) requests: BTreeMap<String, String>,
    pub(crate) limits: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Mount {
    pub(crate) name: String,
    #[serde(rename = "mountPath")]
    pub(crate) path: PathBuf,
    #[serde(default)]
    pub(crate) read_only: bool,
}

/// One of the three.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) host_path: Option<HostPath>,
    pub(crate) config_map: Option<FromConfigMap>,
    pub(crate) secret: Option<FromSecret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HostPath {
    pub(crate) path: PathBuf,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FromConfigMap {
    pub(crate) name: String,
    #[serde(default = "readable")]
    pub(crate) default_mode: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FromSecret {
    pub(crate) secret_name: String,
    #[serde(default = "readable")]
    pub(crate) default_mode: u32,
}

/// The mode of a file of a volume for which none is given.
fn readable() -> u32 {
    0o644
}
