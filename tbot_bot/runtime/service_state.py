"""What systemd knows of our service, asked of `systemctl` where there is one."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tbot_bot.runtime.service_units import BOT

_ASK_SECONDS: Final = 10
_ASKED: Final = ("LoadState", "UnitFileState", "ActiveState", "SubState", "StatusText", "NRestarts")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """How the service stands."""

    unit: str
    """Path of the unit file, whether it is there or not."""
    installed: bool
    enabled: str = ""
    """In systemctl's word; empty where it could not be asked."""
    active: str = ""
    says: str = ""
    """What the bot last told systemd of itself."""
    restarts: int = 0
    unknown_because: str = ""
    """Why systemd could not be asked, and what to do about it; empty where it was."""


def service_state(folder: Path) -> ServiceState:
    """Return how the service stands whose unit is in `folder`."""
    unit = folder / BOT
    installed = unit.is_file()
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        why = "there is no systemctl on this machine; `tbot status` tells how the bot itself is"
        return ServiceState(unit=str(unit), installed=installed, unknown_because=why)
    asked = [systemctl, "show", BOT, f"--property={','.join(_ASKED)}"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=_ASK_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return ServiceState(unit=str(unit), installed=installed, unknown_because=f"systemctl did not answer: {error}")
    if answer.returncode:
        words = " ".join((answer.stderr or answer.stdout).split()) or f"status {answer.returncode}"
        why = f"systemctl cannot tell ({words}); `tbot status` tells how the bot itself is"
        return ServiceState(unit=str(unit), installed=installed, unknown_because=why)
    told = dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)
    if told.get("LoadState") == "not-found":
        why = "systemd has not read the unit"
        if installed:
            why += "; run `systemctl daemon-reload` as root (it reads /etc/systemd/system)"
        return ServiceState(unit=str(unit), installed=installed, enabled="no", active="no", says=why)
    restarts = told.get("NRestarts", "")
    return ServiceState(
        unit=str(unit),
        installed=installed,
        enabled=told.get("UnitFileState") or "no",
        active=" ".join(filter(None, (told.get("ActiveState", ""), f"({told.get('SubState', '')})"))),
        says=told.get("StatusText", ""),
        restarts=int(restarts) if restarts.isdigit() else 0,
    )
