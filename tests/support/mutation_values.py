"""What is wrong inside one line: the name, the value, the quotes. And what all kinds of damage are made with.

What is wrong with a value is written here by hand from the words of the template, not asked of the program's parser.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Final

from tbot_bot.config.settings import BOT_FILE, ENV_FILE
from tests.support.mutations import TEMPLATES, Mutation, Verdict

LINES: Final = {section: tuple(text.splitlines()) for section, text in TEMPLATES.items()}
_ASSIGNMENT: Final = re.compile(r"(?P<name>[A-Z_]+)=(?P<value>.*?)  # (?P<says>.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """One variable of a template."""

    section: str
    line: int
    name: str
    value: str
    says: str
    """The template's words on what may be written."""

    def with_value(self, value: str) -> str:
        return f"{self.name}={value}  # {self.says}"


ASSIGNED: Final = tuple(
    Assigned(section=section, line=number, name=found["name"], value=found["value"], says=found["says"])
    for section, lines in LINES.items()
    for number, line in enumerate(lines, 1)
    if (found := _ASSIGNMENT.fullmatch(line))
)
BY_NAME: Final = {one.name: one for one in ASSIGNED}
FLAGS: Final = tuple(one for one in ASSIGNED if one.says.startswith("true or false"))
CHOICES: Final = tuple(one for one in ASSIGNED if one.says.startswith("one of "))
LISTS: Final = tuple(one for one in ASSIGNED if "parted by commas" in one.says and one.value)
CLOCKS: Final = tuple(one for one in ASSIGNED if one.says.startswith("a time as HH:MM"))
WHOLES: Final = tuple(one for one in ASSIGNED if one.says.startswith("a whole number"))
FRACTIONS: Final = tuple(one for one in ASSIGNED if one.says.startswith("a fraction"))
NUMBERS: Final = tuple(one for one in ASSIGNED if one.says.startswith(("a number", "a fraction", "a whole number")))
SPANS: Final = tuple(one for one in ASSIGNED if "a duration such as" in one.says)
TYPED: Final = (*FLAGS, *CHOICES, *CLOCKS, *NUMBERS, *(one for one in SPANS if one not in NUMBERS))
"""Those that no text but a few may stand for, and nothing may not."""
SECRETS: Final = tuple(
    one for one in ASSIGNED if one.section == ENV_FILE and one.says.startswith(("a secret", "a key")) and not one.value
)


def mutated(kind: str, one: Assigned, *new: str, verdict: Verdict = Verdict.REFUSED) -> Mutation:
    """Return the template with the line of `one` replaced by `new` lines, each of which counts as damaged."""
    lines = list(LINES[one.section])
    lines[one.line - 1 : one.line] = new
    damaged = tuple(range(one.line, one.line + len(new)))
    return Mutation(kind=kind, section=one.section, data=joined(lines), lines=damaged, verdict=verdict)


def joined(lines: Sequence[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def bot_with(**values: str) -> dict[int, str]:
    """Return lines of the bot's template by number, with other values."""
    return {BY_NAME[name].line: BY_NAME[name].with_value(value) for name, value in values.items()}


def bot_file(kind: str, values: dict[str, str], *, blame: Sequence[str] = (), beside: bytes | None = None) -> Mutation:
    lines, new = list(LINES[BOT_FILE]), bot_with(**values)
    for number, text in new.items():
        lines[number - 1] = text
    damaged = tuple(BY_NAME[name].line for name in (blame or values))
    return Mutation(kind=kind, section=BOT_FILE, data=joined(lines), lines=damaged, beside=beside)


def of_section(section: str) -> list[Assigned]:
    return [one for one in ASSIGNED if one.section == section]


# --- names


def name_misspelt(random: Random) -> Mutation:
    one, way = random.choice(ASSIGNED), random.randrange(4)
    at = random.randrange(len(one.name) - 1)
    name = (
        one.name[:at] + one.name[at + 1 :],
        one.name[:at] + one.name[at + 1] + one.name[at] + one.name[at + 2 :],
        one.name[: at + 1] + one.name[at:],
        one.name[:at] + random.choice("XQZ") + one.name[at + 1 :],
    )[way]
    if name in BY_NAME:
        name = one.name.lower()
    if name == one.name:
        name += "S"
    return mutated("name misspelt", one, f"{name}={one.value}")


def name_in_lower_case(random: Random) -> Mutation:
    one = random.choice(ASSIGNED)
    return mutated("name in lower case", one, f"{one.name.lower()}={one.value}")


LOOK_ALIKES: Final = dict(
    zip("AEIOPCTXMKBH", "\u0410\u0415\u0406\u041e\u0420\u0421\u0422\u0425\u041c\u041a\u0412\u041d", strict=True)
)


def name_with_a_look_alike(random: Random) -> Mutation:
    one = random.choice([one for one in ASSIGNED if set(one.name) & set(LOOK_ALIKES)])
    letter = random.choice(sorted(set(one.name) & set(LOOK_ALIKES)))
    return mutated(
        "name with a look-alike letter", one, f"{one.name.replace(letter, LOOK_ALIKES[letter], 1)}={one.value}"
    )


def name_of_the_other_file(random: Random) -> Mutation:
    one = random.choice(ASSIGNED)
    other = random.choice([other for other in ASSIGNED if other.section != one.section])
    return mutated("variable in the wrong file", one, f"{other.name}={other.value}")


def name_with_company(random: Random) -> Mutation:
    one = random.choice(ASSIGNED)
    before = random.choice(["export ", "set ", "+", "-", "> ", "- ", "$", "*", "1", "\\"])
    return mutated("something before the name", one, f"{before}{one.name}={one.value}")


# --- values

_WRONG: Final = (
    "ten",
    "0x10",
    "None",
    "null",
    "{}",
    "[1]",
    "1;2",
    "--",
    "1 2",
    "?",
    "@",
    "4.0.0",
    "\u0664",
    "1_0",
    "NaN",
    "1e",
)


def value_of_another_type(random: Random) -> Mutation:
    one = random.choice(TYPED)
    wrong = [*_WRONG, "true" if one not in FLAGS else random.choice(["True", "TRUE", "yes", "1", "on", "0", "no", "t"])]
    return mutated("value of another type", one, one.with_value(random.choice(wrong)))


def value_missing(random: Random) -> Mutation:
    return mutated("value missing", one := random.choice(TYPED), one.with_value(""))


def value_out_of_range(random: Random) -> Mutation:
    one = random.choice([one for one in NUMBERS if " from " in one.says])
    found = re.search(r" from (-?[\d.]+) to (-?[\d.]+)", one.says)
    assert found is not None
    low, high = Decimal(found[1]), Decimal(found[2])
    step = Decimal(random.choice(["1", "7", "100", "1e6"]))
    return mutated("number out of range", one, one.with_value(f"{random.choice([low - step, high + step]):f}"))


def value_in_the_wrong_unit(random: Random) -> Mutation:
    one = random.choice((*NUMBERS, *SPANS, *CLOCKS))
    value = one.value
    if one in CLOCKS:
        wrong = [
            value.replace(":", "."),
            value.replace(":", "h"),
            f"{value}Z",
            f"{value}:00",
            f"{value} UTC",
            "2:30 pm",
        ]
    elif one in SPANS:
        wrong = [f"{value} seconds", f"{value}h", f"{value}sec", "1d", f"{value}min", "1.5s", "PT5M"]
    else:
        wrong = [
            f"{value}%",
            f"{value} %",
            f"${value}",
            f"{value}$",
            f"{value} USD",
            f"{value}k",
            f"{value}m",
            "1,000,5",
        ]
    if one in FRACTIONS:
        wrong += [f"{Decimal(value) * 1000:f}", value.replace(".", ",") + ",", f"{value}pct"]
    return mutated("value in the wrong unit", one, one.with_value(random.choice(wrong)))


def choice_misspelt(random: Random) -> Mutation:
    one = random.choice(CHOICES)
    wrong = [one.value.upper() + "S", one.value[:-1], one.value + one.value[-1], one.value.swapcase(), f"{one.value},"]
    return mutated("choice misspelt", one, one.with_value(random.choice(wrong)))


def list_damaged(random: Random) -> Mutation:
    one = random.choice(LISTS)
    parts = one.value.split(",")
    wrong = [
        one.value + ",",
        "," + one.value,
        ";".join(parts),
        " ".join(parts),
        ",,".join(parts),
        f"[{one.value}]",
        ",".join([*parts, random.choice(["sunday", "night", "x", "2.5"])]),
        ",".join([*parts[:-1], parts[-1] + "x"]),
    ]
    if one.name != "WEIGHTS":
        wrong.append(",".join([*parts, random.choice(parts)]))
    return mutated("list damaged", one, one.with_value(random.choice(wrong)))


def value_turned_into_a_comment(random: Random) -> Mutation:
    one = random.choice([one for one in ASSIGNED if one.value])
    return mutated("value turned into a comment", one, f"{one.name}=#{one.value}")


# --- quoting


def quote_broken(random: Random) -> Mutation:
    one, quote = random.choice(ASSIGNED), random.choice("'\"")
    text = (
        f"{one.name}={quote}{one.value}",
        f"{one.name}={quote}{one.value}  # {one.says.replace(quote, '')}",
        f"{one.name}={quote}{one.value}{quote}x",
        f"{one.name}={quote}{one.value}{quote} {quote}",
    )[random.randrange(4)]
    return mutated("quoting broken", one, text)


def quote_typographic(random: Random) -> Mutation:
    one = random.choice(ASSIGNED)
    left, right = random.choice(list(zip("\u201c\u2018\u00ab\u201e", "\u201d\u2019\u00bb\u201c", strict=True)))
    return mutated("typographic quotes", one, f"{one.name}={left}{one.value}{right}")
