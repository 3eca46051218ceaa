"""Commands on the floats: float show, plan, transfer."""

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.core.money import CENT, ZERO, exact
from tbot_bot.runtime.cli_output import DONE, FAILED, HALTED, JsonValue, complain, console, emit_json, user_name
from tbot_bot.runtime.cli_run import Json, Why

if TYPE_CHECKING:
    from tbot_bot.runtime.float_desk import FloatView
    from tbot_bot.runtime.float_transfer import Carried
    from tbot_bot.trading.float_bot import FloatLine, RebalancePlan
    from tbot_bot.treasury.records import AuthorizedTransfer
    from tbot_bot.treasury.transfers import Result

_HOW: Final = '`tbot float transfer --authorize --why "..."` sends it'


def amount_of(text: str) -> Decimal:
    """Read an amount of dollars.

    Raises:
        typer.BadParameter: not above zero, or with parts of a cent.
    """
    try:
        amount = exact(text)
    except ValueError:
        amount = ZERO
    if amount <= ZERO or amount % CENT:
        msg = f"{text!r} is no amount; write dollars above 0 such as 25000 or 25000.50"
        raise typer.BadParameter(msg)
    return amount


FromReserve = Annotated[
    Decimal | None,
    typer.Option(
        "--from-reserve",
        parser=amount_of,
        metavar="AMOUNT",
        help="Let the reserve give up to so many dollars where the brokers lack them together.",
    ),
]


def show(*, as_json: Json = False) -> int:
    """Print each broker's float: target, current, deviation, when it was read; and what is under way."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.float_desk import look  # noqa: PLC0415

    view = look(tbot_home())
    if as_json:
        emit_json(_view_json(view))
    else:
        _print_view(view)
    return DONE


def plan(*, from_reserve: FromReserve = None, as_json: Json = False) -> int:
    """Print who would send how much to whom. Exit status 1: a float is not known well enough."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.float_desk import look, plan_lines  # noqa: PLC0415

    view = look(tbot_home(), from_reserve=from_reserve or ZERO)
    if as_json:
        emit_json(_plan_json(view.plan))
    else:
        for line in plan_lines(view.plan):
            typer.echo(line)
        if view.plan.transfers:
            typer.echo(
                f"nothing is sent: {view.bank_objection}" if view.bank_objection else f"nothing is sent yet; {_HOW}"
            )
            if view.accounts is None:
                typer.echo("there is no float_accounts.csv, so the bank's daily limits are not in this plan")
    return FAILED if view.plan.blocked else DONE


def transfer(
    *,
    authorize: Annotated[
        bool, typer.Option("--authorize", help="Put it on record and send it. Without it: only print the plan.")
    ] = False,
    from_reserve: FromReserve = None,
    why: Why = "",
    as_json: Json = False,
) -> int:
    """Send what the plan says through the bank, once. What an earlier call left undone is finished first, and alone."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast

    if not authorize:
        return plan(from_reserve=from_reserve, as_json=as_json)
    if not why.strip():
        msg = 'a reason is needed, for the journal: --why "..."'
        raise typer.BadParameter(msg, param_hint="'--why'")
    from tbot_bot.runtime.float_transfer import TransfersHalted, carry_out  # noqa: PLC0415 - loads an HTTP client

    try:
        done = carry_out(
            tbot_home(), by=user_name("tbot float transfer"), why=why.strip(), from_reserve=from_reserve or ZERO
        )
    except TransfersHalted as error:
        complain(error)
        return HALTED
    if as_json:
        emit_json(_carried_json(done))
    else:
        _print_carried(done)
    return DONE if _went_well(done) else FAILED


def _went_well(done: "Carried") -> bool:
    if done.plan is not None and done.plan.blocked:
        return False
    return [_outcome(result) for result in done.results] == ["done"] * len(done.transfers)


def _print_view(view: "FloatView") -> None:
    from rich.table import Table  # noqa: PLC0415 - not needed for JSON

    from tbot_bot.core.instants import iso  # noqa: PLC0415
    from tbot_bot.runtime.float_desk import dollars  # noqa: PLC0415
    from tbot_bot.trading.float_bot import next_check_day, reserve_of  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    table.add_column("broker")
    for name in ("target", "current", "deviation"):
        table.add_column(name, justify="right")
    table.add_column("last read at")
    for line in view.plan.lines:
        table.add_row(
            line.broker,
            dollars(line.target),
            "unknown" if line.current is None else dollars(line.current),
            _deviation(line),
            f"{'never' if line.read_at is None else iso(line.read_at)}{'  (stale)' if line.state == 'stale' else ''}",
        )
    table.add_row("reserve", dollars(reserve_of(view.rules)), "", "", "not read: no broker may touch it")
    out = console()
    out.print(table)
    due = next_check_day(view.rules, view.day)
    told = "never: REBALANCE_DAYS is empty" if due is None else f"{due:%A} {due.isoformat()}"
    typer.echo(f"floats are compared with their targets next on {told}; tolerance {_percent(view.rules.tolerance)}")
    for pending in view.book.pending():
        asked = "not asked yet" if pending.asked_at is None else f"asked at {iso(pending.asked_at)}, unsettled"
        typer.echo(f"under way: {_sentence(pending.transfer)} ({asked}); `tbot float transfer --authorize` finishes it")
    if view.bank_objection:
        typer.echo(f"no transfers: {view.bank_objection}")


def _deviation(line: "FloatLine") -> str:
    if line.deviation is None:
        return "-"
    return f"{line.deviation * 100:+.1f} %{' (!)' if line.outside else ''}"


def _percent(fraction: Decimal) -> str:
    from tbot_bot.core.money import plain  # noqa: PLC0415

    return f"{plain(fraction * 100)} %"


def _sentence(one: "AuthorizedTransfer") -> str:
    from tbot_bot.runtime.float_desk import dollars  # noqa: PLC0415

    return f"{one.transfer_id}: {one.source} sends {dollars(one.amount)} to {one.destination}"


def _print_carried(done: "Carried") -> None:
    from tbot_bot.runtime.float_desk import plan_lines  # noqa: PLC0415

    if done.resumed:
        typer.echo("an earlier authorization was not finished; this call went on with it and authorized nothing new")
    if done.plan is not None:
        for line in plan_lines(done.plan):
            typer.echo(line)
    for one, result in zip(done.transfers, done.results, strict=False):
        text = f"  ({result.text})" if result.text else ""
        typer.echo(f"{_outcome(result):<8} {_sentence(one)}{text}")
    for one in done.transfers[len(done.results) :]:
        typer.echo(f"{'waiting':<8} {_sentence(one)}")
    if any(_outcome(result) == "in doubt" for result in done.results):
        typer.echo(
            "In doubt: nobody knows yet. Call this command again; it looks the transfer up before it sends anything."
        )


def _outcome(result: "Result") -> str:
    from tbot_bot.treasury.transfers import InDoubt  # noqa: PLC0415 - `--help` stays fast

    return "in doubt" if isinstance(result, InDoubt) else result.outcome.value


def _view_json(view: "FloatView") -> JsonValue:
    from tbot_bot.core.instants import iso  # noqa: PLC0415
    from tbot_bot.trading.float_bot import next_check_day, reserve_of  # noqa: PLC0415

    due = next_check_day(view.rules, view.day)
    under_way: list[JsonValue] = [
        {
            **_transfer_json(pending.transfer),
            "asked_at": None if pending.asked_at is None else iso(pending.asked_at),
        }
        for pending in view.book.pending()
    ]
    return {
        "at": iso(view.at),
        "floats": _lines_json(view.plan),
        "reserve": str(reserve_of(view.rules)),
        "tolerance": str(view.rules.tolerance),
        "next_check_day": None if due is None else due.isoformat(),
        "under_way": under_way,
        "no_transfers_because": view.bank_objection or None,
    }


def _lines_json(plan: "RebalancePlan") -> JsonValue:
    from tbot_bot.core.instants import iso  # noqa: PLC0415

    return [
        {
            "broker": line.broker,
            "target": str(line.target),
            "current": None if line.current is None else str(line.current),
            "deviation": None if line.deviation is None else str(round(line.deviation, 6)),
            "outside_tolerance": line.outside,
            "state": line.state.value,
            "read_at": None if line.read_at is None else iso(line.read_at),
        }
        for line in plan.lines
    ]


def _plan_json(plan: "RebalancePlan") -> dict[str, JsonValue]:
    sends: list[JsonValue] = [
        {"from": one.source, "to": one.destination, "amount": str(one.amount)} for one in plan.transfers
    ]
    carried: list[JsonValue] = [
        {"from": one.source, "to": one.destination, "amount": str(one.amount), "why": one.why.value}
        for one in plan.carried
    ]
    return {
        "plan": plan.plan_id,
        "day": plan.day.isoformat(),
        "floats": _lines_json(plan),
        "transfers": sends,
        "carried": carried,
        "from_reserve": str(plan.from_reserve),
        "reserve_needed": str(plan.reserve_needed),
        "excess": str(plan.excess),
        "blocked": list(plan.blocked),
    }


def _transfer_json(one: "AuthorizedTransfer") -> dict[str, JsonValue]:
    return {"id": one.transfer_id, "from": one.source, "to": one.destination, "amount": str(one.amount)}


def _carried_json(done: "Carried") -> JsonValue:
    outcomes = [*done.results, *[None] * (len(done.transfers) - len(done.results))]
    sends: list[JsonValue] = [
        {
            **_transfer_json(one),
            "outcome": "waiting" if result is None else _outcome(result),
            "text": "" if result is None else result.text,
        }
        for one, result in zip(done.transfers, outcomes, strict=True)
    ]
    return {
        "resumed": done.resumed,
        "plan": None if done.plan is None else _plan_json(done.plan),
        "transfers": sends,
    }
