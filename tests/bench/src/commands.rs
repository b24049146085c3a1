//! Whole processes: a command beside curl, the start from nothing, and what of the program a start touches.

use crate::Setting;
use crate::bed::{self, Bed, Endpoint, MESSAGE};
use crate::capture;
use crate::measure::{MIB, Times, float, interleaved, ratio, timed};
use crate::process::{minor_faults, succeed};
use crate::report::{Report, Target, duration, pair};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Starts from nothing; each makes a daemon.
const COLD_STARTS: usize = 25;
/// Longest wait for a process to end.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn measure(setting: &Setting, report: &mut Report) -> Result<(), String> {
    let bed = Bed::start(setting)?;
    beside_curl(setting, &bed, report)?;
    cold(setting, report)
}

/// Row 5.
fn beside_curl(setting: &Setting, bed: &Bed, report: &mut Report) -> Result<(), String> {
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Err("curl is not installed (Debian: apt install curl)".to_owned());
    }
    let request = capture::request(bed)?;
    for (name, endpoint, most) in [("plain", &bed.plain, 0.40), ("TLS", &bed.tls, 0.28)] {
        let ids = bed.warm(endpoint)?;
        let [ours, theirs] = interleaved(
            setting.rounds,
            [&mut || succeed(&mut bed.invoke(endpoint)), &mut || succeed(&mut curl(&request, &ids, endpoint))],
        )?;
        let value = (ratio(ours.median(), theirs.median()), "×");
        let of = pair(ours.median(), theirs.median());
        report.add(5, format!("cupola invoke : curl, {name}"), value, Target::AtMost(most), of);
    }
    Ok(())
}

/// The request the daemon sends, sent by curl.
fn curl(request: &capture::Request, ids: &bed::Ids, endpoint: &Endpoint) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--no-buffer", "--fail", "--max-time", "20"]);
    if let Some(certificate) = &endpoint.certificate {
        command.arg("--cacert").arg(certificate);
    }
    command.args(["--request", "POST"]);
    for (name, value) in request.headers(ids, endpoint) {
        command.arg("--header").arg(format!("{name}: {value}"));
    }
    command.arg("--data-binary").arg(request.body(ids)).arg(request.url(ids, endpoint));
    command
}

/// Row 6: a daemon that becomes ready, and a command that finds none. Its first call includes the start of the embedded emulator.
fn cold(setting: &Setting, report: &mut Report) -> Result<(), String> {
    let (mut ready, mut first) = (Vec::new(), Vec::new());
    for _ in 0..COLD_STARTS {
        let directory = bed::directory()?;
        fs::write(directory.path().join("config.toml"), "").map_err(|error| error.to_string())?;
        let began = Instant::now();
        let daemon = bed::serve(&setting.binary, directory.path())?;
        ready.push(began.elapsed());
        drop(daemon);

        let directory = bed::directory()?;
        fs::write(directory.path().join("config.toml"), "").map_err(|error| error.to_string())?;
        let mut command = Command::new(&setting.binary);
        command.args(["invoke", "--no-env", "--user-isolation-key", "bench-cold", MESSAGE]);
        command.arg("--emulator");
        bed::surround(&mut command, directory.path());
        first.push(timed(&mut || succeed(&mut command))?);
        let mut stop = Command::new(&setting.binary);
        stop.args(["stop", "--force"]);
        bed::surround(&mut stop, directory.path());
        succeed(stop.stderr(Stdio::null()))?;
    }
    for (name, times, most) in [
        ("daemon started and ready", Times::of(ready), 25.0),
        ("no daemon, first answer, embedded emulator", Times::of(first), 60.0),
    ] {
        let value = (times.median().as_secs_f64() * 1e3, "ms");
        report.add(6, name, value, Target::AtMost(most), format!("p99 {}", duration(times.p99())));
    }
    Ok(())
}

/// What of the program a start touches.
pub(crate) fn size(setting: &Setting, report: &mut Report) -> Result<(), String> {
    let bytes = fs::metadata(&setting.binary).map_err(|error| error.to_string())?.len();
    report.add(14, "the program", (float(bytes) / MIB, "MiB"), Target::None, "");
    if let Ok(listed) = Command::new("readelf").arg("-rW").arg(&setting.binary).output() {
        let count = listed
            .stdout
            .split(|byte| *byte == b'\n')
            .filter(|line| line.windows(4).any(|at| at == b"R_X8" || at == b"R_AA"));
        report.add(14, "relocations of the program", (float(count.count()), ""), Target::None, "readelf -r");
    }
    let directory = bed::directory()?;
    fs::write(directory.path().join("config.toml"), "").map_err(|error| error.to_string())?;
    for arguments in [&["--version"][..], &["status"]] {
        let mut command = Command::new(&setting.binary);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        bed::surround(&mut command, directory.path());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let began = Instant::now();
        // It must have ended, and nobody may have waited for it yet.
        while !has_ended(child.id())? && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        let faults = minor_faults(child.id())?;
        child.wait().map_err(|error| error.to_string())?;
        let name = format!("page faults of cupola {}", arguments.join(" "));
        report.add(14, name, (float(faults), ""), Target::None, "");
    }
    Ok(())
}

fn has_ended(id: u32) -> Result<bool, String> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).map_err(|error| error.to_string())?;
    Ok(text.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}
