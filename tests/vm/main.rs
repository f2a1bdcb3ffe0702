//! What only a real host shows, in a virtual machine: cgroup v2 with its controllers, and systemd.
//!
//! `make vm` runs it. It boots a machine for the tests of a file (about 20 s) and needs root, qemu and mmdebstrap.

mod package;
mod shared;
mod strict;
