//! A `/tmp` of its own for a function's process, as it has on AWS.
//!
//! Linux can show a process another folder under a name (a mount namespace).
//! Root may do that; other users may where the kernel lets them be root of a
//! namespace of their own (a user namespace), in which they stay who they are.

use std::{env, fs, path::Path};

use anyhow::{Context as _, ensure};
use rustix::{
    io::Errno,
    mount::{MountPropagationFlags, mount_bind, mount_change},
    process::{getgid, getuid},
    thread::UnshareFlags,
};

/// Set to `1` where a user namespace would leave the process without rights
/// and without a name: it is not tried there.
const APPARMOR_RESTRICTION: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";

/// Shows this process, and what becomes of it, the folder `TMPDIR` as `/tmp`.
/// Call it while there is one thread.
///
/// # Errors
/// The kernel does not allow it, or the data directory, this program or
/// `program` lies in `/tmp` itself and would vanish.
pub(super) fn enter(program: &Path) -> anyhow::Result<()> {
    let tmp = Path::new("/tmp").canonicalize().context("there is no /tmp")?;
    let own = env::var_os("TMPDIR").context("TMPDIR is not set")?;
    let own = Path::new(&own).canonicalize().context("TMPDIR does not exist")?;
    for needed in [&own, program, &env::current_exe()?] {
        ensure!(!needed.starts_with(&tmp), "{} lies in /tmp", needed.display());
    }
    leave_mounts().context("the kernel refuses a mount namespace")?;
    // Nothing that is mounted here shall show outside.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context("the kernel refuses to part with the mounts of others")?;
    mount_bind(&own, &tmp).context("the kernel refuses to mount a folder on /tmp")
}

/// Gives this process its own view of what is mounted where.
fn leave_mounts() -> anyhow::Result<()> {
    match unshare(UnshareFlags::NEWNS) {
        Err(Errno::PERM) => {}
        done => return Ok(done?),
    }
    let restriction = fs::read_to_string(APPARMOR_RESTRICTION).unwrap_or_default();
    ensure!(restriction.trim() != "1", "{APPARMOR_RESTRICTION} is 1");
    let (user, group) = (getuid(), getgid());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    Ok(())
}

#[expect(deprecated, reason = "what made it unsafe is CLONE_FILES, which is not asked for")]
fn unshare(what: UnshareFlags) -> Result<(), Errno> {
    rustix::thread::unshare(what)
}
