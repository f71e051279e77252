//! Classic BPF as the kernel executes it on system calls.

use crate::seccomp::compiler::bpf::BpfInstruction;
use std::cell::Cell;

/// What a filter answers to a call.
pub(super) fn run(program: &[BpfInstruction], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
    execute(program, |at| {
        Some(match at {
            0 => number,
            4 => architecture,
            at => {
                let value = arguments[(at as usize - 16) / 8];
                if at.is_multiple_of(8) { value as u32 } else { (value >> 32) as u32 }
            }
        })
    })
    .expect("everything can be loaded")
}

/// What it answers when only number and architecture are known: `None` when it asks for more. What is allowed so, the kernel
/// remembers and never asks the filter about (kernel/seccomp.c, `seccomp_is_const_allow`).
pub(super) fn known_beforehand(program: &[BpfInstruction], architecture: u32, number: u32) -> Option<u32> {
    execute(program, |at| match at {
        0 => Some(number),
        4 => Some(architecture),
        _ => None,
    })
}

/// Instructions on the way to the answer for a call with no arguments.
pub(super) fn steps(program: &[BpfInstruction], architecture: u32, number: u32) -> usize {
    let counted = Cell::new(0);
    execute_counting(program, &counted, |at| match at {
        0 => Some(number),
        4 => Some(architecture),
        _ => Some(0),
    });
    counted.get()
}

fn execute(program: &[BpfInstruction], load: impl Fn(u32) -> Option<u32>) -> Option<u32> {
    execute_counting(program, &Cell::new(0), load)
}

fn execute_counting(
    program: &[BpfInstruction],
    counted: &Cell<usize>,
    load: impl Fn(u32) -> Option<u32>,
) -> Option<u32> {
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let BpfInstruction { code, jt, jf, k } = program[at];
        at += 1;
        counted.set(counted.get() + 1);
        let held = match code {
            0x20 => {
                accumulator = load(k)?;
                continue;
            }
            0x54 => {
                accumulator &= k;
                continue;
            }
            0x05 => {
                at += k as usize;
                continue;
            }
            0x06 => return Some(k),
            0x15 => accumulator == k,
            0x35 => accumulator >= k,
            0x45 => accumulator & k != 0,
            other => panic!("instruction {other:#x}"),
        };
        at += usize::from(if held { jt } else { jf });
    }
}
