"""What to look for, in a small language: `person > 37 C and night`.

    expression  = term {"or" term}
    term        = factor {"and" factor}
    factor      = "not" factor | "(" expression ")" | test
    test        = "night" | "day"
                | "fault" [LABEL]
                | ("brightness" | "hour" | "latitude" | "longitude") COMPARED NUMBER
                | [COUNT] OBJECT {CONDITION}
    OBJECT      = a class's name, in quotes where it has spaces or is a word of this language, or "object"
    CONDITION   = ["hottest" | "mean"] COMPARED NUMBER UNIT      temperature; hottest if nothing is said
                | ("score" | "height" | "width") COMPARED NUMBER
    COMPARED    = ">" | ">=" | "<" | "<=" | "=" | "!="
    UNIT        = "C" | "F" | "K"

A test is of a moment, which is a pair of images. All conditions after an object are of the same object;
COUNT asks for so many of them at once.

What is looked for becomes SQL that consists of texts of this file alone; all that a user wrote is handed
over beside it, as values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ivfusion_ros.errors import ConfigError, did_you_mean
from ivfusion_ros.files import brief
from ivfusion_ros.pipeline.faults import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NIGHT_BELOW = 55.0
"""Brightness. Of MSRS's 509 road scenes by day 97 % are brighter, of its 526 by night 95 % are darker."""

Value = str | float

_MAX_LENGTH = 2000
_MAX_DEPTH = 40
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>[-+]?[0-9]{1,12}(?:\.[0-9]{1,9})?)
        | "(?P<quoted>[^"]*)"
        | °?(?P<word>[^\W\d][\w-]*)
        | (?P<sign>>=|<=|!=|>|<|=|\(|\))
    )""",
    re.VERBOSE,
)
_COMPARED = {">": ">", ">=": ">=", "<": "<", "<=": "<=", "=": "=", "!=": "<>"}
_KELVIN: dict[str, Callable[[float], float]] = {
    "c": lambda value: value + 273.15,
    "f": lambda value: (value - 32) / 1.8 + 273.15,
    "k": lambda value: value,
}
_MOMENT = {
    "brightness": "any_value(brightness)",
    "hour": "any_value(stamp_ns) / 3600e9 % 24",
    "latitude": "any_value(latitude)",
    "longitude": "any_value(longitude)",
}
_TEMPERATURES = {"hottest": "max_kelvin", "mean": "mean_kelvin"}
_MEASURES = {"score": "score", "height": "bottom - top", "width": '"right" - "left"'}
_OBJECT = "object"
_LOGIC = ("and", "or", "not")
_TESTS = ("night", "day", "fault", *_MOMENT)
_RESERVED = {*_LOGIC, *_TESTS, *_TEMPERATURES, *_MEASURES}


@dataclass(frozen=True)
class Condition:
    """sql: an expression over the rows of one moment, with a ? for each of values. classes: as written."""

    sql: str
    values: tuple[Value, ...] = ()
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Token:
    """kind: number, quoted, word, sign or end. place: of its first character, from 0."""

    kind: str
    text: str
    place: int

    @property
    def lower(self) -> str:
        return self.text.lower() if self.kind in ("word", "sign") else ""


def parse(text: str) -> Condition:
    """What an expression asks of a moment. Raises ConfigError: what was found where, what was expected."""
    if len(text) > _MAX_LENGTH:
        raise ConfigError(
            f"the expression has {len(text)} characters, expected at most {_MAX_LENGTH}; ask in parts"
        )
    return _Parser(text).all_of_it()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0
        self._depth = 0

    def all_of_it(self) -> Condition:
        found = self._expression()
        if self._now.kind != "end":
            raise self._unexpected("and, or, or the end")
        return found

    @property
    def _now(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._now
        self._next += token.kind != "end"
        return token

    def _takes(self, *words: str) -> str:
        """The next word or sign where it is one of these, else ''."""
        return self._take().lower if self._now.lower in words else ""

    def _unexpected(self, expected: str) -> ConfigError:
        return _refusal(self._text, self._now, expected)

    def _expression(self) -> Condition:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._unexpected(f"at most {_MAX_DEPTH} brackets and nots within each other")
        found = self._joined("or", lambda: self._joined("and", self._factor))
        self._depth -= 1
        return found

    def _joined(self, word: str, part: Callable[[], Condition]) -> Condition:
        parts = [part()]
        while self._takes(word):
            parts.append(part())
        return _join(f" {word} ", parts)

    def _factor(self) -> Condition:
        nots = 0
        while self._takes("not"):
            nots += 1
        if self._takes("("):
            found = self._expression()
            if not self._takes(")"):
                raise self._unexpected("and, or, or )")
        else:
            found = self._test()
        return Condition(f"(not {found.sql})", found.values, found.classes) if nots % 2 else found

    def _test(self) -> Condition:
        if word := self._takes("night", "day"):
            return Condition(f"(any_value(brightness) {'<' if word == 'night' else '>='} {NIGHT_BELOW})")
        if self._takes("fault"):
            return self._fault()
        if word := self._takes(*_MOMENT):
            sign, value = self._comparison(f"{word} >")
            return Condition(f"coalesce({_MOMENT[word]} {sign} ?, false)", (value,))
        return self._object()

    def _fault(self) -> Condition:
        if self._now.kind != "word" or self._now.lower in _LOGIC:
            return Condition("(len(any_value(faults)) > 0)")
        if self._now.lower not in LABELS:
            hint = did_you_mean(self._now.lower, LABELS)
            raise self._unexpected(f"{hint}and, or, the end, or one of {', '.join(LABELS)}")
        return Condition("list_contains(any_value(faults), ?)", (self._take().lower,))

    def _object(self) -> Condition:
        count = self._count()
        token = self._now
        if token.kind not in ("word", "quoted") or token.lower in _RESERVED:
            expected = (
                "an object's class" if count else f"a test: {', '.join(_TESTS)}, or an object's class"
            )
            raise self._unexpected(f"{expected}, for example person, or {_OBJECT} for any")
        self._take()
        any_class = token.lower == _OBJECT
        of_class = "class_name is not null" if any_class else "lower(class_name) = ?"
        parts = [Condition(of_class, () if any_class else (token.text.lower(),))]
        while self._now.lower in (*_COMPARED, *_TEMPERATURES, *_MEASURES):
            parts.append(self._condition())
        found = _join(" and ", parts)
        return Condition(
            f"(count(*) filter (where {found.sql}) >= ?)",
            (*found.values, count or 1),
            () if any_class else (token.text,),
        )

    def _count(self) -> int:
        """Of objects, 0 where none is asked for."""
        if self._now.kind != "number":
            return 0
        if not self._now.text.isdecimal() or not int(self._now.text):
            raise self._unexpected("a whole number of objects from 1 on")
        return int(self._take().text)

    def _condition(self) -> Condition:
        if word := self._takes(*_MEASURES):
            sign, value = self._comparison(f"{word} >")
            return Condition(f"{_MEASURES[word]} {sign} ?", (value,))
        word = self._takes(*_TEMPERATURES) or "hottest"
        sign, value = self._comparison(f"{word} >")
        if self._now.lower not in _KELVIN:
            raise self._unexpected(f"a temperature's unit, {', '.join(map(str.upper, _KELVIN))}")
        kelvin = _KELVIN[self._take().lower](value)
        return Condition(f"{_TEMPERATURES[word]} {sign} ?", (kelvin,))

    def _comparison(self, example: str) -> tuple[str, float]:
        """SQL's sign and the number."""
        sign = self._takes(*_COMPARED)
        if not sign:
            raise self._unexpected(f"one of {' '.join(_COMPARED)}, for example {example} 20")
        if self._now.kind != "number":
            raise self._unexpected("a number")
        return _COMPARED[sign], float(self._take().text)


def _join(word: str, parts: Sequence[Condition]) -> Condition:
    """word: of SQL."""
    if len(parts) == 1:
        return parts[0]
    return Condition(
        f"({word.join(part.sql for part in parts)})",
        tuple(value for part in parts for value in part.values),
        tuple(name for part in parts for name in part.classes),
    )


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            start = len(text) - len(text[place:].lstrip())
            raise _refusal(text, _Token("sign", text[start], start), 'words, numbers, "names" and signs')
        kind = found.lastgroup
        tokens.append(_Token(kind, found[kind], found.start(kind)))
        place = found.end()
    return [*tokens, _Token("end", "", len(text))]


def _refusal(text: str, token: _Token, expected: str) -> ConfigError:
    found = "the end" if token.kind == "end" else f"{brief(token.text)} at character {token.place + 1}"
    return ConfigError(f"cannot read the expression {brief(text)}: found {found}, expected {expected}")
