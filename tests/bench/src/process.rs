//! A process that ends with its value, and what it has used.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// One tick of the CPU times in `/proc`, which Linux counts in hundredths of a second on every machine.
const TICK: Duration = Duration::from_millis(10);

/// Which memory.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Memory {
    /// All of it. Most is the program itself: mapped from its file, shared by all its processes, and the system's to take back.
    Whole,
    /// What no file backs: what the process allocated and has not given back.
    Own,
    /// Its private, modified memory, whatever backs it.
    Private,
}

/// A process that ends with this value.
pub(crate) struct Process {
    pub(crate) child: Child,
}

impl Process {
    /// Starts it. Nobody reads what it prints, so it prints nowhere: a pipe that nobody reads ends a process that writes to it.
    pub(crate) fn quiet(name: &str, mut command: Command) -> Result<Self, String> {
        command.stdout(Stdio::null());
        Self::spawn(name, command)
    }

    /// Starts it and waits for the first line it prints.
    pub(crate) fn start(name: &str, mut command: Command) -> Result<(Self, String), String> {
        command.stdout(Stdio::piped());
        let mut process = Self::spawn(name, command)?;
        let mut line = String::new();
        if let Some(output) = process.child.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(|error| format!("{name}: {error}"))?;
        }
        if line.is_empty() || line.starts_with("error") {
            return Err(format!("{name} did not get ready: {}", line.trim_end()));
        }
        Ok((process, line))
    }

    fn spawn(name: &str, mut command: Command) -> Result<Self, String> {
        let child = command.stdin(Stdio::null()).spawn();
        Ok(Self { child: child.map_err(|error| format!("{name} does not start: {error}"))? })
    }

    /// Its memory, bytes.
    pub(crate) fn memory(&self, memory: Memory) -> Result<f64, String> {
        let (file, field) = match memory {
            Memory::Whole => ("status", "VmRSS:"),
            Memory::Own => ("status", "RssAnon:"),
            Memory::Private => ("smaps_rollup", "Private_Dirty:"),
        };
        let path = format!("/proc/{}/{file}", self.child.id());
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let kib = text
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .and_then(|number| number.trim().parse::<f64>().ok());
        kib.map(|kib| kib * 1024.0).ok_or_else(|| format!("{path} has no {field}"))
    }

    /// The CPU time of the threads that it has now, so far: exact, where `stat` counts ticks of 10 ms.
    pub(crate) fn cpu(&self) -> Result<Duration, String> {
        let threads = format!("/proc/{}/task", self.child.id());
        let threads = fs::read_dir(&threads).map_err(|error| format!("{threads}: {error}"))?;
        // A thread may end meanwhile.
        let times = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
        let nanoseconds = times.filter_map(|times| times.split_whitespace().next()?.parse::<u64>().ok());
        Ok(Duration::from_nanos(nanoseconds.sum()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The CPU time of this process so far.
pub(crate) fn own_cpu() -> Result<Duration, String> {
    let fields = stat(std::process::id())?;
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<u32>().ok());
    match (ticks(UTIME), ticks(STIME)) {
        (Some(user), Some(system)) => Ok(TICK * (user + system)),
        _ => Err("/proc/self/stat has no CPU times".to_owned()),
    }
}

/// The page faults that a process had without reading a disk. It may have ended, as long as nobody has waited for it.
pub(crate) fn minor_faults(id: u32) -> Result<u64, String> {
    stat(id)?.get(MINFLT).and_then(|field| field.parse().ok()).ok_or_else(|| format!("/proc/{id}/stat has no faults"))
}

/// Places in `/proc/PID/stat` behind the program's name (proc(5)).
const MINFLT: usize = 7;
const UTIME: usize = 11;
const STIME: usize = 12;

fn stat(id: u32) -> Result<Vec<String>, String> {
    let path = PathBuf::from(format!("/proc/{id}/stat"));
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    // The name is in parentheses and may have anything in it.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

/// Runs a command to its end and discards what it prints.
pub(crate) fn succeed(command: &mut Command) -> Result<(), String> {
    let status = command.stdout(Stdio::null()).status().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", command.get_program().display())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        assert!(minor_faults(std::process::id()).unwrap() > 0);
        let begin = own_cpu().unwrap();
        while own_cpu().unwrap() <= begin {}
    }
}
