//! The page in a real browser, in both themes. What it looks like is in `target/tmp/live-view-*.png`, to be looked at.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use audit_shipper::live::status::State;
use serde::Deserialize;

use super::seen::{document, wait_for};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::leave_out;
use crate::support::shipper::Shipper;
use crate::support::workdir::{Workdir, real_events};

/// A client may call itself so.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

/// A picture of nothing has less, however large it is.
const DRAWN_BYTES: usize = 15_000;

/// What the browser has made of a page.
struct Shown {
    dom: String,
    /// What was said on its console.
    console: Vec<String>,
    /// What the page asked the network for, not what the browser wanted for itself.
    asked_for: Vec<String>,
    picture: Vec<u8>,
    /// How often it has taken the document.
    polls: u32,
}

/// A line of Chromium's network log.
#[derive(Deserialize)]
struct Logged {
    params: Asked,
}

#[derive(Deserialize)]
struct Asked {
    /// The origin of the page that asks; other words where it is the browser.
    initiator: String,
    url: String,
}

fn browser() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok())
}

/// Shows the page of a daemon, some polls long.
fn show(browser: &str, daemon: &Daemon, name: &str, theme: &[&str]) -> Shown {
    let url = format!("http://{}/", daemon.address());
    tried(|| show_at(browser, &url, name, theme), DRAWN_BYTES)
}

/// Shows the page of a server of its own that has these answers for its first poll and for all others.
fn show_answers(browser: &str, name: &str, [first, then]: [&Answer; 2]) -> Shown {
    let show = || {
        let (first, then) = (first.clone(), then.clone());
        let server = pretending(move |asked| if asked == 0 { first.clone() } else { then.clone() });
        show_at(browser, &format!("http://{}/", server.address()), name, &[])
    };
    tried(show, 0)
}

/// On a busy machine Chromium may end before it has drawn, or break off: a page that is at fault is so three times.
fn tried(show: impl Fn() -> Shown, least_bytes: usize) -> Shown {
    let is_drawn = |shown: &Shown| shown.polls > 1 && shown.picture.len() > least_bytes;
    (0..3).map(|_| show()).find(is_drawn).expect("a page that is drawn")
}

/// Shows the page that is there.
fn show_at(browser: &str, url: &str, name: &str, theme: &[&str]) -> Shown {
    let workdir = Workdir::new();
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("live-view-{name}.png"));
    let _ = fs::remove_file(&picture);
    let log = workdir.path("net.json");
    // Chromium has been seen to hang.
    let output = Command::new("timeout")
        .args(["--kill-after=10", "120", browser])
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--disable-sync",
        ])
        .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        .args(["--enable-logging=stderr", "--v=0", "--window-size=1280,1160", "--virtual-time-budget=20000"])
        .args(theme)
        .arg(format!("--user-data-dir={}", workdir.path("profile").display()))
        .arg(format!("--log-net-log={}", log.display()))
        .arg(format!("--screenshot={}", picture.display()))
        .arg("--dump-dom")
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        eprintln!("the browser: {}\n{said}", output.status);
    }
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let polls = dom.split_once("data-polled=\"").and_then(|(_, rest)| rest.split_once('"')?.0.parse().ok());
    let net = fs::read_to_string(&log).unwrap_or_default();
    let logged = net.lines().filter_map(|line| serde_json::from_str(line.trim_end_matches(',')).ok());
    let asked = logged.map(|Logged { params }| params).filter(|asked| url == format!("{}/", asked.initiator));
    Shown {
        console: said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect(),
        asked_for: asked.map(|asked| asked.url).collect(),
        picture: fs::read(&picture).unwrap_or_default(),
        polls: polls.unwrap_or(0),
        dom,
    }
}

/// It was drawn by its own script, that asked nobody else and met no error.
fn assert_well(shown: &Shown, daemon: &Daemon) {
    assert!(shown.console.is_empty(), "{:?}", shown.console);
    let ours = format!("http://{}/", daemon.address());
    let status = format!("{ours}api/v1/status");
    assert!(shown.asked_for.contains(&status), "{:?}", shown.asked_for);
    assert!(shown.asked_for.iter().all(|url| url.starts_with(&ours)), "{:?}", shown.asked_for);
    assert!(shown.picture.starts_with(b"\x89PNG"));
}

#[test]
fn a_browser_shows_it_in_light_and_dark_and_asks_nobody_else() {
    let Some(browser) = browser() else { return leave_out("there is no Chromium to show the live view") };
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let mut events = real_events(400);
    for event in events.iter_mut().take(200) {
        let (head, tail) = event.split_once("\"username\":\"").unwrap();
        *event = format!("{head}\"username\":\"{HOSTILE}{tail}");
    }
    let shipper = Shipper::new(&endpoint).log(&events).full_batches_of(100);
    let daemon = shipper.start();
    wait_for(&daemon, "all events delivered", |output| {
        output.counts.delivered == 400
            && output.position.files.first().is_some_and(|file| file.settled_bytes == file.size_bytes)
            && output.state == State::Level
            && output.current.lag_bytes == 0
    });
    let themes = [
        ("light", &["--blink-settings=preferredColorScheme=1"]),
        ("dark", &["--blink-settings=preferredColorScheme=0"]),
    ];
    let mut pictures = Vec::new();
    for (theme, flags) in themes {
        let shown = show(browser, &daemon, theme, flags);
        assert_well(&shown, &daemon);
        for text in [
            "The output is level",
            ">siem<",
            ">Level<",
            ">Delivered<",
            ">audit.log<",
            "shipped so far · live",
            "Estimated from 32 of 400 events",
            "None since the daemon was started.",
            "&lt;img src=x onerror=alert(1)&gt;",
        ] {
            assert!(shown.dom.contains(text), "{text}\n{}", shown.dom);
        }
        assert!(!shown.dom.contains("<img"), "{}", shown.dom);
        pictures.push(shown.picture);
    }
    assert!(pictures[0] != pictures[1], "both themes look the same");
}

#[test]
fn a_browser_shows_what_hinders_an_output() {
    let Some(browser) = browser() else { return leave_out("there is no Chromium to show the live view") };
    let endpoint = Endpoint::start(|_, _| Answer::status(401));
    let shipper = Shipper::new(&endpoint).log(&real_events(40));
    let daemon = shipper.start();
    wait_for(&daemon, "misconfigured", |output| output.state == State::Misconfigured);
    let shown = show(browser, &daemon, "hindered", &["--blink-settings=preferredColorScheme=0"]);
    assert_well(&shown, &daemon);
    for text in ["The output needs attention", ">Needs attention<", "status 401", "waiting · live"] {
        assert!(shown.dom.contains(text), "{text}\n{}", shown.dom);
    }
}

/// A server that has the page, and answers as it likes when it is asked for the document for the n-th time.
fn pretending(status: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Endpoint {
    let asked = AtomicUsize::new(0);
    Endpoint::start(move |request, _| match request.target.as_str() {
        "/" => Answer::Status {
            code: 200,
            headers: vec![("Content-Type".to_owned(), "text/html; charset=utf-8".to_owned())],
            body: include_str!("../../../src/live/page.html").to_owned(),
        },
        "/api/v1/status" => status(asked.fetch_add(1, Ordering::Relaxed)),
        _ => Answer::status(404),
    })
}

/// The document of a daemon that is level, up to its output, and the output.
fn level_document() -> (String, String) {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).log(&real_events(40));
    let daemon = shipper.start();
    wait_for(&daemon, "all events delivered", |output| {
        output.counts.delivered == 40 && output.state == State::Level && output.current.lag_bytes == 0
    });
    let text = document(&daemon).1;
    let (head, outputs) = text.split_once("\"outputs\":[").unwrap();
    (format!("{head}\"outputs\":["), outputs.strip_suffix("]}").unwrap().to_owned())
}

/// The element with this `id`, with its attributes and what is in it.
fn element<'a>(shown: &'a Shown, id: &str) -> &'a str {
    let at = shown.dom.find(&format!("id=\"{id}\"")).unwrap();
    let end = shown.dom[at..].find("</").unwrap();
    &shown.dom[at..at + end]
}

#[test]
fn a_browser_says_that_what_it_shows_is_old_and_asks_for_the_token() {
    let Some(browser) = browser() else { return leave_out("there is no Chromium to show the live view") };
    let (head, output) = level_document();
    let whole = format!("{head}{output}]}}");
    let good = Answer::with_body(200, whole.clone());
    // It hangs up, it is another one by now, it wants a token that nobody has given.
    let other = whole.replace("\"schemaVersion\":1", "\"schemaVersion\":2");
    for (then, said) in [
        (Answer::Close, "The daemon does not answer. Trying again. What is shown is as it was"),
        (Answer::CutOff, "The daemon does not answer. Trying again."),
        (Answer::with_body(200, other), "load it again"),
        (Answer::status(500), "The daemon answers 500."),
        (Answer::status(401), "The token is not the one it wants any more."),
    ] {
        let shown = show_answers(browser, "lost", [&good, &then]);
        assert!(shown.dom.contains("<main id=\"main\" class=\"stale\">"), "{then:?}\n{}", shown.dom);
        assert!(!element(&shown, "lost").contains("hidden"), "{then:?}");
        assert!(element(&shown, "lost-why").contains(said), "{then:?}: {}", element(&shown, "lost-why"));
        assert!(shown.dom.contains(">siem<") && !element(&shown, "summary").contains("level"), "{then:?}");
        let wants_token = matches!(then, Answer::Status { code: 401, .. });
        assert_eq!(element(&shown, "login").contains("hidden"), !wants_token, "{then:?}");
    }
    // And it comes back.
    let shown = show_answers(browser, "back", [&Answer::Close, &good]);
    assert!(element(&shown, "lost").contains("hidden") && element(&shown, "summary").contains("is level"));
}

#[test]
fn a_browser_shows_none_and_many_outputs() {
    let Some(browser) = browser() else { return leave_out("there is no Chromium to show the live view") };
    let (head, output) = level_document();
    let hostile = format!("\"reason\":\"\u{202e}{HOSTILE}\"");
    let named = |number| {
        let own = output.replacen("\"name\":\"siem\"", &format!("\"name\":\"siem-{number}\""), 1);
        if number == 7 { own.replacen("\"reason\":null", &hostile, 1) } else { own }
    };
    let outputs: Vec<String> = (0..64).map(named).collect();
    let many = format!("{head}{}]}}", outputs.join(","));
    let many = Answer::with_body(200, many);
    let shown = show_answers(browser, "many", [&many, &many]);
    assert!(
        element(&shown, "summary").contains("All 64 outputs are level"),
        "{}",
        element(&shown, "summary")
    );
    assert_eq!(shown.dom.matches("<section class=\"output good\"").count(), 64);
    assert!(shown.dom.contains("\\u{202e}&lt;img src=x onerror=alert(1)&gt;"), "{}", shown.dom);
    assert!(!shown.dom.contains("<img") && !shown.dom.contains('\u{202e}'));
    let none = Answer::with_body(200, format!("{head}]}}"));
    let shown = show_answers(browser, "none", [&none, &none]);
    assert!(element(&shown, "summary").contains("No output runs at the moment"));
    assert!(shown.console.is_empty(), "{:?}", shown.console);
}
