# SPDX-License-Identifier: MIT
"""The driver's sources without compat.h: what that file means on one kernel, written out in the sources.

compat.h makes older kernels look like the newest one. For a kernel tree it is evaluated for that tree's
version: what then stays of it has to be includes and macros, and these are put in place of their names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from harness.errors import HarnessError

COMPAT = "compat.h"
# What only old kernels need of it.
REPLACEMENTS = "compat.c"
_OURS = "ESP_"
_INCLUDE = re.compile(r'\s*#\s*include\s+"compat\.h"\s*')
# What an identifier in the sources may be inside of, and is then none.
_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|\b[A-Za-z_]\w*', re.DOTALL)
_WIDTH, _TAB = 80, 8


@dataclass(frozen=True)
class Macro:
    """A macro that stands for something of the newest kernel."""

    parameters: tuple[str, ...] | None
    """None for one that takes no parentheses."""
    body: str


@dataclass(frozen=True)
class Meaning:
    """What compat.h comes to on one kernel."""

    includes: tuple[str, ...]
    """Those that depend on the kernel, such as `<linux/unaligned.h>`."""
    macros: Mapping[str, Macro]


def resolve(sources: Mapping[str, str], version: tuple[int, int]) -> dict[str, str]:
    """The sources, by file name, as a kernel of this version takes them: without compat.h and its names.

    HarnessError: compat.h holds something that cannot be written out, with its line.
    """
    if COMPAT not in sources:
        return dict(sources)
    meaning = evaluate(sources[COMPAT], version, _switches(sources))
    return {
        name: _rewrite(text, meaning) for name, text in sources.items() if name not in (COMPAT, REPLACEMENTS)
    }


def _switches(sources: Mapping[str, str]) -> set[str]:
    """The names that sources define right before they include compat.h, to have another part of it."""
    found: set[str] = set()
    for text in sources.values():
        lines = text.splitlines()
        for number, line in enumerate(lines):
            if _INCLUDE.fullmatch(line):
                found |= {match[1] for match in _defines_above(lines, number)}
    return found


def _defines_above(lines: list[str], number: int) -> Iterator[re.Match[str]]:
    while number and (match := re.fullmatch(r"#define (\w+)", lines[number - 1])):
        yield match
        number -= 1


# compat.h.


def evaluate(text: str, version: tuple[int, int], switches: set[str]) -> Meaning:
    """What compat.h comes to. `switches` are names that a source defines before it includes the file."""
    includes: list[str] = []
    macros: dict[str, Macro] = {}
    defined = set(switches)
    # For every open #if: is it taken now, was any of its branches taken.
    stack: list[tuple[bool, bool]] = []
    for number, line in _logical_lines(text):
        match = re.fullmatch(r"\s*#\s*(\w+)\s*(.*?)\s*", line, re.DOTALL)
        word, rest = (match[1], match[2]) if match else ("", line.strip())

        def wrong(message: str, at: int = number) -> HarnessError:
            return HarnessError(
                f"{COMPAT}:{at}: {message}",
                hint="for the newest kernel only includes and macros may stay of this file",
            )

        def holds(condition: str, at: int = number) -> bool:
            return _condition(condition, version, defined, lambda what: wrong(what, at))

        active = all(taken for taken, _ in stack)
        if word in ("if", "ifdef", "ifndef"):
            condition = {"if": rest, "ifdef": f"defined({rest})", "ifndef": f"!defined({rest})"}[word]
            taken = active and holds(condition)
            stack.append((taken, taken))
        elif word in ("else", "elif"):
            outer = all(taken for taken, _ in stack[:-1])
            done = stack[-1][1]
            taken = outer and not done and (word == "else" or holds(rest))
            stack[-1] = (taken, done or taken)
        elif word == "endif":
            stack.pop()
        elif not active or not rest:
            continue
        elif word == "include":
            # Headers that every kernel has are included by those who use them.
            if any(True for _ in stack[1:]):
                includes.append(rest)
        elif word == "define":
            name, macro = _macro(rest)
            defined.add(name)
            if name != "ESP_KERNEL":
                macros[name] = macro
        elif word == "undef":
            macros.pop(rest, None)
            defined.discard(rest)
        elif word:
            raise wrong(f"#{word} is not understood")
        else:
            raise wrong(f"code stays for the newest kernel: {rest.splitlines()[0]}")
    return Meaning(tuple(dict.fromkeys(includes)), macros)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, comments blanked out, continuations joined."""
    bare = re.sub(r"/\*.*?\*/", lambda match: re.sub(r"[^\n]", " ", match[0]), text, flags=re.DOTALL)
    lines = bare.split("\n")
    number = 0
    while number < len(lines):
        first, line = number, lines[number]
        while line.endswith("\\") and number + 1 < len(lines):
            number += 1
            line = line[:-1].rstrip() + " " + lines[number].strip()
        yield first + 1, line
        number += 1


def _macro(text: str) -> tuple[str, Macro]:
    match = re.match(r"(\w+)(?:\(([^)]*)\))?\s*", text)
    if not match:
        raise HarnessError(f"{COMPAT}: not a macro: {text}")
    parameters = None
    if match[2] is not None:
        parameters = tuple(one.strip() for one in match[2].split(",") if one.strip())
    return match[1], Macro(parameters, text[match.end() :].strip())


def _condition(
    text: str, version: tuple[int, int], defined: set[str], wrong: Callable[[str], HarnessError]
) -> bool:
    """Whether a condition holds. What is not a name of ours counts as there: the newest kernel has it."""
    tokens: list[str] = re.findall(r"\w+|&&|\|\||[!()]|,|[<>=]=?|\S", text)

    def take(wanted: str = "") -> str:
        if not tokens or (wanted and tokens[0] != wanted):
            raise wrong(f"the condition is not understood: {text}")
        return tokens.pop(0)

    def one() -> bool:
        word = take()
        if word == "!":
            return not one()
        if word == "(":
            result = either()
            take(")")
            return result
        if word == "defined":
            bracket = tokens[:1] == ["("] and bool(take("("))
            name = take()
            if bracket:
                take(")")
            return name in defined if name.startswith(_OURS) else True
        if word == "ESP_KERNEL":
            take("(")
            major = take()
            take(",")
            minor = take()
            take(")")
            return (int(major), int(minor)) <= version
        raise wrong(f"the condition is not understood: {text}")

    def both() -> bool:
        result = one()
        while tokens[:1] == ["&&"]:
            take()
            result = one() and result
        return result

    def either() -> bool:
        result = both()
        while tokens[:1] == ["||"]:
            take()
            result = both() or result
        return result

    result = either()
    if tokens:
        raise wrong(f"the condition is not understood: {text}")
    return result


# The sources.


def _rewrite(text: str, meaning: Meaning) -> str:
    return _expand(_without_include(text, meaning.includes), meaning.macros)


def _without_include(text: str, includes: tuple[str, ...]) -> str:
    """Without the lines that include compat.h and what belongs to them; the first one becomes `includes`."""
    lines = text.splitlines()
    while True:
        places = [number for number, line in enumerate(lines) if _INCLUDE.fullmatch(line)]
        if not places:
            return "\n".join(lines) + "\n"
        place = places[-1]
        first = place - sum(1 for _ in _defines_above(lines, place))
        if first < place:
            # A comment on why compat.h is included once more goes with it.
            if first and lines[first - 1].rstrip().endswith("*/"):
                first -= 1
                while not lines[first].lstrip().startswith("/*"):
                    first -= 1
            del lines[first : place + 1]
            if first < len(lines) and not lines[first] and first and not lines[first - 1]:
                del lines[first]
        else:
            del lines[place]
            _drop_empty_block(lines, place)
            for include in includes:
                _add_include(lines, place, include)


def _drop_empty_block(lines: list[str], place: int) -> None:
    """Of two empty lines in a row one goes."""
    if 0 < place < len(lines) and not lines[place] and not lines[place - 1]:
        del lines[place]


def _add_include(lines: list[str], place: int, include: str) -> None:
    """Put an include where it belongs in the sorted block above `place`; not twice."""
    wanted = f"#include {include}"
    if wanted in lines:
        return
    block = [number for number, line in enumerate(lines[:place]) if line.startswith("#include <")]
    if not block:
        lines.insert(place, wanted)
        return
    later = [number for number in block if lines[number] > wanted]
    lines.insert(later[0] if later else block[-1] + 1, wanted)


def _expand(text: str, macros: Mapping[str, Macro]) -> str:
    """Macros written out; a line that becomes too long is broken after commas, one left empty goes."""
    position = 0
    while True:
        match = _next(text, position, macros)
        if match is None:
            return text
        macro = macros[match[0]]
        end = match.end()
        arguments: list[str] = []
        if macro.parameters is not None:
            found = _arguments(text, end)
            if found is None or len(found[0]) != len(macro.parameters):
                position = end
                continue
            arguments, end = found
        new = _substitute(macro, arguments)
        before = text[: match.start()]
        text, broken = _join(before, new, text[end:])
        # What came in may hold another name.
        position = len(before) if not broken else len(before) + len(new)


def _next(text: str, position: int, macros: Mapping[str, Macro]) -> re.Match[str] | None:
    for match in _CODE.finditer(text, position):
        if match[0] in macros:
            return match
    return None


def _arguments(text: str, position: int) -> tuple[list[str], int] | None:
    """The arguments in the parentheses at `position` and where they end; None if there are none."""
    if text[position : position + 1] != "(":
        return None
    found, depth, begin = [], 0, position + 1
    for index in range(position, len(text)):
        char = text[index]
        depth += (char in "([{") - (char in ")]}")
        if depth == 0 or (depth == 1 and char == "," and index > position):
            found.append(" ".join(text[begin:index].split()))
            begin = index + 1
        if depth == 0:
            return found, index + 1
    return None


def _substitute(macro: Macro, arguments: list[str]) -> str:
    values = dict(zip(macro.parameters or (), arguments, strict=True))

    def word(match: re.Match[str]) -> str:
        value = values.get(match[1] or match[0])
        if value is None:
            return match[0]
        if not match[1]:
            return value
        # Parentheses around a parameter protect what is not one word.
        arrow = match[2] or ""
        if arrow and re.fullmatch(r"&\w+", value):
            return f"{value[1:]}."
        return value + arrow if re.fullmatch(r"[\w.>-]+", value) else f"({value}){arrow}"

    body = re.sub(r"\s*##\s*", "\0", macro.body)
    new = re.sub(r"(?<![\w)])\((\w+)\)(->)?|[A-Za-z_]\w*", word, body).replace("\0", "")
    # Parentheses around the whole of a macro are for those who do not see what is inside.
    bare = re.fullmatch(r"\((&?\w[\w.>-]*(?: = \w+)?)\)", new)
    return bare[1] if bare else new


def _join(before: str, new: str, after: str) -> tuple[str, bool]:
    """The text with `new` in the middle; True if the line had to be broken."""
    if not new:
        rest = re.match(r";?\n", after)
        if rest and not before[before.rfind("\n") + 1 :].strip():
            # With the comment above it, and the empty line that set both apart.
            kept = re.sub(r"\n(?:\s*\n)?(?:[ \t]*/\*[^\n]*\*/\n)?[ \t]*\Z", "\n", before)
            return kept + after[rest.end() :], False
    head = before[before.rfind("\n") + 1 :]
    tail = after.partition("\n")[0]
    if _columns(head + new + tail) <= _WIDTH or "(" not in new:
        return before + new + after, False
    return before + _wrap(head, new, tail) + after, True


def _wrap(head: str, call: str, tail: str) -> str:
    """A call broken after commas, its arguments below the first one."""
    name, _, rest = call.partition("(")
    arguments, end = _arguments(f"({rest}", 0) or ([], 0)
    rest_of_call = f"({rest}"[end:]
    indent = _columns(f"{head}{name}(")
    pad = "\t" * (indent // _TAB) + " " * (indent % _TAB)
    lines: list[str] = []
    line = f"{name}("
    for number, argument in enumerate(arguments):
        last = number == len(arguments) - 1
        piece = argument + ("," if not last else ")" + rest_of_call)
        width = _columns((head if not lines else pad) + line + " " + piece + (tail if last else ""))
        if line.endswith("(") or width <= _WIDTH:
            line += piece if line.endswith("(") or not line else f" {piece}"
        else:
            lines.append(line)
            line = piece
    return f"\n{pad}".join([*lines, line])


def _columns(text: str) -> int:
    return len(text.expandtabs(_TAB))
