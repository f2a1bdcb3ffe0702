//! What only a real host shows, in a virtual machine: cgroup v2 with its controllers, and systemd.
//!
//! `make vm` runs it. Every test boots a machine of its own (about 20 s) and needs root, qemu and mmdebstrap.

mod strict;
