//! Table of the system calls of a worker, reviewed row by row.
//!
//! Every group says why it is treated as it is. A call that is in no group gets ENOSYS, or what the
//! group without calls says. Numbers are libc's; a few newer than libc are written out (they are the
//! same on all architectures).

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Allow,
    /// It fails with this errno without being made.
    Errno(i32),
    /// The process dies of SIGSYS.
    Kill,
    /// It is made if every check holds; otherwise it fails with this errno.
    If(&'static [Check], i32),
}

/// One argument, masked, must be one of these values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// 0 to 5.
    pub argument: u8,
    /// Applied to its low 32 bits.
    pub mask: u32,
    /// What may be left.
    pub values: &'static [u32],
}

/// Calls that are treated alike for one reason.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Why.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reviewer and the tests"))]
    pub reason: &'static str,
    /// How.
    pub action: Action,
    /// Which. A group without calls sets the default.
    pub calls: &'static [libc::c_long],
}

const fn allow(reason: &'static str, calls: &'static [libc::c_long]) -> Group {
    Group { reason, action: Action::Allow, calls }
}

const fn refuse(errno: i32, reason: &'static str, calls: &'static [libc::c_long]) -> Group {
    Group { reason, action: Action::Errno(errno), calls }
}

const fn kill(reason: &'static str, calls: &'static [libc::c_long]) -> Group {
    Group { reason, action: Action::Kill, calls }
}

const fn only_if(
    checks: &'static [Check],
    errno: i32,
    reason: &'static str,
    calls: &'static [libc::c_long],
) -> Group {
    Group { reason, action: Action::If(checks, errno), calls }
}

/// All bits of an argument that the kernel reads as a 32-bit number.
const ALL: u32 = u32::MAX;

/// CLONE_NEW* of linux/sched.h. Time namespaces cannot be asked for through `clone`.
const NAMESPACES: u32 =
    0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000;

const CLONE: &[Check] = &[Check { argument: 0, mask: NAMESPACES, values: &[0] }];

/// AF_UNIX, AF_INET, AF_INET6; stream and datagram (the upper bits are flags); default, TCP, UDP.
const SOCKET: &[Check] = &[
    Check { argument: 0, mask: ALL, values: &[1, 2, 10] },
    Check { argument: 1, mask: 0xf, values: &[1, 2] },
    Check { argument: 2, mask: ALL, values: &[0, 6, 17] },
];

const SOCKET_PAIR: &[Check] = &[Check { argument: 0, mask: ALL, values: &[1] }];

/// Is it a terminal, how big is it, how many bytes wait, non-blocking, close-on-exec and back.
/// Not among them: TIOCSTI and TIOCLINUX, which type into a terminal.
const IOCTL: &[Check] =
    &[Check { argument: 1, mask: ALL, values: &[0x5401, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451] }];

/// Descriptor and status flags, locks, owner, pipe size, seals. Not leases and directory notes, which
/// reach other processes through a shared file.
const FCNTL: &[Check] = &[Check {
    argument: 1,
    mask: ALL,
    values: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 36, 37, 38, 1030, 1031, 1032, 1033, 1034],
}];

/// Names, death signal, dumpable (reading), capabilities (reading), seccomp mode (reading), timer slack,
/// subreaper, no_new_privs, transparent huge pages, naming of memory areas.
const PRCTL: &[Check] = &[Check {
    argument: 0,
    mask: ALL,
    values: &[1, 2, 3, 15, 16, 21, 23, 29, 30, 36, 37, 38, 39, 41, 42, 0x5356_4d41],
}];

/// The standard personality and the question which one is set.
const PERSONALITY: &[Check] = &[Check { argument: 0, mask: ALL, values: &[0, 0xffff_ffff] }];

/// Private anonymous memory and files. Not shared anonymous memory (0x01 or 0x03 with 0x20), which stays
/// when no process maps its pages any more, so that nobody who looks at processes sees it; not huge pages
/// of the machine's reserve (0x4_0000).
const MMAP: &[Check] = &[Check { argument: 3, mask: 0x4_002f, values: &[0x01, 0x02, 0x03, 0x22] }];

/// Only of the caller: another process of the same user could be the init.
const PRLIMIT: &[Check] = &[Check { argument: 0, mask: ALL, values: &[0] }];

/// Regular files and pipes; file type bits of the mode.
#[cfg(target_arch = "x86_64")]
const MKNOD: &[Check] = &[Check { argument: 1, mask: 0o170_000, values: &[0, 0o100_000, 0o010_000] }];
const MKNODAT: &[Check] = &[Check { argument: 2, mask: 0o170_000, values: &[0, 0o100_000, 0o010_000] }];

/// Thread pointers; ARCH_SET_GS to ARCH_GET_GS.
#[cfg(target_arch = "x86_64")]
const ARCH_PRCTL: &[Check] = &[Check { argument: 0, mask: ALL, values: &[0x1001, 0x1002, 0x1003, 0x1004] }];

/// For every runtime.
#[rustfmt::skip]
pub const SHARED: &[Group] = &[
    allow(
        "reading and writing descriptors",
        &[
            libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64,
            libc::SYS_pwrite64, libc::SYS_preadv, libc::SYS_pwritev, libc::SYS_preadv2, libc::SYS_pwritev2,
            libc::SYS_lseek, libc::SYS_close, libc::SYS_close_range, libc::SYS_dup, libc::SYS_dup3,
            libc::SYS_pipe2, libc::SYS_sendfile, libc::SYS_splice, libc::SYS_tee, libc::SYS_copy_file_range,
        ],
    ),
    allow(
        "files: paths are bounded by the root, the mounts and Landlock",
        &[
            libc::SYS_openat, libc::SYS_openat2, libc::SYS_newfstatat, libc::SYS_fstat, libc::SYS_statx,
            libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_readlinkat, libc::SYS_getdents64,
            libc::SYS_getcwd, libc::SYS_chdir, libc::SYS_fchdir, libc::SYS_mkdirat, libc::SYS_unlinkat,
            libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_linkat, libc::SYS_symlinkat,
            libc::SYS_fchmod, libc::SYS_fchmodat, SYS_FCHMODAT2, libc::SYS_fchown, libc::SYS_fchownat,
            libc::SYS_umask, libc::SYS_utimensat, libc::SYS_truncate, libc::SYS_ftruncate,
            libc::SYS_fallocate, libc::SYS_fadvise64, libc::SYS_readahead, libc::SYS_fsync,
            libc::SYS_fdatasync, libc::SYS_flock, libc::SYS_statfs, libc::SYS_fstatfs,
            libc::SYS_inotify_init1, libc::SYS_inotify_add_watch, libc::SYS_inotify_rm_watch,
            libc::SYS_getxattr, libc::SYS_lgetxattr, libc::SYS_fgetxattr, libc::SYS_listxattr,
            libc::SYS_llistxattr, libc::SYS_flistxattr,
        ],
    ),
    allow(
        "waiting for descriptors, timers and events",
        &[
            libc::SYS_ppoll, libc::SYS_pselect6, libc::SYS_epoll_create1, libc::SYS_epoll_ctl,
            libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_eventfd2, libc::SYS_signalfd4,
            libc::SYS_timerfd_create, libc::SYS_timerfd_settime, libc::SYS_timerfd_gettime,
        ],
    ),
    allow(
        "own memory; writable and executable at once is what a JIT needs",
        &[
            libc::SYS_munmap, libc::SYS_mprotect, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_brk,
            libc::SYS_mincore, libc::SYS_msync, libc::SYS_mlock, libc::SYS_mlock2,
            libc::SYS_munlock, libc::SYS_membarrier, SYS_MSEAL,
        ],
    ),
    allow(
        "own threads and processes; signals and waits end at the PID namespace",
        &[
            libc::SYS_execve, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_wait4, libc::SYS_waitid,
            libc::SYS_kill, libc::SYS_tkill, libc::SYS_tgkill, libc::SYS_pidfd_open,
            libc::SYS_pidfd_send_signal, libc::SYS_getpid, libc::SYS_getppid, libc::SYS_gettid,
            libc::SYS_getpgid, libc::SYS_setpgid, libc::SYS_getsid, libc::SYS_setsid,
            libc::SYS_set_tid_address, libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_rseq,
            libc::SYS_futex, libc::SYS_futex_waitv, SYS_FUTEX_WAKE, SYS_FUTEX_WAIT, SYS_FUTEX_REQUEUE,
            libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn,
            libc::SYS_rt_sigpending, libc::SYS_rt_sigtimedwait, libc::SYS_rt_sigqueueinfo,
            libc::SYS_rt_tgsigqueueinfo, libc::SYS_rt_sigsuspend, libc::SYS_sigaltstack,
            libc::SYS_restart_syscall,
        ],
    ),
    allow(
        "asking about the caller",
        &[
            libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid, libc::SYS_getresuid,
            libc::SYS_getresgid, libc::SYS_getgroups, libc::SYS_capget, libc::SYS_getrusage,
            libc::SYS_times, libc::SYS_getrlimit, libc::SYS_setrlimit, libc::SYS_getpriority,
            libc::SYS_ioprio_get,
        ],
    ),
    allow(
        "scheduling among its own; real-time classes are behind RLIMIT_RTPRIO",
        &[
            libc::SYS_sched_yield, libc::SYS_sched_getaffinity, libc::SYS_sched_setaffinity,
            libc::SYS_sched_getparam, libc::SYS_sched_getscheduler, libc::SYS_sched_get_priority_max,
            libc::SYS_sched_get_priority_min, libc::SYS_sched_rr_get_interval, libc::SYS_sched_getattr,
            libc::SYS_setpriority, libc::SYS_getcpu,
        ],
    ),
    allow(
        "reading clocks, sleeping, own timers",
        &[
            libc::SYS_clock_gettime, libc::SYS_clock_getres, libc::SYS_clock_nanosleep,
            libc::SYS_gettimeofday, libc::SYS_nanosleep, libc::SYS_timer_create, libc::SYS_timer_settime,
            libc::SYS_timer_gettime, libc::SYS_timer_getoverrun, libc::SYS_timer_delete,
            libc::SYS_getitimer, libc::SYS_setitimer,
        ],
    ),
    allow(
        "sockets that exist; which may be made is checked below",
        &[
            libc::SYS_bind, libc::SYS_connect, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4,
            libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_getsockopt, libc::SYS_setsockopt,
            libc::SYS_sendto, libc::SYS_recvfrom, libc::SYS_sendmsg, libc::SYS_recvmsg, libc::SYS_sendmmsg,
            libc::SYS_recvmmsg, libc::SYS_shutdown,
        ],
    ),
    allow(
        "random bytes and facts about the machine that every runtime asks for",
        &[libc::SYS_getrandom, libc::SYS_uname, libc::SYS_sysinfo],
    ),
    only_if(MMAP, libc::EPERM, "memory that is counted where it is used", &[libc::SYS_mmap]),
    only_if(CLONE, libc::EPERM, "threads and processes, but no namespaces", &[libc::SYS_clone]),
    only_if(
        SOCKET,
        libc::EAFNOSUPPORT,
        "no netlink, packet, raw, vsock or ICMP; libc copes with a missing family",
        &[libc::SYS_socket],
    ),
    only_if(SOCKET_PAIR, libc::EAFNOSUPPORT, "between own processes", &[libc::SYS_socketpair]),
    only_if(IOCTL, libc::ENOTTY, "as if the descriptor knew no other request", &[libc::SYS_ioctl]),
    only_if(FCNTL, libc::EPERM, "everything that stays with the caller", &[libc::SYS_fcntl]),
    only_if(PRCTL, libc::EPERM, "nothing that loosens the confinement", &[libc::SYS_prctl]),
    only_if(PERSONALITY, libc::EPERM, "no READ_IMPLIES_EXEC, no fixed addresses", &[libc::SYS_personality]),
    only_if(PRLIMIT, libc::EPERM, "limits of the caller only", &[libc::SYS_prlimit64]),
    only_if(MKNODAT, libc::EPERM, "no device nodes, no sockets by mknod", &[libc::SYS_mknodat]),
    refuse(
        libc::ENOSYS,
        "structures behind pointers cannot be checked; libc falls back to the older call",
        &[
            libc::SYS_clone3, libc::SYS_execveat, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
        ],
    ),
    refuse(
        libc::EPERM,
        "looking into or steering other processes",
        &[
            libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev, libc::SYS_kcmp,
            libc::SYS_pidfd_getfd, libc::SYS_process_madvise, libc::SYS_process_mrelease,
            libc::SYS_perf_event_open,
        ],
    ),
    refuse(
        libc::EPERM,
        "namespaces, mounts and roots",
        &[
            libc::SYS_unshare, libc::SYS_setns, libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root,
            libc::SYS_chroot, libc::SYS_open_tree, libc::SYS_move_mount, libc::SYS_fsopen,
            libc::SYS_fsconfig, libc::SYS_fsmount, libc::SYS_fspick, libc::SYS_mount_setattr, SYS_STATMOUNT,
            SYS_LISTMOUNT, libc::SYS_sethostname, libc::SYS_setdomainname,
        ],
    ),
    refuse(
        libc::EPERM,
        "large or often broken parts of the kernel that functions do not need",
        &[
            libc::SYS_bpf, libc::SYS_userfaultfd, libc::SYS_keyctl, libc::SYS_add_key,
            libc::SYS_request_key, libc::SYS_fanotify_init, libc::SYS_fanotify_mark,
            libc::SYS_name_to_handle_at, libc::SYS_open_by_handle_at, libc::SYS_quotactl, libc::SYS_acct,
            libc::SYS_vmsplice, libc::SYS_lookup_dcookie, libc::SYS_seccomp,
            libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule,
            libc::SYS_landlock_restrict_self,
        ],
    ),
    refuse(
        libc::EPERM,
        "memory that outlives its files, is not counted with the worker's, or can be executed as a file",
        &[
            libc::SYS_memfd_create, libc::SYS_memfd_secret, libc::SYS_mlockall, libc::SYS_munlockall,
            libc::SYS_shmget, libc::SYS_shmat, libc::SYS_shmctl, libc::SYS_shmdt, libc::SYS_semget,
            libc::SYS_semop, libc::SYS_semctl, libc::SYS_semtimedop, libc::SYS_msgget, libc::SYS_msgsnd,
            libc::SYS_msgrcv, libc::SYS_msgctl, libc::SYS_mq_open, libc::SYS_mq_unlink, libc::SYS_mbind,
            libc::SYS_set_mempolicy, libc::SYS_get_mempolicy, libc::SYS_migrate_pages, libc::SYS_move_pages,
            libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, libc::SYS_removexattr,
            libc::SYS_lremovexattr, libc::SYS_fremovexattr,
        ],
    ),
    refuse(
        libc::EPERM,
        "ids, capabilities, clocks and state of the whole machine",
        &[
            libc::SYS_setuid, libc::SYS_setgid, libc::SYS_setreuid, libc::SYS_setregid, libc::SYS_setresuid,
            libc::SYS_setresgid, libc::SYS_setfsuid, libc::SYS_setfsgid, libc::SYS_setgroups,
            libc::SYS_capset, libc::SYS_sched_setscheduler, libc::SYS_sched_setparam,
            libc::SYS_sched_setattr, libc::SYS_ioprio_set, libc::SYS_clock_settime, libc::SYS_clock_adjtime,
            libc::SYS_settimeofday, libc::SYS_adjtimex, libc::SYS_syslog, libc::SYS_vhangup, libc::SYS_sync,
            libc::SYS_syncfs, libc::SYS_swapon, libc::SYS_swapoff,
        ],
    ),
    kill(
        "no program that runs as a function needs them; whoever tries is up to something",
        &[
            libc::SYS_kexec_load, libc::SYS_kexec_file_load, libc::SYS_init_module, libc::SYS_finit_module,
            libc::SYS_delete_module, libc::SYS_reboot,
        ],
    ),
    #[cfg(target_arch = "x86_64")]
    allow(
        "older names of calls allowed above",
        &[
            libc::SYS_open, libc::SYS_creat, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access,
            libc::SYS_readlink, libc::SYS_getdents, libc::SYS_mkdir, libc::SYS_rmdir, libc::SYS_unlink,
            libc::SYS_rename, libc::SYS_link, libc::SYS_symlink, libc::SYS_chmod, libc::SYS_chown,
            libc::SYS_lchown, libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat, libc::SYS_dup2,
            libc::SYS_pipe, libc::SYS_poll, libc::SYS_select, libc::SYS_epoll_create, libc::SYS_epoll_wait,
            libc::SYS_eventfd, libc::SYS_signalfd, libc::SYS_inotify_init, libc::SYS_fork, libc::SYS_vfork,
            libc::SYS_getpgrp, libc::SYS_time, libc::SYS_alarm, libc::SYS_pause,
        ],
    ),
    #[cfg(target_arch = "x86_64")]
    only_if(MKNOD, libc::EPERM, "no device nodes, no sockets by mknod", &[libc::SYS_mknod]),
    #[cfg(target_arch = "x86_64")]
    only_if(ARCH_PRCTL, libc::EPERM, "thread pointers only", &[libc::SYS_arch_prctl]),
    #[cfg(target_arch = "x86_64")]
    refuse(libc::EPERM, "segments and old file system calls", &[libc::SYS_modify_ldt, libc::SYS_ustat]),
    #[cfg(target_arch = "x86_64")]
    kill("direct access to devices", &[libc::SYS_iopl, libc::SYS_ioperm]),
];

/// Beyond the shared rows, for Node.
pub const NODE: &[Group] = &[allow(
    "V8 guards its code space with protection keys where the processor has them",
    &[libc::SYS_pkey_alloc, libc::SYS_pkey_free, libc::SYS_pkey_mprotect],
)];

/// For the init of every worker.
#[rustfmt::skip]
pub const INIT: &[Group] = &[
    allow(
        "waiting for children and signals, forwarding one, reporting once, ending",
        &[
            libc::SYS_read, libc::SYS_write, libc::SYS_ppoll, libc::SYS_signalfd4, libc::SYS_wait4,
            libc::SYS_kill, libc::SYS_close, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_rt_sigreturn,
            libc::SYS_rt_sigprocmask, libc::SYS_restart_syscall, libc::SYS_sigaltstack,
        ],
    ),
    allow(
        "the allocator",
        &[
            libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise,
        ],
    ),
    #[cfg(target_arch = "x86_64")]
    allow("older name", &[libc::SYS_poll]),
    refuse(libc::EPERM, "everything else", &[]),
];

// Newer than libc's list; one number on every architecture since Linux 5.1.
const SYS_FCHMODAT2: libc::c_long = 452;
const SYS_FUTEX_WAKE: libc::c_long = 454;
const SYS_FUTEX_WAIT: libc::c_long = 455;
const SYS_FUTEX_REQUEUE: libc::c_long = 456;
const SYS_STATMOUNT: libc::c_long = 457;
const SYS_LISTMOUNT: libc::c_long = 458;
const SYS_MSEAL: libc::c_long = 462;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the system call tables are reviewed for x86_64 and aarch64 only");

#[cfg(test)]
mod tests {
    use super::{INIT, NODE, SHARED};

    #[test]
    fn every_group_has_a_reason() {
        for group in [SHARED, NODE, INIT].into_iter().flatten() {
            assert!(group.reason.len() > 8, "{:?}", group.calls);
        }
    }
}
