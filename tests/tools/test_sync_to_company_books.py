"""The build document's name for `tbot ledger push`."""

import subprocess
import sys


def test_it_is_the_push_with_its_words_and_exit_status(tmp_path):
    words = [sys.executable, "tools/sync_to_company_books.py"]
    shown = subprocess.run([*words, "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert "MANAGER_URL" in shown.stdout
    told = subprocess.run(
        [*words, "--mapping", str(tmp_path / "map")],
        env={"TBOT_HOME": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert told.returncode == 2
    assert "MANAGER_API_KEY" in told.stderr
