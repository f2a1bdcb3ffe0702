//! The only unsafe code of the workspace: system calls that neither std nor nix wraps safely.
//!
//! Every function here is a thin, safe wrapper around one call. It validates nothing about
//! policy; callers decide what to do and this module only does it. It must never hold state.

pub mod fd;
pub mod kernel;
pub mod mount;
pub mod process;

use std::io;

/// Turns the result of a raw system call into a [`io::Result`].
fn check(status: libc::c_long) -> io::Result<libc::c_long> {
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}
