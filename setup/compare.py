#!/usr/bin/env python3
"""Measure stepgrad's engine and the other local engines side by side, in one run on this machine.

    python3 setup/compare.py [--only NAME,...] [--rounds N]

Installs LocalStack 4.9.2 and ministack 1.5.33 (each in a virtual environment) and npm's aws-local-stepfunctions into
target/engines, and measures a loop of 5,000 steps of a Choice and a Pass (transitions per second) and a Map of 200
calls of an empty function, 40 at a time (calls per second), of the same definitions and inputs: setup/engines/*.json.
What cannot be installed or started is skipped by name. The figures are medians, after some rounds that warm up.

A call costs what stands behind it, so there are two columns of calls: a function inside the engine's own process
(stepgrad: a Rust closure; LocalStack: a stub in place of its Lambda client, as its own Lambda needs Docker; npm: its
override, a JavaScript function), which measures the engine alone, and a function in processes of its own (stepgrad: 8
processes of a Rust program on the real Lambda runtime, over the Runtime API; ministack: its own pool of Python
processes). Times are the servers' own (startDate to stopDate), or taken around the run inside the process; loading a
definition is in none of them.
"""

import argparse
import base64
import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
HERE = pathlib.Path(__file__).resolve().parent / "engines"
sys.path.insert(0, str(HERE))
import children  # noqa: E402
import servers  # noqa: E402

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
FOLDER = TARGET / "engines"
STEPS = 5_000
CALLS = 200
# Seconds: for a server to answer or a run to end, and to install or build.
LONGEST = 120
LONGEST_BUILD = 1_800
WARM_UP = 2
NPM = "aws-local-stepfunctions@3.0.0"
ROLE = "arn:aws:iam::000000000000:role/bench"
TRANSITIONS, INSIDE, OUTSIDE = "transitions/s", "calls/s inside", "calls/s outside"
COLUMNS = (TRANSITIONS, INSIDE, OUTSIDE)

LOOP = json.loads((HERE / "loop.json").read_text())
MAP = json.loads((HERE / "map.json").read_text())
LOOP_WORK = (LOOP, {"left": STEPS}, 2 * STEPS)
MAP_WORK = (MAP, {"items": list(range(CALLS))}, CALLS)


class Skipped(Exception):
    """This engine cannot be measured here."""


def say(message):
    print(f"compare: {message}", file=sys.stderr, flush=True)


def run(*command, timeout, **more):
    """What a command prints. It ends, with all that it started, by its end or by `timeout` seconds."""
    try:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **more,
        )
    except FileNotFoundError as error:
        raise Skipped(f"{error.filename} is not there") from error
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise Skipped(f"{command[0]} has not ended within {timeout} s") from error
    finally:
        children.end(process)
    if process.returncode:
        lines = (errors or output).strip().splitlines()
        raise Skipped(f"{command[0]} failed: " + (lines[-1] if lines else str(process.returncode)))
    return output


def installed(name, wanted, install):
    """The folder of an engine: made anew where it is of other versions, was moved or is not whole."""
    folder = FOLDER / name
    mark = json.dumps([str(folder), wanted])
    done = folder / "installed"
    if not done.is_file() or done.read_text() != mark:
        say(f"installing {name} into {folder} (some minutes at most)")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        install(folder)
        done.write_text(mark)
    return folder


def python(name):
    def install(folder):
        run(sys.executable, "-m", "venv", folder, timeout=LONGEST)
        pip = (folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*pip, *servers.SERVERS[name], timeout=LONGEST_BUILD)

    return installed(name, servers.SERVERS[name], install) / "bin/python"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def request(url, data, service, target=None, timeout=LONGEST):
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/%s/aws4_request, "
        "SignedHeaders=host, Signature=0" % service,
        "X-Amz-Date": "20200101T000000Z",
    }
    if target:
        headers["X-Amz-Target"] = f"AWSStepFunctions.{target}"
    call = urllib.request.Request(url, json.dumps(data).encode(), headers)
    with urllib.request.urlopen(call, timeout=timeout) as reply:
        return json.loads(reply.read() or b"{}")


@contextlib.contextmanager
def server(name, command, environment, port):
    """A server that answers on `port`. What it writes goes into a folder that is gone with it, but for its log."""
    log = FOLDER / f"{name}.log"
    url = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory(prefix="engine-", dir=FOLDER, ignore_cleanup_errors=True) as scratch:
        more = {key: value.replace("SCRATCH", scratch) for key, value in environment.items()}
        with open(log, "w") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                env={**os.environ, "TMPDIR": scratch, **more},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=scratch,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + LONGEST
            while True:
                try:
                    request(url, {}, "states", "ListStateMachines", timeout=10)
                    break
                except OSError as error:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise Skipped(f"does not start ({error}); see {log}") from error
                    time.sleep(0.3)
            yield url
        finally:
            children.end(process)


def executions(url, work, rounds):
    """Rates of a kind of work, from the server's own times."""
    definition, given, amount = work
    name = f"bench-{amount}"
    made = request(
        url, {"name": name, "definition": json.dumps(definition), "roleArn": ROLE}, "states", "CreateStateMachine"
    )
    rates = []
    for _ in range(WARM_UP + rounds):
        begun = time.monotonic()
        started = request(
            url,
            {"stateMachineArn": made["stateMachineArn"], "input": json.dumps(given)},
            "states",
            "StartExecution",
        )
        while True:
            seen = request(url, {"executionArn": started["executionArn"]}, "states", "DescribeExecution")
            if seen["status"] != "RUNNING":
                break
            if time.monotonic() - begun > LONGEST:
                raise Skipped(f"a run has not ended within {LONGEST} s")
            time.sleep(0.02)
        ours = time.monotonic() - begun
        if seen["status"] != "SUCCEEDED":
            raise Skipped(f"a run ends as {seen['status']}: {seen.get('error')} {seen.get('cause')}")
        seconds = seen["stopDate"] - seen["startDate"]
        # Coarse seconds of a server's clock: our own is better, though it has the requests in it.
        rates.append(amount / (seconds if seconds > 0.005 else ours))
    return rates[WARM_UP:]


def localstack(rounds):
    port = free_port()
    environment = {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "SERVICES": "stepfunctions,sts,iam",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "FILESYSTEM_ROOT": "SCRATCH/data",
    }
    command = [python("localstack"), HERE / "localstack_without_docker.py"]
    with server("localstack", command, environment, port) as url:
        return {TRANSITIONS: executions(url, LOOP_WORK, rounds), INSIDE: executions(url, MAP_WORK, rounds)}


def ministack(rounds):
    port = free_port()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("empty.py", "def handler(event, context):\n    return {}\n")
    function = {
        "FunctionName": "empty",
        "Runtime": "python3.12",
        "Role": ROLE,
        "Handler": "empty.handler",
        "Code": {"ZipFile": base64.b64encode(archive.getvalue()).decode()},
    }
    command = [python("ministack"), "-c", "from ministack.app import main; main()"]
    with server("ministack", command, {"GATEWAY_PORT": str(port)}, port) as url:
        request(url + "2015-03-31/functions", function, "lambda")
        return {TRANSITIONS: executions(url, LOOP_WORK, rounds), OUTSIDE: executions(url, MAP_WORK, rounds)}


def npm(rounds):
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise Skipped(f"{tool} is not there")
    install = ("npm", "install", "--no-audit", "--no-fund", "--no-update-notifier", NPM)
    folder = installed("npm", NPM, lambda folder: run(*install, cwd=folder, timeout=LONGEST_BUILD))
    rates = {}
    for kind, (definition, given, amount) in ((TRANSITIONS, LOOP_WORK), (INSIDE, MAP_WORK)):
        for name, value in (("definition", definition), ("input", given)):
            (folder / f"{name}.json").write_text(json.dumps(value))
        environment = {**os.environ, "NODE_PATH": str(folder / "node_modules")}
        amounts = (folder / "definition.json", folder / "input.json", WARM_UP + rounds)
        seconds = json.loads(run("node", HERE / "npm.js", *amounts, env=environment, timeout=LONGEST))
        rates[kind] = [amount / each for each in seconds[WARM_UP:]]
    return rates


def stepgrad(rounds):
    cargo = os.environ.get("CARGO", "cargo")
    say("building stepgrad's engine for release (some minutes the first time)")
    build = ("--locked", "-p", "stepgrad-engine")
    run(cargo, "build", "--release", *build, "--example", "empty", cwd=ROOT, timeout=LONGEST_BUILD)
    run(cargo, "bench", *build, "--bench", "calls", "--no-run", cwd=ROOT, timeout=LONGEST_BUILD)
    text = run(cargo, "bench", *build, "--bench", "calls", "--", rounds, cwd=ROOT, timeout=LONGEST)
    rates = {}
    for kind, start in (
        (TRANSITIONS, "loop of Choice and Pass"),
        (INSIDE, "Map of 200 calls, the function in this process"),
        (OUTSIDE, "Map of 200 calls, the function in 8 processes"),
    ):
        line = re.search(rf"^{start}\s+(\d+) \S+ \(median; (\d+) to (\d+)\)$", text, re.M)
        if line:
            # Its median, and the least and the most around it.
            rates[kind] = [float(rate) for rate in line.group(2, 1, 3)]
    if not rates:
        raise Skipped(f"the bench says nothing that is understood: {text!r}")
    return rates


ENGINES = {"stepgrad": stepgrad, "localstack": localstack, "ministack": ministack, "npm": npm}


def table(measured):
    print(f"\n{'engine':<12}" + "".join(f"{column:>34}" for column in COLUMNS))
    for name, rates in measured.items():
        cells = []
        for column in COLUMNS:
            these = rates.get(column)
            text = f"{statistics.median(these):,.0f} ({min(these):,.0f} to {max(these):,.0f})" if these else "-"
            cells.append(f"{text:>34}")
        print(f"{name:<12}" + "".join(cells))
    ours = measured.get("stepgrad", {})
    for column in COLUMNS:
        others = {
            name: statistics.median(rates[column])
            for name, rates in measured.items()
            if name != "stepgrad" and rates.get(column)
        }
        if others and ours.get(column):
            mine = statistics.median(ours[column])
            ratios = ", ".join(f"{mine / rate:.1f} x {name}" for name, rate in others.items())
            print(f"{column}: stepgrad makes {ratios}")
    print("inside: the function is in the engine's process; outside: it is in processes of its own (see --help)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(ENGINES), help="engines, with commas between")
    parser.add_argument("--rounds", type=int, default=7, help="runs that count, after two that warm up")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    for name in names:
        if name not in ENGINES:
            parser.error(f"{name} is not an engine: {', '.join(ENGINES)}")
    if arguments.rounds < 1:
        parser.error("--rounds: at least one")
    # So that `finally` ends the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    children.adopt()
    FOLDER.mkdir(parents=True, exist_ok=True)
    measured, skipped = {}, {}
    for name in names:
        say(f"measuring {name}")
        try:
            measured[name] = ENGINES[name](arguments.rounds)
        except (Skipped, OSError, KeyError, ValueError) as error:
            skipped[name] = error
            say(f"{name} skipped: {error}")
    table(measured)
    for name, error in skipped.items():
        print(f"{name}: skipped, {error}")
    return 0 if measured else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("compare: interrupted")
