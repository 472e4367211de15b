"""TLS for gRPC: certificates read and tried before anybody depends on them.

All files are PEM. gRPC itself says little about a bad one, and says it late.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import NamedTuple

import grpc

PathLike = str | os.PathLike[str]


class TlsFiles(NamedTuple):
    """Who we are, and whom we trust."""

    cert: PathLike | None = None
    """Our certificate, and those that lead from it to its CA."""
    key: PathLike | None = None
    """The key that belongs to it."""
    ca: PathLike | None = None
    """The CA that must have signed the other side's certificate."""

    def server_credentials(self) -> grpc.ServerCredentials | None:
        """None without TLS. With a CA a client must show a certificate, too."""
        if self.cert is None and self.key is None:
            if self.ca is not None:
                raise ValueError("tls_ca asks clients for certificates: give tls_cert and tls_key.")
            return None
        cert, key, ca = self._read()
        assert cert is not None
        assert key is not None
        return grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=ca is not None)

    def channel_credentials(self) -> grpc.ChannelCredentials | None:
        """None without TLS. Without a CA of its own it trusts those that gRPC brings along."""
        if self == NO_TLS:
            return None
        cert, key, ca = self._read()
        return grpc.ssl_channel_credentials(ca, key, cert)

    def _read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Raises ValueError that says which file is wrong, and how."""
        if (self.cert is None) != (self.key is None):
            raise ValueError("tls_cert and tls_key belong together: give both or none.")
        cert = _content("tls_cert", self.cert)
        key = _content("tls_key", self.key)
        ca = _content("tls_ca", self.ca)
        if self.ca is not None:
            try:
                ssl.create_default_context(cafile=self.ca)
            except ssl.SSLError:
                raise ValueError(f"tls_ca is no certificate in PEM: {self.ca}.") from None
        if self.cert is not None and self.key is not None:
            _try(self.cert, self.key)
        return cert, key, ca


NO_TLS = TlsFiles()


def _content(name: str, path: PathLike | None) -> bytes | None:
    try:
        return None if path is None else Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {path}: {error.strerror}.") from None


def _try(cert: PathLike, key: PathLike) -> None:
    """Has the certificate and the key shake hands with a client that trusts just them."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(cert, key, password=_refuse_to_ask)
    except _Encrypted:
        raise ValueError(f"tls_key is encrypted: {key}; nobody is there to type it in.") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"tls_key does not belong to tls_cert: {key} to {cert}.") from None
        reason = (error.reason or "not in PEM").replace("_", " ").lower()
        raise ValueError(f"tls_cert or tls_key is of no use: {reason}: {cert}, {key}.") from None
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False  # that is for who connects to judge
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cert)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while sides:
        for side in list(sides):
            try:
                side.do_handshake()
                sides.remove(side)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                reason = error.verify_message.rstrip(".")
                raise ValueError(f"tls_cert is of no use: {reason}: {cert}.") from None


class _Encrypted(Exception):
    pass


def _refuse_to_ask() -> str:
    raise _Encrypted
