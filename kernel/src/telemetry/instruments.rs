//! What a kernel measures, by name: the instruments that a host's [`MetricSink`](cofferdam_bridge::metric::MetricSink) is told of.
//! `docs/telemetry.md` has the attributes of each.

use cofferdam_bridge::metric::Instrument;

/// Starts that came out, either way.
pub static STARTS: Instrument =
    Instrument::counter("cofferdam.execution.starts", "{start}", "Starts of programs that came out, either way.");

/// How long a start took.
pub static START_DURATION: Instrument = Instrument::seconds(
    "cofferdam.execution.start.duration",
    "From the first check of a program until it runs or is refused, waiting for its turn and for answers included.",
);

/// Runs under way.
pub static ACTIVE: Instrument =
    Instrument::up_down_counter("cofferdam.execution.active", "{execution}", "Runs whose end has not been told.");

/// How long a run lasted.
pub static DURATION: Instrument =
    Instrument::seconds("cofferdam.execution.duration", "From the start of a run to its end, by its plane's clock.");

/// Runs that a limit ended.
pub static LIMITS: Instrument =
    Instrument::counter("cofferdam.execution.limits", "{execution}", "Runs that a limit ended, by the limit.");

/// Decisions about accesses.
pub static DECISIONS: Instrument =
    Instrument::counter("cofferdam.decisions", "{decision}", "Decisions about accesses, by kind and verdict.");

/// Questions that wait for the host.
pub static PROMPTS_PENDING: Instrument = Instrument::up_down_counter(
    "cofferdam.prompt.pending",
    "{prompt}",
    "Questions to the host that wait for an answer.",
);

/// How long questions waited.
pub static PROMPT_DURATION: Instrument =
    Instrument::seconds("cofferdam.prompt.duration", "How long a question waited until it was settled.");

/// Runs that wait for their turn.
pub static QUEUE_LENGTH: Instrument =
    Instrument::up_down_counter("cofferdam.guard.queue.length", "{execution}", "Runs that wait for their turn.");

/// How long runs waited for their turn.
pub static QUEUE_DURATION: Instrument = Instrument::seconds(
    "cofferdam.guard.queue.duration",
    "How long a run waited for the guard; next to nothing where it was its turn at once.",
);

/// How long the audit log took.
pub static COMMIT_DURATION: Instrument = Instrument::seconds(
    "cofferdam.audit.commit.duration",
    "From handing the audit log that a run or an action starts until that is on disk.",
);

/// Waits of planes for readers.
pub static OUTPUT_WAITS: Instrument =
    Instrument::counter("cofferdam.output.waits", "{wait}", "Times that output found its reader's queue full.");

/// How long actions took.
pub static ACTION_DURATION: Instrument =
    Instrument::seconds("cofferdam.action.duration", "From the first check of an action to its end.");

/// All of them.
pub static ALL: [&Instrument; 13] = [
    &STARTS,
    &START_DURATION,
    &ACTIVE,
    &DURATION,
    &LIMITS,
    &DECISIONS,
    &PROMPTS_PENDING,
    &PROMPT_DURATION,
    &QUEUE_LENGTH,
    &QUEUE_DURATION,
    &COMMIT_DURATION,
    &OUTPUT_WAITS,
    &ACTION_DURATION,
];
