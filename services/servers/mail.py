"""A mail server that keeps what it is sent in a Maildir."""

import sys
from collections.abc import Mapping
from pathlib import Path

from services.cache import Cache
from services.service import HOST, Command, Place, Service, asked


class Mail(Service):
    name = "mail"
    about = "aiosmtpd 1.4: SMTP, letters kept in a folder"

    def fetch(self, cache: Cache) -> Path:
        return cache.pypi("service-mail", compiled=True)

    def commands(self, at: Place) -> Mapping[str, Command]:
        argv = [sys.executable, "-m", "aiosmtpd", "--nosetuid", "--listen", f"{HOST}:{at.port}"]
        return {"main": Command([*argv, "--class", "aiosmtpd.handlers.Mailbox", str(at.data)], {"PYTHONPATH": str(at.software)})}

    def is_ready(self, at: Place) -> bool:
        return asked(at.port, b"QUIT\r\n").startswith(b"220")

    def addresses(self, at: Place) -> Mapping[str, str]:
        return {"url": f"smtp://{HOST}:{at.port}", "host": HOST, "port": str(at.port), "maildir": str(at.data)}


SERVICE = Mail()
