//! Questions to a policy: each is answered, the same way each time, and never by an error that means allow.

use super::check::{Group, Suite, ensure};
use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::ids::{ExecutionId, VmId};
use cofferdam_bridge::permission::{
    CommandPermissionRequest, EnvironmentAccess, EnvironmentPermissionRequest, FilesystemAccess,
    FilesystemPermissionRequest, NetworkAccess, NetworkPermissionRequest, PermissionBridge, PermissionVerdict,
    Requester,
};

const GROUP: Group = Group::Permission;

pub(super) fn check<P: PermissionBridge>(suite: &mut Suite, policy: &P) {
    use FilesystemAccess as File;
    let call = CallContext::unbounded();
    let who = || Requester::new(VmId::new("conformance"), ExecutionId::new("run"));
    let told = |error: P::Error| super::stage::told(&error.into());
    let mut same = |name: String, ask: &dyn Fn() -> Result<PermissionVerdict, P::Error>| {
        suite.check(GROUP, name, "a question is answered, and the same way again", || {
            let (first, second) = (ask().map_err(told)?, ask().map_err(told)?);
            ensure!(first.verdict == second.verdict, "{:?}, then {:?}", first.verdict, second.verdict);
            let silent = first.reason.as_ref().is_some_and(|reason| reason.trim().is_empty());
            ensure!(!silent, "the reason is empty");
            Ok(())
        });
    };
    for (name, access) in [
        ("read", File::Read),
        ("write", File::Write),
        ("stat", File::Stat),
        ("read_dir", File::ReadDir),
        ("create_dir", File::CreateDir),
        ("remove", File::Remove),
        ("rename", File::Rename),
        ("symlink", File::Symlink),
        ("read_link", File::ReadLink),
        ("chmod", File::Chmod),
        ("truncate", File::Truncate),
    ] {
        same(format!("filesystem_{name}"), &|| {
            policy.check_filesystem_access(&call, FilesystemPermissionRequest::new(who(), access, "/some/file"))
        });
    }
    for (name, access) in [
        ("fetch", NetworkAccess::Fetch),
        ("http", NetworkAccess::Http),
        ("dns", NetworkAccess::Dns),
        ("listen", NetworkAccess::Listen),
    ] {
        same(format!("network_{name}"), &|| {
            let request = NetworkPermissionRequest::new(who(), access, "example.org", Some(443));
            policy.check_network_access(&call, request)
        });
    }
    same("command".to_owned(), &|| {
        policy.check_command_execution(&call, CommandPermissionRequest::new(who(), "/bin/sh", "/"))
    });
    for (name, access) in [("read", EnvironmentAccess::Read), ("write", EnvironmentAccess::Write)] {
        same(format!("environment_{name}"), &|| {
            policy.check_environment_access(&call, EnvironmentPermissionRequest::new(who(), access, "PATH"))
        });
    }
    refusals(suite, policy, who());
}

/// What cannot be meant is never allowed.
fn refusals<P: PermissionBridge>(suite: &mut Suite, policy: &P, who: Requester) {
    suite.check(GROUP, "reason", "a refusal has its reason", || {
        let request = FilesystemPermissionRequest::new(who.clone(), FilesystemAccess::Write, "/etc/shadow");
        match policy.check_filesystem_access(&CallContext::unbounded(), request) {
            Ok(verdict) if !verdict.is_allowed() => {
                ensure!(verdict.reason.is_some() || verdict.rule.is_some(), "it has neither reason nor rule");
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => {
                let error: BridgeError = error.into();
                ensure!(!error.message.trim().is_empty(), "the error is silent");
                Ok(())
            }
        }
    });
}
