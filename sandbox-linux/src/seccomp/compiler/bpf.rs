//! Classic BPF for seccomp (seccomp(2), the kernel's networking/filter document): building blocks and a search tree.
//!
//! The number of the call is found by a balanced tree, so a verdict costs a few comparisons. What is allowed whatever its arguments
//! costs nothing at all: since Linux 5.11 the kernel runs a filter beforehand with only number and architecture known, and keeps
//! an answer that nothing else was loaded for in a bitmap (kernel/seccomp.c, `seccomp_cache_prepare`). So the number decides first,
//! and a block for a call that is simply allowed is one instruction.

/// One instruction, `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BpfInstruction {
    /// What to do.
    pub(crate) code: u16,
    /// Instructions to skip when a test holds.
    pub(crate) jt: u8,
    /// Instructions to skip when it does not.
    pub(crate) jf: u8,
    /// The operand.
    pub(crate) k: u32,
}

impl BpfInstruction {
    /// As the kernel takes it. Both architectures are little-endian.
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        let ([code, code_high], [k0, k1, k2, k3]) = (self.code.to_le_bytes(), self.k.to_le_bytes());
        [code, code_high, self.jt, self.jf, k0, k1, k2, k3]
    }
}

/// An error number that fits a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) u16);

// The same numbers on every architecture here, asm-generic/errno.h.
pub(crate) const EPERM: Errno = Errno(1);
pub(crate) const ENOSYS: Errno = Errno(38);
pub(crate) const EPROTONOSUPPORT: Errno = Errno(93);
pub(crate) const EOPNOTSUPP: Errno = Errno(95);
pub(crate) const EAFNOSUPPORT: Errno = Errno(97);

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The kernel does it.
    Allow,
    /// It fails.
    Errno(Errno),
    /// The supervisor is asked.
    Broker,
}

/// A comparison of arguments: of their low 32 bits, which is what the kernel uses of the ones compared, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    conditions: Vec<Condition>,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// `argument & mask == value`, or its opposite.
    Masked { argument: u8, mask: u32, value: u32, holds: bool },
    /// The high 32 bits of `argument` are `value`.
    High { argument: u8, value: u32 },
    /// `argument & bits != 0`.
    AnyBits { argument: u8, bits: u32 },
}

impl Test {
    /// Fails with `errno` when an argument has a value.
    pub(crate) fn equals(argument: u8, value: u32, errno: Errno) -> Self {
        Self::equals_to(argument, value, Verdict::Errno(errno))
    }

    /// Gives `verdict` when an argument has a value.
    pub(crate) fn equals_to(argument: u8, value: u32, verdict: Verdict) -> Self {
        Self { conditions: vec![Condition::Masked { argument, mask: u32::MAX, value, holds: true }], verdict }
    }

    /// Fails with `errno` when an argument under a mask has a value.
    pub(crate) fn masked_equals(argument: u8, mask: u32, value: u32, errno: Errno) -> Self {
        Self {
            conditions: vec![Condition::Masked { argument, mask, value, holds: true }],
            verdict: Verdict::Errno(errno),
        }
    }

    /// Fails with `errno` when an argument has any of the bits.
    pub(crate) fn any_bits(argument: u8, bits: u32, errno: Errno) -> Self {
        Self::any_bits_to(argument, bits, Verdict::Errno(errno))
    }

    /// Gives `verdict` when an argument has any of the bits.
    pub(crate) fn any_bits_to(argument: u8, bits: u32, verdict: Verdict) -> Self {
        Self { conditions: vec![Condition::AnyBits { argument, bits }], verdict }
    }

    /// Fails with `errno` when an argument has none of the bits.
    pub(crate) fn no_bits(argument: u8, bits: u32, errno: Errno) -> Self {
        Self::masked_equals(argument, bits, 0, errno)
    }

    /// Fails with `errno` when two arguments each have any of their bits.
    pub(crate) fn both_bits(one: u8, one_bits: u32, other: u8, other_bits: u32, errno: Errno) -> Self {
        let mut test = Self::any_bits(one, one_bits, errno);
        test.conditions.push(Condition::AnyBits { argument: other, bits: other_bits });
        test
    }

    /// Gives `verdict` when arguments from `first` on are `words`, 64 bits each, their low halves first.
    pub(crate) fn all_of(first: u8, words: &[u32], verdict: Verdict) -> Self {
        let conditions = words.iter().zip(0_u8..).map(|(value, at)| match (first + at / 2, at % 2) {
            (argument, 0) => Condition::Masked { argument, mask: u32::MAX, value: *value, holds: true },
            (argument, _) => Condition::High { argument, value: *value },
        });
        Self { conditions: conditions.collect(), verdict }
    }

    /// Holds only when another argument does not have `value`.
    pub(crate) fn unless(self, argument: u8, value: u32) -> Self {
        self.unless_masked(argument, u32::MAX, value)
    }

    /// Holds only when another argument under a mask does not have `value`.
    pub(crate) fn unless_masked(mut self, argument: u8, mask: u32, value: u32) -> Self {
        self.conditions.push(Condition::Masked { argument, mask, value, holds: false });
        self
    }

    /// Holds only when another argument has `value`.
    pub(crate) fn only_if(mut self, argument: u8, value: u32) -> Self {
        self.conditions.push(Condition::Masked { argument, mask: u32::MAX, value, holds: true });
        self
    }
}

/// Tests in order; the first that holds decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    tests: Vec<Test>,
    /// What happens when none holds.
    pub(crate) otherwise: Verdict,
}

impl Block {
    /// A block.
    pub(crate) fn new(tests: Vec<Test>, otherwise: Verdict) -> Self {
        Self { tests, otherwise }
    }

    /// What becomes of a call whatever its arguments.
    pub(crate) fn plainly(verdict: Verdict) -> Self {
        Self::new(Vec::new(), verdict)
    }

    /// Whether it refuses whatever the arguments.
    pub(crate) fn refuses_plainly(&self) -> bool {
        self.tests.is_empty() && matches!(self.otherwise, Verdict::Errno(_))
    }

    /// Replaces each verdict by what `change` makes of it.
    pub(crate) fn change_verdicts(&mut self, change: fn(Verdict) -> Verdict) {
        for test in &mut self.tests {
            test.verdict = change(test.verdict);
        }
        self.otherwise = change(self.otherwise);
    }

    /// Adds a test that is asked after the others.
    pub(crate) fn put_last(&mut self, test: Test) {
        self.tests.push(test);
    }

    /// Adds a test that is asked before the others.
    pub(crate) fn put_first(&mut self, test: Test) {
        self.tests.insert(0, test);
    }
}

const LD_ABS: u16 = 0x20;
const JMP: u16 = 0x05;
const JEQ: u16 = 0x15;
const JGE: u16 = 0x35;
const JSET: u16 = 0x45;
const AND: u16 = 0x54;
const RET: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const USER_NOTIF: u32 = 0x7fc0_0000;

/// Offsets in `struct seccomp_data`.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

fn plain(code: u16, k: u32) -> BpfInstruction {
    BpfInstruction { code, jt: 0, jf: 0, k }
}

fn returns(verdict: Verdict) -> BpfInstruction {
    let value = match verdict {
        Verdict::Allow => ALLOW,
        Verdict::Errno(Errno(errno)) => ERRNO | u32::from(errno),
        Verdict::Broker => USER_NOTIF,
    };
    plain(RET, value)
}

/// A filter for calls of `architecture`: `leaves` are (first number, block) in rising order and reach up to the next one.
/// Calls of another architecture, and of x32 with its bit in the number, answer `foreign`.
pub(crate) fn filter(architecture: u32, leaves: &[(u32, Block)], foreign: Errno) -> Vec<BpfInstruction> {
    const X32_BIT: u32 = 0x4000_0000;
    let refuse = returns(Verdict::Errno(foreign));
    let mut program = vec![
        plain(LD_ABS, ARCHITECTURE_AT),
        BpfInstruction { code: JEQ, jt: 1, jf: 0, k: architecture },
        refuse,
        plain(LD_ABS, NUMBER_AT),
        BpfInstruction { code: JGE, jt: 0, jf: 1, k: X32_BIT },
        refuse,
    ];
    program.extend(tree(leaves, refuse));
    program
}

/// The code that finds the leaf for the number in the accumulator.
fn tree(leaves: &[(u32, Block)], refuse: BpfInstruction) -> Vec<BpfInstruction> {
    let (left, right) = leaves.split_at(leaves.len() / 2);
    let Some((first, block)) = right.first() else { return vec![refuse] };
    if left.is_empty() {
        return block_code(block);
    }
    let (lower, upper) = (tree(left, refuse), tree(right, refuse));
    // A test reaches 255 instructions, a jump all of them.
    let mut code = match (u8::try_from(lower.len()), u32::try_from(lower.len())) {
        (Ok(over), _) => vec![BpfInstruction { code: JGE, jt: over, jf: 0, k: *first }],
        (_, over) => {
            vec![BpfInstruction { code: JGE, jt: 0, jf: 1, k: *first }, plain(JMP, over.unwrap_or(u32::MAX))]
        }
    };
    code.extend(lower);
    code.extend(upper);
    code
}

fn block_code(block: &Block) -> Vec<BpfInstruction> {
    let mut code = Vec::new();
    for test in &block.tests {
        let mut steps: Vec<(Vec<BpfInstruction>, bool)> = Vec::new();
        for condition in &test.conditions {
            steps.push(match *condition {
                Condition::Masked { argument, mask, value, holds } => {
                    let mut loads = vec![plain(LD_ABS, ARGUMENTS_AT + 8 * u32::from(argument))];
                    if mask != u32::MAX {
                        loads.push(plain(AND, mask));
                    }
                    loads.push(plain(JEQ, value));
                    (loads, holds)
                }
                Condition::High { argument, value } => {
                    (vec![plain(LD_ABS, ARGUMENTS_AT + 8 * u32::from(argument) + 4), plain(JEQ, value)], true)
                }
                Condition::AnyBits { argument, bits } => {
                    (vec![plain(LD_ABS, ARGUMENTS_AT + 8 * u32::from(argument)), plain(JSET, bits)], true)
                }
            });
        }
        let total: usize = steps.iter().map(|(step, _)| step.len()).sum();
        let mut at = 0;
        for (mut step, holds) in steps {
            at += step.len();
            // To the instruction after this test's verdict.
            let away = u8::try_from(total - at + 1).unwrap_or(u8::MAX);
            if let Some(last) = step.last_mut() {
                if holds {
                    last.jf = away;
                } else {
                    last.jt = away;
                }
            }
            code.extend(step);
        }
        code.push(returns(test.verdict));
    }
    code.push(returns(block.otherwise));
    code
}
