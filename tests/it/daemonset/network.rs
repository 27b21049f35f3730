//! The network of a pod: a namespace with one link to us, its node, and a DNS server on our end of it. The kernel forwards nothing
//! from there to anywhere.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The node's end of the link and the pod's.
pub(crate) struct Network {
    name: String,
    pub(crate) node: Ipv4Addr,
    pub(crate) pod: Ipv4Addr,
}

fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Network {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // The last octets of the process's number: tests of two checkouts may run at the same time.
        let [_, _, high, low] = process.to_be_bytes();
        let subnet = |host| Ipv4Addr::new(10, 128 | (high & 127), low, 4 * count + host);
        let network = Self { name: format!("as{process}x{count}"), node: subnet(1), pod: subnet(2) };
        let Self { name, node, pod } = &network;
        ip(&format!("netns add {name}"));
        ip(&format!("link add {name}n type veth peer name {name}p netns {name}"));
        ip(&format!("addr add {node}/30 dev {name}n"));
        ip(&format!("link set {name}n up"));
        ip(&format!("-n {name} addr add {pod}/30 dev {name}p"));
        ip(&format!("-n {name} link set {name}p up"));
        ip(&format!("-n {name} link set lo up"));
        network
    }

    /// Where the namespace is.
    pub(crate) fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Takes the other end with it.
        let _ = Command::new("ip").args(["link", "delete", &format!("{}n", self.name)]).output();
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).output();
    }
}

/// A DNS server that knows one name.
pub(crate) struct Dns {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dns {
    /// Answers at `address` that `name` is `address` too, and that there is no other.
    pub(crate) fn start(address: Ipv4Addr, name: &'static str) -> Self {
        let socket = UdpSocket::bind((address, 53)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut query = [0; 512];
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((length, client)) = socket.recv_from(&mut query) {
                        reply(&socket, client, &query[..length], name, address);
                    }
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers one question (RFC 1035, section 4): the address of `name` if it is asked for, nothing of another type, and of another
/// name that it does not exist.
fn reply(socket: &UdpSocket, client: SocketAddr, query: &[u8], name: &str, address: Ipv4Addr) {
    const HEADER: usize = 12;
    const ADDRESS: [u8; 2] = [0, 1];
    let mut wanted: Vec<u8> = Vec::new();
    for label in name.split('.') {
        wanted.push(u8::try_from(label.len()).unwrap());
        wanted.extend_from_slice(label.as_bytes());
    }
    wanted.push(0);
    let length = query[HEADER..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let (asked, rest) = query[HEADER..].split_at(length);
    let is_known = asked.eq_ignore_ascii_case(&wanted);
    let has_answer = is_known && rest[..2] == ADDRESS;
    // The identification; a response to a recursive query, and whether the name exists; one question, and how many answers.
    let mut answer = query[..2].to_vec();
    answer.extend_from_slice(&[0x81, if is_known { 0x80 } else { 0x83 }]);
    answer.extend_from_slice(&[0, 1, 0, u8::from(has_answer), 0, 0, 0, 0]);
    answer.extend_from_slice(&query[HEADER..HEADER + length + 4]);
    if has_answer {
        // The name of the question, an address of the Internet, for a second, in four bytes.
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend_from_slice(&address.octets());
    }
    socket.send_to(&answer, client).unwrap();
}
