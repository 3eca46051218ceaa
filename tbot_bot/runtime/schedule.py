"""The day's plan, as the daemon's processes know it; the planning itself stands in `assembly`, for backtests too."""

from tbot_bot.assembly.schedule import (
    BAR_SPAN,
    SCREEN_BEFORE,
    DayPlan,
    PlannedSession,
    ScheduleRules,
    SessionRule,
    late,
    plan_day,
    planned_sessions,
    schedule_rules,
)

__all__ = [
    "BAR_SPAN",
    "SCREEN_BEFORE",
    "DayPlan",
    "PlannedSession",
    "ScheduleRules",
    "SessionRule",
    "late",
    "plan_day",
    "planned_sessions",
    "schedule_rules",
]
