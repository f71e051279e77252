//! Runs a filter as the kernel does (the kernel's networking/filter document), for the supervisor: what a filter says to a call that it
//! would not have been asked about. Only the instructions that filters here consist of are known; whatever else is met refuses.

/// What a filter says to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The kernel does it.
    Allow,
    /// It fails with this error number.
    Errno(i32),
    /// The supervisor is asked.
    Broker,
}

/// The most instructions of a filter, `BPF_MAXINSNS`.
const LONGEST: usize = 4096;

const LD_ABS: u16 = 0x20;
const AND: u16 = 0x54;
const JMP: u16 = 0x05;
const RET: u16 = 0x06;
const JEQ: u16 = 0x15;
const JGE: u16 = 0x35;
const JSET: u16 = 0x45;

const ALLOW: u32 = 0x7fff_0000;
const USER_NOTIF: u32 = 0x7fc0_0000;
const ERRNO: u32 = 0x0005_0000;

/// The verdict of `filter` on a call.
pub(super) fn verdict(filter: &[u8], architecture: u32, number: i64, arguments: &[u64; 6]) -> Verdict {
    // The kernel's number of a call is an int.
    let number = u32::try_from(number & 0xffff_ffff).unwrap_or(u32::MAX);
    match run(filter, architecture, number, arguments) {
        Some(ALLOW) => Verdict::Allow,
        Some(USER_NOTIF) => Verdict::Broker,
        Some(other) if other & 0xffff_0000 == ERRNO => Verdict::Errno(i32::from((other & 0xffff) as u16)),
        _ => Verdict::Errno(libc::EPERM),
    }
}

fn run(filter: &[u8], architecture: u32, number: u32, arguments: &[u64; 6]) -> Option<u32> {
    let (mut at, mut accumulator) = (0_usize, 0_u32);
    for _ in 0..LONGEST {
        let (code, jt, jf, k) = instruction(filter, at)?;
        at += 1;
        let held = match code {
            LD_ABS => {
                accumulator = load(k, architecture, number, arguments)?;
                continue;
            }
            AND => {
                accumulator &= k;
                continue;
            }
            JMP => {
                at = at.checked_add(usize::try_from(k).ok()?)?;
                continue;
            }
            RET => return Some(k),
            JEQ => accumulator == k,
            JGE => accumulator >= k,
            JSET => accumulator & k != 0,
            _ => return None,
        };
        at += usize::from(if held { jt } else { jf });
    }
    None
}

/// The `struct sock_filter` of that place: code, the two jumps, and the operand.
fn instruction(filter: &[u8], at: usize) -> Option<(u16, u8, u8, u32)> {
    let bytes: [u8; 8] = filter.get(at.checked_mul(8)?..)?.get(..8)?.try_into().ok()?;
    let [code, code_high, jt, jf, k0, k1, k2, k3] = bytes;
    Some((u16::from_le_bytes([code, code_high]), jt, jf, u32::from_le_bytes([k0, k1, k2, k3])))
}

/// A word of `struct seccomp_data`: number, architecture, the address of the call, which no filter here looks at, and arguments.
fn load(at: u32, architecture: u32, number: u32, arguments: &[u64; 6]) -> Option<u32> {
    match at {
        0 => Some(number),
        4 => Some(architecture),
        16..64 if at.is_multiple_of(4) => {
            let argument = arguments.get(usize::try_from((at - 16) / 8).ok()?)?;
            let half = if at.is_multiple_of(8) { *argument } else { *argument >> 32 };
            u32::try_from(half & 0xffff_ffff).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_filter_of_ours_refuses() {
        let endless = [0x05, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        let unknown = [0x07, 0, 0, 0, 0, 0, 0, 0];
        let kills = [0x06, 0, 0, 0, 0, 0, 0, 0x80];
        for filter in [&[][..], &endless, &unknown, &kills, &kills[..7]] {
            assert_eq!(verdict(filter, 0, 0, &[0; 6]), Verdict::Errno(libc::EPERM), "{filter:?}");
        }
    }
}
