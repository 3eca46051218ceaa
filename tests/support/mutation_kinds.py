"""The kinds of damage beyond one value: lines, choices that do not fit together, secrets, bytes, whole files."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Final

from tbot_bot.config.settings import BOT_FILE, ENV_FILE
from tests.support import mutation_values as values
from tests.support.mutation_values import (
    ASSIGNED,
    BY_NAME,
    LINES,
    SECRETS,
    TYPED,
    bot_file,
    bot_with,
    joined,
    mutated,
    of_section,
)
from tests.support.mutations import MARKER, TEMPLATES, Mutation, Verdict

Kind = Callable[[Random], Mutation]

# --- lines


def equals_sign_lost(random: Random) -> Mutation:
    one = random.choice(ASSIGNED)
    return mutated("equals sign lost", one, f"{one.name}{random.choice([':', ': ', ' ', '', chr(0xFF1D)])}{one.value}")


def line_cut_in_its_name(random: Random) -> Mutation:
    one = random.choice(ASSIGNED)
    return mutated("line cut in its name", one, one.name[: random.randrange(1, len(one.name) + 1)])


def line_cut_in_its_value(random: Random) -> Mutation:
    one = random.choice([one for one in ASSIGNED if one.value])
    cut = one.value[: random.randrange(len(one.value))]
    verdict = Verdict.REFUSED if one in TYPED and not cut else Verdict.EITHER
    return mutated("line cut in its value", one, f"{one.name}={cut}", verdict=verdict)


def line_broken_in_two(random: Random) -> Mutation:
    one = random.choice(ASSIGNED)
    text = f"{one.name}={one.value}"
    at = random.randrange(1, len(one.name))
    if len(one.value) > 1 and random.random() < 0.5:
        at = len(one.name) + 1 + random.randrange(1, len(one.value))
    return mutated("line broken in two", one, text[:at], text[at:])


def lines_merged(random: Random) -> Mutation:
    """Merge two assignments of a file without comments."""
    section = random.choice([ENV_FILE, BOT_FILE])
    ours = [one for one in ASSIGNED if one.section == section]
    at = random.randrange(len(ours) - 1)
    lines = [f"{one.name}={one.value}" for one in ours]
    lines[at : at + 2] = [lines[at] + random.choice(["", " ", "  "]) + lines[at + 1]]
    return Mutation(kind="two assignments on one line", section=section, data=joined(lines), lines=(at + 1,))


def line_merged_into_the_comment_above(random: Random) -> Mutation:
    one = random.choice(ASSIGNED)
    lines = list(LINES[one.section])
    lines[one.line - 2 : one.line] = [lines[one.line - 2] + lines[one.line - 1]]
    return Mutation(
        kind="assignment merged into the comment above", section=one.section, data=joined(lines), lines=(one.line - 1,)
    )


def line_twice(random: Random) -> Mutation:
    one = random.choice(ASSIGNED)
    lines = list(LINES[one.section])
    at = random.randrange(one.line, len(lines) + 1)
    lines.insert(at, f"{one.name}={random.choice([one.value, one.value, '1', 'true', ''])}")
    return Mutation(kind="variable twice", section=one.section, data=joined(lines), lines=(at + 1,))


def line_from_elsewhere(random: Random) -> Mutation:
    section = random.choice([ENV_FILE, BOT_FILE])
    lines = list(LINES[section])
    at = random.randrange(len(lines) + 1)
    foreign = ["<<<<<<< HEAD", "=======", ">>>>>>> theirs", "[section]", "{", "key: value", "import os", "echo hello"]
    foreign += ["PATH=/bin", "EDITOR=vi", "DEBUG=1", "PORT=80", "@@ -1 +1 @@", "-----BEGIN", "SELECT 1;", "\\"]
    lines.insert(at, random.choice(foreign))
    return Mutation(kind="line of something else", section=section, data=joined(lines), lines=(at + 1,))


def line_deleted(random: Random) -> Mutation:
    one = random.choice(ASSIGNED)
    return replace(mutated("optional line deleted", one), lines=(), verdict=Verdict.ACCEPTED)


# --- choices that do not fit together


def weights_do_not_fit(random: Random) -> Mutation:
    count = random.randrange(1, 9)
    weights = [f"0.{random.randrange(1, 99):02d}" for _ in range(count)]
    if count == 4 and sum(map(Decimal, weights)) == 1:
        weights[0] = "0.991"
    return bot_file("weights do not fit", {"WEIGHTS": ",".join(weights)})


def trades_without_weights(random: Random) -> Mutation:
    return bot_file("trades without weights", {"MAX_TRADES": str(random.choice([1, 2, 3, *range(5, 21)]))})


def trade_above_its_limit(random: Random) -> Mutation:
    if random.random() < 0.5:
        return bot_file("trade above its limit", {"TOTAL_ALLOCATION": f"0.{random.randrange(26, 100):03d}"})
    return bot_file("trade above its limit", {"MAX_RISK_PER_TRADE": f"0.{random.randrange(10, 200):04d}"})


RANGES: Final = ("PRICE", "MARKET_CAP_OPEN", "MARKET_CAP_MID", "MARKET_CAP_CLOSE")


def range_swapped(random: Random) -> Mutation:
    name = random.choice(RANGES)
    low, high = BY_NAME[f"MIN_{name}"], BY_NAME[f"MAX_{name}"]
    factor = random.randrange(1, 9)
    changed = random.choice(
        [
            {low.name: high.value, high.name: low.value},
            {low.name: str(int(high.value) * factor + 1)},
            {high.name: f"{Decimal(low.value) / factor - Decimal('0.5'):f}"},
        ]
    )
    return bot_file("range swapped", changed)


def session_outside_the_day(random: Random) -> Mutation:
    minute = random.randrange(60)
    early, late = f"{random.randrange(14):02d}:{minute:02d}", f"{random.randrange(21, 24)}:{minute:02d}"
    changed = random.choice(
        [
            {"START_TIME_OPEN": early},
            {"START_TIME_CLOSE": late},
            {"CLOSE_MONITORING_TIME": str(random.randrange(71, 390))},
            {"CLOSE_ANALYSIS_TIME": str(random.randrange(51, 390))},
        ]
    )
    return bot_file("session outside the day", changed)


def sessions_overlap(random: Random) -> Mutation:
    changed = random.choice(
        [
            {"OPEN_MONITORING_TIME": str(random.randrange(31, 300))},
            {"START_TIME_OPEN": f"14:{random.randrange(31, 60)}"},
            {"START_TIME_MID": f"{random.choice(['14', '15'])}:{random.randrange(30):02d}"},
            {"START_TIME_CLOSE": f"16:{random.randrange(35):02d}"},
            {"MID_BREAKOUT_TIME": str(random.randrange(186, 260))},
        ]
    )
    return bot_file("sessions overlap", changed)


def nobody_to_trade_with(random: Random) -> Mutation:
    real = {"TEST_MODE": "false", "ALPACA_ENABLED": "false", "TOTAL_CAPITAL": str(random.randrange(1000, 10**7))}
    paper = {"TEST_MODE_VENUE": "broker_paper", "ALPACA_ENABLED": "false"}
    other = {random.choice(["TRADIER_ENABLED", "WEBULL_ENABLED", "ROBINHOOD_ENABLED"]): "true"}
    changed = random.choice([real, paper, {**paper, **other}])
    return bot_file("nobody to trade with", changed)


def credentials_missing(random: Random) -> Mutation:
    """Ask for a broker whose credentials are not there: no line is wrong, but those that ask are named."""
    broker = random.choice(
        [{"ALPACA_MODE": "live"}, {"IBKR_ENABLED": "true"}, {"IBKR_ENABLED": "true", "IBKR_MODE": "live"}]
    )
    real = {"TEST_MODE": "false", "TOTAL_CAPITAL": str(random.randrange(1000, 10**7)), **broker}
    paper = {"TEST_MODE_VENUE": "broker_paper", "API_RETRY_LIMIT": str(random.randrange(20)), **broker}
    return bot_file("credentials missing", random.choice([real, paper]))


def capital_deleted(random: Random) -> Mutation:
    lines, keys = list(LINES[BOT_FILE]), {"ALPACA_PAPER_API_KEY", "ALPACA_PAPER_SECRET_KEY"}
    for number, text in bot_with(TEST_MODE="false", MAX_PRICE=str(random.randrange(6, 900))).items():
        lines[number - 1] = text
    del lines[BY_NAME["TOTAL_CAPITAL"].line - 1]
    env = [one.with_value(MARKER) if one.name in keys else f"{one.name}={one.value}" for one in of_section(ENV_FILE)]
    return Mutation(kind="required line deleted", section=BOT_FILE, data=joined(lines), beside=joined(env))


def older_name_beside_the_newer(random: Random) -> Mutation:
    old, new = random.choice([("ENV_BOT_KEY", "ENCRYPTION_KEY"), ("ACCOUNTING_EXPORT_MODE", "LEDGER_EXPORT_MODE")])
    one = BY_NAME[new]
    lines = list(LINES[one.section])
    at = random.randrange(len(lines) + 1)
    lines.insert(at, f"{old}={one.value}")
    first, second = sorted([at + 1, one.line + (at < one.line)])
    return Mutation(kind="older name beside the newer", section=one.section, data=joined(lines), lines=(second, first))


# --- secrets


def secret_in_a_damaged_line(random: Random) -> Mutation:
    one, secret = random.choice(SECRETS), f"k{random.randrange(10**6)}{MARKER}{random.randrange(10**6)}"
    other = random.choice([other for other in ASSIGNED if other.section == ENV_FILE and other is not one])
    damaged = random.choice(
        [
            (f"{one.name}='{secret}",),
            (f'{one.name}="{secret}" {secret}',),
            (f"{one.name}X={secret}",),
            (f"{one.name} {secret}",),
            (f"{one.name}: {secret}",),
            (f"{one.name}={secret}", f"{one.name}={secret}"),
            (f"{one.name}=", f"{secret}="),
            (f"{one.name}=", secret),
            (f"{one.name}=\u201c{secret}\u201d",),
            (f"{one.name}={secret}{other.name}={secret}",),
            (f"{one.name}={secret}\u200b",),
            (f"{one.name}=\t{secret}",),
        ]
    )
    return mutated("secret in a damaged line", one, *damaged)


# --- bytes


def invisible_character(random: Random) -> Mutation:
    one = random.choice(ASSIGNED)
    text = f"{one.name}={one.value}"
    at = random.randrange(len(text) + 1)
    odd = random.choice("\u00a0\u200b\u200e\u202e\ufeff\u2028\u0085\u00ad\u3000\x0b\x0c\x07\x1b\x7f\t\r\x00")
    return mutated("invisible character", one, text[:at] + odd + text[at:] + random.choice(["", "  # note"]))


def bytes_not_utf_8(random: Random) -> Mutation:
    one = random.choice(ASSIGNED)
    text = f"{one.name}={one.value}".encode()
    at = random.randrange(len(text) + 1)
    odd = random.choice([b"\xff", b"\xe9", b"\xc0\x80", b"\xed\xa0\x80", b"\x80", b"\xf8\x88", b"\xfe\xfe"])
    lines = TEMPLATES[one.section].encode().split(b"\n")
    lines[one.line - 1] = text[:at] + odd + text[at:]
    return Mutation(kind="bytes that are not UTF-8", section=one.section, data=b"\n".join(lines), lines=(one.line,))


def line_ends_of_another_system(random: Random) -> Mutation:
    section = random.choice([ENV_FILE, BOT_FILE])
    lines = [line.encode() for line in LINES[section]]
    first = random.randrange(len(lines))
    data = b"\n".join([*lines[:first], b"\r\n".join(lines[first:]), b""])
    if first == len(lines) - 1:
        data = b"\r\n".join([*lines, b""])
        first = 0
    return Mutation(kind="CR LF line ends", section=section, data=data, lines=(first + 1,))


def encoding_of_another_system(random: Random) -> Mutation:
    section, encoding = random.choice([ENV_FILE, BOT_FILE]), random.choice(["utf-8-sig", "utf-16", "utf-16-be"])
    text = TEMPLATES[section] + f"# {random.randrange(10**6)}\n"
    data = text.encode(encoding)
    return Mutation(kind="another encoding", section=section, data=data, lines=(1,))


def bytes_damaged(random: Random) -> Mutation:
    section = random.choice([ENV_FILE, BOT_FILE])
    data = bytearray(TEMPLATES[section].encode())
    places = [one.line for one in of_section(section)]
    line = random.choice(places)
    start = sum(len(text.encode()) + 1 for text in LINES[section][: line - 1])
    end = start + LINES[section][line - 1].index("  #")
    at = random.randrange(start, end)
    way = random.randrange(4)
    if way == 0:
        data[at] ^= 1 << random.randrange(8)
    elif way == 1:
        data[at] = random.randrange(256)
    elif way == 2:
        del data[at]
    else:
        data.insert(at, random.randrange(256))
    return Mutation(
        kind="byte damaged", section=section, data=bytes(data), lines=(line, line + 1), verdict=Verdict.EITHER
    )


def bytes_damaged_anywhere(random: Random) -> Mutation:
    section = random.choice([ENV_FILE, BOT_FILE])
    data = bytearray(TEMPLATES[section].encode())
    at = random.randrange(len(data))
    line = data.count(b"\n", 0, at) + 1
    data[at : at + random.randrange(1, 4)] = random.randbytes(random.randrange(4))
    lines = tuple(range(line, line + 5))
    return Mutation(
        kind="bytes damaged anywhere", section=section, data=bytes(data), lines=lines, verdict=Verdict.EITHER
    )


def file_cut(random: Random) -> Mutation:
    section = random.choice([ENV_FILE, BOT_FILE])
    data = TEMPLATES[section].encode()
    data = data[: random.randrange(1, len(data))]
    return Mutation(kind="file cut", section=section, data=data, lines=(data.count(b"\n") + 1,), verdict=Verdict.EITHER)


def files_swapped(random: Random) -> Mutation:
    section, other = random.choice([(ENV_FILE, BOT_FILE), (BOT_FILE, ENV_FILE)])
    ours = random.sample(of_section(other), random.randrange(3, 30))
    lines = ["# settings", *(f"{one.name}={one.value}" for one in ours)]
    return Mutation(kind="the other file's content", section=section, data=joined(lines), lines=(2,))


# --- no damage at all


def harmless(random: Random) -> Mutation:
    """Write the same settings another way: this has to be accepted, or refusing everything would pass."""
    section = random.choice([ENV_FILE, BOT_FILE])
    ours = of_section(section)
    random.shuffle(ours)
    lines = ["# in another order"]
    for one in ours:
        quote = random.choice(["", "", "'", '"'])
        before, after = random.choice(["", " ", "   "]), random.choice(["", " ", "  # note", "   # was X=1"])
        lines.append(f"{before}{one.name}{before}={before}{quote}{one.value}{quote}{after}")
        lines += random.choice([[], [""], [f"# {one.name}=1"], [f"  # see {one.name} = {one.value}"]])
    return Mutation(kind="no damage", section=section, data=joined(lines), verdict=Verdict.ACCEPTED)


KINDS: Final[tuple[Kind, ...]] = (
    values.name_misspelt,
    values.name_in_lower_case,
    values.name_with_a_look_alike,
    values.name_of_the_other_file,
    values.name_with_company,
    values.value_of_another_type,
    values.value_missing,
    values.value_out_of_range,
    values.value_in_the_wrong_unit,
    values.choice_misspelt,
    values.list_damaged,
    values.value_turned_into_a_comment,
    values.quote_broken,
    values.quote_typographic,
    equals_sign_lost,
    line_cut_in_its_name,
    line_cut_in_its_value,
    line_broken_in_two,
    lines_merged,
    line_merged_into_the_comment_above,
    line_twice,
    line_from_elsewhere,
    line_deleted,
    weights_do_not_fit,
    trades_without_weights,
    trade_above_its_limit,
    range_swapped,
    session_outside_the_day,
    sessions_overlap,
    nobody_to_trade_with,
    credentials_missing,
    capital_deleted,
    older_name_beside_the_newer,
    secret_in_a_damaged_line,
    invisible_character,
    bytes_not_utf_8,
    line_ends_of_another_system,
    encoding_of_another_system,
    bytes_damaged,
    bytes_damaged_anywhere,
    file_cut,
    files_swapped,
    harmless,
)
