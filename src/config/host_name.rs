//! The node's own name, where a destination wants to know it.

/// As the kernel has it; `None` if it has none. Asked by a call: the service sees nothing of `/proc` but processes.
pub(crate) fn host_name() -> Option<String> {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_str().ok()?.trim();
    (!name.is_empty() && !name.contains(char::is_control)).then(|| name.to_owned())
}
