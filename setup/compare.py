#!/usr/bin/env python3
"""Measure stepgrad's engine and the other local engines side by side, in one run on this machine.

    python3 setup/compare.py [--only NAME,...] [--rounds N]

Installs LocalStack 4.9.2 and ministack 1.5.33 (each in a virtual environment) and npm's aws-local-stepfunctions into
target/engines, and measures a loop of 5,000 steps of a Choice and a Pass (transitions per second) and a Map of 200
calls of an empty function, 40 at a time (calls per second). What cannot be installed or started is skipped by name.

The figures are the servers' own (startDate to stopDate), or taken around the run inside the process. The function is
in the same process for LocalStack and npm, which is in their favour; ministack runs a Python function of its own;
stepgrad is measured by its bench `calls`, in the same process and in eight processes of its own.
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
import time
import urllib.request
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
HERE = pathlib.Path(__file__).resolve().parent / "engines"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
FOLDER = TARGET / "engines"
STEPS = 5_000
CALLS = 200
LONGEST = 120
PYTHON = {
    "localstack": [
        "localstack-core[base-runtime,runtime]==4.9.2",
        "cbor2<5.8",
        "pyopenssl<25.2",
        "cryptography<46",
        "service-identity",
    ],
    "ministack": ["ministack==1.5.33"],
}
NPM = "aws-local-stepfunctions@3.0.0"
ROLE = "arn:aws:iam::000000000000:role/bench"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:empty"

LOOP = {
    "StartAt": "Again",
    "States": {
        "Again": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.left", "NumericGreaterThan": 0, "Next": "Count"}],
            "Default": "Done",
        },
        "Count": {
            "Type": "Pass",
            "Parameters": {"left.$": "States.MathAdd($.left, -1)"},
            "Next": "Again",
        },
        "Done": {"Type": "Succeed"},
    },
}
MAP = {
    "StartAt": "Each",
    "States": {
        "Each": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "MaxConcurrency": 40,
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "INLINE"},
                "StartAt": "Call",
                "States": {"Call": {"Type": "Task", "Resource": FUNCTION, "End": True}},
            },
            "End": True,
        }
    },
}
WORK = {
    "transitions": (LOOP, {"left": STEPS}, 2 * STEPS),
    "calls": (MAP, {"items": list(range(CALLS))}, CALLS),
}


class Skipped(Exception):
    """This engine cannot be measured here."""


def say(message):
    print(f"compare: {message}", file=sys.stderr, flush=True)


def run(*command, **more):
    try:
        return subprocess.run(
            [str(part) for part in command], check=True, capture_output=True, text=True, **more
        ).stdout
    except FileNotFoundError as error:
        raise Skipped(f"{error.filename} is not there") from error
    except subprocess.TimeoutExpired as error:
        raise Skipped(f"no end after {error.timeout} s") from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines()
        raise Skipped(lines[-1] if lines else str(error)) from error


def python(name):
    folder = FOLDER / name
    done = folder / "installed"
    if not done.exists():
        say(f"installing {name} into {folder}")
        if not folder.exists():
            run(sys.executable, "-m", "venv", folder)
        run(folder / "bin/pip", "install", "--quiet", *PYTHON[name], timeout=900)
        done.touch()
    return folder / "bin"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def request(url, data, service, target=None):
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/%s/aws4_request, "
        "SignedHeaders=host, Signature=0" % service,
        "X-Amz-Date": "20200101T000000Z",
    }
    if target:
        headers["X-Amz-Target"] = f"AWSStepFunctions.{target}"
    call = urllib.request.Request(url, json.dumps(data).encode(), headers)
    with urllib.request.urlopen(call, timeout=LONGEST) as reply:
        return json.loads(reply.read() or b"{}")


@contextlib.contextmanager
def server(command, environment, port):
    log = FOLDER / "server.log"
    with open(log, "w") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=FOLDER,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + LONGEST
            while True:
                try:
                    request(f"http://127.0.0.1:{port}/", {}, "states", "ListStateMachines")
                    break
                except OSError as error:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise Skipped(f"does not start ({error}); see {log}") from error
                    time.sleep(0.3)
            yield f"http://127.0.0.1:{port}/"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def executions(url, rounds):
    """Rates by kind of work, from the server's own times."""
    rates = {}
    for kind, (definition, given, amount) in WORK.items():
        made = request(
            url,
            {"name": f"bench-{kind}", "definition": json.dumps(definition), "roleArn": ROLE},
            "states",
            "CreateStateMachine",
        )
        rates[kind] = []
        # The first warms up.
        for round_number in range(rounds + 1):
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
                    raise Skipped(f"the {kind} do not end within {LONGEST} s")
                time.sleep(0.02)
            if seen["status"] != "SUCCEEDED":
                raise Skipped(f"the {kind} end as {seen['status']}: {seen.get('error')} {seen.get('cause')}")
            seconds = seen["stopDate"] - seen["startDate"]
            if seconds < 0.02:  # Whole or coarse seconds: our own clock is better.
                seconds = time.monotonic() - begun
            if round_number:
                rates[kind].append(amount / seconds)
    return rates


def localstack(rounds):
    port = free_port()
    environment = {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "SERVICES": "stepfunctions,sts,iam",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "FILESYSTEM_ROOT": str(FOLDER / "localstack-data"),
    }
    command = [python("localstack") / "python", HERE / "localstack_without_docker.py"]
    with server(command, environment, port) as url:
        return executions(url, rounds)


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
    with server([python("ministack") / "ministack"], {"GATEWAY_PORT": str(port)}, port) as url:
        request(url + "2015-03-31/functions", function, "lambda")
        return executions(url, rounds)


def npm(rounds):
    folder = FOLDER / "npm"
    if not (folder / "node_modules/aws-local-stepfunctions").exists():
        say(f"installing {NPM} into {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        run("npm", "install", "--no-audit", "--no-fund", NPM, cwd=folder, timeout=600)
    rates = {}
    for kind, (definition, given, amount) in WORK.items():
        for name, value in (("definition", definition), ("input", given)):
            (folder / f"{name}.json").write_text(json.dumps(value))
        environment = {**os.environ, "NODE_PATH": str(folder / "node_modules")}
        command = ("node", HERE / "npm.js", folder / "definition.json", folder / "input.json", rounds + 1)
        seconds = json.loads(run(*command, env=environment, timeout=LONGEST * (rounds + 1)))
        rates[kind] = [amount / each for each in seconds[1:]]
    return rates


def stepgrad(_):
    cargo = os.environ.get("CARGO", "cargo")
    run(cargo, "build", "--release", "-p", "stepgrad-engine", "--example", "empty", cwd=ROOT)
    text = run(cargo, "bench", "-p", "stepgrad-engine", "--bench", "calls", cwd=ROOT)
    lines = re.findall(r"^(.+?)\s+([\d.]+) (transitions|calls)/s", text, re.M)
    if not lines:
        raise Skipped(f"the bench says nothing that is understood: {text!r}")
    # Of the two kinds of calls, the one with processes of its own comes last.
    return {kind: [float(rate)] for _, rate, kind in lines} | {
        "in process": [float(rate) for what, rate, _ in lines if "in this process" in what]
    }


ENGINES = {"stepgrad": stepgrad, "localstack": localstack, "ministack": ministack, "npm": npm}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(ENGINES), help="engines, with commas between")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    measured = {}
    for name in arguments.only.split(","):
        if name not in ENGINES:
            parser.error(f"{name} is not an engine: {', '.join(ENGINES)}")
        if name != "stepgrad" and shutil.which("node") is None and name == "npm":
            say("npm skipped: node is not there")
            continue
        try:
            say(f"measuring {name}")
            measured[name] = ENGINES[name](arguments.rounds)
        except (Skipped, OSError, KeyError, ValueError) as error:
            say(f"{name} skipped: {error}")
    rows = {}
    for name, rates in measured.items():
        rows[name] = {kind: statistics.median(rates[kind]) for kind in WORK if rates.get(kind)}
        if rates.get("in process"):
            rows[name + ", function in process"] = {"calls": rates["in process"][0]}
    print(f"{'engine':<32} {'transitions/s':>14} {'calls/s':>10}   stepgrad is faster by")
    ours = rows.get("stepgrad", {})
    for name, row in rows.items():
        cells = [f"{row[kind]:.0f}" if kind in row else "-" for kind in WORK]
        ratios = ""
        if not name.startswith("stepgrad"):
            ratios = ", ".join(f"{ours[kind] / row[kind]:.1f} x {kind}" for kind in WORK if kind in row and kind in ours)
        print(f"{name:<32} {cells[0]:>14} {cells[1]:>10}   {ratios}")


if __name__ == "__main__":
    main()
