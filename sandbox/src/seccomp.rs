//! System call filters: what a worker may ask of the kernel.
//!
//! A filter is an allow list per runtime: the shared rows of [`table`] and the runtime's own. Unknown
//! calls get ENOSYS, so a libc newer than the table falls back; known and refused ones get EPERM or what
//! programs cope with best; a foreign architecture, x32 and the few calls that no program needs kill.
//! [`tree`] turns rows into a balanced program; installing it is left to seccompiler.

mod table;
mod tree;

use alyx_protocol::ids::RuntimeName;
pub use seccompiler::BpfProgram;

use crate::plan::policy::{ExtraCalls, policy};
use table::Group;
pub use tree::FilterError;

/// The filter of a runtime.
pub fn runtime_filter(runtime: &RuntimeName) -> Result<BpfProgram, FilterError> {
    let extra: &[Group] = match policy(runtime).extra_calls {
        ExtraCalls::None => &[],
        ExtraCalls::Node => table::NODE,
    };
    tree::build(&[table::SHARED, extra])
}

/// The filter of a worker's init, which only waits, forwards a signal and writes five bytes.
pub fn init_filter() -> Result<BpfProgram, FilterError> {
    tree::build(&[table::INIT])
}

#[cfg(test)]
mod tests {
    use libc::{EAFNOSUPPORT, ENOSYS, ENOTTY, EPERM};

    use super::tree::interpreter::{Call, NATIVE, Verdict, judge};
    use super::{init_filter, runtime_filter};

    fn call(number: libc::c_long, args: &[u64]) -> Call {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        Call { arch: NATIVE, number: number as u32, args: all }
    }

    fn python(call: &Call) -> Verdict {
        judge(&runtime_filter(&"python".parse().unwrap()).unwrap(), call)
    }

    #[test]
    fn calls_get_their_verdicts() {
        let check = |number: libc::c_long, expected: Verdict| {
            assert_eq!(python(&call(number, &[])), expected, "call {number}");
        };
        for allowed in [libc::SYS_read, libc::SYS_openat, libc::SYS_munmap, libc::SYS_futex, libc::SYS_execve]
        {
            check(allowed, Verdict::Allow);
        }
        for refused in [
            libc::SYS_mount,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_bpf,
            libc::SYS_keyctl,
            libc::SYS_userfaultfd,
            libc::SYS_perf_event_open,
            libc::SYS_memfd_create,
            libc::SYS_seccomp,
            libc::SYS_shmget,
            libc::SYS_chroot,
        ] {
            check(refused, Verdict::Errno(EPERM));
        }
        for unknown in [libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_execveat, 600, 0x3fff_ffff] {
            check(unknown, Verdict::Errno(ENOSYS));
        }
        for fatal in [libc::SYS_kexec_load, libc::SYS_init_module, libc::SYS_reboot] {
            check(fatal, Verdict::Kill);
        }
    }

    #[test]
    fn foreign_architectures_and_x32_are_killed() {
        let read = call(libc::SYS_read, &[]);
        assert_eq!(python(&Call { arch: 0x4000_0003, ..read }), Verdict::Kill, "i386");
        #[cfg(target_arch = "x86_64")]
        for number in [0x4000_0000, 0x4000_0000 | read.number, u32::MAX] {
            assert_eq!(python(&Call { number, ..read }), Verdict::Kill, "x32 {number:#x}");
        }
    }

    #[test]
    fn arguments_are_compared_as_the_kernel_reads_them() {
        const HIGH: u64 = 0xdead_beef_0000_0000;
        let check = |number: libc::c_long, args: &[u64], expected: Verdict| {
            assert_eq!(python(&call(number, args)), expected, "call {number} {args:x?}");
        };
        let cloexec = libc::SOCK_CLOEXEC as u64;
        check(libc::SYS_socket, &[1, 1, 0], Verdict::Allow);
        check(libc::SYS_socket, &[2, 1 | cloexec, 6], Verdict::Allow);
        check(libc::SYS_socket, &[10 | HIGH, 2 | HIGH, HIGH], Verdict::Allow);
        check(libc::SYS_socket, &[16, 3, 0], Verdict::Errno(EAFNOSUPPORT));
        check(libc::SYS_socket, &[16 | HIGH, 2, 0], Verdict::Errno(EAFNOSUPPORT));
        check(libc::SYS_socket, &[40, 1, 0], Verdict::Errno(EAFNOSUPPORT));
        check(libc::SYS_socket, &[2, 3, 0], Verdict::Errno(EAFNOSUPPORT));
        check(libc::SYS_socket, &[2, 2, 1], Verdict::Errno(EAFNOSUPPORT));
        let threads = 0x003d_0f00;
        check(libc::SYS_clone, &[threads], Verdict::Allow);
        check(libc::SYS_clone, &[threads | HIGH], Verdict::Allow);
        for namespace in
            [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000]
        {
            check(libc::SYS_clone, &[17 | namespace], Verdict::Errno(EPERM));
            check(libc::SYS_clone, &[17 | namespace | HIGH], Verdict::Errno(EPERM));
        }
        for flags in [0x01, 0x02, 0x03, 0x22, 0x4022, 0x2_0022, 0x10_0022, 0x12, 0x8802] {
            check(libc::SYS_mmap, &[0, 4096, 3, flags | HIGH], Verdict::Allow);
        }
        for flags in [0, 0x08, 0x20, 0x21, 0x23, 0x4021, 0x28, 0x4_0022, 0x4_0001] {
            check(libc::SYS_mmap, &[0, 4096, 3, flags | HIGH], Verdict::Errno(EPERM));
        }
        check(libc::SYS_ioctl, &[0, 0x5401], Verdict::Allow);
        check(libc::SYS_ioctl, &[0, 0x5412], Verdict::Errno(ENOTTY));
        check(libc::SYS_ioctl, &[0, 0x5412 | HIGH], Verdict::Errno(ENOTTY));
        check(libc::SYS_ioctl, &[0, 0x541c | HIGH], Verdict::Errno(ENOTTY));
        check(libc::SYS_prctl, &[15], Verdict::Allow);
        check(libc::SYS_prctl, &[22], Verdict::Errno(EPERM));
        check(libc::SYS_personality, &[0xffff_ffff], Verdict::Allow);
        check(libc::SYS_personality, &[0x0040_0000], Verdict::Errno(EPERM));
        check(libc::SYS_prlimit64, &[0, 7], Verdict::Allow);
        check(libc::SYS_prlimit64, &[1, 7], Verdict::Errno(EPERM));
        check(libc::SYS_mknodat, &[0, 0, 0o010_644], Verdict::Allow);
        check(libc::SYS_mknodat, &[0, 0, 0o020_644], Verdict::Errno(EPERM));
        check(libc::SYS_fcntl, &[0, 1024], Verdict::Errno(EPERM));
    }

    #[test]
    fn the_init_may_do_little() {
        let filter = init_filter().unwrap();
        assert_eq!(judge(&filter, &call(libc::SYS_wait4, &[])), Verdict::Allow);
        assert_eq!(judge(&filter, &call(libc::SYS_execve, &[])), Verdict::Errno(EPERM));
        assert_eq!(judge(&filter, &call(libc::SYS_openat, &[])), Verdict::Errno(EPERM));
        assert_eq!(judge(&filter, &call(libc::SYS_socket, &[])), Verdict::Errno(EPERM));
    }

    #[test]
    fn every_runtime_has_a_small_filter() {
        for name in ["node", "python", "go", "other"] {
            let length = runtime_filter(&name.parse().unwrap()).unwrap().len();
            assert!((50..1500).contains(&length), "{name}: {length}");
        }
    }
}
