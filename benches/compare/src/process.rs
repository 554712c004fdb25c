//! What a process costs, from `/proc` (proc(5)): CPU time and memory of it and its children.

use std::process::Command;

use crate::Fallible;

/// Binds this process, and the threads that it will start, to a core.
pub(crate) fn pin_this(cpu: &str) -> Fallible<()> {
    let pid = std::process::id().to_string();
    let done = Command::new("taskset").args(["-a", "-p", "-c", cpu, &pid]).output()?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned().into()) }
}

/// A process and all that it started.
fn tree(pid: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = stat(child).and_then(|fields| fields.get(1)?.parse().ok()) {
            parents.push((child, parent));
        }
    }
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _): &(u32, u32)| *child));
        next += 1;
    }
    found
}

/// The fields of `/proc/PID/stat` behind the name: state, parent, …
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

/// CPU seconds used so far, in user and kernel mode; ticks of 10 ms.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let ticks = |fields: Vec<String>| Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?);
    tree(pid).into_iter().filter_map(|pid| ticks(stat(pid)?)).sum::<f64>() / 100.0
}

/// Resident memory in KiB, shared pages in their share (PSS).
pub(crate) fn resident_kib(pid: u32) -> f64 {
    let pss = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()
    };
    tree(pid).into_iter().filter_map(pss).sum()
}
