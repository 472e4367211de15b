"""TLS for gRPC: reads the certificates, and tests them before the server or the client starts.

All files are PEM. gRPC reports a bad file late, and says little about it.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import NamedTuple

import grpc

PathLike = str | os.PathLike[str]


class TlsFiles(NamedTuple):
    """The TLS files of a server or a client: its own certificate, and the CA that it trusts."""

    cert: PathLike | None = None
    """The own certificate, followed by the intermediate ones up to its CA."""
    key: PathLike | None = None
    """The private key of that certificate."""
    ca: PathLike | None = None
    """The CA that must have signed the certificate of the other side."""

    def server_credentials(self) -> grpc.ServerCredentials | None:
        """The credentials of a server; None without TLS. Raises ValueError for a bad file.

        With a CA, clients must show a certificate, too.
        """
        if self.cert is None and self.key is None:
            if self.ca is not None:
                raise ValueError("tls_ca asks clients for certificates: give tls_cert and tls_key.")
            return None
        cert, key, ca = self._read()
        assert cert is not None
        assert key is not None
        return grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=ca is not None)

    def channel_credentials(self) -> grpc.ChannelCredentials | None:
        """The credentials of a client; None without TLS. Raises ValueError for a bad file.

        Without a CA, the client trusts the CAs that come with gRPC.
        """
        if self == NO_TLS:
            return None
        cert, key, ca = self._read()
        return grpc.ssl_channel_credentials(ca, key, cert)

    def _read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """The contents of the three files. Raises ValueError that names the bad file and why."""
        if (self.cert is None) != (self.key is None):
            raise ValueError("tls_cert and tls_key belong together: give both or none.")
        cert = _content("tls_cert", self.cert)
        key = _content("tls_key", self.key)
        ca = _content("tls_ca", self.ca)
        if self.ca is not None:
            try:
                ssl.create_default_context(cafile=self.ca)
            except ssl.SSLError:
                raise ValueError(f"tls_ca is not a PEM certificate: {self.ca}.") from None
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
    """Performs a TLS handshake in memory, with a client that trusts only this certificate."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(cert, key, password=_refuse_to_ask)
    except _Encrypted:
        raise ValueError(f"tls_key is encrypted: {key}. Give a key without a password.") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"tls_key does not belong to tls_cert: {key} to {cert}.") from None
        reason = (error.reason or "not in PEM").replace("_", " ").lower()
        raise ValueError(f"tls_cert or tls_key is not usable: {reason}: {cert}, {key}.") from None
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False  # the real client will check the name
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
                raise ValueError(f"tls_cert is not usable: {reason}: {cert}.") from None


class _Encrypted(Exception):
    pass


def _refuse_to_ask() -> str:
    raise _Encrypted
