"""Sealed settings: which file counts, where the key comes from, and what production does not put up with."""

import pytest

from tbot_bot.config.error_handler import ConfigError
from tbot_bot.config.security_bot import SealingKey, seal
from tbot_bot.config.settings import Draft, load_settings

KEY = SealingKey(bytes(range(32)))
OTHER = SealingKey(bytes(32))
BOT = b"# for this machine\nMAX_TRADES=2\nWEIGHTS=0.6,0.4\n"
PRODUCTION = "ENVIRONMENT=production\n"


@pytest.fixture
def home(tmp_path):
    return tmp_path


def write_env(home, text, mode=0o600):
    (home / ".env").write_text(text)
    (home / ".env").chmod(mode)


def write_sealed(home, text=BOT, key=KEY, name=".env_bot.enc"):
    (home / name).write_bytes(seal(text, key))


def complaints(home) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(home)
    return str(caught.value).splitlines()


def test_sealed_settings_are_read_in_both_environments(home):
    write_sealed(home)
    for environment in ("production", "development"):
        write_env(home, f"ENVIRONMENT={environment}\nENCRYPTION_KEY={KEY.text}\n")

        assert load_settings(home).bot.max_trades == 2
    assert sorted(path.name for path in home.iterdir()) == [".env", ".env_bot.enc"]


def test_a_problem_in_sealed_settings_has_its_line(home):
    write_env(home, f"{PRODUCTION}ENCRYPTION_KEY={KEY.text}\n")
    write_sealed(home, b"MAX_TRADES=2\nWEIGHTS=0.6,0.4\nMAX_TRADE=1\n")

    assert complaints(home) == [".env_bot.enc:3: MAX_TRADE: expected a known variable; did you mean MAX_TRADES?"]


# --- where the key comes from


def test_the_key_comes_from_systemd_then_the_environment_then_the_file(home, monkeypatch, tmp_path_factory):
    credentials = tmp_path_factory.mktemp("credentials")
    write_env(home, f"{PRODUCTION}ENCRYPTION_KEY={OTHER.text}\n")
    write_sealed(home, key=OTHER)
    assert load_settings(home).bot.max_trades == 2

    third = SealingKey(b"3" * 32)
    monkeypatch.setenv("ENCRYPTION_KEY", third.text)
    assert third.id in complaints(home)[0]
    write_sealed(home, key=third)
    assert load_settings(home).bot.max_trades == 2

    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert load_settings(home).bot.max_trades == 2  # there may be other credentials than this one
    (credentials / "encryption_key").write_text(f"{KEY.text}\n")
    assert KEY.id in complaints(home)[0]
    write_sealed(home, key=KEY)
    assert load_settings(home).bot.max_trades == 2


def test_the_older_name_of_the_key_is_accepted(home, monkeypatch):
    write_sealed(home)
    write_env(home, f"ENV_BOT_KEY={KEY.text}\n")
    assert load_settings(home).bot.max_trades == 2

    write_env(home, "")
    monkeypatch.setenv("ENV_BOT_KEY", KEY.text)
    assert load_settings(home).bot.max_trades == 2


@pytest.mark.parametrize("content", [b"", b"\n", b"changeme", b"\xff" * 44, b"A" * 2_000_000])
def test_a_credential_that_is_no_key_is_not_passed_over(home, monkeypatch, tmp_path_factory, content):
    credentials = tmp_path_factory.mktemp("credentials")
    (credentials / "encryption_key").write_bytes(content)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    write_env(home, f"ENCRYPTION_KEY={KEY.text}\n")  # would open it
    write_sealed(home)

    said = complaints(home)

    assert any(line.startswith("$CREDENTIALS_DIRECTORY/encryption_key: ") for line in said)
    assert not any("changeme" in line or KEY.text in line for line in said)


def test_a_wrong_key_form_is_one_problem_not_two(home):
    write_env(home, f"{PRODUCTION}ENCRYPTION_KEY=changeme\n")
    write_sealed(home)

    said = complaints(home)

    assert len(said) == 1
    assert said[0].startswith(".env:2: ENCRYPTION_KEY='********': expected nothing, or 32 bytes")


def test_a_missing_key_is_named(home):
    write_env(home, PRODUCTION)
    write_sealed(home)

    (said,) = complaints(home)

    assert said.startswith(f".env_bot.enc: expected the key that opens it (the one whose id is {KEY.id})")
    assert "CREDENTIALS_DIRECTORY" in said


def test_a_changed_file_and_a_wrong_key_say_so(home):
    write_env(home, f"{PRODUCTION}ENCRYPTION_KEY={KEY.text}\n")
    sealed = bytearray(seal(BOT, KEY))
    sealed[-1] ^= 1
    (home / ".env_bot.enc").write_bytes(sealed)
    assert "tampered or wrong key" in complaints(home)[0]

    write_sealed(home, key=OTHER)
    assert f"it names the key {OTHER.id}, the one at hand is {KEY.id}" in complaints(home)[0]

    (home / ".env_bot.enc").write_bytes(b"")
    assert "tampered or wrong key" in complaints(home)[0]


# --- production


def test_production_reads_no_plaintext(home):
    write_env(home, f"{PRODUCTION}ENCRYPTION_KEY={KEY.text}\n")
    assert complaints(home)[0].startswith(".env_bot.enc: expected this file to exist; `tbot config encrypt`")

    (home / ".env_bot").write_bytes(BOT)
    (said,) = complaints(home)
    assert said.startswith(".env_bot: expected no plaintext settings where ENVIRONMENT=production")
    assert said.endswith("`tbot config encrypt` seals it and removes it")

    write_sealed(home)
    (said,) = complaints(home)
    assert said.endswith("rm .env_bot")

    (home / ".env_bot").unlink()
    assert load_settings(home).bot.max_trades == 2


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_production_wants_secrets_from_nobody_elses_eyes(home, mode):
    write_env(home, f"{PRODUCTION}ENCRYPTION_KEY={KEY.text}\n", mode)
    write_sealed(home)

    (said,) = complaints(home)

    assert said == (
        ".env: expected a file that only its owner may read where ENVIRONMENT=production, "
        f"not mode {mode:04o}; chmod 600 .env"
    )


def test_all_that_production_objects_to_is_said_at_once(home):
    write_env(home, f"{PRODUCTION}ENCRYPTION_KEY={KEY.text}\nLOCAL_PRT=1\n", 0o644)
    (home / ".env_bot").write_bytes(BOT)
    write_sealed(home, b"MAX_TRADES=0\n")

    said = complaints(home)

    assert [line.split(":")[0] for line in said] == [".env", ".env", ".env_bot", ".env_bot.enc"]


def test_in_development_the_sealed_file_goes_first_and_a_warning_says_so(home):
    write_env(home, f"ENCRYPTION_KEY={KEY.text}\n")
    (home / ".env_bot").write_text("MAX_TRADES=1\nWEIGHTS=1\n")
    assert load_settings(home).warnings == ()
    write_sealed(home)

    settings = load_settings(home)

    assert settings.bot.max_trades == 2
    assert len(settings.warnings) == 1
    assert settings.warnings[0].startswith(".env_bot is not read: .env_bot.enc goes before it")


# --- a change of keys that was cut off, and drafts


def test_settings_sealed_with_the_next_key_count_once_it_is_at_hand(home):
    write_sealed(home, key=KEY)
    write_sealed(home, BOT.replace(b"0.6,0.4", b"0.5,0.5"), OTHER, ".env_bot.enc.next")

    write_env(home, f"{PRODUCTION}ENCRYPTION_KEY={KEY.text}\n")
    before = load_settings(home)
    write_env(home, f"{PRODUCTION}ENCRYPTION_KEY={OTHER.text}\n")
    after = load_settings(home)

    assert str(before.bot.weights[0]) == "0.6"
    assert before.warnings == ()
    assert str(after.bot.weights[0]) == "0.5"
    assert "tbot config rotate --finish" in after.warnings[0]


def test_a_draft_is_judged_in_place_of_its_file(home):
    write_env(home, f"{PRODUCTION}ENCRYPTION_KEY={KEY.text}\n")

    settings = load_settings(home, draft=Draft(section=".env_bot", text=BOT))

    assert settings.bot.max_trades == 2
    with pytest.raises(ConfigError, match=r"\.env_bot:1: MAX_TRADES"):
        load_settings(home, draft=Draft(section=".env_bot", text=b"MAX_TRADES=0\n"))
    with pytest.raises(ConfigError, match=r"\.env:1: LOCAL_PORT"):
        load_settings(home, draft=Draft(section=".env", text=b"LOCAL_PORT=0\n"), defaults_if_absent=True)
