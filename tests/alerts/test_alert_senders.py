"""Channels against real servers on loopback that take, refuse, hang, ask to wait, and come back."""

import ssl
import subprocess
import time
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tbot_bot.config.env import EnvSettings
from tbot_bot.reporting.alert_senders import (
    ChannelFailed,
    Letter,
    MailChannel,
    SlackChannel,
    UrlChannel,
    channels_of,
    ping,
)
from tests.support.post_office import MailServer, body, free_port

LETTER = Letter(id="paper-7-abc", subject="a <title>", text="10 < 20 & more", images={})


def mail(port: int, *, user: str = "", password: str = "", timeout: float = 5.0) -> MailChannel:
    return MailChannel(
        host="127.0.0.1", port=port, user=user, password=password, recipient="owner@example.test", timeout=timeout
    )


async def failure(channel: MailChannel | SlackChannel | UrlChannel) -> ChannelFailed:
    """Return what `channel` says, which must not take the letter."""
    with pytest.raises(ChannelFailed) as caught:
        await channel.send(LETTER)
    return caught.value


# --- mail ------------------------------------------------------------------------------------------------------------


async def test_a_mail_arrives_with_a_stable_id_its_page_and_its_picture() -> None:
    letter = Letter(
        id="paper-7-abc", subject="day", text="plain", html='<img src="cid:equity">', images={"equity": b"PNG"}
    )
    with MailServer() as server:
        await mail(server.port).send(letter)
    (got,) = server.mails
    assert (got["Message-ID"], got["To"], got["Subject"]) == ("<paper-7-abc@tbot.invalid>", "owner@example.test", "day")
    assert body(got).strip() == "plain"
    page = got.get_body(("related", "html"))
    assert page is not None
    assert [part.get("Content-ID") for part in got.walk() if part.get_content_type() == "image/png"] == ["<equity>"]


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")  # of the server
async def test_a_wrong_password_is_named_and_counts_as_a_refusal() -> None:
    with MailServer(login=("bot@example.test", "right-password")) as server:
        await mail(server.port, user="bot@example.test", password="right-password").send(LETTER)
        failed = await failure(mail(server.port, user="bot@example.test", password="wrong-password"))
    assert "refuses the login: 535" in str(failed)
    assert "SMTP_USER and SMTP_PASS" in str(failed)
    assert "wrong-password" not in str(failed)
    assert failed.refused
    assert [got["From"] for got in server.mails] == ["bot@example.test"]


@pytest.mark.parametrize(("answer", "refused"), [("451 try later", False), ("552 mailbox full", True)])
async def test_what_the_mail_server_says_decides_whether_the_same_again_makes_sense(
    answer: str, *, refused: bool
) -> None:
    with MailServer() as server:
        server.answer = answer
        failed = await failure(mail(server.port))
        assert answer in str(failed)
        assert failed.refused is refused
        server.answer = "250 OK"
        await mail(server.port).send(LETTER)
    assert len(server.mails) == 1


async def test_a_mail_server_that_hangs_or_is_not_there_is_given_up_in_time() -> None:
    with MailServer() as server:
        server.hang.set()
        began = time.monotonic()
        failed = await failure(mail(server.port, timeout=0.5))
        assert time.monotonic() - began < 5
        assert "did not answer within 0.5 s" in str(failed)
        assert not failed.refused
    assert f"127.0.0.1:{server.port}" in str(await failure(mail(server.port)))


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Return a certificate of this machine that nobody has signed, and its key."""
    key, made = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", made],
        check=True, capture_output=True,
    )  # fmt: skip
    return made, key


async def test_mail_goes_over_tls_where_the_server_offers_it_and_a_certificate_of_nobody_is_refused(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    with MailServer(tls=tls) as server:
        failed = await failure(mail(server.port))
        assert "CERTIFICATE_VERIFY_FAILED" in str(failed)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        await mail(server.port).send(LETTER)
    assert len(server.mails) == 1


# --- Slack and addresses ---------------------------------------------------------------------------------------------


async def test_slack_gets_the_text_quoted_and_the_id(httpserver: HTTPServer) -> None:
    httpserver.expect_oneshot_request("/services/T/B/x", method="POST").respond_with_data("ok")
    await SlackChannel(url=httpserver.url_for("/services/T/B/x")).send(LETTER)
    ((request, _),) = httpserver.log
    told = request.get_json()["text"]
    assert "10 &lt; 20 &amp; more" in told
    assert "paper-7-abc" in told


@pytest.mark.parametrize(
    ("status", "refused", "wait"),
    [(429, False, 17), (503, False, None), (404, True, None), (403, True, None), (500, False, None)],
)
async def test_each_status_says_whether_to_try_again_and_when(
    httpserver: HTTPServer, status: int, *, refused: bool, wait: int | None
) -> None:
    headers = {"Retry-After": str(wait)} if wait else {}
    httpserver.expect_request("/hook-secret-path").respond_with_data("no_service", status=status, headers=headers)
    failed = await failure(SlackChannel(url=httpserver.url_for("/hook-secret-path")))
    assert f"Slack answers {status} no_service" in str(failed)
    assert "hook-secret-path" not in str(failed)
    assert failed.refused is refused
    assert failed.wait == (None if wait is None else wait * 10**9)


async def test_an_endpoint_that_hangs_is_given_up_and_one_that_is_gone_names_no_address(httpserver: HTTPServer) -> None:
    def hang(_: Request) -> Response:
        time.sleep(1)
        return Response("late")

    httpserver.expect_request("/hook").respond_with_handler(hang)
    failed = await failure(SlackChannel(url=httpserver.url_for("/hook"), timeout=0.2))
    assert "did not answer within" in str(failed) or "Timeout" in str(failed)
    gone = await failure(SlackChannel(url=f"http://127.0.0.1:{free_port()}/secret-path"))
    assert str(gone) == "Slack: ConnectError"


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # of apprise
async def test_a_service_by_url_is_told_through_apprise(httpserver: HTTPServer) -> None:
    httpserver.expect_oneshot_request("/notify", method="POST").respond_with_data("ok")
    where = f"json://127.0.0.1:{httpserver.port}/notify"
    await UrlChannel(url=where, name="json-1").send(LETTER)
    (request,) = [one for one, _ in httpserver.log if one.path == "/notify"]
    assert request.get_json()["message"] == "10 < 20 & more"
    httpserver.expect_request("/broken").respond_with_data("no", status=500)
    failed = await failure(UrlChannel(url=f"json://127.0.0.1:{httpserver.port}/broken", name="json-2"))
    assert str(failed).startswith("json-2: ")
    unknown = await failure(UrlChannel(url="nosuch://x/y", name="nosuch-1"))
    assert "apprise knows no such service" in str(unknown)
    assert unknown.refused


async def test_a_dead_man_address_is_visited(httpserver: HTTPServer) -> None:
    httpserver.expect_oneshot_request("/ping", method="GET").respond_with_data("ok")
    await ping(httpserver.url_for("/ping"))
    with pytest.raises(ChannelFailed):
        await ping(httpserver.url_for("/ping"))


def test_the_settings_name_the_channels_without_their_secrets() -> None:
    env = EnvSettings.model_validate(
        {
            "smtp_host": "mail.example.test", "alert_email": "a@example.test", "smtp_user": "bot",
            "slack_webhook_url": "https://hooks.example.test/abcdef",
            "alert_urls": "ntfy://topic-secret,ping+https://hc.example.test/uuid",
        }
    )  # fmt: skip
    found = channels_of(env)
    assert found.names[:2] == ("mail", "slack")
    assert found.names[2].startswith("ntfy-")
    assert "secret" not in "".join(found.names)
    assert found.pings == ("https://hc.example.test/uuid",)
    assert found.missing == ("mail without login: SMTP_USER and SMTP_PASS belong together",)
