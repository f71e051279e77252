//! What one operation leaves for a later one.

use crate::format::STREAM_COUNT;
use crate::plan_reader::{Memory, Text};
use crate::step::account::Account;
use crate::step::hold::Held;

/// Descriptors and facts gathered while the plan is executed. `-1`: none.
pub struct State {
    /// The standard streams, as they came with the plan.
    pub streams: [i32; STREAM_COUNT],
    /// The ruleset between its making and its enforcement.
    pub landlock: i32,
    /// The terminal's slave end.
    pub terminal: i32,
    /// Which plan is being executed, from 0.
    pub plan: u32,
    /// The guard's process number, where there is one.
    pub guard: isize,
    /// What is told of the run at its end.
    pub account: Account,
    /// Where the plan that is being executed lies.
    pub memory: Option<Memory>,
    /// The program's own filter, where it has one.
    pub program_filter: Option<ProgramFilter>,
    /// The program and the scripts that it runs, where they are held.
    pub held: Held,
}

/// A filter for the program alone.
#[derive(Clone, Copy)]
pub struct ProgramFilter {
    /// What the call that executes the program carries.
    pub secret: [u64; 2],
    /// The filter. It lies in the plan, which is never freed.
    pub instructions: Text,
}

impl State {
    pub fn new() -> Self {
        Self {
            streams: [-1; STREAM_COUNT],
            landlock: -1,
            terminal: -1,
            plan: 0,
            guard: -1,
            account: Account::new(),
            memory: None,
            program_filter: None,
            held: Held::none(),
        }
    }
}
