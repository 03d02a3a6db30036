"""Names and services whose meaning a test decides."""

from __future__ import annotations

import socket
from typing import Any

import trio


class Resolver(trio.abc.HostnameResolver):
    """Answers for names that end in .test, and for services whose numbers a test gives."""

    def __init__(self) -> None:
        self.hosts: dict[str, list[str]] = {}
        self.services: dict[tuple[str, int], int] = {}
        self.asked: list[object] = []
        self.blocks = False

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        self.asked.append(host or port)
        if self.blocks:
            await trio.sleep_forever()
        if host is None:
            assert isinstance(port, (str, bytes))
            name = port if isinstance(port, str) else port.decode()
            if (name, proto) not in self.services:
                raise socket.gaierror(socket.EAI_SERVICE, "no such service")
            return [(socket.AF_INET, type, proto, "", ("0.0.0.0", self.services[name, proto]))]
        found = self.hosts.get(host.decode())
        if found is None:
            raise socket.gaierror(socket.EAI_NONAME, "no such host")
        return [
            (socket.AF_INET6, type, proto, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, type, proto, "", (address, port))
            for address in found
        ]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise AssertionError("nobody asks for names")
