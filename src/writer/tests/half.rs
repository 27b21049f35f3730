//! A batch that fails half way, because the process may not write larger files. It must not be this process, so the test
//! starts itself once more under such a limit.

use std::process::Command;

use super::*;

const IS_CHILD: &str = "AUDIT_SHIPPER_TEST_CHILD";
const LIMIT_BLOCKS: u64 = 64;

#[test]
fn a_batch_that_fails_half_way_leaves_nothing_behind() {
    if std::env::var_os(IS_CHILD).is_some() {
        return under_the_limit();
    }
    let this = std::env::current_exe().unwrap();
    let name = "writer::tests::half::a_batch_that_fails_half_way_leaves_nothing_behind";
    // Without the trap the limit ends the process.
    let script = format!("trap '' XFSZ; ulimit -f {LIMIT_BLOCKS}; exec \"$0\" --exact {name}");
    let child = Command::new("sh").args(["-c", &script]).arg(this).env(IS_CHILD, "1").output().unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
}

fn under_the_limit() {
    let place = Place::new();
    let mut writer = place.writer();
    let ((first, few), (large, many), (last, others)) = (batch(0..3), batch(3..600), batch(3..5));
    // A block has 512 or 1024 bytes, as the shell has it.
    assert!(large.len() as u64 > LIMIT_BLOCKS * 1024 && first.len() + last.len() < 512 * 64);
    writer.write(&few).unwrap();
    for _ in 0..3 {
        let error = writer.write(&many).unwrap_err();
        assert!(matches!(error, WriteError::Io { .. }), "{error}");
        assert!(error.to_string().contains("File too large"), "{error}");
        assert!(place.content() == first);
    }
    writer.write(&others).unwrap();
    assert!(place.content() == [first, last].concat());
}
