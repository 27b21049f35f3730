//! What requests at a time are worth over a distance.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::endpoint::Endpoint;
use crate::events::Log;
use crate::report::{Bar, megabytes};
use crate::stage::{DRAIN, Settings, Stage};

/// How far away the endpoint is, in one direction.
const DISTANCE: Duration = Duration::from_millis(50);
const WINDOWS: [u32; 5] = [1, 2, 4, 8, 16];
const JUDGED: u32 = 8;
/// Of so many requests at a time over one.
const LEAST_RATIO: f64 = 4.0;
/// What is left of the log after this is not shipped.
const MEASURED: Duration = Duration::from_secs(6);

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let log = bench.gigabyte()?;
    let mut one = f64::NAN;
    for window in WINDOWS {
        let rate = mb_per_second(&log, window)?;
        one = if window == 1 { rate } else { one };
        let bar = if window == JUDGED { Bar::AtLeast(LEAST_RATIO) } else { Bar::None };
        let name = format!("maxInFlight {window} over 100 ms");
        bench.report.ratio(name, format!("{rate:.1} MB/s"), rate / one, bar);
        bench.tick()?;
    }
    Ok(())
}

/// Between the first bytes that arrive and the last ones.
fn mb_per_second(log: &Log, max_in_flight: u32) -> anyhow::Result<f64> {
    let endpoint = Endpoint::new()?;
    let far = far_away(endpoint.address)?;
    let settings = Settings { max_in_flight: Some(max_in_flight), ..DRAIN };
    let stage = Stage::new(&log.live(), far, &settings)?;
    let mut shipper = stage.start()?;
    while endpoint.body_bytes() == 0 {
        shipper.must_run()?;
        std::thread::sleep(Duration::from_millis(1));
    }
    let (first, began) = (endpoint.body_bytes(), Instant::now());
    while began.elapsed() < MEASURED && endpoint.body_bytes() < log.bytes * 9 / 10 {
        shipper.must_run()?;
        std::thread::sleep(Duration::from_millis(5));
    }
    let rate = megabytes(endpoint.body_bytes() - first) / began.elapsed().as_secs_f64();
    shipper.kill()?;
    Ok(rate)
}

/// Puts a distance between whoever connects and `to`.
fn far_away(to: SocketAddr) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        while let Ok((near, _)) = listener.accept() {
            let Ok(far) = TcpStream::connect(to) else { return };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            if let (Ok(near_out), Ok(far_out)) = (near.try_clone(), far.try_clone()) {
                carry(near, far_out);
                carry(far, near_out);
            }
        }
    });
    Ok(address)
}

/// As a long line does: any number of bytes may be on it.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    let (sender, receiver) = channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 256 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + DISTANCE, buffer[..count].to_owned())).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        for (due, bytes) in receiver {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}
