//! How much memory a process holds, where the system tells.

/// The memory that process `id` holds now, in MB; `None` if it is gone or the
/// system does not say. Shared pages count, as they do in AWS's sandbox.
#[cfg(target_os = "linux")]
pub fn current_mb(id: u32) -> Option<u64> {
    status_field(id, "VmRSS:")
}

/// The most memory that process `id` has held, in MB.
#[cfg(target_os = "linux")]
pub fn peak_mb(id: u32) -> Option<u64> {
    status_field(id, "VmHWM:")
}

/// A field of `/proc/ID/status`, which is kept in kB. Reading it does not
/// touch a disk.
#[cfg(target_os = "linux")]
fn status_field(id: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes.div_ceil(1024))
}

/// Not known on this system.
#[cfg(not(target_os = "linux"))]
pub fn current_mb(_: u32) -> Option<u64> {
    None
}

/// Not known on this system.
#[cfg(not(target_os = "linux"))]
pub fn peak_mb(_: u32) -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_runs_holds_memory() {
        let own = std::process::id();
        assert!(current_mb(own).unwrap() > 0);
        assert!(peak_mb(own).unwrap() >= 1);
        assert_eq!(current_mb(u32::MAX), None);
    }
}
