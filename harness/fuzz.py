# SPDX-License-Identifier: MIT
"""The engine of the virtual co-processor under libFuzzer, with address and undefined-behaviour sanitizers."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from dataclasses import dataclass
from pathlib import Path

from harness import commands, hostdeps, paths, progress
from harness.errors import HarnessError
from harness.paths import REPO

ENGINE = REPO / "qemu" / "engine"
TARGET = ENGINE / "fuzz" / "fuzz_mosi.c"
# One input a line, base64: small, and a change shows what was added.
CORPUS = ENGINE / "fuzz" / "corpus.txt"
HEADER = (
    "# SPDX-License-Identifier: GPL-2.0-or-later\n"
    "# Inputs of fuzz_mosi.c, minimised: ./inv fuzz --minimise writes them\n"
)
INPUT_MAX = 1500
FLAGS = (
    "-std=c11",
    "-O1",
    "-g1",
    "-fsanitize=fuzzer,address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
)


@dataclass(frozen=True)
class Outcome:
    """What a run has found."""

    runs: int
    seconds: float
    edges: int
    """Covered places of the program."""
    inputs: int
    """In the corpus at the end."""
    findings: tuple[Path, ...]
    """Inputs that made it fail."""


def read_corpus(text: str) -> list[bytes]:
    """The inputs of a corpus file."""
    return [base64.b64decode(line) for line in text.splitlines() if line and not line.startswith("#")]


def write_corpus(inputs: list[bytes]) -> str:
    """The file for these inputs; the order does not depend on how they were found."""
    lines = sorted({base64.b64encode(one).decode() for one in inputs}, key=lambda line: (len(line), line))
    return HEADER + "".join(f"{line}\n" for line in lines)


def unpack(directory: Path) -> None:
    """The kept inputs as files, named by their content as libFuzzer does."""
    directory.mkdir(parents=True, exist_ok=True)
    for one in read_corpus(CORPUS.read_text(encoding="ascii")):
        (directory / hashlib.sha1(one, usedforsecurity=False).hexdigest()).write_bytes(one)


def build(directory: Path) -> Path:
    """Compile the target; takes half a minute."""
    hostdeps.require("fuzz")
    program = directory / "fuzz-mosi"
    sources = [TARGET, *sorted(ENGINE.glob("*.c"))]
    with progress.step("compile the fuzz target"):
        commands.run(
            ["clang", *FLAGS, f"-I{ENGINE}", "-o", program, *sources],
            log="fuzz-build",
            what="compiling the fuzz target",
        )
    return program


def run(minutes: float, *, minimise: bool = False) -> Outcome:
    """Fuzz for so long, starting from the kept inputs; with `minimise` keep the smallest set afterwards.

    HarnessError names the inputs that made it fail and how to run one of them again.
    """
    if not 0 < minutes <= 24 * 60:
        raise HarnessError(
            f"{minutes:g} minutes is no time to fuzz", hint="0.1 to 1440, for example --minutes 10"
        )
    directory = paths.run_dir() / "fuzz"
    corpus, findings = directory / "corpus", directory / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    unpack(corpus)
    program = build(directory)
    started = time.monotonic()
    with progress.step(f"fuzz for {minutes:g} minutes") as step:

        def on_line(line: str) -> None:
            if match := re.match(r"#(\d+)\s.*?cov: (\d+).*?corp: (\d+)", line):
                step.update(detail=f"{match[1]} runs, {match[2]} edges, {match[3]} inputs")

        done = commands.run(
            [
                program,
                f"-max_total_time={round(minutes * 60)}",
                f"-max_len={INPUT_MAX}",
                "-len_control=20",
                "-timeout=20",
                "-rss_limit_mb=1024",
                "-print_final_stats=1",
                f"-artifact_prefix={findings}/",
                corpus,
            ],
            log="fuzz",
            on_line=on_line,
            check=False,
        )
    outcome = parse(done.output, time.monotonic() - started, tuple(sorted(findings.iterdir())))
    if outcome.findings or done.status:
        first = outcome.findings[0] if outcome.findings else "INPUT"
        raise HarnessError(
            f"the fuzz target failed; inputs that show it are in {findings}",
            hint=f"run it again: {program} {first}",
            log=commands.log_path("fuzz"),
        )
    if minimise:
        keep(program, corpus, directory / "minimal")
    return outcome


def parse(output: str, seconds: float, findings: tuple[Path, ...]) -> Outcome:
    """What libFuzzer's last lines say."""

    def last(pattern: str) -> int:
        found = re.findall(pattern, output)
        return int(found[-1]) if found else 0

    return Outcome(
        last(r"stat::number_of_executed_units:\s*(\d+)"),
        seconds,
        last(r"cov: (\d+)"),
        last(r"corp: (\d+)"),
        findings,
    )


def keep(program: Path, corpus: Path, minimal: Path) -> None:
    """Write the smallest set of inputs that reaches as much as all of them into the repository."""
    minimal.mkdir(exist_ok=True)
    with progress.step("minimise the corpus"):
        # One input for every place of the program, not for how often it was reached: small enough to keep.
        merge: list[str | Path] = [
            program,
            "-merge=1",
            "-use_counters=0",
            f"-max_len={INPUT_MAX}",
            minimal,
            corpus,
        ]
        commands.run(merge, log="fuzz-merge")
    CORPUS.write_text(write_corpus([path.read_bytes() for path in minimal.iterdir()]), encoding="ascii")


def report(minutes: float, minimise: bool) -> None:
    """What `./inv fuzz` prints."""
    outcome = run(minutes, minimise=minimise)
    print(
        f"{outcome.runs} runs in {outcome.seconds:.0f} s, {outcome.edges} edges, {outcome.inputs} inputs: "
        "no finding"
    )
