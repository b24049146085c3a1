"""Whose state a call may see. The values are secrets: nothing here prints them."""

from __future__ import annotations

from .protocol import IsolationModel


class Secret:
    """Text that cannot be printed, logged or formatted by accident.

    >>> print(cupola.Secret("tenant-acme"), [cupola.Secret("tenant-acme")])
    [redacted] [[redacted]]
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | Secret) -> None:
        self._value: str = value._value if isinstance(value, Secret) else value

    def reveal(self) -> str:
        """The text itself."""
        return self._value

    def __repr__(self) -> str:
        return "[redacted]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not written anywhere")


class Isolation:
    """Keys of container protocol 1.0.0, the identity of 2.0.0, or a local label. None at all means the caller's own.

    >>> isolation = cupola.Isolation(user_key="tenant-acme", chat="support")
    >>> isolation
    Isolation(chat=[redacted], user_key=[redacted])
    >>> acme = client.using(isolation=isolation)
    >>> acme.invoke("remember we are acme").text()
    'Remembered: we are acme'
    """

    __slots__ = ("_fields", "_model")

    def __init__(
        self,
        *,
        user_key: str | Secret | None = None,
        chat_key: str | Secret | None = None,
        ownership_key: str | Secret | None = None,
        user_identity: str | Secret | None = None,
        chat: str | Secret | None = None,
        model: IsolationModel | None = None,
    ) -> None:
        """`user_key` partitions by user (`x-agent-user-isolation-key`), `chat_key` by chat
        (`x-agent-chat-isolation-key`), `ownership_key` says who may delete a session (`x-session-isolation-key`),
        `user_identity` is the delegated end user (`x-ms-user-identity`), `chat` a label that is never sent, and `model`
        forces how the agent isolates."""
        fields = {
            "chat": chat,
            "chatKey": chat_key,
            "ownershipKey": ownership_key,
            "userIdentity": user_identity,
            "userKey": user_key,
        }
        self._fields = {name: Secret(value) for name, value in fields.items() if value is not None}
        self._model = model

    def _wire(self) -> dict[str, str]:
        """As it travels."""
        fields = {name: value.reveal() for name, value in self._fields.items()}
        return {**fields, "model": self._model} if self._model else fields

    def __repr__(self) -> str:
        shown = [f"{_snake(name)}={value!r}" for name, value in self._fields.items()]
        return f"Isolation({', '.join([*shown, *([f'model={self._model!r}'] if self._model else [])])})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Isolation) and (other._fields, other._model) == (self._fields, self._model)

    def __hash__(self) -> int:
        return hash((frozenset(self._fields.items()), self._model))


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
