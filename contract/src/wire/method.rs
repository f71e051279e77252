//! The methods: one table, from which the reference page is made and by which both sides know what may be called.

/// Who sends a message, and whether it wants a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The kernel asks, the plane answers.
    Call,
    /// The kernel tells.
    FromKernel,
    /// The plane tells.
    FromPlane,
}

/// One method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// Who sends it.
    pub kind: Kind,
    /// Its parameters: a schema's name, or fields.
    pub params: &'static str,
    /// Its result.
    pub result: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

macro_rules! methods {
    ($($constant:ident, $name:literal, $kind:ident, $params:literal, $result:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $constant: &str = $name;)*

        /// Every method but the small operations, which have the names that `bridge-contract.json` gives them.
        pub const METHODS: &[Method] = &[$(Method {
            name: $name, kind: Kind::$kind, params: $params, result: $result, meaning: $meaning,
        }),*];
    };
}

methods! {
    HELLO, "session.hello", Call, "wire_hello", "wire_welcome", "The first request: versions, encodings, features, bounds.";
    PING, "session.ping", Call, "{}", "{}", "Is the plane there? Answered within ten seconds, whatever else it does.";
    CANCEL, "session.cancel", FromKernel, "{id: number}", "", "The answer to that call is not waited for any more. The call is still answered, once.";
    PREFLIGHT, "plane.preflight", Call, "{profile: execution_profile}", "preflight", "Can the profile be enforced here? Changes nothing.";
    CREATE_COMMAND_CONTEXT, "plane.create_command_context", Call, "create_command_context_request", "created_context", "Compiles a profile for native programs.";
    CREATE_JAVASCRIPT_CONTEXT, "plane.create_javascript_context", Call, "create_guest_context_request", "created_context", "Makes a JavaScript context. `module` is bytes.";
    CREATE_WASM_CONTEXT, "plane.create_wasm_context", Call, "create_guest_context_request", "created_context", "Makes a WebAssembly context. `module` is bytes.";
    START_EXECUTION, "plane.start_execution", Call, "{request: start_execution_request, credit: number}", "started_execution", "Starts something; `credit` is how many bytes of events it may send.";
    REHEARSE_EXECUTION, "plane.rehearse_execution", Call, "{request: start_execution_request}", "rehearsal", "What a start would come to; starts nothing.";
    WRITE_STDIN, "plane.write_stdin", Call, "{execution: execution_ref, bytes: bytes}", "null", "Writes to standard input, at most 65536 bytes; answered when they are taken. One at a time for each execution.";
    CLOSE_STDIN, "plane.close_stdin", Call, "{execution: execution_ref}", "null", "Closes standard input. Closing twice is no error.";
    KILL_EXECUTION, "plane.kill_execution", Call, "{execution: execution_ref, signal: execution_signal}", "null", "Sends a signal; `kill` ends everything in the execution. One that has ended is no error.";
    RESIZE_TERMINAL, "plane.resize_terminal", Call, "{execution: execution_ref, size: terminal_size}", "null", "Changes the size of the terminal.";
    REPLY_TO_GUEST, "plane.reply_to_guest", Call, "guest_reply", "null", "Answers a guest's call.";
    FORGET_VM, "plane.forget_vm", Call, "{vm_id: string}", "null", "Ends all of a VM's executions and frees everything it held.";
    CREDIT, "execution.credit", FromKernel, "{execution_id: string, bytes: number}", "", "So many more bytes of events may be sent. Of an execution that has ended it means nothing.";
    EVENT, "execution.event", FromPlane, "{execution_id: string, event: execution_event}", "", "An event; `bytes` of stdout and stderr are bytes, at most 65536. `exited` is the last.";
    FILE_CHANGED, "filesystem.changed", FromPlane, "{watch_id: number, path: string, change: string}", "", "What a watch saw, from planes that answer the group `filesystem`.";
    TIMER_FIRED, "clock.timer_fired", FromPlane, "{vm_id: string, timer_id: number}", "", "A timer's time has come, from planes that answer the group `clock`.";
}

/// Most bytes of standard input in one call, and of output in one event.
pub const MOST_CHUNK: usize = 64 * 1024;

/// The method of that name.
pub fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_method_has_the_name_of_a_small_operation() {
        let contract = cofferdam_bridge::contract::BridgeContract::embedded().unwrap();
        for group in &contract.groups {
            assert!(find(&group.operation).is_none(), "{}", group.operation);
        }
    }
}
