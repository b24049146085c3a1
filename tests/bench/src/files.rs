//! Large files, beside curl that asks the emulator itself.

use crate::Setting;
use crate::bed::{Bed, USER_KEY};
use crate::capture;
use crate::measure::{MIB, interleaved, ratio};
use crate::process::{Memory, succeed};
use crate::report::{Report, Target, pair};
use std::fs;
use std::process::{Command, Stdio};

/// The most that the service takes (contract 11), bytes.
const SIZE: usize = 50_000_000;
/// Transfers; each takes part of a second.
const ROUNDS: usize = 15;

/// Row 8.
pub(crate) fn measure(setting: &Setting, report: &mut Report) -> Result<(), String> {
    let bed = Bed::start(setting)?;
    let ids = bed.warm(&bed.plain)?;
    let request = capture::request(&bed)?;
    let place = |name: &str| bed.directory().join(name);
    let local = place("large");
    fs::write(&local, vec![b'x'; SIZE]).map_err(|error| error.to_string())?;
    let base = format!(
        "{}/api/projects/emulator/agents/notes/endpoint/sessions/{}/files/content",
        bed.plain.url.trim_end_matches('/'),
        ids.session
    );
    let curl = |path: &str| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--fail", "--max-time", "60"]);
        for (name, value) in request.headers(&ids, &bed.plain) {
            if !name.starts_with("content-") {
                command.arg("--header").arg(format!("{name}: {value}"));
            }
        }
        command.arg(format!("{base}?path={path}&api-version=v1"));
        command
    };
    let flags = [format!("--emulator={}", bed.plain.url), "--no-env".to_owned(), "--user-isolation-key".to_owned()];
    let ours = |arguments: &[&str]| {
        let mut command = bed.command(arguments);
        command.args(&flags).arg(USER_KEY).stderr(Stdio::null());
        command
    };
    let before = bed.daemon().memory(Memory::Whole)?;
    let file = local.to_string_lossy().into_owned();
    let upload = interleaved(
        ROUNDS,
        [&mut || succeed(&mut ours(&["files", "upload", &file, "--target-path", "ours"])), &mut || {
            let mut command = curl("theirs");
            command.args(["--request", "PUT", "--header", "content-type: application/octet-stream"]);
            command.arg("--upload-file").arg(&local);
            succeed(&mut command)
        }],
    )?;
    let (to_ours, to_theirs) = (place("ours").to_string_lossy().into_owned(), place("theirs"));
    let download = interleaved(
        ROUNDS,
        [
            &mut || {
                let _ = fs::remove_file(&to_ours);
                succeed(&mut ours(&["files", "download", "ours", "--target-path", &to_ours]))
            },
            &mut || succeed(curl("theirs").arg("--output").arg(&to_theirs)),
        ],
    )?;
    for path in [std::path::Path::new(&to_ours), &to_theirs] {
        let bytes = fs::metadata(path).map_err(|error| error.to_string())?.len();
        if bytes != SIZE as u64 {
            return Err(format!("{bytes} of {SIZE} bytes came"));
        }
    }
    for (name, [ours, theirs]) in [("upload", upload), ("download", download)] {
        let (ours, theirs) = (ours.median(), theirs.median());
        let value = (ratio(theirs, ours), "×");
        report.add(8, format!("50 MB, {name}, throughput : curl"), value, Target::AtLeast(0.95), pair(ours, theirs));
    }
    let growth = (bed.daemon().memory(Memory::Whole)? - before) / MIB;
    report.add(8, "50 MB, growth of the daemon", (growth, "MiB"), Target::AtMost(8.0), "");
    Ok(())
}
