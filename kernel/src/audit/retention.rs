//! Which segments are too old to be kept.

use cofferdam_bridge::audit::AuditSegment;

/// Segments that always stay: the one that is written to, and the one before.
const STAY: usize = 2;

/// The oldest segments that must go so that the others hold at most `most` bytes.
pub(super) fn going(segments: &[AuditSegment], most: u64) -> &[AuditSegment] {
    let mut total: u64 = segments.iter().map(|segment| segment.length).sum();
    let may_go = segments.get(..segments.len().saturating_sub(STAY)).unwrap_or_default();
    let going = may_go.iter().take_while(|segment| {
        let too_much = total > most;
        total = total.saturating_sub(segment.length);
        too_much
    });
    let count = going.count();
    may_go.get(..count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_two_stay() {
        let segments = [1, 11, 21, 31].map(|first| AuditSegment::new(first, 100));
        let firsts = |most| going(&segments, most).iter().map(|segment| segment.first).collect::<Vec<_>>();
        assert_eq!(firsts(400), [0u64; 0]);
        assert_eq!(firsts(399), [1]);
        assert_eq!(firsts(250), [1, 11]);
        assert_eq!(firsts(0), [1, 11]);
    }
}
