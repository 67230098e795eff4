# SPDX-License-Identifier: MIT
"""Kernel configurations: fragments merged onto a base, and why a symbol did not get its value.

kconfiglib 14.1 evaluates; `_KernelKconfig` teaches it what the kernel's Kconfig language gained since:
a bare `modules` line (6.x), `transitional` (7.x) and `depends on A if B` (7.x).
"""

from __future__ import annotations

import difflib
import importlib
import io
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import kconfiglib

from harness.errors import HarnessError

_ASSIGNMENT = re.compile(r"^CONFIG_(\w+)=(.*)$")
_UNSET = re.compile(r"^# CONFIG_(\w+) is not set$")
_MAX_DEPTH = 4
"""How many "because" a reason may chain: deeper is no longer read by a person."""


class _KernelKconfig(kconfiglib.Kconfig):  # type: ignore[misc]
    """kconfiglib's parser with the kernel's newer statements.

    kconfiglib takes the build's variables from the process's environment. This one has its own: the matrix
    configures kernels in several threads, which start compilers meanwhile.
    """

    def __init__(self, tree: Path, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment, "srctree": str(tree)}
        super().__init__("Kconfig", warn=False)

    @property
    def srctree(self) -> str:
        """The kernel tree; kconfiglib sets it from the process's environment, which does not count here."""
        return self._environment["srctree"]

    @srctree.setter
    def srctree(self, value: str) -> None:
        pass

    def _fn_val(self, args: Sequence[str]) -> Any:
        name = args[0]
        if name == "shell" and len(args) == 2:
            return self._shell(args[1])
        if len(args) == 1 and name not in self.variables and name in self._environment:
            return self._environment[name]
        return super()._fn_val(args)

    def _shell(self, command: str) -> str:
        result = subprocess.run(
            ["sh", "-c", command], env=self._environment, capture_output=True, check=False
        )
        return " ".join(result.stdout.decode("utf-8", "replace").rstrip("\n").splitlines())

    def _open(self, filename: str, mode: str) -> TextIO:
        file: TextIO = super()._open(filename, mode)
        if mode != "r" or not Path(filename).name.startswith("Kconfig"):
            return file
        with file:
            # Line by line, so that line numbers in messages stay true.
            return io.StringIO("".join(_adapt_line(line) for line in file))

    def _expect_expr_and_eol(self) -> Any:
        expr = self._parse_expr(True)
        if self._check_token(kconfiglib._T_IF):
            condition = self._parse_expr(True)
            expr = self._make_or(expr, self._is_no(condition))
        if self._tokens[self._tokens_i] is not None:
            self._trailing_tokens_error()
        return expr

    def _is_no(self, expr: Any, negate: bool = False) -> Any:
        """`expr = n` (or `expr != n`) as an expression, as scripts/kconfig/expr.c distributes it."""
        if not isinstance(expr, tuple):
            return (kconfiglib.UNEQUAL if negate else kconfiglib.EQUAL, expr, self.n)
        operator = expr[0]
        if operator is kconfiglib.NOT:
            return self._is_no(expr[1], not negate)
        if operator in (kconfiglib.AND, kconfiglib.OR):
            other = kconfiglib.OR if operator is kconfiglib.AND else kconfiglib.AND
            result = (other, self._is_no(expr[1]), self._is_no(expr[2]))
            return (kconfiglib.NOT, result) if negate else result
        return expr if negate else (kconfiglib.NOT, expr)


def _adapt_line(line: str) -> str:
    word = line.strip()
    if word == "modules":
        return line.replace("modules", "option modules")
    if word == "transitional":
        return "\n"
    return line


@dataclass(frozen=True)
class Toolchain:
    """What Kconfig asks the compiler about: commands as in a kernel build's environment."""

    arch: str
    """The kernel's name of the architecture: arm64, arm, x86."""
    cross_compile: str = ""
    """Prefix of the tools, such as `aarch64-linux-gnu-`."""

    def environment(self) -> dict[str, str]:
        """The variables that the kernel's Kconfig files read."""
        tools_prefix = self.cross_compile
        tools = {"CC": "gcc", "LD": "ld", "NM": "nm", "OBJCOPY": "objcopy"}
        return {
            **{name: tools_prefix + tool for name, tool in tools.items()},
            "HOSTCC": "gcc", "HOSTCXX": "g++", "RUSTC": "rustc", "BINDGEN": "bindgen", "PAHOLE": "pahole",
            "ARCH": self.arch, "SRCARCH": self.arch, "KERNELVERSION": "", "CLANG_FLAGS": "", "LLVM": "",
            "CC_VERSION_TEXT": _first_line(tools_prefix + "gcc", "--version"), "RUSTC_VERSION_TEXT": "",
            "PAHOLE_VERSION": _pahole_version(),
        }  # fmt: skip


def _first_line(*command: str) -> str:
    """The first line a tool prints, empty where there is no such tool."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return result.stdout.partition("\n")[0]


def _pahole_version() -> str:
    """As scripts/pahole-version.sh prints it: v1.24 is 124."""
    match = re.match(r"v(\d+)\.(\d+)", _first_line("pahole", "--version"))
    return f"{match[1]}{match[2]:0>2}" if match else "0"


@dataclass(frozen=True)
class Unmet:
    """A requested symbol that has another value after merging."""

    name: str
    wanted: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f"CONFIG_{self.name}={self.wanted} wanted, is {self.value}: {self.reason}"


def read_fragment(path: Path) -> dict[str, str]:
    """The assignments of a fragment or a .config, in order; `# CONFIG_X is not set` reads as `n`.

    HarnessError: a line that is none of assignment, comment or empty (with its number).
    """
    values: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        if match := _ASSIGNMENT.match(text):
            values[match[1]] = match[2]
        elif match := _UNSET.match(text):
            values[match[1]] = "n"
        elif text and not text.startswith("#"):
            raise HarnessError(
                f"{path}:{number}: not a configuration line: {text}",
                hint="write CONFIG_NAME=value, # CONFIG_NAME is not set, or a comment",
            )
    return values


class Configuration:
    """The configuration of one kernel tree."""

    def __init__(self, tree: Path, toolchain: Toolchain) -> None:
        """Parses the tree's Kconfig files (about five seconds for a kernel).

        HarnessError: no Kconfig there, or a statement that is not understood.
        """
        if not (tree / "Kconfig").is_file():
            raise HarnessError(f"{tree} is not a kernel source tree: it has no Kconfig")
        self._arch = toolchain.arch
        self._requested: set[str] = set()
        variables = toolchain.environment()
        version = _kernel_version(tree)
        if version:
            variables["KERNELVERSION"] = version
        try:
            self._kconf = _KernelKconfig(tree, variables)
        except kconfiglib.KconfigError as error:
            raise HarnessError(f"cannot read the Kconfig files of {tree}: {error}") from error

    def load(self, base: Path | str) -> None:
        """Starts from a file, or from `allnoconfig`, `alldefconfig` or a defconfig's name."""
        if isinstance(base, Path):
            self._kconf.load_config(str(base))
        elif base == "allnoconfig":
            self._allnoconfig()
        elif base != "alldefconfig":
            path = Path(self._kconf.srctree) / "arch" / self._arch / "configs" / base
            if not path.is_file():
                raise HarnessError(f"no configuration {base!r}: {path} does not exist")
            self._kconf.load_config(str(path))

    def merge(self, fragments: Iterable[Path]) -> list[Unmet]:
        """Applies fragments, later ones winning; returns what did not get its value."""
        wanted: dict[str, str] = {}
        for path in fragments:
            values = read_fragment(path)
            wanted |= values
            self._requested |= values.keys()
            self._kconf.load_config(str(path), replace=False)
        return [unmet for name, value in wanted.items() if (unmet := self._check(name, value))]

    def write(self, path: Path) -> None:
        """Writes the .config."""
        self._kconf.write_config(str(path), save_old=False)

    def value(self, name: str) -> str:
        """The value of a symbol, `n` where the tree does not define it."""
        symbol = self._kconf.syms.get(name)
        return str(symbol.str_value) if symbol is not None and symbol.nodes else "n"

    def values(self) -> dict[str, str]:
        """Every symbol that is written to the .config."""
        symbols = self._kconf.unique_defined_syms
        return {symbol.name: symbol.str_value for symbol in symbols if symbol.config_string}

    def explain(self, name: str) -> str:
        """A symbol's value, prompt, definition and the reason for its value, as text."""
        symbol = self._kconf.syms.get(name)
        if symbol is None or not symbol.nodes:
            return f"CONFIG_{name} does not exist in this kernel{self._similar(name)}"
        lines = [f"CONFIG_{name}={symbol.str_value}"]
        for node in symbol.nodes:
            prompt = f"  {node.prompt[0]}" if node.prompt else "  (no prompt)"
            lines.append(f"{prompt}  [{node.filename}:{node.linenr}]")
        if symbol.direct_dep is not self._kconf.y:
            lines.append(f"  depends on {kconfiglib.expr_str(symbol.direct_dep)}")
        if symbol.str_value in ("n", "") and symbol.orig_type in (kconfiglib.BOOL, kconfiglib.TRISTATE):
            lines.append(f"  is n: {self._why_not(symbol, 2, 0)}")
        elif selectors := _active_selectors(symbol):
            lines.append(f"  selected by {', '.join(selectors)}")
        return "\n".join(lines)

    def menu(self) -> None:
        """Runs kconfiglib's menu on this configuration (needs a terminal)."""
        importlib.import_module("menuconfig").menuconfig(self._kconf)

    def _allnoconfig(self) -> None:
        for symbol in self._kconf.unique_defined_syms:
            if symbol.choice is None and symbol.orig_type in (kconfiglib.BOOL, kconfiglib.TRISTATE):
                symbol.set_value(2 if symbol.is_allnoconfig_y else 0)

    def _check(self, name: str, wanted: str) -> Unmet | None:
        symbol = self._kconf.syms.get(name)
        if symbol is None or not symbol.nodes:
            if wanted == "n":
                return None
            return Unmet(name, wanted, "n", f"this kernel has no such symbol{self._similar(name)}")
        value = str(symbol.str_value) or "n"
        if symbol.orig_type is kconfiglib.STRING:
            value = f'"{value}"'
        if value == wanted:
            return None
        return Unmet(name, wanted, value, self._why(symbol, wanted, value))

    def _why(self, symbol: Any, wanted: str, value: str) -> str:
        tristate = {"n": 0, "m": 1, "y": 2}
        if wanted not in tristate or value not in tristate:
            return _range_reason(symbol) or "the value is not accepted"
        if tristate[value] > tristate[wanted]:
            selectors = _active_selectors(symbol)
            if selectors:
                return f"selected by {', '.join(selectors)}"
            return "it has no prompt, its default applies" if not _has_prompt(symbol) else "its type is bool"
        return self._why_not(symbol, tristate[wanted], 0)

    def _why_not(self, symbol: Any, wanted: int, depth: int) -> str:
        """Why a bool or tristate symbol is below `wanted`."""
        if symbol.choice is not None and symbol.choice.selection not in (None, symbol):
            return f"the choice has CONFIG_{symbol.choice.selection.name} instead"
        if kconfiglib.expr_value(symbol.direct_dep) < wanted:
            text = kconfiglib.expr_str(symbol.direct_dep)
            culprits = list(dict.fromkeys(self._culprits(symbol.direct_dep, wanted, depth)))
            if culprits == [text]:
                return f"depends on {text}"
            return f"depends on {text}, and " + "; ".join(culprits)
        if not _has_prompt(symbol):
            selectors = _selectors(symbol)
            if not selectors:
                return "it has no prompt and nothing selects it: only its default sets it"
            shown = ", ".join(selectors[:5]) + (", …" if len(selectors) > 5 else "")
            return f"it has no prompt and is only selected: by {shown}, none of which is set"
        if symbol.visibility < wanted:
            conditions = [kconfiglib.expr_str(n.prompt[1]) for n in symbol.nodes if n.prompt]
            return f"its prompt is hidden unless {' or '.join(conditions)}"
        return "a fragment says so" if symbol.name in self._requested else "nothing asked for it"

    def _culprits(self, expr: Any, wanted: int, depth: int) -> Iterator[str]:
        """What in an expression keeps it below `wanted`."""
        if kconfiglib.expr_value(expr) >= wanted:
            return
        if isinstance(expr, tuple) and expr[0] is kconfiglib.AND:
            yield from self._culprits(expr[1], wanted, depth)
            yield from self._culprits(expr[2], wanted, depth)
        elif isinstance(expr, tuple) and expr[0] is kconfiglib.OR:
            both = [*self._culprits(expr[1], wanted, depth), *self._culprits(expr[2], wanted, depth)]
            yield "none of (" + " | ".join(dict.fromkeys(both)) + ")"
        elif isinstance(expr, tuple):
            yield f"{kconfiglib.expr_str(expr)} does not hold"
        else:
            yield self._symbol_reason(expr, wanted, depth)

    def _symbol_reason(self, symbol: Any, wanted: int, depth: int) -> str:
        if isinstance(symbol, kconfiglib.Choice):
            return f"the choice {symbol.name or ''} is not available"
        if symbol.is_constant or not symbol.nodes:
            return f"{symbol.name} does not exist in this kernel"
        text = f"{symbol.name} is {symbol.str_value or 'n'}"
        if depth >= _MAX_DEPTH:
            return text
        return f"{text} because {self._why_not(symbol, wanted, depth + 1)}"

    def _similar(self, name: str) -> str:
        names = [symbol.name for symbol in self._kconf.unique_defined_syms]
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.8)
        return f" (similar: {', '.join(near)})" if near else ""


def _selectors(symbol: Any, active: bool = False) -> list[str]:
    """The symbols with a `select` of this one; only those whose select is in force where `active`."""
    terms = kconfiglib.split_expr(symbol.rev_dep, kconfiglib.OR)
    wanted = [term for term in terms if not active or kconfiglib.expr_value(term)]
    # kconfiglib keeps a select as "selecting symbol && its conditions".
    heads = [kconfiglib.split_expr(term, kconfiglib.AND)[0] for term in wanted]
    return [head.name for head in heads if isinstance(head, kconfiglib.Symbol) and head.nodes]


def _active_selectors(symbol: Any) -> list[str]:
    return _selectors(symbol, active=True)


def _has_prompt(symbol: Any) -> bool:
    return any(node.prompt for node in symbol.nodes)


def _range_reason(symbol: Any) -> str | None:
    for low, high, condition in symbol.ranges:
        if kconfiglib.expr_value(condition):
            return f"its range is {low.str_value} to {high.str_value}"
    return None


def _kernel_version(tree: Path) -> str | None:
    """The version as the tree's Makefile states it."""
    makefile = tree / "Makefile"
    if not makefile.is_file():
        return None
    fields = dict(
        re.findall(
            r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *= *(\S*)$",
            makefile.read_text(errors="replace")[:2000],
            re.MULTILINE,
        )
    )
    if "VERSION" not in fields:
        return None
    return (
        f"{fields['VERSION']}.{fields.get('PATCHLEVEL', 0)}.{fields.get('SUBLEVEL', 0)}"
        f"{fields.get('EXTRAVERSION', '')}"
    )


def difference(left: Mapping[str, str], right: Mapping[str, str]) -> Sequence[tuple[str, str, str]]:
    """Symbols whose values differ: (name, left, right), `n` standing for absent."""
    names = sorted(left.keys() | right.keys())
    pairs = ((name, left.get(name, "n"), right.get(name, "n")) for name in names)
    return [(name, a, b) for name, a, b in pairs if a != b]
