//! From rows to a BPF program that is a balanced tree over system call numbers.
//!
//! A linear list costs a comparison per row when the kernel works out which calls always pass; a tree
//! of the same rows installs in half the time. Arguments are compared as masked 32-bit values, which is
//! how the kernel reads every argument named in the table; high halves are ignored by both.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, sock_filter};

use super::table::{Action, Check, Group};

/// Rows that do not make a filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error("use two rows for system call {0}")]
    Duplicate(libc::c_long),
    #[error("use {0} as system call number")]
    Number(libc::c_long),
    #[error("place a jump over {0} instructions")]
    Jump(usize),
}

// Codes of linux/bpf_common.h and linux/filter.h.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

// Offsets in struct seccomp_data of linux/seccomp.h, little endian.
const NUMBER_OFFSET: u32 = 0;
const ARCH_OFFSET: u32 = 4;
const ARGS_OFFSET: u32 = 16;

/// Set in the number of every x32 call.
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;

#[cfg(target_arch = "x86_64")]
pub const NATIVE_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub const NATIVE_ARCH: u32 = 0xc000_00b7;

/// Builds a program. Later tables replace rows of earlier ones. The first table's last word is its
/// default for numbers without a row.
pub fn build(tables: &[&[Group]]) -> Result<BpfProgram, FilterError> {
    let mut rows = BTreeMap::new();
    let mut default = Action::Errno(libc::ENOSYS);
    for table in tables {
        let mut seen = BTreeMap::new();
        for group in *table {
            if group.calls.is_empty() {
                default = group.action;
            }
            for &call in group.calls {
                let number = u32::try_from(call).map_err(|_| FilterError::Number(call))?;
                if seen.insert(number, group.action).is_some() {
                    return Err(FilterError::Duplicate(call));
                }
            }
        }
        rows.extend(seen);
    }
    let mut program = prologue();
    program.extend(subtree(&intervals(&rows, default))?);
    Ok(program)
}

/// Kills a foreign architecture and x32, and loads the number.
fn prologue() -> BpfProgram {
    let mut program = vec![
        instruction(LOAD, ARCH_OFFSET),
        branch(JUMP_EQUAL, NATIVE_ARCH, 1, 0),
        verdict(Action::Kill),
        instruction(LOAD, NUMBER_OFFSET),
    ];
    #[cfg(target_arch = "x86_64")]
    program.extend([branch(JUMP_GREATER_EQUAL, X32_BIT, 0, 1), verdict(Action::Kill)]);
    program
}

/// Runs of numbers with one action, by first number. The first run starts at zero.
fn intervals(rows: &BTreeMap<u32, Action>, default: Action) -> Vec<(u32, Action)> {
    let mut runs: Vec<(u32, Action)> = vec![(0, default)];
    let mut push = |start: u32, action: Action| match runs.last_mut() {
        Some(last) if last.1 == action => {}
        Some(last) if last.0 == start => last.1 = action,
        _ => runs.push((start, action)),
    };
    for (&number, &action) in rows {
        push(number, action);
        if !rows.contains_key(&(number + 1)) {
            push(number + 1, default);
        }
    }
    runs
}

fn subtree(runs: &[(u32, Action)]) -> Result<BpfProgram, FilterError> {
    if let [(_, action)] = runs {
        return leaf(*action);
    }
    let (low, high) = runs.split_at(runs.len() / 2);
    let (left, right) = (subtree(low)?, subtree(high)?);
    let mut program = match u8::try_from(left.len()) {
        Ok(skip) => vec![branch(JUMP_GREATER_EQUAL, high[0].0, skip, 0)],
        // Too far for a conditional jump, which has eight bits.
        Err(_) => vec![
            branch(JUMP_GREATER_EQUAL, high[0].0, 0, 1),
            instruction(JUMP, u32::try_from(left.len()).map_err(|_| FilterError::Jump(left.len()))?),
        ],
    };
    program.extend(left);
    program.extend(right);
    Ok(program)
}

fn leaf(action: Action) -> Result<BpfProgram, FilterError> {
    let Action::If(checks, errno) = action else { return Ok(vec![verdict(action)]) };
    let mut program = Vec::new();
    for Check { argument, mask, values } in checks {
        program.push(instruction(LOAD, ARGS_OFFSET + 8 * u32::from(*argument)));
        program.push(instruction(AND, *mask));
        for (index, value) in values.iter().enumerate() {
            // Over the values that follow and the refusal after them.
            let skip = values.len() - index;
            let skip = u8::try_from(skip).map_err(|_| FilterError::Jump(skip))?;
            program.push(branch(JUMP_EQUAL, *value, skip, 0));
        }
        program.push(verdict(Action::Errno(errno)));
    }
    program.push(verdict(Action::Allow));
    Ok(program)
}

const fn instruction(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

const fn branch(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Return values of linux/seccomp.h.
fn verdict(action: Action) -> sock_filter {
    let value = match action {
        Action::Allow => libc::SECCOMP_RET_ALLOW,
        Action::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        Action::Errno(errno) | Action::If(_, errno) => libc::SECCOMP_RET_ERRNO | errno as u32,
    };
    instruction(RETURN, value)
}

#[cfg(test)]
pub(crate) mod interpreter {
    //! Runs a filter in the test process, as the kernel would. Knows only what the builder emits.

    use seccompiler::sock_filter;

    pub use super::NATIVE_ARCH as NATIVE;

    /// One system call.
    #[derive(Clone, Copy, Debug)]
    pub struct Call {
        pub arch: u32,
        pub number: u32,
        pub args: [u64; 6],
    }

    /// What the filter says.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Verdict {
        Allow,
        Errno(i32),
        Kill,
    }

    /// Runs the program; panics where the kernel would have refused it.
    pub fn judge(program: &[sock_filter], call: &Call) -> Verdict {
        let mut data = Vec::new();
        data.extend(call.number.to_le_bytes());
        data.extend(call.arch.to_le_bytes());
        data.extend([0; 8]);
        call.args.iter().for_each(|arg| data.extend(arg.to_le_bytes()));
        let (mut at, mut accumulator) = (0, 0_u32);
        loop {
            let step = &program[at];
            at += 1;
            match step.code {
                0x20 => {
                    let offset = step.k as usize;
                    accumulator = u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap());
                }
                0x54 => accumulator &= step.k,
                0x05 => at += step.k as usize,
                0x15 => at += usize::from(if accumulator == step.k { step.jt } else { step.jf }),
                0x35 => at += usize::from(if accumulator >= step.k { step.jt } else { step.jf }),
                0x06 => {
                    return match step.k & 0xffff_0000 {
                        0x7fff_0000 => Verdict::Allow,
                        0x0005_0000 => Verdict::Errno((step.k & 0xffff) as i32),
                        0x8000_0000 => Verdict::Kill,
                        other => panic!("return value {other:#x}"),
                    };
                }
                other => panic!("instruction {other:#x}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::interpreter::{Call, NATIVE, Verdict, judge};
    use super::{Action, FilterError, Group, build};

    const fn group(action: Action, calls: &'static [libc::c_long]) -> Group {
        Group { reason: "", action, calls }
    }

    #[test]
    fn every_number_of_a_big_table_reaches_its_own_leaf() {
        // 300 rows with alternating actions: the widest tree, with jumps over 255 instructions.
        static NUMBERS: [libc::c_long; 150] = {
            let mut numbers = [0; 150];
            let mut index = 0;
            while index < 150 {
                numbers[index] = 4 * index as libc::c_long;
                index += 1;
            }
            numbers
        };
        static KILLED: [libc::c_long; 150] = {
            let mut numbers = [0; 150];
            let mut index = 0;
            while index < 150 {
                numbers[index] = 4 * index as libc::c_long + 1;
                index += 1;
            }
            numbers
        };
        let table = [group(Action::Allow, &NUMBERS), group(Action::Kill, &KILLED)];
        let program = build(&[&table]).unwrap();
        for number in 0..700 {
            let expected = match (number % 4, number < 600) {
                (0, true) => Verdict::Allow,
                (1, true) => Verdict::Kill,
                _ => Verdict::Errno(libc::ENOSYS),
            };
            assert_eq!(judge(&program, &Call { arch: NATIVE, number, args: [0; 6] }), expected, "{number}");
        }
    }

    #[test]
    fn later_tables_replace_and_duplicates_are_refused() {
        let first = [group(Action::Errno(1), &[7])];
        let second = [group(Action::Allow, &[7])];
        let program = build(&[&first, &second]).unwrap();
        assert_eq!(judge(&program, &Call { arch: NATIVE, number: 7, args: [0; 6] }), Verdict::Allow);
        let twice = [group(Action::Errno(1), &[7]), group(Action::Allow, &[7])];
        assert!(matches!(build(&[&twice]), Err(FilterError::Duplicate(7))));
        assert!(matches!(build(&[&[group(Action::Allow, &[-1])]]), Err(FilterError::Number(-1))));
    }
}
