//! Small questions and settings of the kernel that no crate wraps.

use std::io;
use std::ptr;

use super::check;

/// `KEYCTL_JOIN_SESSION_KEYRING` of `linux/keyctl.h`.
const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
/// `LANDLOCK_CREATE_RULESET_VERSION` of `linux/landlock.h`.
const LANDLOCK_CREATE_RULESET_VERSION: libc::c_uint = 1;

/// Leaves the inherited session keyring for a new, empty one.
pub fn new_session_keyring() -> io::Result<()> {
    // SAFETY: a null name asks for an anonymous keyring; the call reads no memory.
    check(unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, ptr::null::<libc::c_char>())
    })
    .map(drop)
}

/// The Landlock ABI of this kernel; zero where there is none.
pub fn landlock_abi() -> i32 {
    // SAFETY: with a null attribute and size zero the call only returns the version.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::null::<libc::c_void>(),
            0,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    i32::try_from(version).unwrap_or(0).max(0)
}

/// Sets and locks securebits so that user ids never again give or take capabilities.
///
/// Bits of `linux/securebits.h`: noroot, no-setuid-fixup, keep-caps off, no-ambient-raise, each locked.
pub fn lock_securebits() -> io::Result<()> {
    const BITS: libc::c_ulong = 0b0000_0011 | 0b0000_1100 | 0b0010_0000 | 0b1100_0000;
    // SAFETY: prctl with PR_SET_SECUREBITS takes integers only.
    check(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, BITS, 0, 0, 0) }.into()).map(drop)
}
