"""Which strategies there are and in what order they run: one typed table.

Each strategy's functions fit one another; `_strategy` lets the type checker see that, and then forgets the
parameter types so that one table can hold all three.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar, cast

from tbot_bot.core.identity import StrategyName
from tbot_bot.strategy import strategy_close, strategy_mid, strategy_open
from tbot_bot.strategy.strategy_close import CloseState
from tbot_bot.strategy.strategy_meta import CloseParams, MidParams, OpenParams, Params, Tick
from tbot_bot.strategy.strategy_mid import MidState
from tbot_bot.strategy.strategy_open import OpenState

State = OpenState | MidState | CloseState
P = TypeVar("P", OpenParams, MidParams, CloseParams)
S = TypeVar("S", OpenState, MidState, CloseState)
P_contra = TypeVar("P_contra", contravariant=True)


class SelfCheck(Protocol[P_contra]):
    """Return the problems of the rule and, where given, of the parameters."""

    def __call__(self, params: P_contra | None = None) -> list[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """One strategy's functions. Parameters and states of different strategies must not be mixed."""

    name: StrategyName
    params_type: type[Params]
    initial_state: Callable[[Params], State]
    step: Callable[[Params, State, Tick], tuple[State, int]]
    explain: Callable[[Params, State, Tick, int], str]
    """Takes the state that `step` returned."""
    non_decision: Callable[[Params, State], str]
    describe: Callable[[Params], str]
    score: Callable[[Params, State], float]
    self_check: SelfCheck[Params]


def _strategy(
    name: StrategyName,
    params_type: type[P],
    initial_state: Callable[[P], S],
    step: Callable[[P, S, Tick], tuple[S, int]],
    explain: Callable[[P, S, Tick, int], str],
    non_decision: Callable[[P, S], str],
    describe: Callable[[P], str],
    score: Callable[[P, S], float],
    self_check: SelfCheck[P],
) -> Strategy:
    return Strategy(
        name=name,
        params_type=params_type,
        initial_state=cast("Callable[[Params], State]", initial_state),
        step=cast("Callable[[Params, State, Tick], tuple[State, int]]", step),
        explain=cast("Callable[[Params, State, Tick, int], str]", explain),
        non_decision=cast("Callable[[Params, State], str]", non_decision),
        describe=cast("Callable[[Params], str]", describe),
        score=cast("Callable[[Params, State], float]", score),
        self_check=cast("SelfCheck[Params]", self_check),
    )


STRATEGIES: Final[Mapping[StrategyName, Strategy]] = {
    StrategyName.OPEN: _strategy(
        StrategyName.OPEN,
        OpenParams,
        strategy_open.initial_state,
        strategy_open.step,
        strategy_open.explain,
        strategy_open.non_decision,
        strategy_open.describe,
        strategy_open.score,
        strategy_open.self_check,
    ),
    StrategyName.MID: _strategy(
        StrategyName.MID,
        MidParams,
        strategy_mid.initial_state,
        strategy_mid.step,
        strategy_mid.explain,
        strategy_mid.non_decision,
        strategy_mid.describe,
        strategy_mid.score,
        strategy_mid.self_check,
    ),
    StrategyName.CLOSE: _strategy(
        StrategyName.CLOSE,
        CloseParams,
        strategy_close.initial_state,
        strategy_close.step,
        strategy_close.explain,
        strategy_close.non_decision,
        strategy_close.describe,
        strategy_close.score,
        strategy_close.self_check,
    ),
}


def sequence(
    order: Sequence[StrategyName], enabled: Sequence[StrategyName], override: StrategyName | None = None
) -> tuple[Strategy, ...]:
    """Return the day's strategies in `order`, without those not `enabled`; `override` runs alone, enabled or not.

    Raises:
        ValueError: a strategy stands twice in `order`.
    """
    if override is not None:
        return (STRATEGIES[override],)
    if len(dict.fromkeys(order)) != len(order):
        msg = f"a strategy stands twice in the sequence {','.join(order)}"
        raise ValueError(msg)
    return tuple(STRATEGIES[name] for name in order if name in enabled)
