"""The engine of one session: events in, commands and decisions out; the same in, the same out.

It reads no clock, does no input or output and draws nothing at random. Time moves by the `at` of events.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, get_args

from tbot_bot.core.bars import Bar
from tbot_bot.core.commands import (
    CandidatesChosen,
    FilterAsked,
    NonDecision,
    Output,
    Phase,
    RaiseAlert,
    ReadVix,
    SessionEnded,
    Severity,
    SignalRaised,
    WatchSymbols,
)
from tbot_bot.core.events import (
    AccountsMarked,
    AccountsRead,
    BarsClosed,
    CodeTakenOver,
    ControlReceived,
    EarlierToday,
    Event,
    FillBusted,
    ImbalancesRead,
    MarketOver,
    OrderEvent,
    OrderFilled,
    ProtectionChecked,
    PutQuotesRead,
    QuotesRead,
    ScreenCompleted,
    VixRead,
)
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.money import ONE, exact
from tbot_bot.core.orders import ShortType
from tbot_bot.enhancements.filters import FilterAnswer, FilterName
from tbot_bot.trading import broker_health, entries, exit_desk, kill_switch, losses, order_events, phases, protection
from tbot_bot.trading.best_signals import outranked
from tbot_bot.trading.closing import close_the_books
from tbot_bot.trading.instrument_choice import inverse_etfs
from tbot_bot.trading.live_candidates import fix_shares
from tbot_bot.trading.market_halts import believe_bars
from tbot_bot.trading.session_state import SessionState, Signal, Trade, TradeState
from tbot_bot.trading.signal_filters import ask_filters, vix_answer
from tbot_bot.trading.spec import SessionSpec
from tbot_bot.trading.symbol_states import SymbolStates
from tbot_bot.trading.takeover import CODE_CHANGED
from tbot_bot.trading.watching import watch_trades

_NOT_NOW = frozenset({FilterName.ADX, FilterName.BOLLINGER_CONFLUENCE})
"""Filters that block a moment, not a symbol: a later bar of the entry window may signal again."""
_MAY_END = frozenset({Phase.MONITORING, Phase.CLOSE_OUT})
"""Phases in which a session is over as soon as it is flat."""


class Engine:
    """One session. `handle` is the only way in; `state` is for reading."""

    def __init__(self, spec: SessionSpec) -> None:
        """Start in the screening phase of `spec`."""
        self.spec = spec
        self.state = SessionState(spec)
        self.symbols = SymbolStates(spec)
        self._gap_open: set[str] = set()

    def handle(self, event: Event) -> list[Output]:
        """Take one event and return what to do and what was decided, in order.

        Raises:
            KeyError: not an event of this engine.
        """
        state = self.state
        handler = self._HANDLERS[type(event)]
        state.out = []
        if state.ended and not isinstance(event, OrderFilled | FillBusted):
            return state.out
        state.at = max(state.at, event.at)
        handler(self, event)
        while state.results_changed:  # leaving a halted broker may bring a result that reaches another's limit
            self._mind_the_losses()
        self._end_if_flat()
        return state.out

    def _on_accounts(self, event: AccountsRead) -> None:
        state = self.state
        broker_health.note_foreign(state, event)
        for account in event.accounts:
            state.accounts[account.broker] = account
            state.budgets[account.broker] = self.spec.allocation.total_allocation * account.equity
        for broker in self.spec.brokers:
            if broker.halted:
                state.halted[broker.name] = "halted until the next trading day"
        state.results_changed = True

    def _on_earlier(self, event: EarlierToday) -> None:
        losses.on_earlier(self.state, event)

    def _on_marks(self, event: AccountsMarked) -> None:
        losses.on_marks(self.state, event)

    def _on_screen(self, event: ScreenCompleted) -> None:
        state = self.state
        state.verdicts = {verdict.symbol: verdict for verdict in event.verdicts}
        chosen = sorted((verdict for verdict in event.verdicts if verdict.rank > 0), key=lambda verdict: verdict.rank)
        state.candidates = tuple(verdict.symbol for verdict in chosen)
        self.symbols.follow(state.candidates)
        state.emit(
            CandidatesChosen(
                at=state.at,
                symbols=state.candidates,
                screened=len(event.verdicts),
                description=self.symbols.strategy.describe(self.spec.params),
            )
        )
        if self.spec.strategy is StrategyName.OPEN:
            self._gap_open = {verdict.symbol for verdict in chosen if verdict.previous_close is not None}
        watched = dict.fromkeys(state.candidates)
        if self.spec.bearish.short_type is ShortType.INVERSE_ETF:
            fund_of = inverse_etfs(self.spec.bearish)
            for verdict in chosen:
                etf = fund_of(verdict.symbol, verdict.sector)
                if etf:
                    watched[etf] = None
        state.watched = tuple(watched)
        state.emit(WatchSymbols(symbols=state.watched))

    def _on_bars(self, event: BarsClosed) -> None:
        state = self.state
        live = not event.backfill
        if live:
            phases.advance(state, self._enter, inclusive=False)
        at = event.at
        believe_bars(state, event.bars)
        signals: list[Signal] = []
        last_seen, last_price, gap_open, step = state.last_seen, state.last_price, self._gap_open, self.symbols.step
        for bar in event.bars:
            symbol, end = bar.symbol, bar.end
            if end >= last_seen.get(symbol, 0):
                last_price[symbol] = bar.close
                last_seen[symbol] = end
            if symbol in gap_open:
                self._check_gap(bar)
            signal = step(bar)
            if signal is not None:
                signals.append(signal)
        watch_trades(state, self.symbols, event)
        signals.sort(key=lambda signal: (-signal.score, signal.symbol))
        beaten = outranked(state, [signal for signal in signals if signal.at == at])
        for signal in signals:
            self._raise(signal, beaten.get(signal.symbol, ""), live=live and signal.at == at)
        phases.advance(state, self._enter, inclusive=True)

    def _raise(self, signal: Signal, beaten: str, *, live: bool) -> None:
        state = self.state
        state.signaled += 1
        state.signaled_symbols.add(signal.symbol)
        if state.tells:
            state.emit(
                SignalRaised(
                    at=state.at,
                    symbol=signal.symbol,
                    direction=signal.direction,
                    price=signal.price,
                    score=signal.score,
                    reason=signal.reason,
                )
            )
        if not live:
            entries.drop(state, signal, "", "late", "the bar came too late to act on")
            return
        entries_off = broker_health.entries_off(state)
        if entries_off or beaten:
            entries.drop(state, signal, "", "entries_off" if entries_off else "outranked", entries_off or beaten)
            return
        inputs = self.symbols.filter_inputs(signal.symbol, self.spec.filters.bollinger_deviations)
        if not self._passes(signal, ask_filters(state, signal, inputs)):
            return
        if self.spec.strategy is StrategyName.CLOSE:
            if not state.vix_waiting:  # one reading answers all that wait
                state.emit(ReadVix(at=state.at))
            state.vix_waiting.append(signal)
            return
        entries.route(state, signal)

    def _passes(self, signal: Signal, answers: list[FilterAnswer]) -> bool:
        state = self.state
        for answer in answers:
            self._record_answer(signal.symbol, answer)
        blocking = next((answer for answer in answers if answer.blocks), None)
        if blocking is not None:
            entries.drop(state, signal, "", str(blocking.name), blocking.reason)
            if blocking.name in _NOT_NOW:
                self.symbols.rearm(signal.symbol)
        return blocking is None

    def _record_answer(self, symbol: str, answer: FilterAnswer) -> None:
        state = self.state
        if state.tells:
            state.emit(
                FilterAsked(
                    at=state.at,
                    symbol=symbol,
                    filter=str(answer.name),
                    verdict=str(answer.verdict),
                    missing=answer.missing,
                    reason=answer.reason,
                )
            )
        if answer.error and answer.name not in state.filters_alerted:
            state.filters_alerted.add(answer.name)
            state.emit(RaiseAlert(severity=Severity.WARNING, title=f"filter {answer.name} failed", text=answer.error))

    def _check_gap(self, bar: Bar) -> None:
        """Hold the day's first price of a candidate against MAX_GAP_PCT: before the bell nobody knew it."""
        state = self.state
        self._gap_open.discard(bar.symbol)
        previous = state.verdicts[bar.symbol].previous_close
        if previous is None or bar.start > self.spec.windows.analysis_end:
            return
        opened = exact(repr(bar.open))
        gap = opened / previous - ONE
        if abs(gap) > self.spec.max_gap:
            self.symbols.forget(bar.symbol)
            reason = f"opened at {opened}, {gap:+.2%} from {previous}, limit {self.spec.max_gap}"
            state.dropped[bar.symbol] = reason
            state.emit(NonDecision(at=state.at, symbol=bar.symbol, reason=reason))

    def _on_quotes(self, event: QuotesRead) -> None:
        for quote in event.quotes:
            self.state.quotes[quote.symbol] = quote

    def _on_imbalances(self, event: ImbalancesRead) -> None:
        self.state.imbalances.update((one.symbol, one) for one in event.imbalances)

    def _on_vix(self, event: VixRead) -> None:
        state = self.state
        state.vix = event.reading
        answer = vix_answer(state)
        waiting, state.vix_waiting = state.vix_waiting, []
        if not waiting:
            self._record_answer("", answer)
            if answer.blocks and not state.active_trades():  # what is open was allowed by a reading of its own
                phases.stop(state, self._enter, str(answer.name), answer.reason)
            return
        for signal in waiting:
            if self._passes(signal, [answer]):
                entries.route(state, signal)

    def _on_put_quotes(self, event: PutQuotesRead) -> None:
        entries.on_put_quotes(self.state, event)

    def _on_order_event(self, event: OrderEvent) -> None:
        phases.advance(self.state, self._enter, inclusive=False)
        order_events.on_order_event(self.state, event)
        protection.note(self.state)
        if self.state.ended and not self.state.flat():
            self.state.ended = False  # a late execution or bust: there is something to close again
            phases.enter(self.state, self._enter, Phase.CLOSE_OUT, "an execution changed after the end")

    def _on_control(self, event: ControlReceived) -> None:
        phases.advance(self.state, self._enter, inclusive=False)
        kill_switch.on_control(self.state, event, self._stop, self._leave)

    def _on_health(self, event: broker_health.HealthEvent) -> None:
        broker_health.on_health(self.state, event)
        for trade in self.state.active_trades():
            exit_desk.pursue(self.state, trade)  # what was frozen may go on

    def _on_protection_checked(self, _: ProtectionChecked) -> None:
        protection.watch(self.state)

    def _on_market_over(self, _: MarketOver) -> None:
        phases.stop(self.state, self._enter, "data_over", "no more market data for this day")
        close_the_books(self.state)
        self._end("the market is over")

    def _on_taken_over(self, event: CodeTakenOver) -> None:
        """Close what other code opened; what the journal says was rebuilt by `takeover.Follower` before."""
        state = self.state
        title = f"{self.spec.session} is closed out by other code"
        state.emit(RaiseAlert(severity=Severity.CRITICAL, title=title, text=event.reason))
        if state.phase is not Phase.CLOSE_OUT:
            phases.stop(state, self._enter, CODE_CHANGED, event.reason)
            return
        self._close_out()
        for trade in state.active_trades():
            exit_desk.pursue(state, trade)

    def _mind_the_losses(self) -> None:
        state = self.state
        losses.judge(state, self._stop)
        for trade in state.active_trades():
            if trade.broker in state.halted:
                self._leave(trade, "broker_halted", state.halted[trade.broker])

    def _stop(self, code: str, reason: str) -> None:
        phases.stop(self.state, self._enter, code, reason)

    def _enter(self, phase: Phase) -> None:
        """Do what the beginning of `phase` asks for."""
        match phase:
            case Phase.ANALYSIS if self.spec.strategy is StrategyName.CLOSE:
                self.state.emit(ReadVix(at=self.state.at))
            case Phase.BREAKOUT:
                if not fix_shares(self.state, self.symbols):
                    why = "no live candidate when the entry window opened"
                    phases.stop(self.state, self._enter, "no_candidates", why)
            case Phase.CLOSE_OUT:
                self._close_out()
            case _:
                pass

    def _close_out(self) -> None:
        state = self.state
        for signal in state.vix_waiting:
            entries.drop(state, signal, "", state.stop_code, state.stop_reason)
        state.vix_waiting = []
        for trade in state.active_trades():
            self._leave(trade, state.stop_code, state.stop_reason)

    def _leave(self, trade: Trade, code: str, reason: str) -> None:
        if trade.state in {TradeState.AWAITING_CONFIRMATION, TradeState.AWAITING_QUOTES}:
            entries.abandon(self.state, trade, code, reason)
        else:
            exit_desk.leave(self.state, trade, code, reason)

    def _end_if_flat(self) -> None:
        state = self.state
        if state.phase in _MAY_END and not state.ended and state.flat():
            self._end(state.stop_reason or "flat after the entry window")

    def _end(self, reason: str) -> None:
        state = self.state
        if state.ended:
            return
        for symbol in state.candidates if state.tells else ():
            if symbol not in state.signaled_symbols and symbol in self.symbols:
                state.emit(NonDecision(at=state.at, symbol=symbol, reason=self.symbols.non_decision(symbol)))
        phases.enter(state, self._enter, Phase.REPORT, reason)
        entered = [trade for trade in state.trades.values() if trade.entered_at is not None]
        state.ended = True
        state.emit(
            SessionEnded(
                at=state.at,
                reason=reason,
                candidates=len(state.candidates),
                signaled=state.signaled,
                entered=len(entered),
                exited=sum(1 for trade in entered if state.held(trade) <= 0),
                realized=tuple(state.realized.items()),
            )
        )

    _HANDLERS: ClassVar[Mapping[type, Callable[..., None]]] = {
        BarsClosed: _on_bars,
        AccountsRead: _on_accounts,
        AccountsMarked: _on_marks,
        EarlierToday: _on_earlier,
        ScreenCompleted: _on_screen,
        QuotesRead: _on_quotes,
        ImbalancesRead: _on_imbalances,
        VixRead: _on_vix,
        PutQuotesRead: _on_put_quotes,
        ControlReceived: _on_control,
        ProtectionChecked: _on_protection_checked,
        MarketOver: _on_market_over,
        CodeTakenOver: _on_taken_over,
        **dict.fromkeys(get_args(OrderEvent), _on_order_event),
        **dict.fromkeys(broker_health.HEALTH_EVENTS, _on_health),
    }
    """By the type of the event; of the class, since bound methods in each engine would make a cycle of every one."""
