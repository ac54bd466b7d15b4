"""The host's client and the worker's process: descriptors, deadlines, whole process groups, and nothing leaked."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.errors import WorkerFailure
from exporter.protocol.client import Client, NotSupported, Ok, RemoteError, schema, violation
from exporter.protocol.process import WorkerProcess, describe_end, log_tail, start

FAKES = Path(__file__).parents[1] / "fakes"
PROLOGUE = """
import json, os, signal, sys, time
def read():
    line = b""
    while not line.endswith(b"\\n"):
        byte = os.read(3, 1)
        if not byte:
            sys.exit(0)
        line += byte
    return json.loads(line)
def send(record):
    os.write(4, json.dumps(record).encode() + b"\\n")
def ok(request, **value):
    send({"id": request["id"], "ok": value})
"""
RUN = {"handle": "h", "inputs": "i", "outputs": "o"}


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[[str], Client]]:
    """A function: body of a worker program -> a client talking to it. Every worker is killed at the end."""
    clients: list[Client] = []

    def make(body: str) -> Client:
        script = tmp_path / f"worker{len(clients)}.py"
        script.write_text(PROLOGUE + textwrap.dedent(body))
        clients.append(Client([sys.executable, "-I", "-S", str(script)], tmp_path / f"worker{len(clients)}.log"))
        return clients[-1]

    yield make
    for client in clients:
        client.kill()


def failure(client: Client, op: str = "run", timeout: float = 30, **fields: str) -> WorkerFailure:
    with pytest.raises(WorkerFailure) as caught:
        client.request(op, timeout, **(fields or RUN))
    return caught.value


def test_replies_become_one_of_three_types(worker: Callable[[str], Client]) -> None:
    client = worker("""
        ok(read(), elapsed_ns=5)
        send({"id": read()["id"], "unsupported": {"reason": "why"}})
        error = {"stage": "run", "code": "c", "message": "m", "trace": "t"}
        send({"id": read()["id"], "error": error})
        read()
    """)
    assert client.request("run", 30, **RUN) == Ok({"elapsed_ns": 5})
    assert client.request("run", 30, **RUN) == NotSupported("why")
    assert client.request("run", 30, **RUN) == RemoteError("run", "c", "m", "t")
    assert client.alive


def test_the_worker_has_its_five_descriptors_and_no_other(worker: Callable[[str], Client], tmp_path: Path) -> None:
    given = os.open(tmp_path, os.O_RDONLY)  # as make hands its children a jobserver
    os.set_inheritable(given, True)
    client = worker("""
        seen = {}
        for fd in os.listdir("/proc/self/fd"):
            try:
                seen[fd] = os.readlink(f"/proc/self/fd/{fd}")
            except OSError:
                pass  # the descriptor of the listing itself
        request = read()
        send({"id": request["id"], "unsupported": {"reason": json.dumps(seen)}})
        read()
    """)
    reply = client.request("run", 30, **RUN)
    os.close(given)
    assert isinstance(reply, NotSupported)
    seen = json.loads(reply.reason)
    assert sorted(seen) == ["0", "1", "2", "3", "4"]
    assert seen["0"] == "/dev/null"
    assert seen["1"] == seen["2"] == str(tmp_path / "worker0.log")
    assert seen["3"].startswith("pipe:")
    assert seen["4"].startswith("pipe:")
    assert seen["3"] != seen["4"]


def test_descriptors_three_and_four_are_right_when_the_host_already_uses_them(tmp_path: Path) -> None:
    """The pipes' own ends may be 3 and 4 in a host that closed its files; placing one must not overwrite the other."""
    program = tmp_path / "host.py"
    program.write_text(
        textwrap.dedent(f"""
        import os, sys
        from pathlib import Path
        from exporter.protocol.client import Client
        os.closerange(3, 20)
        client = Client([sys.executable, "-I", "-S", "-c", {PROLOGUE + "ok(read(), elapsed_ns=1)"!r}], Path("log"))
        print(client.request("run", 30, handle="h", inputs="i", outputs="o").value)
        client.kill()
    """)
    )
    done = subprocess.run([sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout == "{'elapsed_ns': 1}\n", done.stderr


def test_fifty_starts_leak_no_descriptor_and_no_child(tmp_path: Path) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    for i in range(50):
        client = Client(["true"], tmp_path / "log")
        (client.kill if i % 2 else client.close)()
        assert not client.alive
    for argv in (["/nonexistent/program"], [str(tmp_path / "garbage")]):
        (tmp_path / "garbage").write_bytes(b"\x00\x01 not a program")
        (tmp_path / "garbage").chmod(0o755)
        for _ in range(5):
            with pytest.raises(OSError, match=r"no program|garbage|format"):
                start(argv, tmp_path / "log")
    assert descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_request_longer_than_the_pipe_waits_no_longer_than_its_limit(worker: Callable[[str], Client]) -> None:
    client = worker("time.sleep(600)")
    began = time.monotonic()
    found = failure(client, timeout=0.5, **{**RUN, "inputs": "x" * 2**20})
    assert (found.stage, found.code) == ("timeout", "timeout")
    assert time.monotonic() - began < 30
    assert not client.alive


def test_a_request_longer_than_the_pipe_arrives_whole(worker: Callable[[str], Client]) -> None:
    client = worker(
        """
        request = json.loads(os.fdopen(3).readline())
        ok(request, elapsed_ns=len(request["inputs"]))
        """
    )
    assert client.request("run", 30, **{**RUN, "inputs": "x" * 2**20}) == Ok({"elapsed_ns": 2**20})


def test_a_timeout_kills_grandchildren_too(
    worker: Callable[[str], Client], tmp_path: Path, alive_in_group: Callable[[int], list[int]]
) -> None:
    client = worker("""
        if os.fork() == 0:
            os.close(3); os.close(4)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        print("both are here", flush=True)
        read()
        time.sleep(600)
    """)
    wait_for(lambda: "both" in client.tail())
    assert len(alive_in_group(client.pid)) == 2
    began = time.monotonic()
    found = failure(client, timeout=0.3)
    assert time.monotonic() - began < 20
    assert (found.stage, found.code) == ("timeout", "timeout")
    assert found.message == "no answer to 'run' within 0.3 s; the worker was killed"
    # nobody waits for a grandchild: the kernel ends it when its turn comes
    wait_for(lambda: alive_in_group(client.pid) == [])
    assert not client.alive


def test_a_worker_that_dribbles_bytes_cannot_move_its_deadline(worker: Callable[[str], Client]) -> None:
    client = worker("""
        read()
        while True:
            os.write(4, b" ")
            time.sleep(0.02)
    """)
    began = time.monotonic()
    assert failure(client, timeout=0.5).stage == "timeout"
    assert time.monotonic() - began < 20


def test_a_late_answer_is_never_taken_for_the_answer_to_a_later_request(worker: Callable[[str], Client]) -> None:
    client = worker("""
        request = read()
        time.sleep(0.6)
        ok(request, elapsed_ns=99)
        time.sleep(600)
    """)
    assert failure(client, timeout=0.2).stage == "timeout"
    time.sleep(0.6)
    again = failure(client)
    assert again.stage == "crash"
    assert again.code == "signal-SIGKILL"


def test_a_second_reply_that_comes_between_two_requests_is_a_protocol_failure(worker: Callable[[str], Client]) -> None:
    client = worker("""
        request = read()
        ok(request, elapsed_ns=1)
        time.sleep(0.05)
        ok(request, elapsed_ns=2)
        time.sleep(600)
    """)
    assert client.request("run", 30, **RUN) == Ok({"elapsed_ns": 1})
    assert select.select([client._process.replies], [], [], 30)[0]
    found = failure(client)
    assert found.stage == "protocol"
    assert found.message == "the worker sent a reply to request 1, expected 2"
    assert not client.alive


def test_a_record_without_an_end_is_not_waited_for(worker: Callable[[str], Client]) -> None:
    client = worker("""
        read()
        for _ in range(40):
            os.write(4, b"x" * 2**20)
        time.sleep(600)
    """)
    found = failure(client, timeout=5)
    assert found.stage == "protocol"
    assert "a record of more than" in found.message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"ok": {}}, "'elapsed_ns' is a required property"),
        ({"ok": {"elapsed_ns": 1, "passed": True}}, "passed"),
        ({"ok": {"elapsed_ns": 1}, "unsupported": {"reason": "why"}}, "against the schema"),
        ({}, "against the schema"),
    ],
)
def test_an_answer_against_the_schema_is_a_protocol_failure(
    worker: Callable[[str], Client], answer: dict[str, object], words: str
) -> None:
    client = worker(f"send({{'id': read()['id'], **{answer!r}}})\nread()\n")
    with pytest.raises(WorkerFailure) as caught:
        client.request("run", 30, **RUN)
    assert caught.value.stage == "protocol"
    assert words in caught.value.message
    assert not client.alive


def test_a_half_record_at_the_end_is_a_crash_and_not_an_answer(worker: Callable[[str], Client]) -> None:
    found = failure(worker("""
        request = read()
        os.write(4, json.dumps({"id": request["id"], "ok": {"elapsed_ns": 1}}).encode())
        os._exit(0)
    """))  # fmt: skip
    assert (found.stage, found.code) == ("crash", "exit-0")


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL", "SIGBUS"])
def test_death_by_signal_is_named(worker: Callable[[str], Client], name: str) -> None:
    found = failure(worker(f"read()\nos.kill(os.getpid(), signal.{name})\n"))
    assert (found.stage, found.code) == ("crash", f"signal-{name}")
    assert ("out of memory" in found.message) == (name == "SIGKILL")


def test_the_last_eight_kilobytes_of_the_log_are_kept(worker: Callable[[str], Client]) -> None:
    found = failure(worker("""
        read()
        sys.stderr.write("a" * 20000 + "the beginning of the end" + "b" * 8000)
        sys.stderr.flush()
        os._exit(1)
    """))  # fmt: skip
    assert len(found.tail) == 8192
    assert found.tail.startswith("a" * 100)
    assert found.tail.endswith("the beginning of the end" + "b" * 8000)


def test_the_tail_is_this_workers_own_and_not_its_predecessors(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("the worker before crashed like this\n")
    client = Client([sys.executable, "-I", "-S", "-c", "print('mine'); raise SystemExit(4)"], log)
    found = failure(client)
    assert found.code == "exit-4"
    assert found.tail == "mine\n"
    assert log.read_text().startswith("the worker before")


def test_log_tail_survives_bytes_that_are_not_text_and_a_log_that_is_gone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\xff\xfe" + b"x" * 3)
    assert log_tail(log) == "\ufffd\ufffdxxx"
    assert log_tail(log, size=2) == "xx"
    assert log_tail(log, begin=4) == "x"
    assert log_tail(tmp_path / "absent") == ""


def test_close_says_bye_and_reaps(worker: Callable[[str], Client], tmp_path: Path) -> None:
    client = worker("""
        request = read()
        (print(request["op"], flush=True), ok(request))
    """)
    client.close()
    assert not client.alive
    assert client.tail() == "bye\n"
    with pytest.raises(ProcessLookupError):
        os.kill(client.pid, 0)
    client.close()


def test_close_kills_a_worker_that_does_not_go(
    worker: Callable[[str], Client], alive_in_group: Callable[[int], list[int]]
) -> None:
    client = worker("time.sleep(600)")
    client.close(timeout=0.2)
    assert alive_in_group(client.pid) == []


def test_kill_from_another_thread_ends_a_waiting_request(worker: Callable[[str], Client]) -> None:
    """What an interrupt does: the main thread kills, the runtime's thread comes back at once."""
    client = worker("print('up', flush=True); read(); print('waiting', flush=True); time.sleep(600)")
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            client.request("run", 300, **RUN)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for(lambda: "waiting" in client.tail())
    client.kill()
    thread.join(20)
    assert not thread.is_alive()
    assert len(raised) == 1
    assert isinstance(raised[0], WorkerFailure)


def test_an_interrupt_kills_every_worker_and_leaves_no_files(
    tmp_path: Path, alive_in_group: Callable[[int], list[int]]
) -> None:
    program = tmp_path / "verify.py"
    program.write_text(
        textwrap.dedent(f"""
        import signal
        from pathlib import Path
        from exporter import api
        from exporter.parity.session import RunOptions
        from exporter.reference import load_module
        # a shell starts background jobs with SIGINT ignored, and Python keeps that
        signal.signal(signal.SIGINT, signal.default_int_handler)
        tiny = load_module(Path({str(FAKES / "tiny.py")!r}))
        tiny.write(Path("bundle"))
        api.verify("bundle", runtime=["fake-hang", "fake-late", "fake-correct"], run_options=RunOptions(timeout=500))
    """)
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "EXPORTER_PLUGINS": str(FAKES), "TMPDIR": str(scratch)}
    host = subprocess.Popen([sys.executable, str(program)], cwd=tmp_path, env=environment, stderr=subprocess.PIPE)

    def logs() -> dict[str, str]:
        return {path.stem: path.read_text() for path in scratch.glob("*/fake-*.log")}

    try:
        wait_for(lambda: "hanging" in logs().get("fake-hang", "") and "fake-late" in logs())
        wait_for(lambda: all(logs().values()))
        groups = {name: int(text.split()[1]) for name, text in logs().items()}
        assert len(alive_in_group(groups["fake-hang"])) == 2
        host.send_signal(signal.SIGINT)
        _, stderr = host.communicate(timeout=30)
    finally:
        host.kill()
    assert b"KeyboardInterrupt" in stderr
    wait_for(lambda: {name: alive for name, g in groups.items() if (alive := alive_in_group(g))} == {})
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "bundle" / "report.json").exists()


def test_a_request_against_the_schema_never_leaves_the_host(worker: Callable[[str], Client]) -> None:
    client = worker("read(); os._exit(9)")
    with pytest.raises(ValueError, match="'handle' is a required property"):
        client.request("run", 30)
    with pytest.raises(ValueError, match="op"):
        client.request("frobnicate", 30)
    assert client.alive


@pytest.mark.parametrize(
    ("definition", "record", "words"),
    [
        ("reply", {"id": 1, "ok": {}}, None),
        ("reply", {"id": 0, "ok": {}}, "minimum"),
        ("reply", {"id": 1}, "not valid"),
        ("reply", {"id": 1, "ok": {}, "note": 1}, "note"),
        ("reply", {"id": 1, "unsupported": {"reason": ""}}, "reason"),
        ("reply", {"id": 1, "error": {"stage": "compare", "code": "", "message": "", "trace": ""}}, "stage"),
        ("ok-hello", {"protocol": 2}, "protocol"),
        ("ok-run", {"elapsed_ns": -1}, "elapsed_ns"),
        ("ok-load", {"handle": "h", "inputs": [{"name": "x", "dtype": "f", "shape": [-1]}], "outputs": []}, "shape"),
        ("request", {"id": 1, "op": "load", "artifact": "a", "format": "f"}, "signature"),
    ],
)
def test_schema(definition: str, record: object, words: str | None) -> None:
    found = violation(definition, record)
    assert (found is None) if words is None else (words in str(found))


def test_every_op_has_an_answer_in_the_schema() -> None:
    definitions = schema()["$defs"]
    ops = definitions["request"]["properties"]["op"]["enum"]
    assert {f"ok-{op}" for op in ops} == {d for d in definitions if d.startswith("ok-")}


def test_describe_end() -> None:
    assert describe_end(None)[0] == "gone"
    assert describe_end(3 << 8)[0] == "exit-3"
    assert describe_end(signal.SIGSEGV)[0] == "signal-SIGSEGV"
    assert describe_end(40)[0] == "signal-40"  # a real-time signal has no name


def test_kill_is_safe_twice_and_on_a_child_that_is_gone(tmp_path: Path) -> None:
    process: WorkerProcess = start(["true"], tmp_path / "deep" / "log")
    assert process.wait(30) == 0
    process.kill()
    process.kill()
    assert (process.requests, process.replies) == (-1, -1)


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)
