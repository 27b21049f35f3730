use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::*;

const ROOMY: Limits = Limits { max_bytes: u64::MAX, min_free_bytes: 0 };

fn log() -> LogId {
    LogId::of(Path::new("audit.log"))
}

fn save(dir: &Path, pins: &[Unsettled<'_>], limits: Limits) -> Saved {
    super::save(dir, log(), pins, limits)
}

fn load(dir: &Path) -> Vec<Spooled> {
    super::load(dir, |of| of == log())
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// An open file without a name.
fn deleted(dir: &Path, content: &[u8]) -> File {
    let path = dir.join("audit.log");
    std::fs::write(&path, content).unwrap();
    let file = File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    file
}

fn unsettled(sequence: u64, file: &File, settled: u64) -> Unsettled<'_> {
    Unsettled { sequence, name: "audit.log", gz: false, file, settled }
}

/// A directory, and the place of the spool in it.
fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    (dir, spool)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_deleted_file_comes_back_with_its_offsets_and_its_identity() {
    const MIB: u64 = 1 << 20;
    let (dir, spool) = place();
    let content = content(5 << 20);
    // Settled up to: nothing, within the identity, its end, behind it, and all but one byte.
    for settled in [0, 1, 1023, 1024, 1025, 3 * MIB + 17, 5 * MIB - 1] {
        let original = deleted(dir.path(), &content);
        let saved = save(&spool, &[unsettled(7, &original, settled)], ROOMY);
        let identity = settled.min(1024);
        assert_eq!(saved, Saved { files: 1, bytes: identity + 5 * MIB - settled, lost: vec![] });
        drop(original);

        let loaded = load(&spool);
        let [Spooled::File { sequence: 7, name, gz: false, path, file }] = loaded.as_slice() else {
            panic!("{loaded:?}");
        };
        assert_eq!(name, "audit.log");
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), content.len() as u64);
        let copy = std::fs::read(path).unwrap();
        let (identity, from) = (usize::try_from(identity).unwrap(), usize::try_from(settled).unwrap());
        assert!(copy[..identity] == content[..identity] && copy[from..] == content[from..], "{settled}");
        assert!(copy[identity..from].iter().all(|byte| *byte == 0), "a hole up to {settled}");
        assert!(metadata.blocks() * 512 <= 5 * MIB - settled + 5 * 4096, "the hole takes disk: {settled}");
        assert_eq!((mode(path), mode(&spool)), (0o600, 0o700));
        assert_eq!(names(&spool).len(), 1, "{:?}", names(&spool));
        remove(path);
        remove(path);
        assert!(load(&spool).is_empty());
    }
}

#[test]
fn a_copy_is_as_old_as_its_original() {
    let (dir, spool) = place();
    let original = deleted(dir.path(), b"abc");
    let ended = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    original.set_modified(ended).unwrap();
    save(&spool, &[unsettled(7, &original, 1)], ROOMY);
    let loaded = load(&spool);
    let [Spooled::File { file, .. }] = loaded.as_slice() else { panic!("{loaded:?}") };
    assert_eq!(file.metadata().unwrap().modified().unwrap(), ended);
}

#[test]
fn a_compressed_file_is_copied_whole_whatever_is_settled() {
    let (dir, spool) = place();
    let original = deleted(dir.path(), b"\x1f\x8b not really");
    let pin = Unsettled { gz: true, ..unsettled(1, &original, 1 << 40) };
    assert_eq!(save(&spool, &[pin], ROOMY).bytes, 13);
    let loaded = load(&spool);
    let [Spooled::File { gz: true, path, .. }] = loaded.as_slice() else { panic!("{loaded:?}") };
    assert_eq!(std::fs::read(path).unwrap(), b"\x1f\x8b not really");
}

#[test]
fn what_is_settled_leaves_no_trace() {
    let (dir, spool) = place();
    let original = deleted(dir.path(), b"abc");
    for settled in [3, 4, u64::MAX] {
        assert_eq!(save(&spool, &[unsettled(1, &original, settled)], ROOMY), Saved::default());
    }
    assert_eq!(save(&spool, &[], ROOMY), Saved::default());
    assert!(!spool.exists() && load(&spool).is_empty());
}

#[test]
fn the_oldest_get_the_room_and_the_others_a_tombstone() {
    let (dir, spool) = place();
    let files: Vec<File> = [600, 600, 300].map(|bytes| deleted(dir.path(), &content(bytes))).into();
    let pins = [unsettled(3, &files[2], 0), unsettled(2, &files[1], 100), unsettled(1, &files[0], 0)];
    let saved = save(&spool, &pins, Limits { max_bytes: 1000, min_free_bytes: 0 });
    assert_eq!((saved.files, saved.bytes), (2, 900));
    let reason = "the spool has room for 400 bytes, 600 are needed";
    let lost = Unsaved { name: "audit.log".into(), from: 100, size: 600, reason: reason.into() };
    assert_eq!(saved.lost, [lost]);

    let loaded = load(&spool);
    let [
        Spooled::File { sequence: 1, .. },
        Spooled::Lost { sequence: 2, name, gz: false, from: 100, size: 600, reason: read, path },
        Spooled::File { sequence: 3, .. },
    ] = loaded.as_slice()
    else {
        panic!("{loaded:?}")
    };
    assert_eq!((name.as_str(), read.as_str(), mode(path)), ("audit.log", reason, 0o600));

    // What is there counts: two blocks of 4096 for the copies, one for the tombstone.
    let limits = Limits { max_bytes: 3 * 4096 + 299, min_free_bytes: 0 };
    assert_eq!(save(&spool, &[unsettled(4, &files[2], 0)], limits).lost.len(), 1);
    remove(path);
    assert_eq!(load(&spool).len(), 3);
}

#[test]
fn the_disk_keeps_its_floor() {
    let (dir, spool) = place();
    let original = deleted(dir.path(), b"abc");
    let limits = Limits { max_bytes: u64::MAX, min_free_bytes: u64::MAX };
    let saved = save(&spool, &[unsettled(1, &original, 1)], limits);
    assert!(saved.lost[0].reason.starts_with("0 bytes are free on the disk, 3 are needed"), "{saved:?}");
    let loaded = load(&spool);
    assert!(matches!(loaded.as_slice(), [Spooled::Lost { from: 1, size: 3, .. }]), "{loaded:?}");
}

#[test]
fn no_file_takes_the_place_of_another() {
    let (dir, spool) = place();
    let (one, two) = (deleted(dir.path(), b"one"), deleted(dir.path(), b"two"));
    let _ = save(&spool, &[unsettled(1, &one, 0)], ROOMY);
    let _ = save(&spool, &[unsettled(1, &two, 0), unsettled(1, &one, 0)], ROOMY);
    let contents: Vec<Vec<u8>> = load(&spool)
        .iter()
        .map(|spooled| match spooled {
            Spooled::File { path, .. } => std::fs::read(path).unwrap(),
            Spooled::Lost { .. } => panic!("{spooled:?}"),
        })
        .collect();
    assert_eq!(contents, [b"one", b"two", b"one"]);
}

#[test]
fn where_nothing_can_be_written_it_is_said_and_nothing_panics() {
    let dir = tempfile::tempdir().unwrap();
    let original = deleted(dir.path(), b"abc");
    let no_directory = dir.path().join("file");
    std::fs::write(&no_directory, "").unwrap();
    let saved = save(&no_directory, &[unsettled(1, &original, 0)], ROOMY);
    assert_eq!((saved.files, saved.lost.len()), (0, 1));
    assert!(load(&no_directory).is_empty());
}

#[test]
fn a_kill_at_any_moment_leaves_a_copy_or_a_tombstone() {
    let (dir, spool) = place();
    let original = deleted(dir.path(), b"abc");
    let pin = unsettled(1, &original, 0);
    let mut jobs = jobs(&spool, log(), &[pin]);
    let job = jobs.pop().unwrap();
    make(&spool).unwrap();
    record(&spool, &job, INTERRUPTED, false).unwrap();
    // Before the copy is in place.
    std::fs::write(path(&spool, &job.key, UNFINISHED), "ab").unwrap();
    let loaded = load(&spool);
    let [Spooled::Lost { from: 0, size: 3, reason, .. }] = loaded.as_slice() else { panic!("{loaded:?}") };
    assert_eq!(reason, INTERRUPTED);
    assert_eq!(names(&spool).len(), 1, "the torn copy is gone");
    // After it, and before the tombstone went.
    assert!(copy(&spool, &job, 1000, 0).is_ok());
    assert_eq!(names(&spool).len(), 2);
    assert!(matches!(load(&spool).as_slice(), [Spooled::File { .. }]));
    assert_eq!(names(&spool).len(), 1, "and the tombstone is gone");
}

#[test]
fn a_hostile_spool_is_read_with_care() {
    let (_dir, spool) = place();
    make(&spool).unwrap();
    let write = |name: &str, content: &[u8]| std::fs::write(spool.join(name), content).unwrap();
    let key = |sequence| Key { log: log(), sequence, name: "a.log".into(), gz: true }.encode();
    write("notes.txt", b"");
    write("pin-x.spool", b"");
    write(&format!("{}.spool.bak", key(1)), b"");
    std::fs::create_dir(spool.join(format!("{}.spool", key(2)))).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", spool.join(format!("{}.spool", key(3)))).unwrap();
    Command::new("mkfifo").arg(spool.join(format!("{}.spool", key(4)))).status().unwrap();
    let foreign = names(&spool);
    assert!(load(&spool).is_empty());
    assert_eq!(names(&spool), foreign, "what is not ours stays");

    let bomb = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
    let long = format!(r#"{{"name":"b","gz":false,"from":1,"size":2,"reason":"{}"}}"#, "x".repeat(60_000));
    let endless = format!(r#"{{"name":"b","gz":false,"from":1,"size":2,"reason":"{}"}}"#, "x".repeat(70_000));
    let path = br#"{"name":"../b","gz":false,"from":1,"size":2,"reason":"r"}"#;
    let control = br#"{"name":"b","gz":false,"from":1,"size":2,"reason":"a\nb"}"#;
    let records: [&[u8]; 8] =
        [b"", b"{", b"\xff", bomb.as_bytes(), long.as_bytes(), endless.as_bytes(), path, control];
    for (sequence, record) in (10..).zip(records) {
        write(&format!("{}.lost", key(sequence)), record);
    }
    let unreadable = "it could not be copied, and the record of that cannot be read";
    let loaded = load(&spool);
    let told: Vec<(u64, &str, u64, &str)> = loaded
        .iter()
        .map(|spooled| match spooled {
            Spooled::Lost { sequence, name, size, reason, .. } => (*sequence, &**name, *size, &**reason),
            Spooled::File { .. } => panic!("{spooled:?}"),
        })
        .collect();
    let shortened = "x".repeat(400);
    assert_eq!(
        told,
        [
            (10, "a.log", 0, unreadable),
            (11, "a.log", 0, unreadable),
            (12, "a.log", 0, unreadable),
            (13, "a.log", 0, unreadable),
            (14, "b", 2, shortened.as_str()),
            (15, "a.log", 0, unreadable),
            (16, "a.log", 0, unreadable),
            (17, "b", 2, "ab"),
        ]
    );
}

#[test]
fn a_name_of_any_length_finds_a_place() {
    let (dir, spool) = place();
    let original = deleted(dir.path(), b"abc");
    let name = "ü".repeat(127);
    let pins = [Unsettled { name: &name, ..unsettled(1, &original, 0) }];
    assert_eq!(save(&spool, &pins, ROOMY).files, 1);
    assert_eq!(save(&spool, &pins, Limits { max_bytes: 0, min_free_bytes: 0 }).lost.len(), 1);
    let loaded = load(&spool);
    let [Spooled::File { name: hint, .. }, Spooled::Lost { name: whole, .. }] = loaded.as_slice() else {
        panic!("{loaded:?}")
    };
    assert!(name.ends_with(hint) && hint.len() < name.len());
    assert_eq!(*whole, name);
}

/// A small file system in memory, unmounted when this is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where nobody may mount.
    fn new(bytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output();
        mount.is_ok_and(|mount| mount.status.success()).then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_disk_that_fills_up_half_way_leaves_a_tombstone_and_no_rest() {
    let Some(disk) = SmallDisk::new(64 << 10) else {
        return eprintln!("skipped: tmpfs cannot be mounted here");
    };
    let (dir, spool) = (tempfile::tempdir().unwrap(), disk.0.path().join("spool"));
    // 56 KiB are free beside the tombstones. Identity and rest are as much, but begin in pages of their own.
    let settled = 2048 + (1 << 20);
    let original = deleted(dir.path(), &content((1 << 20) + 2048 + (55 << 10)));
    let small = deleted(dir.path(), &content(4096));
    let pins = [unsettled(1, &original, settled), unsettled(2, &small, 0)];
    let saved = save(&spool, &pins, ROOMY);
    assert!(saved.lost[0].reason.contains("os error 28"), "{saved:?}");
    assert_eq!((saved.files, saved.bytes), (1, 4096));
    let loaded = load(&spool);
    assert!(
        matches!(loaded.as_slice(), [Spooled::Lost { sequence: 1, .. }, Spooled::File { sequence: 2, .. }]),
        "{loaded:?}"
    );
    assert_eq!(names(&spool).len(), 2, "nothing of the torn copy is left");
}
