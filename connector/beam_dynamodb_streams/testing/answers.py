"""Answers and errors in the form of the service, and checks of a request's members."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

_DYNAMODB = "com.amazonaws.dynamodb.v20120810#"
_CORAL = "com.amazon.coral.service#"
_PREFIXES = {
    "ValidationException": "com.amazon.coral.validate#",
    "ThrottlingException": "com.amazon.coral.availability#",
    "ServiceUnavailable": "com.amazon.coral.availability#",
    "AccessDeniedException": _CORAL,
    "ExpiredTokenException": _CORAL,
    "MissingAuthenticationTokenException": _CORAL,
    "IncompleteSignatureException": _CORAL,
    "InvalidSignatureException": _CORAL,
    "SerializationException": _CORAL,
    "UnknownOperationException": _CORAL,
}


class Refusal(Exception):
    """An error answer: its code, its text and the HTTP status."""

    def __init__(self, code: str, text: str, status: int = 400) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.status = status

    def body(self) -> bytes:
        kind = f"{_PREFIXES.get(self.code, _DYNAMODB)}{self.code}"
        return msgspec.json.encode({"__type": kind, "message": self.text})


@dataclass(frozen=True, slots=True)
class Request:
    """One call: its target, the operation's name without the API's, the JSON body and the signature's headers."""

    target: str
    operation: str
    body: bytes
    authorization: str
    date: str

    @property
    def access_key(self) -> str:
        """The access key that signed the request."""
        return self.authorization.partition("Credential=")[2].partition("/")[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back. `cut` closes the connection in the middle of the body, `false_crc` sends a wrong checksum."""

    status: int
    body: bytes
    cut: bool = False
    false_crc: bool = False


def invalid(text: str) -> Refusal:
    return Refusal("ValidationException", text)


def not_found(what: str) -> Refusal:
    return Refusal("ResourceNotFoundException", f"Requested resource not found: {what}")


def constraint(value: object, name: str, rule: str) -> Refusal:
    """Return a ValidationException in the words of the service's request checks."""
    shown = "null" if value is None else f"'{value}'"
    where = f"Value {shown} at '{name}'"
    return invalid(f"1 validation error detected: {where} failed to satisfy constraint: Member must {rule}")


def parameters(body: bytes) -> dict[str, object]:
    """Return the members of a request's JSON object."""
    try:
        return msgspec.json.decode(body or b"{}", type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refusal("SerializationException", "the request body is not a JSON object") from None


def text(members: dict[str, object], name: str, *, least: int = 1, most: int = 2048) -> str | None:
    """Return a string member, or None if it is absent. Raises `Refusal` unless its length is legal."""
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refusal("SerializationException", f"{name} is not a string")
    field = name[0].lower() + name[1:]
    if len(value) < least:
        raise constraint(value, field, f"have length greater than or equal to {least}")
    if len(value) > most:
        raise constraint(value, field, f"have length less than or equal to {most}")
    return value


def needed(members: dict[str, object], name: str, *, least: int = 1, most: int = 2048) -> str:
    """Return a required string member. Raises `Refusal` if it is absent."""
    value = text(members, name, least=least, most=most)
    if value is None:
        raise constraint(None, name[0].lower() + name[1:], "not be null")
    return value


def limit(members: dict[str, object], most: int) -> int:
    """Return the member `Limit`, or `most` if it is absent. Raises `Refusal` if it is out of range."""
    value = members.get("Limit")
    if value is None:
        return most
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refusal("SerializationException", "Limit is not a number")
    if value < 1:
        raise constraint(value, "limit", "have value greater than or equal to 1")
    if value > most:
        raise constraint(value, "limit", f"have value less than or equal to {most}")
    return value
