"""The systemd units of one installation, as text. Pure: where things are comes in, unit files go out.

Directives as in systemd.service(5), systemd.exec(5) and systemd.timer(5); systemd 250 or later knows all of them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import TbotError

BOT: Final = "tbot.service"
WEB: Final = "tbot-web.service"
GUARD: Final = "tbot-guard.service"
BACKUP_CHECK: Final = "tbot-backup-check"
CREDENTIAL: Final = "encryption_key"
"""Also its file name below /etc/credstore.encrypted; by a bare name it may be absent there, by a path it may not."""
MARK: Final = "# Written by `tbot service install`, which replaces it. Changes of your own: systemctl edit "
WATCHDOG_SECONDS: Final = 30

_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_HIDDEN_BY_PROTECT_HOME: Final = tuple(Path("/", *parts) for parts in (("home",), ("root",), ("run", "user")))
_HIDDEN_BY_PRIVATE_TMP: Final = (Path("/", "tmp"), Path("/", "var", "tmp"))

_HARDENING: Final = """\
UMask=0077
LimitCORE=0
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
{protect_home}
ReadWritePaths={writable}
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
PrivateUsers=yes
ProtectProc=invisible
ProcSubset=pid
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
# The daemon compiles nothing while it runs (numba is for backtests, outside of this unit).
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
MemoryMax={memory_max}
TasksMax=256
"""

_BOT: Final = """\
{mark}{name}
[Unit]
Description=TradeBot supervisor
Wants=network-online.target
After=network-online.target time-sync.target
StartLimitIntervalSec=15min
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
{whose}
ExecStart={start}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=5
# Settings, build check, runs already, kill switch, credentials: starting again mends none of them.
RestartPreventExitStatus=2 3 4 5 6
# READY=1 comes after the build check, which reads the journal.
TimeoutStartSec=5min
# Fed only while the supervisor's loop turns and, in a session, the runner beats and its market data moves.
WatchdogSec={watchdog}
# SIGTERM stops safely: the supervisor ends when every position is closed and the reports are written.
TimeoutStopSec=5min
# Only the supervisor is signalled or killed. Should it die, its runner has to finish the session, and the next
# supervisor adopts it; `mixed` and `control-group` would kill the runner in the middle of a trade.
KillMode=process
# For the same reason: a runner that the kernel kills for want of memory is recovered by the supervisor.
OOMPolicy=continue
# Optional: read where /etc/credstore.encrypted holds a file of this name, or where a drop-in names a path.
LoadCredentialEncrypted={credential}
SyslogIdentifier=tbot

{hardening}
[Install]
WantedBy=multi-user.target
"""

_WEB: Final = """\
{mark}{name}
[Unit]
Description=TradeBot dashboard
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=15min
StartLimitBurst=5

[Service]
Type=exec
{whose}
ExecStart={start}
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=2 4
LoadCredentialEncrypted={credential}
SyslogIdentifier=tbot-web

{hardening}
[Install]
WantedBy=multi-user.target
"""

_GUARD: Final = """\
{mark}{name}
[Unit]
Description=TradeBot: independent dead-man's switch over supervisor and runner
# Tied to no other unit: it has to live where tbot.service has failed.
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
{whose}
ExecStart={start}
# Whatever ended it, it has to be there; only another guard on the same installation is reason enough to stay away.
Restart=always
RestartSec=5
RestartPreventExitStatus=4
# It may be closing positions when the machine goes down.
TimeoutStopSec=2min
KillMode=process
LoadCredentialEncrypted={credential}
SyslogIdentifier=tbot-guard

{hardening}
[Install]
WantedBy=multi-user.target
"""

_BACKUP_CHECK: Final = """\
{mark}{name}
[Unit]
Description=TradeBot: is the last backup whole?

[Service]
Type=oneshot
{whose}
ExecStart={start}
TimeoutStartSec=1h
LoadCredentialEncrypted={credential}
SyslogIdentifier=tbot-backup-check

{hardening}"""

_BACKUP_TIMER: Final = """\
{mark}{name}
[Unit]
Description=TradeBot: daily check of the backup, hours before the opening bell

[Timer]
OnCalendar=*-*-* 08:00:00 UTC
RandomizedDelaySec=15min
Persistent=yes

[Install]
WantedBy=timers.target
"""

_DROP_IN: Final = """\
{mark}{name}
[Service]
LoadCredentialEncrypted={credential}:{path}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an installation is and whose it is."""

    user: str
    home: Path
    writable: tuple[Path, ...]
    """The runtime folders."""
    python: Path
    """The interpreter that has the program installed."""
    code: tuple[Path, ...]
    """Where interpreter and program lie: what the units must be able to read."""
    memory_max: str = "1G"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFile:
    """One file, by its name below the folder of units."""

    name: str
    text: str


def bot_unit(place: Place) -> UnitFile:
    """Return the supervisor's service.

    Raises:
        TbotError: user or paths do not fit a unit.
    """
    start = ("-m", "tbot_bot.runtime.tbot_runner_supervisor", "--home", str(place.home))
    return _service(place, BOT, _BOT, start)


def web_unit(place: Place) -> UnitFile:
    """Return the dashboard's service: a process of its own, so that it can neither slow nor stop trading.

    Raises:
        TbotError: as `bot_unit`.
    """
    return _service(place, WEB, _WEB, ("-m", "tbot_bot.runtime.cli", "web"))


def guard_unit(place: Place) -> UnitFile:
    """Return the guard's service, which lives and dies by itself.

    Raises:
        TbotError: as `bot_unit`.
    """
    return _service(place, GUARD, _GUARD, ("-m", "tbot_bot.runtime.cli", "guard"))


def backup_check_units(place: Place) -> tuple[UnitFile, UnitFile]:
    """Return the daily check of the backup and its timer.

    Raises:
        TbotError: as `bot_unit`.
    """
    service = _service(
        place, f"{BACKUP_CHECK}.service", _BACKUP_CHECK, ("-m", "tbot_bot.runtime.cli", "backup", "verify")
    )
    timer = f"{BACKUP_CHECK}.timer"
    return service, UnitFile(name=timer, text=_BACKUP_TIMER.format(mark=MARK, name=timer))


def credential_drop_in(path: Path, unit: str = BOT) -> UnitFile:
    """Return the drop-in that has systemd decrypt the settings' key from `path`, in memory, for `unit` alone.

    Raises:
        TbotError: the path does not fit a unit.
    """
    said = _plain(path, "--credential")
    if " " in said or ":" in said or not path.is_absolute():
        raise TbotError(
            f"{said!r} cannot be named in LoadCredentialEncrypted",
            where="--credential",
            mend="Give an absolute path without spaces and colons.",
        )
    text = _DROP_IN.format(mark=MARK, name=unit, credential=CREDENTIAL, path=said)
    return UnitFile(name=f"{unit}.d/credential.conf", text=text)


def _service(place: Place, name: str, form: str, start: Iterable[str]) -> UnitFile:
    _refuse_what_cannot_serve(place)
    home = _plain(place.home, "--home")
    whose = (f"User={place.user}", f"WorkingDirectory={home}", f"Environment={_quoted(f'TBOT_HOME={place.home}')}")
    command = (_quoted(str(word)).replace("$", "$$") for word in (place.python, *start))
    hardening = _HARDENING.format(
        protect_home=_protect_home(place),
        writable=" ".join(_quoted(f"-{path}") for path in place.writable),
        memory_max=place.memory_max,
    )
    text = form.format(
        mark=MARK,
        name=name,
        whose="\n".join(whose),
        start=" ".join(command),
        watchdog=WATCHDOG_SECONDS,
        credential=CREDENTIAL,
        hardening=hardening,
    )
    return UnitFile(name=name, text=text)


def _refuse_what_cannot_serve(place: Place) -> None:
    if not _USER.fullmatch(place.user) or place.user == "root":
        what = (
            "the service must not run as root" if place.user == "root" else f"{place.user!r} is not an account's name"
        )
        raise TbotError(what, where="--user", mend="Name an account of the bot's own with --user.")
    if not place.home.is_absolute() or place.home == Path(place.home.anchor):
        raise TbotError(f"{place.home} cannot be an installation", where="--home", mend="Name its folder with --home.")
    for path in (place.home, *place.code):
        _plain(path, "--home")
        if any(path.is_relative_to(hidden) for hidden in _HIDDEN_BY_PRIVATE_TMP):
            raise TbotError(
                f"{path} is in a temporary folder, which the service does not see (PrivateTmp=yes)",
                where="--home",
                mend="Install under a lasting folder.",
            )


def _protect_home(place: Place) -> str:
    used = (place.home, place.python, *place.code)
    if any(path.is_relative_to(hidden) for path in used for hidden in _HIDDEN_BY_PROTECT_HOME):
        return "# Not `yes`: the installation or its interpreter lies in a home directory.\nProtectHome=read-only"
    return "ProtectHome=yes"


def _plain(path: Path, where: str) -> str:
    """Return the path as a directive without quotes takes it."""
    text = str(path)
    if not text.isprintable() or text != text.strip() or text.endswith("\\"):
        raise TbotError(
            f"{text!r} cannot be written into a unit", where=where, mend="Use a path without control characters."
        )
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """Return `text` as one word of a directive."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
