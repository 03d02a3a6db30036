"""Shared keys (RFC 4895 section 6.1): secrets that both ends know, with an identifier each."""

from __future__ import annotations


class SharedKeys:
    """The shared keys of an endpoint or an association, of which one is used for sending.

    It never changes: what changes a key returns another one.  Secrets are not shown.

    Attributes:
      active: The identifier of the key that AUTH chunks are made with.
    """

    __slots__ = ("_deactivated", "_secrets", "active")

    def __init__(
        self, secrets: dict[int, bytes], active: int = 0, deactivated: frozenset[int] = frozenset()
    ) -> None:
        self._secrets: dict[int, bytes] = secrets
        self._deactivated: frozenset[int] = deactivated
        self.active: int = active

    def __repr__(self) -> str:
        return f"<shared keys {sorted(self._secrets)}>"

    def secret(self, key: int) -> bytes | None:
        """Return the secret of a key; None if there is no such key."""
        return self._secrets.get(key)

    def set(self, key: int, secret: bytes) -> SharedKeys:
        """Add a key, or put another one in its place, which is not deactivated."""
        return SharedKeys({**self._secrets, key: secret}, self.active, self._deactivated - {key})

    def activate(self, key: int) -> SharedKeys:
        """Use a key for sending; raise ValueError if that cannot be."""
        if key not in self._secrets:
            raise ValueError(f"there is no shared key {key}")
        if key in self._deactivated:
            raise ValueError(f"the shared key {key} was deactivated")
        return SharedKeys(self._secrets, key, self._deactivated)

    def deactivate(self, key: int) -> SharedKeys:
        """Never use a key for sending again; raise ValueError if that cannot be."""
        self._check_not_active(key, "deactivated")
        return SharedKeys(self._secrets, self.active, self._deactivated | {key})

    def delete(self, key: int) -> SharedKeys:
        """Forget a key; raise ValueError if that cannot be."""
        self._check_not_active(key, "deleted")
        rest = {other: secret for other, secret in self._secrets.items() if other != key}
        return SharedKeys(rest, self.active, self._deactivated - {key})

    def _check_not_active(self, key: int, what: str) -> None:
        if key not in self._secrets:
            raise ValueError(f"there is no shared key {key}")
        if key == self.active:
            raise ValueError(f"the shared key {key} is the active one, which cannot be {what}")


EMPTY_KEY = SharedKeys({0: b""})
"""What an endpoint has that was given none (section 6.2)."""
