//! Whole processes: a command beside curl, the start from nothing, and what of the program a start touches.

use crate::Setting;
use crate::bed::{self, Bed, Endpoint, MESSAGE};
use crate::capture;
use crate::measure::{MIB, Times, float, interleaved, ratio, timed};
use crate::process::{minor_faults, succeed};
use crate::report::{Report, Target, duration, pair};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Starts from nothing; each makes a daemon.
const COLD_STARTS: usize = 25;
/// The call of `cupola invoke` in Python.
const OPENAI_CALL: &str = include_str!("openai_call.py");
/// Rounds of a process that takes most of a second.
const OPENAI_ROUNDS: usize = 30;
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
    beside_openai(setting, bed, &request, report)?;
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

/// What a Python script with the OpenAI SDK takes for the same call, as a whole process: the interpreter's start, imports and the call.
fn beside_openai(setting: &Setting, bed: &Bed, request: &capture::Request, report: &mut Report) -> Result<(), String> {
    let name = "cupola invoke : Python with the OpenAI SDK, plain";
    let python = match python_with_openai() {
        Ok(python) => python,
        Err(why) => {
            report.not_measured(5, name, why);
            return Ok(());
        }
    };
    let ids = bed.warm(&bed.plain)?;
    let (script, call) = (bed.directory().join("openai_call.py"), bed.directory().join("openai_call.json"));
    fs::write(&script, OPENAI_CALL).map_err(|error| error.to_string())?;
    fs::write(&call, request.json(&ids, &bed.plain)?.to_string()).map_err(|error| error.to_string())?;
    let mut theirs = || {
        let call = fs::File::open(&call).map_err(|error| error.to_string())?;
        succeed(Command::new(&python).arg(&script).stdin(call))
    };
    let rounds = setting.rounds.min(OPENAI_ROUNDS);
    let [ours, theirs] = interleaved(rounds, [&mut || succeed(&mut bed.invoke(&bed.plain)), &mut theirs])?;
    let value = (ratio(ours.median(), theirs.median()), "×");
    report.add(5, name, value, Target::None, pair(ours.median(), theirs.median()));
    Ok(())
}

/// The Python of the environment that `tests/real` tests this SDK in, at the version that is pinned there. It is made if it is not there.
fn python_with_openai() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let environment = root.join("target/real/sdk");
    let program = "import pathlib, run, sys; run.make_environment(*map(pathlib.Path, sys.argv[1:]))";
    let mut command = Command::new("python3");
    command.args(["-B", "-c", program]).arg(&environment).arg(root.join("tests/real/requirements-sdk.txt"));
    let made = command.env("PYTHONPATH", root.join("tests/real")).stdin(Stdio::null()).output();
    let made = made.map_err(|error| format!("python3 does not start: {error}"))?;
    if made.status.success() {
        return Ok(environment.join("bin/python"));
    }
    let said = String::from_utf8_lossy(&made.stderr);
    Err(format!("its packages cannot be installed: {}", said.lines().last().unwrap_or_default()))
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

/// What of each program a start touches.
pub(crate) fn size(setting: &Setting, report: &mut Report) -> Result<(), String> {
    let programs = ["cupola", "cupola-daemon"];
    for name in programs {
        let path = setting.binary.with_file_name(name);
        let bytes = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?.len();
        report.add(14, format!("{name}, its file"), (float(bytes) / MIB, "MiB"), Target::None, "");
        if let Ok(listed) = Command::new("readelf").arg("-rW").arg(&path).output() {
            let count = listed
                .stdout
                .split(|byte| *byte == b'\n')
                .filter(|line| line.windows(4).any(|at| at == b"R_X8" || at == b"R_AA"));
            report.add(14, format!("{name}, relocations"), (float(count.count()), ""), Target::None, "readelf -r");
        }
    }
    let directory = bed::directory()?;
    fs::write(directory.path().join("config.toml"), "").map_err(|error| error.to_string())?;
    let [command, daemon] = programs;
    for (program, argument) in [(command, "--version"), (command, "status"), (daemon, "--version")] {
        let mut command = Command::new(setting.binary.with_file_name(program));
        command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null());
        bed::surround(&mut command, directory.path());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let began = Instant::now();
        // It must have ended, and nobody may have waited for it yet.
        while !has_ended(child.id())? && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        let faults = minor_faults(child.id())?;
        child.wait().map_err(|error| error.to_string())?;
        report.add(14, format!("page faults of {program} {argument}"), (float(faults), ""), Target::None, "");
    }
    Ok(())
}

fn has_ended(id: u32) -> Result<bool, String> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).map_err(|error| error.to_string())?;
    Ok(text.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}
