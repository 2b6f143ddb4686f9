"""Ways to damage what is read: bytes, and texts by what parsers stumble over. All draw from a generator."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

NUMBERS = [b"\0" * 8, b"\xff" * 8, b"\xff" * 4, b"\0\0\0\x80", b"\x7f\xff\xff\xff", b"\x01", b"\x80", b"\n"]
WORDS = [
    "",
    "~",
    "null",
    "[]",
    "{}",
    "nan",
    ".inf",
    "-.inf",
    "-1",
    "0",
    "1e308",
    "1e-320",
    "1e400",
    "9" * 400,
    "0b_",
    "0x_",
    "2001-99-99",
    "2001-01-01",
    "12:99:99",
    "!!float abc",
    "!!int abc",
    "!!python/object:os.system x",
    "!!binary x",
    '"a\\0b"',
    "*a",
    "&a [*a]",
    "[" * 300,
    "{a: " * 60,
    "&a {b: *a}",
    "<<: *a",
    "true",
    "off",
    "'",
    '"',
    "|",
    "? ",
    "\u2028",
    "\x85",
    "\U0001f525",
    "[1, 2]",
    "{a: 1}",
    "- 1",
    "tcp:",
    "/dev/zero",
    "../..",
    "~nobodyx/x",
    "%",
    "0.5",
    "-0",
    "1_000",
    "0o17",
    "!!set {a}",
    "!!timestamp 1",
    "!!omap [a]",
    "? [a]: b",
    "a" * 5000,
    "\t",
    "@",
    "`",
]


def damage_bytes(random: Random, content: bytes) -> bytes:
    """Cut, overwrite, flip, repeat or leave out a few places; now and then swap two parts."""
    result = bytearray(content)
    if random.random() < 0.2:
        del result[random.randrange(len(result) + 1) :]
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        if not result:
            break
        # Heads decide more than pixels do.
        place = random.randrange(min(len(result), random.choice((32, 256, len(result)))))
        _strike(random, result, place)
    return bytes(result)


def _strike(random: Random, result: bytearray, place: int) -> None:
    kind = random.randrange(5)
    if kind == 0:
        result[place] ^= 1 << random.randrange(8)
    elif kind == 1:
        noise = random.choice([*NUMBERS, random.randbytes(random.randrange(1, 9))])
        result[place : place + len(noise)] = noise
    elif kind == 2:
        del result[place : place + random.choice((1, 4, 100))]
    elif kind == 3:
        part = result[place : place + random.choice((4, 64, 1000))]
        result[place:place] = part * random.choice((1, 2, 20))
    else:
        end = place + random.choice((4, 64))
        result[place:end] = bytes(len(result[place:end]))


def damage_text(random: Random, content: bytes) -> bytes:
    """Replace words and values, leave out and repeat lines; sometimes as bytes."""
    if random.random() < 0.15:
        return damage_bytes(random, content)
    text = content.decode(errors="replace")
    for _ in range(random.choice((1, 1, 2, 4))):
        text = _reword(random, text)
    return text.encode(errors="surrogatepass")


def _reword(random: Random, text: str) -> str:
    spans = [match.span() for match in re.finditer(r"[^\s,:\[\]{}]+", text)]
    lines = text.splitlines(keepends=True)
    kind = random.randrange(4)
    if kind < 2 and spans:
        start, end = random.choice(spans)
        return text[:start] + random.choice(WORDS) + text[end:]
    if lines:
        place = random.randrange(len(lines))
        lines[place : place + 1] = [] if kind == 2 else [lines[place]] * 2
        return "".join(lines)
    return text + random.choice(WORDS)
