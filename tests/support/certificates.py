"""Certificates made for a test, as files."""

import datetime
from pathlib import Path
from typing import NamedTuple

import trustme


class Certificate(NamedTuple):
    """The files of a certificate and its key."""

    cert: Path
    key: Path


class Authority:
    """A CA, with its certificate in the file `ca`."""

    def __init__(self, folder: Path, name: str = "ours") -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self._name = name
        self.ca = folder / f"{name}-ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))

    def issue(self, *names: str, expired: bool = False) -> Certificate:
        """Makes a certificate for host names, addresses, or the name of a client."""
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        issued = self._ca.issue_cert(*names, not_after=yesterday if expired else None)
        stem = f"{self._name}-{names[0]}{'-expired' if expired else ''}"
        files = Certificate(self._folder / f"{stem}.pem", self._folder / f"{stem}.key")
        issued.private_key_pem.write_to_path(str(files.key))
        with files.cert.open("wb") as file:
            for part in issued.cert_chain_pems:
                file.write(part.bytes())
        return files
