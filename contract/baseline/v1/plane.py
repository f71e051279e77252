#!/usr/bin/env python3
"""A plane of Cofferdam in one file, without isolation: it runs programs by `subprocess`.

Written from docs/wire-protocol.md alone. It speaks JSON on its standard input and output. What it cannot enforce it says in its
preflight, so that the kernel refuses a policy which needs more.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time

CHUNK = 65536
SIGNALS = {
    "terminate": signal.SIGTERM,
    "interrupt": signal.SIGINT,
    "hangup": signal.SIGHUP,
    "quit": signal.SIGQUIT,
    "user1": signal.SIGUSR1,
    "user2": signal.SIGUSR2,
    # A group without a parent in its session does not hear SIGTSTP.
    "stop": signal.SIGSTOP,
    "continue": signal.SIGCONT,
    "kill": signal.SIGKILL,
}
DESCRIPTOR = {
    "name": "python",
    "version": "1.0.0",
    "contract_generation": 1,
    "tiers": ["none"],
    "features": ["commands", "stdin", "signals"],
    "limits": ["wall", "stdout", "stderr"],
}
CATEGORIES = {
    "unknown_context": "protocol",
    "unknown_execution": "protocol",
    "program_not_found": "guest",
    "program_not_executable": "guest",
    "spawn_failed": "host",
    "path_invalid": "parsing_input",
    "request_invalid": "parsing_input",
    "io_failed": "host",
    "unsupported_operation": "unsupported",
    "unsupported_backend_feature": "unsupported",
    "denied_by_policy": "refused",
    "cancelled": "protocol",
}


class BridgeError(Exception):
    """An error of the bridge: a stable code and a sentence."""

    def __init__(self, code, message, **details):
        super().__init__(message)
        self.body = {
            "code": code,
            "category": CATEGORIES[code],
            "retryable": False,
            "message": message,
            "details": details,
        }


class Fault(Exception):
    """A breach of the wire protocol by the kernel."""

    def __init__(self, number, name, ends=False):
        super().__init__(name)
        self.number, self.name, self.ends = number, name, ends


class Wire:
    """Writes whole messages, one at a time."""

    def __init__(self, stream):
        self.stream = stream
        self.lock = threading.Lock()

    def send(self, message):
        line = json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode() + b"\n"
        with self.lock:
            self.stream.write(line)
            self.stream.flush()


class Execution:
    """One program, its output on the way out, and its end."""

    def __init__(self, plane, context, request, credit):
        self.plane, self.id, self.vm_id = plane, request["execution_id"], request["vm_id"]
        self.credit, self.room = credit, threading.Condition()
        self.limits = context["profile"]["limits"]
        self.sent = {"stdout": 0, "stderr": 0}
        self.cause = None
        self.begun = time.monotonic()
        streams = request["streams"]["separate"]
        pipe = lambda name: subprocess.PIPE if streams[name] in ("piped", "followed") else subprocess.DEVNULL
        environment = dict(request["environment"])
        environment.setdefault("PATH", os.defpath)
        program = find(request["program"], environment["PATH"], request["working_directory"])
        permit(program, context["profile"]["commands"])
        try:
            self.process = subprocess.Popen(
                [request["program"], *request["arguments"]],
                executable=program,
                env=environment,
                cwd=request["working_directory"],
                stdin=pipe("stdin"),
                stdout=pipe("stdout"),
                stderr=pipe("stderr"),
                start_new_session=True,
                bufsize=0,
            )
        except PermissionError as error:
            raise BridgeError("program_not_executable", f"`{program}` cannot be executed: {error.strerror}") from error
        except OSError as error:
            raise BridgeError("spawn_failed", f"`{program}` was not started: {error.strerror}") from error

    def follow(self):
        """Carries output until the program and everything in its session has ended, then tells the end."""
        limit = self.limits.get("wall_ms")
        timer = threading.Timer(limit / 1000, self.end, [{"cause": "timed_out", "limit_ms": limit}]) if limit else None
        if timer:
            timer.daemon = True
            timer.start()
        streams = [("stdout", self.process.stdout), ("stderr", self.process.stderr)]
        readers = [threading.Thread(target=self.carry, args=pair, daemon=True) for pair in streams if pair[1]]
        for reader in readers:
            reader.start()
        status = self.process.wait()
        self.sweep()
        for reader in readers:
            reader.join()
        if timer:
            timer.cancel()
        if self.process.stdin:
            try:
                self.process.stdin.close()
            except OSError:
                pass
        ended = {"cause": "exited", "code": status}
        if status < 0:
            ended = {"cause": "signalled", "signal": -status, "core_dumped": False}
        report = {
            "event": "exited",
            "cause": self.cause or ended,
            "usage": {
                "wall_us": int((time.monotonic() - self.begun) * 1_000_000),
                "stdout_bytes": self.sent["stdout"],
                "stderr_bytes": self.sent["stderr"],
            },
            "enforcement": enforcement(self.limits),
            "denials": [],
            "executable_later": [],
        }
        with self.plane.lock:
            self.plane.executions.pop(self.id, None)
        self.plane.event(self.id, report)

    def sweep(self):
        """Ends what is left of the program's session."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        for pid in session_of(self.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def end(self, cause):
        """Ends everything, for this reason unless there is one already."""
        if self.process.poll() is None:
            self.cause = self.cause or cause
            self.sweep()

    def carry(self, name, stream):
        """Sends one stream, as far as there is credit, up to its limit."""
        limit = self.limits.get(name + "_bytes")
        while True:
            with self.room:
                self.room.wait_for(lambda: self.credit > 0 or self.plane.over)
                most = min(CHUNK, self.credit)
            if self.plane.over:
                return
            data = os.read(stream.fileno(), most)
            if not data:
                return
            if limit is not None and self.sent[name] + len(data) > limit:
                observed = self.sent[name] + len(data)
                data = data[: limit - self.sent[name]]
                self.end({"cause": "limit", "limit": name, "value": limit, "observed": observed, "held_by": "plane"})
            if data:
                with self.room:
                    # The other stream may have spent some of it meanwhile.
                    self.room.wait_for(lambda: self.credit >= len(data) or self.plane.over)
                    self.credit -= len(data)
                self.sent[name] += len(data)
                self.plane.event(self.id, {"event": name, "bytes": base64.b64encode(data).decode()})
            if limit is not None and self.sent[name] >= limit and self.cause:
                return

    def grant(self, size):
        with self.room:
            self.credit += size
            self.room.notify_all()

    def write(self, data):
        stream = self.process.stdin
        if stream is None or stream.closed:
            raise BridgeError("io_failed", "the program's input is closed", kind="broken_pipe")
        try:
            while data:
                data = data[stream.write(data) :]
        except (BrokenPipeError, ValueError) as error:
            raise BridgeError("io_failed", "the program does not read any more", kind="broken_pipe") from error

    def close(self):
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()

    def signal(self, name):
        if name == "kill":
            self.end({"cause": "killed"})
        elif name in ("interrupt", "quit", "stop", "continue"):
            try:
                os.killpg(self.process.pid, SIGNALS[name])
            except ProcessLookupError:
                pass
        else:
            self.process.send_signal(SIGNALS[name])


def session_of(leader):
    """The processes of a session, from /proc: a guest may have left its group, and only by setsid(2) its session."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
                if int(fields[3]) == leader and fields[0] != "Z":
                    found.append(int(name))
            except (OSError, IndexError, ValueError):
                pass
    return found


def find(program, path, directory):
    """Where a program lies: by its path, or in one of the directories of PATH."""
    if not program or "\0" in program:
        raise BridgeError("path_invalid", "the program's name is empty or holds a NUL byte; name a program")
    if not os.path.isabs(directory):
        raise BridgeError("path_invalid", "the working directory is no absolute path; name it from the root")
    places = [os.path.join(directory, program)] if "/" in program else []
    if not places:
        places = [os.path.join(place, program) for place in path.split(":") if place.startswith("/")]
    for place in places:
        if os.path.exists(place):
            return os.path.realpath(place)
    raise BridgeError("program_not_found", f"there is no program `{program}`; name one that is there")


def permit(program, commands):
    """Holds the rules about programs: the longest prefix wins, at a tie deny does."""

    def longest(rules):
        prefixes = [rule["prefix"].rstrip("/") for rule in rules]
        lengths = [len(prefix) for prefix in prefixes if program == prefix or program.startswith(prefix + "/")]
        return max(lengths, default=-1)

    if longest(commands["allow"]) <= longest(commands["deny"]):
        denial = {"access": "command.execute", "subject": program}
        raise BridgeError("denied_by_policy", f"no rule allows `{program}` to be executed", denial=denial)


def enforcement(limits):
    held = [("wall_ms", "wall_limit")]
    mechanisms = [{"mechanism": name, "asked": True, "held": True, "by": "plane"} for key, name in held if limits.get(key)]
    mechanisms.append({"mechanism": "output_limit", "asked": True, "held": True, "by": "plane"})
    why = "a program that makes a session of its own leaves it; the kernel's keeper ends it with the plane"
    mechanisms.append({"mechanism": "containment", "asked": True, "held": False, "why_not": why})
    return {"tier": "none", "mechanisms": mechanisms}


def preflight(profile):
    """What this plane cannot do for a profile. What is not listed as blocking, it can live without."""
    shortfalls = []

    def block(message, fix):
        shortfalls.append({"message": message, "fix": fix, "blocking": True})

    if profile["isolation"]["require"] != "none":
        block("this plane isolates nothing, and the policy requires isolation", 'isolation.require = "none"')
    if profile["filesystem"]["changes"] != "direct":
        block("this plane does not keep changes apart", 'filesystem.changes = "direct"')
    if profile["commands"].get("calls", "usual") != "usual":
        block("this plane holds no profile of system calls", 'commands.calls = "usual"')
    if profile["filesystem"]["rules"]:
        shortfalls.append({"message": "file rules are not held: a program does what its user may", "blocking": False})
    if profile["network"]["mode"] != "inherit":
        message = "network rules are not held: a program reaches what the host reaches"
        shortfalls.append({"message": message, "blocking": False})
    for name in ("cpu_ms", "memory_bytes", "processes", "open_files", "disk_bytes"):
        if profile["limits"].get(name) is not None:
            shortfalls.append({"message": f"the limit {name} is not held by this plane", "blocking": False})
    return {"enforcement": enforcement(profile["limits"]), "shortfalls": shortfalls}


class Plane:
    """Answers the kernel."""

    def __init__(self, wire):
        self.wire, self.lock, self.over = wire, threading.Lock(), False
        self.contexts, self.executions = {}, {}
        self.made, self.last_id, self.greeted = 0, 0, False
        self.pending = set()

    def event(self, execution_id, event):
        self.wire.send({"method": "execution.event", "params": {"execution_id": execution_id, "event": event}})

    def find(self, params):
        with self.lock:
            found = self.executions.get(params["execution"]["execution_id"])
        return found if found and found.vm_id == params["execution"]["vm_id"] else None

    def running(self, params):
        found = self.find(params)
        if not found:
            raise BridgeError("unknown_execution", "no such execution; it was never started or has ended")
        return found

    def create(self, params):
        refused = [each for each in preflight(params["profile"])["shortfalls"] if each["blocking"]]
        if refused:
            raise BridgeError("unsupported_backend_feature", refused[0]["message"])
        with self.lock:
            self.made += 1
            self.contexts[f"python-{self.made}"] = params
            return {"context_id": f"python-{self.made}"}

    def start(self, params):
        request = params["request"]
        context = self.contexts.get(request["context_id"])
        if not context or context["vm_id"] != request["vm_id"]:
            raise BridgeError("unknown_context", "this VM has no such context; create it first")
        if "separate" not in request["streams"] or "inherit" in request["streams"]["separate"].values():
            raise BridgeError("unsupported_operation", "this plane gives no terminals and hands no streams through")
        execution = Execution(self, context, request, params["credit"])
        with self.lock:
            self.executions[execution.id] = execution
        threading.Thread(target=execution.follow, daemon=True).start()
        return {"process_id": execution.process.pid}

    def write(self, params):
        self.running(params).write(base64.b64decode(params["bytes"], validate=True))

    def close(self, params):
        found = self.find(params)
        if found:
            found.close()

    def kill(self, params):
        found = self.find(params)
        if params["signal"] not in SIGNALS:
            raise BridgeError("unsupported_operation", "this plane does not know that signal")
        if found:
            found.signal(params["signal"])

    def forget(self, params):
        with self.lock:
            self.contexts = {key: each for key, each in self.contexts.items() if each["vm_id"] != params["vm_id"]}
            mine = [each for each in self.executions.values() if each.vm_id == params["vm_id"]]
        for execution in mine:
            execution.end({"cause": "killed"})

    def unsupported(self, _):
        raise BridgeError("unsupported_operation", "this plane does not offer the operation")

    CALLS = {
        "plane.preflight": lambda self, params: preflight(params["profile"]),
        "plane.create_command_context": create,
        "plane.create_javascript_context": unsupported,
        "plane.create_wasm_context": unsupported,
        "plane.start_execution": start,
        "plane.rehearse_execution": unsupported,
        "plane.write_stdin": write,
        "plane.close_stdin": close,
        "plane.kill_execution": kill,
        "plane.resize_terminal": unsupported,
        "plane.reply_to_guest": unsupported,
        "plane.forget_vm": forget,
    }

    def answer(self, call, **outcome):
        """Answers a call, once."""
        with self.lock:
            if call not in self.pending:
                return
            self.pending.discard(call)
        self.wire.send({"id": call, **outcome})

    def work(self, call, method, params):
        try:
            self.answer(call, result=self.CALLS[method](self, params))
        except BridgeError as error:
            self.answer(call, error={"code": -32000, "message": error.body["message"], "data": error.body})
        except (KeyError, TypeError, ValueError, AttributeError):
            self.answer(call, error=fault(Fault(-32602, "invalid_params")))

    def request(self, call, method, params):
        if call <= self.last_id:
            raise Fault(-32005, "id_reused")
        self.last_id = call
        if not self.greeted:
            if method != "session.hello":
                raise Fault(-32002, "not_greeted")
            return self.greet(call, params)
        if method == "session.hello":
            raise Fault(-32003, "greeted_twice")
        if method == "session.ping":
            return self.wire.send({"id": call, "result": {}})
        if method not in self.CALLS:
            raise Fault(-32601, "unknown_method")
        with self.lock:
            if len(self.pending) >= 64:
                raise Fault(-32006, "too_many_pending")
            self.pending.add(call)
        # What waits for the guest gets a thread; the rest is done at once, in order.
        if method in ("plane.write_stdin", "plane.start_execution"):
            threading.Thread(target=self.work, args=(call, method, params), daemon=True).start()
        else:
            self.work(call, method, params)

    def greet(self, call, params):
        try:
            fits = 1 in params["protocol_versions"] and "json" in params["encodings"]
            fits = fits and params["contract_generation"] == 1
        except (KeyError, TypeError) as error:
            raise Fault(-32602, "invalid_params") from error
        if not fits:
            raise Fault(-32004, "no_common_version")
        self.greeted = True
        self.wire.send({"id": call, "result": {"protocol_version": 1, "encoding": "json", "descriptor": DESCRIPTOR}})

    def told(self, method, params):
        if not self.greeted:
            raise Fault(-32002, "not_greeted")
        if method == "execution.credit":
            with self.lock:
                found = self.executions.get(params.get("execution_id"))
            if found:
                found.grant(params["bytes"])
        elif method == "session.cancel":
            cancelled = BridgeError("cancelled", "the caller does not wait for this any more").body
            self.answer(params.get("id"), error={"code": -32000, "message": "cancelled", "data": cancelled})

    def take(self, line):
        message, call = parse(line), None
        try:
            if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
                raise Fault(-32600, "invalid_message")
            if "method" not in message:
                both = {"result", "error"} & message.keys()
                raise Fault(-32007, "unexpected_reply", ends=True) if both else Fault(-32600, "invalid_message")
            method, params = message["method"], message.get("params") or {}
            if not isinstance(method, str) or "result" in message or "error" in message:
                raise Fault(-32600, "invalid_message")
            if not isinstance(params, dict):
                raise Fault(-32602, "invalid_params")
            if "id" not in message:
                return self.told(method, params)
            call = message["id"]
            if type(call) is not int or not 0 < call < 2**53:
                call = None
                raise Fault(-32600, "invalid_message")
            return self.request(call, method, params)
        except Fault as error:
            self.wire.send({"id": call, "error": fault(error)})
            if error.ends:
                raise

    def end(self):
        self.over = True
        for execution in list(self.executions.values()):
            execution.sweep()


def fault(error):
    return {"code": error.number, "message": f"a breach of the protocol: {error.name}", "data": {"fault": error.name}}


def parse(line):
    """One frame as strictly as the protocol wants it."""

    def once(pairs):
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise Fault(-32700, "duplicate_key")
        return dict(pairs)

    def no_number(_):
        raise Fault(-32700, "malformed")

    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Fault(-32700, "invalid_utf8") from error
    depth = deepest = 0
    inside = escaped = False
    for letter in text:
        if inside:
            inside, escaped = escaped or letter != '"', letter == "\\" and not escaped
        elif letter == '"':
            inside = True
        elif letter in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "]}":
            depth -= 1
    if deepest >= 32:
        raise Fault(-32700, "too_deep")
    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        raise Fault(-32700, "malformed") from error


def main():
    source, most = sys.stdin.buffer, 4 << 20
    plane = Plane(Wire(sys.stdout.buffer))
    try:
        while True:
            line = source.readline(most + 2)
            if not line:
                return
            if not line.endswith(b"\n"):
                if len(line) > most:
                    plane.wire.send({"id": None, "error": fault(Fault(-32001, "frame_too_large"))})
                return
            try:
                plane.take(line[:-1])
            except Fault as error:
                if error.ends:
                    return
                plane.wire.send({"id": None, "error": fault(error)})
    except (BrokenPipeError, ConnectionResetError):
        pass
    finally:
        plane.end()
        os._exit(0)


if __name__ == "__main__":
    main()
