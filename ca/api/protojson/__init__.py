"""JSON to protobuf messages, in the dialect that Fulcio's clients rely on.

The rules are those of ProtoJSON (https://protobuf.dev/programming-guides/json/) as grpc-gateway serves them with
unknown fields discarded. A body in the plain form that clients send takes the fast way; whatever is not plain is
read to the letter, and told what is wrong with it and where.
"""

from __future__ import annotations

from ca.api.protojson.message import Field, Message, Values
from ca.api.protojson.plain import read_plain
from ca.api.protojson.reader import read

__all__ = ["Field", "Message", "Values", "decode"]


def decode(body: bytes, message: Message) -> Values:
    """Read the first JSON value of a body; what follows it does not matter. An empty body is an empty message.

    Raises MalformedRequest.
    """
    try:
        return read_plain(body, message)
    except ValueError:
        return read(body, message)
