//! Reading a directory through a descriptor, without naming it again.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::ptr::NonNull;

/// An open directory stream.
#[derive(Debug)]
pub struct Stream(NonNull<libc::DIR>);

impl Stream {
    /// Takes over an open directory.
    pub fn new(directory: OwnedFd) -> io::Result<Self> {
        // SAFETY: the number is an open descriptor whose ownership moves to the stream.
        let stream = unsafe { libc::fdopendir(directory.into_raw_fd()) };
        NonNull::new(stream).map(Self).ok_or_else(io::Error::last_os_error)
    }

    /// The next name, without `.` and `..`.
    pub fn next_name(&mut self) -> io::Result<Option<CString>> {
        loop {
            nix::errno::Errno::clear();
            // SAFETY: the stream is open until drop; no other call uses it in between.
            let entry = unsafe { libc::readdir(self.0.as_ptr()) };
            if entry.is_null() {
                let error = io::Error::last_os_error();
                return if error.raw_os_error() == Some(0) { Ok(None) } else { Err(error) };
            }
            // SAFETY: readdir returned an entry whose name is a C string valid until the next call.
            let name = unsafe { CStr::from_ptr((*entry).d_name.as_ptr()) };
            if name != c"." && name != c".." {
                return Ok(Some(name.to_owned()));
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the stream is open and this is its last use. A failed close loses nothing: it was
        // only read.
        unsafe { libc::closedir(self.0.as_ptr()) };
    }
}
