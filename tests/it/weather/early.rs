//! An answer that comes before the request was read: servers refuse a large body by its length alone.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::shipper_to;
use crate::support::books::count;
use crate::support::endpoint::lines;
use crate::support::http1::Recorded;
use crate::support::shipper::wait_until_settled;
use crate::support::workdir::large_events;
use crate::support::writer::assert_each_once;

const LIMIT: usize = 300_000;

/// Takes bodies up to the limit. `lingers`: whether it reads what it refuses before it closes, as it should.
struct Server {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<Recorded>>>,
}

impl Server {
    fn start(lingers: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let server = Self { address, taken: Arc::clone(&taken) };
        // It ends with the process: there is nobody left to connect.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let taken = Arc::clone(&taken);
                // A connection that ends in an error has ended.
                std::thread::spawn(move || drop(serve(&stream.unwrap(), &taken, lingers)));
            }
        });
        server
    }
}

fn serve(stream: &TcpStream, taken: &Mutex<Vec<Recorded>>, lingers: bool) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = None;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().ok();
            }
            if line == "\r\n" {
                break;
            }
        }
        let length: usize = length.unwrap();
        let mut writer = stream;
        if length > LIMIT {
            writer.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
            stream.shutdown(Shutdown::Write)?;
            if lingers {
                io::copy(&mut reader, &mut io::sink())?;
            }
            return Ok(());
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let (method, target) = ("POST".to_owned(), "/audit".to_owned());
        taken.lock().unwrap().push(Recorded { method, target, headers: Vec::new(), body });
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
}

fn halved(lingers: bool) {
    // More than the system takes over from us in one piece.
    let small = large_events().into_iter().filter(|line| line.len() < LIMIT / 2);
    let events: Vec<String> = small.collect::<Vec<_>>().into_iter().cycle().take(4000).collect();
    let server = Server::start(lingers);
    let shipper = shipper_to(&format!("http://{}/audit", server.address)).log(&events).batches_of(4000);
    let shipper = shipper.webhook("maxBackoff: 50ms, timeout: 30s");
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    assert!(count(&metrics, "audit_shipper_requests_total", &[("outcome", "refused")]) > 0);
    let arrived = server.taken.lock().unwrap().iter().flat_map(lines).collect();
    assert_each_once(events, arrived);
}

#[test]
fn a_refusal_before_the_body_was_read() {
    halved(true);
}

/// The close of what was not read resets the connection, and the answer is in front of that.
#[test]
fn a_refusal_and_a_reset_before_the_body_was_read() {
    halved(false);
}
