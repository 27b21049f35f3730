//! Does logrotate have the log too? kube-apiserver rotates it itself, and two rotators of one file are one too many.
//!
//! Its configuration is read as far as it takes to know that: which paths a stanza names, and whether it copies and truncates.
//! It may be anything, so what is read is bounded.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::Findings;

const CONFIGURATION: &str = "/etc/logrotate.conf";
const DIRECTORY: &str = "/etc/logrotate.d";
const LONGEST_FILE: u64 = 256 << 10;
const MOST_FILES: usize = 500;
/// What it leaves out of a directory, by how a name ends (`tabooext`).
const LEFT_OUT: [&str; 18] = [
    ",v",
    ".bak",
    ".cfsaved",
    ".disabled",
    ".dpkg-bak",
    ".dpkg-del",
    ".dpkg-dist",
    ".dpkg-new",
    ".dpkg-old",
    ".dpkg-tmp",
    ".rpmnew",
    ".rpmorig",
    ".rpmsave",
    ".swp",
    ".ucf-dist",
    ".ucf-new",
    ".ucf-old",
    "~",
];
/// What begins a script in a stanza; it ends with `endscript`.
const SCRIPTS: [&str; 5] = ["prerotate", "postrotate", "firstaction", "lastaction", "preremove"];

/// Some paths, and what is to be done with the files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stanza {
    pub(super) patterns: Vec<String>,
    pub(super) directives: Vec<String>,
}

pub(super) fn look(log: &Path, findings: &mut Findings) {
    let mut names = vec![log.to_owned()];
    names.extend(fs::canonicalize(log).ok().filter(|real| real != log));
    let mut is_had = false;
    if ![CONFIGURATION, DIRECTORY].iter().any(|path| Path::new(path).exists()) {
        findings.not_shown(
            "whether logrotate has the log: it is not configured here; from within a pod, look at the node",
        );
        return;
    }
    let mut unread = None;
    for file in files() {
        let text = match read(&file) {
            Ok(Some(text)) => text,
            Ok(None) => continue,
            Err(error) => {
                unread = unread.or(Some((file, error)));
                continue;
            }
        };
        for stanza in stanzas(&text) {
            let has = |name: &PathBuf| {
                stanza.patterns.iter().any(|pattern| matches(pattern, &name.to_string_lossy()))
            };
            if names.iter().any(has) {
                is_had = true;
                tell(&file, &stanza, findings);
            }
        }
    }
    match unread {
        Some((file, error)) => findings
            .not_shown(format!("whether logrotate has the log: {} cannot be read: {error}", file.display())),
        None if is_had => {}
        None => findings.shown("logrotate does not have the log"),
    }
}

fn tell(file: &Path, stanza: &Stanza, findings: &mut Findings) {
    let does = |directive: &str| stanza.directives.iter().any(|other| other == directive);
    let file = file.display();
    if does("copytruncate") {
        findings.warning(
            format!("logrotate copies and truncates the log ({file}): what is written between the two is lost before anybody can read it"),
            format!("let kube-apiserver rotate alone (--audit-log-maxsize, --audit-log-maxbackup), and take the log out of {file}"),
        );
    } else {
        findings.warning(
            format!("logrotate renames the log ({file}), and kube-apiserver, which is not told, goes on writing to the renamed file"),
            format!("let kube-apiserver rotate alone (--audit-log-maxsize, --audit-log-maxbackup), and take the log out of {file}"),
        );
    }
}

/// The configuration, and what it includes; at least what the usual directory holds.
fn files() -> Vec<PathBuf> {
    let main = PathBuf::from(CONFIGURATION);
    let text = read(&main).ok().flatten();
    let mut included: Vec<PathBuf> = text.iter().flat_map(|text| includes(text)).collect();
    if !included.iter().any(|path| path == Path::new(DIRECTORY)) {
        included.push(DIRECTORY.into());
    }
    let mut files = vec![main];
    for path in included {
        match fs::read_dir(&path) {
            Ok(names) => {
                let mut found: Vec<PathBuf> =
                    names.flatten().map(|name| name.path()).filter(|path| !is_left_out(path)).collect();
                found.sort();
                files.extend(found);
            }
            Err(_) => files.push(path),
        }
    }
    files.truncate(MOST_FILES);
    files
}

fn is_left_out(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    LEFT_OUT.iter().any(|end| name.ends_with(end))
}

/// `None` of what is no file, or not there.
fn read(path: &Path) -> io::Result<Option<String>> {
    // Not a pipe, which might never end.
    if !fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return Ok(None);
    }
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST_FILE).read_to_end(&mut text)?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// What `include` lines outside of stanzas name.
fn includes(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| line.trim().strip_prefix("include ").map(|path| PathBuf::from(path.trim()));
    text.lines().filter_map(path).collect()
}

pub(super) fn stanzas(text: &str) -> Vec<Stanza> {
    let mut stanzas = Vec::new();
    let mut patterns: Vec<String> = Vec::new();
    let mut inside: Option<Vec<String>> = None;
    let mut in_script = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if in_script {
            in_script = line != "endscript";
            continue;
        }
        let Some(directives) = &mut inside else {
            let (before, behind) =
                line.split_once('{').map_or((line, None), |(before, behind)| (before, Some(behind)));
            let is_path = before.starts_with(['/', '"', '\'']);
            if is_path {
                patterns.extend(words(before));
            } else if !before.is_empty() {
                patterns.clear();
            }
            if let Some(behind) = behind {
                let mut directives: Vec<String> = Vec::new();
                let ends = behind.contains('}');
                directives.extend(behind.trim_end_matches('}').split_whitespace().map(str::to_owned));
                if ends {
                    stanzas.push(Stanza { patterns: std::mem::take(&mut patterns), directives });
                } else {
                    inside = Some(directives);
                }
            }
            continue;
        };
        if line.starts_with('}') {
            let directives = std::mem::take(directives);
            stanzas.push(Stanza { patterns: std::mem::take(&mut patterns), directives });
            inside = None;
        } else if SCRIPTS.contains(&line) {
            in_script = true;
        } else {
            directives.extend(line.split_whitespace().next().map(str::to_owned));
        }
    }
    stanzas
}

/// Words, of which some are in quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, behind) = if first == '"' || first == '\'' {
            rest[1..].split_once(first).unwrap_or((&rest[1..], ""))
        } else {
            rest.split_once(char::is_whitespace).unwrap_or((rest, ""))
        };
        words.push(word.to_owned());
        rest = behind.trim_start();
    }
    words
}

/// Whether a shell's pattern matches a path; its wildcards match no `/`.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len() && pattern.iter().zip(path).all(|(pattern, name)| matches_name(pattern, name))
}

fn matches_name(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of_name) = (0, 0);
    // Where the last star is, and what it has taken so far: nothing before it need be tried again.
    let mut star: Option<(usize, usize)> = None;
    while of_name < name.len() {
        if pattern.get(at) == Some(&'*') {
            star = Some((at, of_name));
            at += 1;
        } else if let Some(length) = one(&pattern[at.min(pattern.len())..], name[of_name]) {
            at += length;
            of_name += 1;
        } else if let Some((star_at, taken)) = star {
            star = Some((star_at, taken + 1));
            at = star_at + 1;
            of_name = taken + 1;
        } else {
            return false;
        }
    }
    pattern[at.min(pattern.len())..].iter().all(|rest| *rest == '*')
}

/// How much of the pattern stands for this one character.
fn one(pattern: &[char], found: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['[', class @ ..] => {
            let end = class.iter().skip(1).position(|c| *c == ']')? + 1;
            let (class, is_not) = match &class[..end] {
                ['!' | '^', class @ ..] => (class, true),
                class => (class, false),
            };
            let is_range =
                |range: &[char]| matches!(range, [from, '-', to] if (*from..=*to).contains(&found));
            let is_in = class.contains(&found) || class.windows(3).any(is_range);
            (is_in != is_not).then_some(end + 2)
        }
        ['\\', literal, ..] => (*literal == found).then_some(2),
        [literal, ..] => (*literal == found).then_some(1),
        [] => None,
    }
}
