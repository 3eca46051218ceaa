"""tools/sync_project.sh against real folders, and over a real ssh where there is one: push, refuse, kill, roll back."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "tools" / "sync_project.sh"
LISTS = sorted(REPOSITORY.glob(".scpignore_*"))
SSHD = shutil.which("sshd") or next(
    (path for path in ("/usr/sbin/sshd", "/usr/libexec/sshd") if Path(path).exists()), ""
)
KEPT = {
    "shared/.env": "SECRET=changeme\n",
    "shared/.env_bot": "A=1\n",
    "shared/output/journal": "rows",
    "shared/control/x": "",
}


class Checkout:
    """A small project under git, with our ignore lists and one file for each of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in {
            "VERSION.md": "# v1.0.0\n",
            ".gitignore": ".env\n.env_bot\n*.enc\n/output/\n",
            "tbot_bot/code.py": "print(0)\n",
            "tbot_bot/data and notes.csv": "a,b\n",
            "tests/test_code.py": "",
            "docs/decisions/001.md": "",
            ".env.example": "",
            ".env_bot.template-test": "",
            "server.pem": "",
            "old_settings.enc": "",
        }.items():
            self.write(name, text)
        for path in LISTS:
            shutil.copy(path, folder)
        self.git("init", "-q")
        self.git("add", "--force", ".")
        self.commit()
        for name in (".env", ".env_bot", ".env_bot.enc", "output/journal"):
            self.write(name, "mine")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def git(self, *words: str) -> str:
        command = ["git", "-c", "user.name=changeme", "-c", "user.email=changeme@example.org", *words]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, text: str = "") -> str:
        if text:
            self.write("tbot_bot/code.py", text)
        self.git("commit", "-q", "-a", "-m", "a step")
        return f"v1.0.0-{self.git('rev-parse', '--short=12', 'HEAD')}"


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    return Checkout(folder)


@pytest.fixture
def target(tmp_path):
    """Return a target with settings and state that no push may touch."""
    folder = tmp_path / "a target"
    for name, text in KEPT.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def sync(checkout, *words, prepare="", **environment):
    """Run the script on `checkout` and return (exit status, all that it said)."""
    own = ["--from", str(checkout.folder)] if checkout else []
    command = ["sh", str(SCRIPT), *own, "--prepare", prepare, "--no-check", *map(str, words)]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd="/", env={**os.environ, **environment}
    )
    return ended.returncode, ended.stdout + ended.stderr


def pushed(checkout, *words, **options):
    status, said = sync(checkout, *words, **options)
    assert status == 0, said
    return said


def in_force(target):
    """Return the release in force, and what its code says."""
    return (target / "current").readlink().name, (target / "current/tbot_bot/code.py").read_text()


def assert_kept(target):
    """Assert that settings and state are byte for byte what they were."""
    assert {name: (target / name).read_text(encoding="utf-8") for name in KEPT} == KEPT
    assert not (target / ".sync.lock").exists()


def names_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


OWN = {".release", ".manifest", *(path.name for path in LISTS)}
ALWAYS = OWN | {"VERSION.md", "tbot_bot/code.py", "tbot_bot/data and notes.csv", ".env.example"}


@pytest.mark.parametrize("via", ["tar", pytest.param("rsync", marks=pytest.mark.skipif(
    shutil.which("rsync") is None, reason="rsync is not installed"))])  # fmt: skip
@pytest.mark.parametrize(
    ("stage", "more"),
    [
        ("prod", set()),
        ("live", {".env_bot.template-test", "docs/decisions/001.md"}),
        ("dev", {".env_bot.template-test", "docs/decisions/001.md", "tests/test_code.py", ".gitignore"}),
    ],
)
def test_each_stage_gets_its_files_and_never_a_secret(checkout, target, via, stage, more):
    pushed(checkout, "--stage", stage, "--via", via, target)
    assert names_in(target / "current") == ALWAYS | more
    assert_kept(target)


def test_a_dry_run_says_everything_and_changes_nothing(checkout, tmp_path):
    said = pushed(checkout, "--dry-run", tmp_path / "new")
    assert "send      tbot_bot/code.py" in said
    assert "leave out server.pem" in said
    assert "leave out old_settings.enc" in said
    assert "switch from nothing to it" in said
    assert not (tmp_path / "new").exists()


def test_what_is_not_committed_is_sent_only_when_told_and_the_name_says_so(checkout, target):
    checkout.write("tbot_bot/code.py", "print(2)\n")
    checkout.write("tbot_bot/more.py", "")
    status, said = sync(checkout, target)
    assert (status, "not committed" in said) == (1, True)
    pushed(checkout, "--allow-dirty", target)
    name, code = in_force(target)
    assert "-dirty-" in name
    assert code == "print(2)\n"
    assert (target / "current/tbot_bot/more.py").exists()
    assert_kept(target)


@pytest.mark.parametrize("name", ["control/control_stop.txt", "output/x.csv", "backups/b", "logs/l"])
def test_state_in_the_repository_is_refused_by_name(checkout, target, name):
    checkout.write(name, "")
    checkout.git("add", "--force", name)
    checkout.commit()
    status, said = sync(checkout, target)
    assert status == 1
    assert f"{name} would be sent" in said
    assert not (target / "current").exists()


@pytest.mark.parametrize("name", [".git/HEAD", "tbot_bot/x.py", ".env_bot", "output/journal"])
def test_an_installation_in_place_is_no_target(checkout, tmp_path, name):
    path = tmp_path / "place" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    status, said = sync(checkout, tmp_path / "place")
    assert status == 1
    assert "Give a folder of its own" in said
    assert names_in(tmp_path / "place") == {name}


def test_rolling_back_is_one_command_and_forward_again_another(checkout, target):
    first = checkout.commit("print(10)\n")
    pushed(checkout, target)
    second = checkout.commit("print(20)\n")
    pushed(checkout, target)
    assert in_force(target) == (second, "print(20)\n")

    assert f"would roll back from {second} to {first}" in pushed(None, "--rollback", "--dry-run", target)
    assert in_force(target) == (second, "print(20)\n")
    assert f"rolled back from {second} to {first}" in pushed(None, "--rollback", target)
    assert in_force(target) == (first, "print(10)\n")
    status, said = sync(None, "--rollback", target)
    assert (status, "no release before" in said) == (1, True)
    assert in_force(target) == (first, "print(10)\n")

    assert "is there already" in pushed(checkout, target)
    assert in_force(target) == (second, "print(20)\n")
    pushed(None, "--rollback", target)
    assert in_force(target) == (first, "print(10)\n")
    assert_kept(target)


def test_old_releases_go_but_not_the_one_that_is_run_from(checkout, target):
    names = [checkout.commit("print(9)\n")]
    pushed(checkout, target)
    sleeper = target / "releases" / names[0] / "sleeper"
    shutil.copy(shutil.which("sleep") or "", sleeper)
    with subprocess.Popen([sleeper.resolve(), "60"]) as running:
        for number in range(1, 5):
            names.append(checkout.commit(f"print({number})\n"))
            pushed(checkout, "--keep", 2, target)
        running.kill()
    assert {path.name for path in (target / "releases").iterdir() if path.is_dir()} == {names[0], *names[-2:]}
    listed = pushed(None, "--list", target).splitlines()
    assert sorted(line[2:] for line in listed) == sorted({names[0], *names[-2:]})
    assert [line for line in listed if line.startswith("*")] == [f"* {names[-1]}"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_push_killed_in_the_middle_leaves_the_old_release_in_force(checkout, target, tmp_path, number):
    first = checkout.commit("print(1)\n")
    pushed(checkout, target)
    second = checkout.commit("print(2)\n")
    reached = tmp_path / "reached"
    command = ["sh", str(SCRIPT), "--from", str(checkout.folder), "--no-check", str(target)]
    command += ["--prepare", f"touch '{reached}'; exec sleep 60"]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 30
        while not reached.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        status, said = sync(checkout, target)
        os.killpg(running.pid, number)
    assert (status, "another sync is at work" in said) == (1, True)
    assert in_force(target) == (first, "print(1)\n")
    assert f"{second} (incomplete" in pushed(None, "--list", target)

    pushed(checkout, target)
    assert in_force(target) == (second, "print(2)\n")
    assert_kept(target)


@pytest.mark.parametrize("prepare", ["exit 3", "echo spoiled > tbot_bot/code.py"])
def test_a_release_that_cannot_be_prepared_is_not_switched_to(checkout, target, prepare):
    first = checkout.commit("print(1)\n")
    pushed(checkout, target)
    checkout.commit("print(2)\n")
    status, said = sync(checkout, target, prepare=prepare)
    assert status == 1
    assert "error: " in said
    assert in_force(target) == (first, "print(1)\n")
    assert_kept(target)


@pytest.mark.parametrize(("answer", "switches"), [(0, True), (3, False)])
def test_the_new_releases_own_check_decides_over_the_settings_there(checkout, target, answer, switches):
    said_by = "mkdir -p .venv/bin; printf '#!/bin/sh\\necho \"$1 $TBOT_HOME\" > asked\\nexit %s\\n' "
    prepare = f"{said_by} {answer} > .venv/bin/tbot; chmod +x .venv/bin/tbot"
    command = ["sh", str(SCRIPT), "--from", str(checkout.folder), "--prepare", prepare, str(target)]
    status = subprocess.run(command, check=False, capture_output=True).returncode
    assert (status == 0, (target / "current").exists()) == (switches, switches)
    (asked,) = target.glob("releases/*/asked")
    assert asked.read_text() == f"check {target / 'shared'}\n"


@pytest.mark.parametrize(
    ("failed", "key", "switches"),
    [("configuration: no key", "", True), ("configuration: no key", "k", False), ("disk space: none", "", False)],
)
def test_sealed_settings_without_their_key_are_left_to_the_start(checkout, target, failed, key, switches):
    (target / "shared" / ".env_bot.enc").write_text("sealed")
    prepare = f"mkdir -p .venv/bin; printf '#!/bin/sh\\necho \"FAIL  {failed}\"\\nexit 2\\n' > .venv/bin/tbot"
    command = ["sh", str(SCRIPT), "--from", str(checkout.folder), "--prepare", f"{prepare}; chmod +x .venv/bin/tbot"]
    environment = {**os.environ, "ENCRYPTION_KEY": key}
    ended = subprocess.run([*command, str(target)], check=False, capture_output=True, text=True, env=environment)
    assert (ended.returncode == 0, (target / "current").exists()) == (switches, switches), ended.stderr
    assert switches or f"FAIL  {failed}" in ended.stderr


def test_a_release_is_sent_on_to_the_next_stage_as_it_was_tested(checkout, tmp_path):
    pushed(checkout, "--stage", "live", tmp_path / "live")
    live = tmp_path / "live" / "current"
    from_live = Checkout.__new__(Checkout)
    from_live.folder = live
    pushed(from_live, tmp_path / "prod")
    assert names_in(tmp_path / "prod" / "current") == ALWAYS
    assert in_force(tmp_path / "prod")[0] == in_force(tmp_path / "live")[0].removesuffix("-live")

    (live / "tbot_bot" / "code.py").write_text("spoiled")
    status, said = sync(from_live, tmp_path / "prod")
    assert (status, "is not what was released" in said) == (1, True)


def test_encrypted_settings_go_on_their_own(checkout, target, tmp_path):
    new = tmp_path / "new.enc"
    new.write_text("first")
    pushed(None, "--settings", new, target)
    new.write_text("second")
    pushed(None, "--settings", new, target)
    assert (target / "shared/.env_bot.enc").read_text() == "second"
    assert (target / "shared/.env_bot.enc.previous").read_text() == "first"
    assert (target / "shared/.env_bot.enc").stat().st_mode & 0o077 == 0
    plain = tmp_path / ".env_bot"
    plain.write_text("SECRET=changeme")
    status, said = sync(None, "--settings", plain, target)
    assert (status, "only encrypted settings" in said) == (1, True)
    assert_kept(target)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ([], "no target"),
        (["--stage", "moon", "/x"], "none of dev, live, prod"),
        (["--keep", "many", "/x"], "is no number"),
        (["--keep"], "needs a value"),
        (["--no-such", "/x"], "unknown option"),
        (["/x", "/y"], "more than one target"),
        (["-oProxyCommand=touch:x"], "unknown option"),
    ],
)
def test_a_mistake_on_the_command_line_is_told(words, what):
    status, said = sync(None, *words)
    assert status == 2
    assert what in said


def test_help_names_every_option():
    assert "--rollback" in pushed(None, "--help")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing(tmp_path):
    text = SCRIPT.read_text(encoding="utf-8")
    there = text.partition("cat <<'TARGET_PROGRAM'\n")[2].partition("\nTARGET_PROGRAM\n")[0]
    (tmp_path / "there.sh").write_text(f"#!/bin/sh\n{there}\n")
    subprocess.run(["shellcheck", SCRIPT, tmp_path / "there.sh"], check=True)


# --- over ssh


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def server(tmp_path):
    """Run an ssh server of our own on this machine, with keys made for this test, and return SYNC_SSH for it."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    lines = ["ListenAddress 127.0.0.1", f"Port {port}", f"HostKey {tmp_path}/host", f"PidFile {tmp_path}/pid"]
    lines += [f"AuthorizedKeysFile {tmp_path}/authorized", "StrictModes no", "PasswordAuthentication no", "UsePAM no"]
    (tmp_path / "sshd_config").write_text("\n".join(lines) + "\n")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it drops its privileges
    with subprocess.Popen([SSHD, "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 10
        while not answers(port):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o IdentitiesOnly=yes"
        yield f"ssh -F none -p {port} -i {tmp_path}/user {options}"
        running.terminate()


@pytest.mark.skipif(not SSHD or shutil.which("ssh") is None, reason="no ssh server is installed here")
@pytest.mark.parametrize("via", [pytest.param("tar", marks=pytest.mark.slow), "auto"])
def test_push_and_rollback_over_ssh(checkout, target, server, via):
    there = f"127.0.0.1:{target}"
    first = checkout.commit("print(1)\n")
    pushed(checkout, "--via", via, there, prepare="echo 'it''s here' > prepared", SYNC_SSH=server)
    assert (target / "current" / "prepared").read_text() == "its here\n"
    second = checkout.commit("print(2)\n")
    pushed(checkout, "--via", via, there, SYNC_SSH=server)
    assert in_force(target) == (second, "print(2)\n")
    pushed(None, "--rollback", there, SYNC_SSH=server)
    assert in_force(target) == (first, "print(1)\n")
    assert_kept(target)


def test_a_server_that_cannot_be_reached_is_a_failure_and_not_a_release(checkout):
    status, said = sync(checkout, "127.0.0.1:/nowhere", SYNC_SSH="false")
    assert status != 0
    assert "switched" not in said
