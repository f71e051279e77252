//! Each plane that does wrong on purpose is caught by the group that is about its wrong.

use crate::mutant_plane::{Fault, Mutant, Plane};
use crate::planes::{host, linux};
use cofferdam_contract::conformance::{Group, Kit};

/// Fails unless each of `faults` in `plane` is found by `group`, where the plane without a fault passes.
fn assert_caught(plane: &(dyn Fn() -> Plane + Sync), group: Group, faults: &[Fault]) {
    let right = Kit::new("right").plane(plane()).only([group]).run();
    assert!(right.passed(), "{}", right.text());
    let caught = |fault: Fault| {
        let mutant = Mutant::around(plane(), fault);
        let report = Kit::new(format!("{fault:?}")).plane(mutant).only([group]).until_first_failure().run();
        report.failures().count() > 0
    };
    // Side by side, since a wrong that is an answer which never comes is found by waiting.
    let missed: Vec<_> = std::thread::scope(|scope| {
        let tried: Vec<_> = faults.iter().map(|fault| (fault, scope.spawn(|| caught(*fault)))).collect();
        tried.into_iter().filter_map(|(fault, tried)| (!tried.join().unwrap()).then_some(fault)).collect()
    });
    assert!(missed.is_empty(), "not caught by {}: {missed:?}", group.name());
}

#[test]
fn b7_there_are_forty_mutants_of_planes_alone() {
    assert!(Fault::ConnectsEverything as usize + 1 >= 40);
}

#[test]
fn b7_mutants_that_misdescribe_themselves_are_caught() {
    use Fault::*;
    let faults = [
        NamesItselfNothing,
        ShoutsItsName,
        HasNoVersion,
        SpeaksAnotherGeneration,
        ChangesItsDescriptor,
        ListsAFeatureTwice,
        ListsALimitTwice,
        ListsTiersBackwards,
        RunsNothing,
        ClaimsRulesWithoutATier,
    ];
    assert_caught(&host, Group::Descriptor, &faults);
}

#[test]
fn b7_mutants_that_promise_what_they_cannot_hold_are_caught() {
    use Fault::*;
    let faults = [
        AcceptsOverlays,
        AcceptsCallProfiles,
        AcceptsEveryTier,
        TellsNoShortfall,
        AnswersInTurns,
        MakesContextsForWhatItRefuses,
        ReportsAMechanismTwice,
    ];
    assert_caught(&host, Group::Preflight, &faults);
}

#[test]
fn b7_mutants_that_mix_tenants_up_are_caught() {
    use Fault::*;
    let faults = [
        KnowsEveryContext,
        SharesContexts,
        KeepsForgottenContexts,
        GivesOneContextId,
        ForgetsWithoutEnding,
        EndsOthersWhenForgetting,
    ];
    assert_caught(&host, Group::Contexts, &faults);
}

#[test]
fn b7_mutants_that_run_something_else_are_caught() {
    use Fault::*;
    let faults = [
        ExitsWithZero,
        CutsExitCodes,
        TellsSignalsAsExits,
        DropsTheLastArgument,
        SplitsArguments,
        TrimsVariables,
        LeaksAVariable,
        StartsInTheRoot,
        ReplacesPath,
        CallsEveryErrorIo,
        MeasuresNoTime,
        MiscountsBytes,
        ClaimsNoTier,
    ];
    assert_caught(&host, Group::Execution, &faults);
}

#[test]
fn b7_mutants_that_lose_or_mix_bytes_are_caught() {
    use Fault::*;
    let faults = [
        SwapsStreams,
        LosesTheLastOutput,
        EndsTwice,
        EndsBeforeItsOutput,
        SendsEmptyOutput,
        HoldsOutputBack,
        LosesWhatHasNoRoom,
        ReadsOutputAsText,
        GoesOnUnread,
        CutsInput,
        ReversesInput,
        RefusesToCloseTwice,
        WritesToTheDead,
        NeverClosesInput,
    ];
    assert_caught(&host, Group::Streams, &faults);
}

#[test]
fn b7_mutants_that_mistake_signals_are_caught() {
    use Fault::*;
    let faults = [KillsForEverySignal, IgnoresSignals, MixesSignalsUp, TellsKillAsSignal, ObjectsToTheDead];
    assert_caught(&host, Group::Signals, &faults);
}

#[test]
fn b7_mutants_that_hold_no_limits_are_caught() {
    use Fault::*;
    let faults = [IgnoresLimits, TellsAnotherLimit, TellsNoLimit, HandsOverPastTheLimit];
    assert_caught(&host, Group::Limits, &faults);
}

#[test]
fn b7_mutants_that_let_guests_out_are_caught() {
    use Fault::*;
    if linux().is_none() {
        return;
    }
    let faults = [ShowsTheHost, OpensTheHost, DropsDenials, DropsProtection, ConnectsEverything];
    assert_caught(&|| linux().unwrap(), Group::Isolation, &faults);
}
