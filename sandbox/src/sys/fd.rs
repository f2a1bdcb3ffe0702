//! Descriptors by number: taking over inherited ones, and closing all others.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// Takes over a descriptor that this process inherited under a known number.
///
/// Call it once per number, at start. The result is close-on-exec.
pub fn take_inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl with F_SETFD reads no memory and fails with EBADF where nothing is open.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
    // SAFETY: the number is open, was inherited, and main takes over each inherited number once, so
    // nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes `target` another name of `source`, replacing what was there. Not close-on-exec.
///
/// For the moments before `exec` in which descriptors get the numbers of a contract; the caller owns
/// nothing under `target` by value afterwards.
pub fn place(source: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    // SAFETY: dup2 reads no memory. What it closes is a low number that the caller gave up.
    check(unsafe { libc::dup2(source.as_raw_fd(), target) }.into()).map(drop)
}

/// Gives the descriptors consecutive numbers from `first` on and closes everything above them.
///
/// For a child that has just been cloned: it must not keep what belongs to other workers.
pub fn keep_only<const N: usize>(fds: [BorrowedFd<'_>; N], first: RawFd) -> io::Result<()> {
    let end = first + N as RawFd;
    let mut copies = [0; N];
    for (copy, fd) in copies.iter_mut().zip(fds) {
        // SAFETY: fcntl with F_DUPFD_CLOEXEC reads no memory. Numbers from `end` on are not among the
        // targets below, so no copy is overwritten before it is placed.
        *copy = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, end) }.into())? as RawFd;
    }
    for (copy, target) in copies.into_iter().zip(first..) {
        place(borrow(copy), target)?;
    }
    close_from(end)
}

/// Closes every descriptor from `first` on.
pub fn close_from(first: RawFd) -> io::Result<()> {
    close_range(first, 0)
}

/// Makes every descriptor from `first` on close when this process calls `exec`.
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: RawFd, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: close_range reads no memory. The single-threaded callers are about to exec or never
    // drop an owner of a number at or above `first` again.
    check(unsafe { libc::syscall(libc::SYS_close_range, first as libc::c_uint, libc::c_uint::MAX, flags) })
        .map(drop)
}

/// Takes over a descriptor that `recvmsg` just stored.
pub fn adopt_received(number: RawFd) -> OwnedFd {
    // SAFETY: the kernel made the number for this message, and each message is decoded once.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Borrows a descriptor by the number a contract gives it, for as long as the process keeps it open.
pub fn borrow(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the callers name descriptors that a contract fixes (0 to 9) or one they just made, and never close them while
    // the borrow is used; an invalid number would only make a call fail with EBADF.
    unsafe { BorrowedFd::borrow_raw(number) }
}
