//! A question about a name: whatever is read is answered with its own section, and what is not read is answered with a code or not at all.

#![no_main]

use cofferdam_plane_kit::network::name_message::{Outcome, Question};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Question::read(bytes) {
        Ok(question) => {
            assert!(question.name.len() <= 253 && question.name.bytes().all(|byte| byte.is_ascii_graphic()));
            let answer = question.answer(Outcome::NoSuchName, &[]);
            assert_eq!((answer[..2].to_vec(), answer[3] & 15), (bytes[..2].to_vec(), 3));
            let again = [&answer[..2], &[bytes[2]], &answer[3..]].concat();
            assert_eq!(Question::read(&again).map(|own| (own.name, own.kind)), Ok((question.name, question.kind)));
        }
        Err(answer) => assert!(answer.is_empty() || (answer.len() == 12 && answer[3] & 15 != 0)),
    }
});
