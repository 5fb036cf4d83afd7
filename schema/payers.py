"""Payers, and pages of them."""

from __future__ import annotations

import strawberry

from payer.directory import PayerRecord
from resolvers.pages import Page
from schema.pages import PageInfo


@strawberry.type(description="An insurer that can be asked.")
class Payer:
    id: strawberry.ID = strawberry.field(description="Its canonical id.")
    name: str = strawberry.field(description="Its name.")
    aliases: list[str] = strawberry.field(description="Other ids it goes by; each is as good as the canonical one.")

    @classmethod
    def of(cls, payer: PayerRecord) -> Payer:
        return cls(id=strawberry.ID(payer.id), name=payer.name, aliases=list(payer.aliases))


@strawberry.type(description="A payer of a page.")
class PayerEdge:
    cursor: str = strawberry.field(description="For `after`.")
    node: Payer = strawberry.field(description="The payer.")


@strawberry.type(description="A page of payers, by name.")
class PayerConnection:
    edges: list[PayerEdge] = strawberry.field(description="The payers.")
    page_info: PageInfo = strawberry.field(description="Where the page stands in its listing.")

    @classmethod
    def of(cls, page: Page[PayerRecord]) -> PayerConnection:
        edges = [PayerEdge(cursor=entry.cursor, node=Payer.of(entry.node)) for entry in page.entries]
        return cls(edges=edges, page_info=PageInfo.of(page))
