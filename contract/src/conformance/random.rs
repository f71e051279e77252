//! Random bytes.

use super::check::{Group, Suite, ensure};
use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::ids::VmId;
use cofferdam_bridge::random::{FillRandomBytesRequest, MOST_RANDOM_BYTES, RandomBridge};

const GROUP: Group = Group::Random;

pub(super) fn check<R: RandomBridge>(suite: &mut Suite, random: &R) {
    let fill = |length: u32| {
        let request = FillRandomBytesRequest::new(VmId::new("conformance"), length);
        random.fill_random_bytes(&CallContext::unbounded(), request).map_err(Into::into)
    };
    let told = |error: cofferdam_bridge::error::BridgeError| super::stage::told(&error);
    for length in [0, 1, 31, 32, 4096, MOST_RANDOM_BYTES] {
        suite.check(GROUP, format!("length_{length}"), "as many bytes come as were asked for", || {
            let bytes = fill(length).map_err(told)?;
            ensure!(bytes.len() == length as usize, "{} came", bytes.len());
            Ok(())
        });
    }
    suite.check(GROUP, "bounded", "more than the contract allows is refused", || match fill(MOST_RANDOM_BYTES + 1) {
        Err(error) if error.code == ErrorCode::RequestInvalid => Ok(()),
        Err(error) => Err(told(error)),
        Ok(bytes) => Err(format!("{} bytes came", bytes.len())),
    });
    suite.check(GROUP, "differs", "two answers are not the same", || {
        ensure!(fill(32).map_err(told)? != fill(32).map_err(told)?, "they are");
        Ok(())
    });
    suite.check(GROUP, "spread", "every byte comes up, none much more than others", || {
        let bytes = fill(MOST_RANDOM_BYTES).map_err(told)?;
        let mut counts = [0_u32; 256];
        bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        // 256 expected of each, with a deviation of 16: ten deviations on either side.
        let fair = counts.iter().all(|count| (96..=416).contains(count));
        ensure!(fair, "the rarest comes {:?} times, the commonest {:?}", counts.iter().min(), counts.iter().max());
        Ok(())
    });
}
