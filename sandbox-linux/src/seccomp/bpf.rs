//! Classic BPF for seccomp (seccomp(2), the kernel's networking/filter document): building blocks and a search tree.
//!
//! The number of the call is found by a balanced tree, so a verdict costs a dozen comparisons; for verdicts that look at no
//! argument the kernel keeps the answer in a bitmap (since Linux 5.11), so most calls cost nothing at all.

/// One instruction, laid out as `struct sock_filter`.
#[repr(C)]
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

/// An error number that fits a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) u16);

impl Errno {
    /// The number, as the C library has it.
    pub(crate) fn number(self) -> i32 {
        i32::from(self.0)
    }
}

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

/// A comparison of arguments (their low 32 bits, which is what the kernel uses of the ones compared here).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    conditions: Vec<Condition>,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// `argument & mask == value`, or its opposite.
    Masked { argument: u8, mask: u32, value: u32, holds: bool },
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

    /// Fails with `errno` when two arguments each have any of their bits.
    pub(crate) fn both_bits(one: u8, one_bits: u32, other: u8, other_bits: u32, errno: Errno) -> Self {
        let mut test = Self::any_bits(one, one_bits, errno);
        test.conditions.push(Condition::AnyBits { argument: other, bits: other_bits });
        test
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

impl Test {
    fn holds(&self, arguments: &[u64; 6]) -> bool {
        let low = |at: u8| arguments.get(usize::from(at)).map_or(0, |argument| (argument & 0xffff_ffff) as u32);
        self.conditions.iter().all(|condition| match *condition {
            Condition::Masked { argument, mask, value, holds } => (low(argument) & mask == value) == holds,
            Condition::AnyBits { argument, bits } => low(argument) & bits != 0,
        })
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

    /// The verdict on a call with `arguments`, as the compiled filter gives it: the lower halves count.
    pub(crate) fn verdict(&self, arguments: &[u64; 6]) -> Verdict {
        self.tests.iter().find(|test| test.holds(arguments)).map_or(self.otherwise, |test| test.verdict)
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
    tree(&mut program, leaves, refuse);
    program
}

/// Appends the code that finds the leaf for the number in the accumulator.
fn tree(program: &mut Vec<BpfInstruction>, leaves: &[(u32, Block)], refuse: BpfInstruction) {
    let (left, right) = leaves.split_at(leaves.len() / 2);
    let Some((first, block)) = right.first() else { return program.push(refuse) };
    if left.is_empty() {
        return program.extend(block_code(block));
    }
    program.push(BpfInstruction { code: JGE, jt: 0, jf: 1, k: *first });
    // A far jump, since a test reaches only 255 instructions; how far is known when the lower half is written.
    let jump = program.len();
    program.push(plain(JMP, 0));
    tree(program, left, refuse);
    let over = u32::try_from(program.len() - jump - 1).unwrap_or(u32::MAX);
    if let Some(instruction) = program.get_mut(jump) {
        instruction.k = over;
    }
    tree(program, right, refuse);
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
