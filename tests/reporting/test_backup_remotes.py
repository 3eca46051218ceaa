"""Copies elsewhere: folders that fail, an S3-compatible server, a real sshd; checked there, sent again, thinned out."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from tbot_bot.config.error_handler import ConfigError
from tbot_bot.reporting.auto_backup import make_backup, newest_good, replicate
from tbot_bot.reporting.backup_archive import read_archive
from tbot_bot.reporting.backup_drill import drill
from tbot_bot.reporting.backup_errors import BackupError
from tbot_bot.reporting.backup_remotes import FolderRemote, address_of, remote_of
from tests.support.backup_home import KEY, Clock, hidden, killed_at, room_for, visible, write_records

SSHD = shutil.which("sshd") or ("/usr/sbin/sshd" if Path("/usr/sbin/sshd").exists() else None)
needs_ssh = pytest.mark.skipif(
    SSHD is None or shutil.which("sftp") is None or shutil.which("ssh-keygen") is None,
    reason="OpenSSH's sshd, sftp and ssh-keygen are not all on this machine",
)
PATIENCE_SECONDS = 60


@pytest.fixture
def records(tmp_path):
    return write_records(tmp_path / "home")


@pytest.fixture
def clock():
    return Clock()


def room_with(records, clock, *texts, **changes):
    addresses = [address_of(text, "BACKUP_REMOTE") for text in texts]
    remotes = tuple(remote_of(address, records.home, records.backups) for address in addresses)
    return room_for(records, clock, remotes=remotes, **changes)


def lives_through_a_whole_life(room, clock, shown):
    """Send, find, lose, send again, thin out, drill; the same for every kind of remote."""
    (remote,) = room.remotes
    first = make_backup(room)
    assert replicate(room).sent == (f"{first.name} -> {remote.shown}",)
    assert remote.sizes() == {str(first.name): first.bytes}
    assert room.shelf.entry(first.name).card.copies == (remote.shown,)
    assert replicate(room).sent == ()

    remote.remove(str(first.name))
    remote.remove(str(first.name))
    assert replicate(room).sent == (f"{first.name} -> {remote.shown}",)

    fetched = room.records.home / "fetched"
    remote.get(str(first.name), fetched)
    assert fetched.read_bytes() == first.path.read_bytes()

    held = drill(room, lambda: 0.0)
    assert (held.ok, held.source, held.backup) == (True, remote.shown, str(first.name))

    clock.days(40)
    second = make_backup(room)
    done = replicate(room)
    assert set(done.removed) == {f"{first.name} at {remote.shown}", str(first.name)}
    assert set(remote.sizes()) == {str(second.name)}
    assert visible(room.shelf.folder) == [str(second.name), f"{second.name}.json"]
    assert hidden(room.shelf.folder) == []
    assert remote.shown == shown


def test_a_folder_gets_copies_that_are_checked_there(records, clock, tmp_path):
    (tmp_path / "disk").mkdir()
    text = str(tmp_path / "disk")
    lives_through_a_whole_life(room_with(records, clock, text), clock, f"BACKUP_REMOTE ({text})")


def test_a_folder_that_is_not_there_is_told_and_not_made_and_the_other_gets_its_copy(records, clock, tmp_path):
    (tmp_path / "second").mkdir()
    room = room_with(records, clock, str(tmp_path / "gone"), str(tmp_path / "second"))
    made = make_backup(room)
    done = replicate(room)

    assert len(done.failures) == 1
    assert "the folder is not there. Mount its disk" in done.failures[0]
    assert not (tmp_path / "gone").exists()
    assert visible(tmp_path / "second") == [str(made.name)]


def test_a_folder_that_vanishes_keeps_nothing_from_going_nor_lets_the_last_go(records, clock, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    room = room_with(records, clock, str(disk))
    make_backup(room)
    replicate(room)
    disk.rename(tmp_path / "unplugged")
    clock.days(40)
    newest = make_backup(room)
    assert replicate(room).failures
    kept = newest_good(room)
    assert kept is not None
    assert kept.name == newest.name

    (tmp_path / "unplugged").rename(disk)
    assert replicate(room).failures == ()
    assert visible(disk) == [str(newest.name)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into a folder without rights")
def test_a_read_only_folder_is_told(records, clock, tmp_path):
    (tmp_path / "disk").mkdir(mode=0o500)
    room = room_with(records, clock, str(tmp_path / "disk"))
    make_backup(room)

    assert "cannot be used (Permission denied)" in replicate(room).failures[0]


def test_a_full_disk_leaves_no_half_copy(records, clock, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    room = room_with(records, clock, str(disk))
    made = make_backup(room)
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from tbot_bot.reporting.backup_remotes import FolderRemote\n"
        "from tbot_bot.reporting.backup_errors import BackupError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    FolderRemote(Path(sys.argv[1]), 'it').put(Path(sys.argv[2]), 'x', '')\n"
        "except BackupError as error:\n    print(error)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(disk), str(made.path)], capture_output=True, text=True, check=True
    )

    assert "it: cannot be used (File too large)" in told.stdout
    assert list(disk.iterdir()) == []


def test_a_copy_that_is_not_what_was_sent_is_refused(records, clock, tmp_path):
    (tmp_path / "disk").mkdir()
    made = make_backup(room_with(records, clock))

    with pytest.raises(BackupError, match="not what was sent"):
        FolderRemote(tmp_path / "disk", "it").put(made.path, str(made.name), "0" * 64)
    assert list((tmp_path / "disk").iterdir()) == []


def test_a_kill_at_any_step_of_copying_leaves_no_half_copy_under_a_good_name(records, clock, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    room = room_with(records, clock, str(disk))
    made = make_backup(room)
    for step in range(1, 40):
        killed = killed_at(step, lambda: replicate(room))
        if (disk / str(made.name)).exists():
            read_archive(disk / str(made.name), KEY)
        assert replicate(room).failures == ()
        assert [path.name for path in disk.iterdir()] == [str(made.name)]
        if not killed:
            assert step > 3
            return
        room.remotes[0].remove(str(made.name))
    pytest.fail("it never ends")


# --- addresses


@pytest.mark.parametrize(
    "text",
    ["ftp://host/x", "s3://", "s3://bucket?what=1", "s3://bucket?endpoint=http://far.example.com", "sftp:///x",
     "sftp://me:hunter22@host/x", "sftp://host:notaport/x", "s3://bucket?endpoint"],
)  # fmt: skip
def test_an_address_that_cannot_be_is_refused_without_a_word_of_it(text):
    with pytest.raises(ConfigError, match="BACKUP_REMOTE_SECOND") as refused:
        address_of(text, "BACKUP_REMOTE_SECOND")
    assert "hunter22" not in str(refused.value)


def test_credentials_are_taken_apart_and_never_shown():
    address = address_of(
        "s3://AKIA%2F1:p%40ss%2Fw0rd@bucket/a/b?endpoint=https://s3.test:9000&region=x", "BACKUP_REMOTE"
    )

    assert (address.host, address.path, address.user, address.password) == ("bucket", "/a/b", "AKIA/1", "p@ss/w0rd")
    assert (address.option("endpoint"), address.option("region")) == ("https://s3.test:9000", "x")
    assert address.shown == "BACKUP_REMOTE (s3://bucket/a/b)"
    assert "p@ss" not in repr(address)


# --- S3


@pytest.fixture(scope="module")
def s3_port():
    """Start a server of S3's interface on loopback, in a process of its own."""
    pytest.importorskip("boto3", reason="the extra s3 is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"
    words = [sys.executable, "-W", "ignore", "-c", program, str(port)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            until_it_listens(port, server)
            yield port
        finally:
            server.kill()


def until_it_listens(port, server):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert server.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def bucket(s3_port):
    import boto3  # noqa: PLC0415 - only where it is needed

    name = f"backups-{time.monotonic_ns()}"
    endpoint = f"http://127.0.0.1:{s3_port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    client.create_bucket(Bucket=name)
    yield name, f"?endpoint={quote(endpoint, safe='')}&region=us-east-1"
    client.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore")
def test_s3_compatible_storage_gets_copies_that_are_checked_there(records, clock, bucket):
    name, query = bucket
    text = f"s3://changeme:hunter22@{name}/bot/one{query}"
    lives_through_a_whole_life(room_with(records, clock, text), clock, f"BACKUP_REMOTE (s3://{name}/bot/one)")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore")
def test_storage_that_refuses_or_is_away_is_told_without_its_credentials(records, clock, s3_port):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        away = closed.getsockname()[1]
        texts = [f"s3://changeme:hunter22@nobody/x?endpoint=http://127.0.0.1:{port}" for port in (s3_port, away)]
        room = room_with(records, clock, *(f"{text}&region=us-east-1" for text in texts))
        make_backup(room)
        refused, unreachable = replicate(room).failures

    assert "NoSuchBucket" in refused
    assert "Could not connect" in unreachable
    assert "hunter22" not in refused + unreachable


# --- SFTP


@pytest.fixture
def ssh(tmp_path):
    """Start sshd on loopback with a host key and one login key of its own; return the address and its parts."""
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "login", "stranger"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(words, check=True, timeout=PATIENCE_SECONDS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "authorized").write_bytes((folder / "login.pub").read_bytes())
    host = " ".join((folder / "host.pub").read_text().split()[:2])
    other = " ".join((folder / "stranger.pub").read_text().split()[:2])
    (folder / "known").write_text(f"[127.0.0.1]:{port} {host}\n")
    (folder / "wrong").write_text(f"[127.0.0.1]:{port} {other}\n")
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"PidFile {folder}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        "KbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where root's sshd parts its rights
    (tmp_path / "far away").mkdir()
    command = [str(SSHD), "-D", "-e", "-f", str(folder / "config")]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as server:
        try:
            until_it_listens(port, server)
            yield port, folder, tmp_path / "far away"
        finally:
            server.kill()


def sftp_text(ssh, known="known", identity="login"):
    port, folder, far = ssh
    options = f"identity={quote(str(folder / identity))}&known_hosts={quote(str(folder / known))}"
    return f"sftp://{getpass.getuser()}@127.0.0.1:{port}{quote(str(far))}?{options}"


@needs_ssh
def test_sftp_gets_copies_that_are_checked_there(records, clock, ssh):
    text = sftp_text(ssh)
    shown = f"BACKUP_REMOTE ({text.partition('?')[0].replace(getpass.getuser() + '@', '')})"
    lives_through_a_whole_life(room_with(records, clock, text), clock, shown)
    assert [path.name for path in ssh[2].iterdir() if path.name.startswith(".")] == []


@needs_ssh
@pytest.mark.parametrize(
    ("known", "identity", "said"),
    [
        ("wrong", "login", "Host key verification failed"),
        ("none", "login", "Host key verification failed"),
        ("known", "stranger", "Permission denied"),
    ],
)
def test_a_strange_host_or_a_strange_key_gets_nothing(records, clock, ssh, known, identity, said):
    (ssh[1] / "none").write_text("")
    room = room_with(records, clock, sftp_text(ssh, known, identity))
    make_backup(room)

    (failure,) = replicate(room).failures
    assert said in failure
    assert list(ssh[2].iterdir()) == []


@needs_ssh
def test_a_folder_that_is_not_there_at_the_other_machine_is_told(records, clock, ssh):
    ssh[2].rmdir()
    room = room_with(records, clock, sftp_text(ssh))
    make_backup(room)

    assert "sftp failed" in replicate(room).failures[0]
    assert not ssh[2].exists()
