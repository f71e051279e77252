"""Drives `cofferdam run` at a terminal of its own. Usage: terminal.py BINARY CASE; exit code 0 when the case holds."""
import fcntl, os, pty, select, signal, struct, sys, termios, time

binary, case = sys.argv[1], sys.argv[2]
LIMIT = time.monotonic() + 30


def start(*program):
    """Starts a program on a fresh terminal; answers its process id and the terminal's master end."""
    pid, master = pty.fork()
    if pid == 0:
        os.environ["PS1"] = "$ "
        os.execvp(program[0], program)
    return pid, master


def until(master, wanted, seen=b""):
    """Reads until `wanted` has been seen."""
    while wanted not in seen:
        left = LIMIT - time.monotonic()
        if left <= 0 or not select.select([master], [], [], left)[0]:
            sys.exit(f"waited in vain for {wanted!r}; seen: {seen!r}")
        try:
            seen += os.read(master, 4096)
        except OSError:
            sys.exit(f"ended before {wanted!r}; seen: {seen!r}")
    return seen


def resize(master, rows, columns):
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def guest(script):
    return (binary, "run", "--", "sh", "-c", script)


if case == "interrupt":
    pid, master = start(*guest("trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 1; done"))
    until(master, b"ready")
    os.write(master, b"\x03")
    until(master, b"caught")
    sys.exit(0 if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7 else "the exit code is not the program's")
elif case == "resize":
    pid, master = start(*guest("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 1; done"))
    until(master, b"ready")
    resize(master, 33, 77)
    os.kill(pid, signal.SIGWINCH)
    until(master, b"33 77")
    os.waitpid(pid, 0)
elif case == "restored":
    pid, master = pty.fork()
    if pid == 0:
        before = termios.tcgetattr(0)
        os.spawnv(os.P_WAIT, binary, guest("exit 0"))
        print("same" if termios.tcgetattr(0) == before else "changed", flush=True)
        os._exit(0)
    until(master, b"same")
    os.waitpid(pid, 0)
elif case == "stop":
    pid, master = start("bash", "--norc", "-i")
    os.write(master, b"'%s' run -- sh -c 'echo rea''dy; read x; echo got $x'\n" % binary.encode())
    until(master, b"ready\r")
    os.write(master, b"\x1a")
    until(master, b"Stopped")
    os.write(master, b"fg\n")
    until(master, b"sh -c")
    os.write(master, b"word\n")
    until(master, b"got word")
    os.write(master, b"exit\n")
    os.waitpid(pid, 0)
else:
    sys.exit(f"no case {case}")
