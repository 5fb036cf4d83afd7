"""Who may do what with topics of a real Kafka whose broker asks an authorizer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

AUTHORIZER: Final = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
"""Properties of a broker that lets everybody do everything until told otherwise."""
# Numbers of Kafka's protocol (org.apache.kafka.common.acl and .resource).
_TOPIC, _PREFIXED = 2, 4
_ALL = 2
_DENY, _ALLOW = 2, 3
_EVERYBODY, _EVERYWHERE = "User:*", "*"


class Right(IntEnum):
    """What an account may do with a topic, by its number in Kafka's protocol."""

    READ = 3
    WRITE = 4


@asynccontextmanager
async def denied(address: str, prefix: str, right: Right) -> AsyncIterator[None]:
    """Meanwhile nobody has this right on topics of this prefix; all else stays allowed."""
    rights = [(_ALL, _ALLOW), (right, _DENY)]
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        for operation, permission in rights:
            given = CreateAclsRequest(_TOPIC, prefix, _PREFIXED, _EVERYBODY, _EVERYWHERE, operation, permission)
            answer = await admin._send_to_controller(given)
            assert [code for code, _ in answer.creation_responses] == [0], answer
        yield
        for operation, permission in rights:
            taken = DeleteAclsRequest(_TOPIC, prefix, _PREFIXED, _EVERYBODY, _EVERYWHERE, operation, permission)
            answer = await admin._send_to_controller(taken)
            assert [code for code, _, _ in answer.filter_responses] == [0], answer
    finally:
        await admin.close()
