"""Documents that nobody means well with, and the code each is refused with."""

from __future__ import annotations

from typing import Final

COMPLEX: Final = "QUERY_TOO_COMPLEX"
BAD: Final = "BAD_USER_INPUT"


def _repeated(text: str, count: int, separator: str = " ") -> str:
    return separator.join(text.replace("#", str(number)) for number in range(count))


def _circle(count: int) -> str:
    """Fragments that each spread the next one, the last the first."""
    return _repeated_pairs([f"fragment F{n} on Me {{ id ...F{(n + 1) % count} }}" for n in range(count)])


def _repeated_pairs(fragments: list[str]) -> str:
    return "{ me { ...F0 } } " + " ".join(fragments)


def _doubling(count: int) -> str:
    """Each fragment spreads the next one twice, in places of its own: two to the power of `count` fields."""
    fragments = [
        f"fragment F{n} on CoverageRequest {{ a: coverage {{ ...F{n + 1} }} b: coverage {{ ...F{n + 1} }} }}"
        for n in range(count)
    ]
    return _repeated_pairs([*fragments, f"fragment F{count} on CoverageRequest {{ id }}"])


def _doubling_in_place(count: int) -> str:
    fragments = [f"fragment F{n} on Me {{ ...F{n + 1} ...F{n + 1} }}" for n in range(count)]
    return _repeated_pairs([*fragments, f"fragment F{count} on Me {{ unknown }}"])


def _nested(count: int) -> str:
    return "{ me " * count + "{ id }" + " }" * count


HOSTILE: Final[dict[str, tuple[str, str]]] = {
    "no document": ("", BAD),
    "only a comment": ("# nothing", BAD),
    "no GraphQL": ("select * from members where name = 'SECRET'", BAD),
    "an unfinished one": ('{ payer(id: "SECRET', BAD),
    "only a fragment": ("fragment F on Me { id }", BAD),
    "a definition of a type": ("type Smith { id: ID }", BAD),
    "over the size": ("{ me { id } } #" + "x" * 16_384, COMPLEX),
    "over the size in bytes": ("{ me { id } } #" + "é" * 8_192, COMPLEX),
    "a megabyte": ("{ me { " + "id " * 350_000 + "} }", COMPLEX),
    "a long string": ('{ payer(id: "' + "S" * 1_000_000 + '") { id } }', COMPLEX),
    "over the tokens": ("{ me { " + "id " * 2_000 + "} }", COMPLEX),
    "the same field over and over": ("{ me { " + "id " * 1_500 + "} }", COMPLEX),
    "few fields over and over": ("{ me { " + "id tenantId roles " * 400 + "} }", COMPLEX),
    "the same fields with fields": ("{ " + "me { id } " * 480 + "}", COMPLEX),
    "many unknown fields": ("{ me { " + _repeated("f#", 499) + " } }", BAD),
    "too many fields": ("{ me { " + _repeated("f#", 1_900) + " } }", COMPLEX),
    "aliases": ("{ me { " + _repeated("a#: id", 600) + " } }", COMPLEX),
    "aliases in a fragment": (
        "{ " + _repeated("me { ...F }", 10) + " } fragment F on Me { " + _repeated("a#: id", 31) + " }",
        COMPLEX,
    ),
    "aliases of signatures": (
        "{ me { member { " + _repeated("a#: websocketSubscribeInfo { url }", 30) + " } } }",
        COMPLEX,
    ),
    "aliases of submissions": (
        "mutation($i: SubmitCoverageRequestInput!) { "
        + _repeated("a#: submitCoverageRequest(input: $i) { __typename }", 30)
        + " }",
        COMPLEX,
    ),
    "depth 16": (_nested(15), COMPLEX),
    "depth 190": (_nested(190), COMPLEX),
    "depth 50,000": (_nested(50_000), COMPLEX),
    "depth that the parser refuses": ("{ a " * 250 + "}" * 250, COMPLEX),
    "depth of inline fragments": ("{ me " + "{ ... " * 150 + "{ id }" + " }" * 150 + " }", COMPLEX),
    "depth of a list": ("{ payer(id: " + "[" * 190 + "]" * 190 + ") { id } }", BAD),
    "directives": ("{ me { id " + "@include(if: true) " * 200 + "} }", COMPLEX),
    "directives on variables": ("query(" + _repeated("$v#: Int @x", 100) + ") { me { id } }", COMPLEX),
    "unknown directives": ("{ me { id " + _repeated("@d#", 50) + " } }", BAD),
    "operations": (_repeated("query Q# { me { id } }", 200), COMPLEX),
    "operations that share what takes long": (
        _repeated("query Q#($v: String!) { ...F }", 40)
        + " fragment F on Query { coverage(input: { serviceTypeCodes: ["
        + "$v " * 600
        + "] }) { status } }",
        COMPLEX,
    ),
    "fragments": ("{ me { id } } " + _repeated("fragment F# on Me { id }", 200), COMPLEX),
    "variables": ("query(" + _repeated("$v#: Int", 400) + ") { me { id } }", BAD),
    "a circle of one": (_circle(1), BAD),
    "a circle of two": (_circle(2), BAD),
    "a circle of many": (_circle(40), BAD),
    "doubling fragments": (_doubling(12), COMPLEX),
    "doubling fragments in place": (_doubling_in_place(40), BAD),
    "fragments that overlap": (
        "{ "
        + _repeated("me { ...F0 ...F1 }", 20)
        + " } "
        + _repeated("fragment F# on Me { id tenantId roles member { id } }", 20),
        COMPLEX,
    ),
    "a page of a hundred of a hundred": (
        "{ coverageRequests(first: 100) { edges { node { coverage { benefits { kind } } } } } "
        "b: coverageRequests(first: 100) { edges { node { coverage { benefits { kind } } } } } "
        "c: coverageRequests(first: 100) { edges { node { coverage { benefits { kind } } } } } }",
        COMPLEX,
    ),
    "a page of more digits than a number can have": (
        "{ coverageRequests(first: " + "9" * 5_000 + ") { edges { node { id } } } }",
        BAD,
    ),
    "introspection": ("{ __schema { types { name } } }", BAD),
    "introspection of a type": ('{ __type(name: "Me") { name } }', BAD),
    "a subscription of two fields": ("subscription { payerEvents { __typename } memberEvents { __typename } }", BAD),
    "an unknown type": ("query($s: Smith) { me { id } }", BAD),
    "an unknown fragment": ("{ me { ...Smith } }", BAD),
    "half a character": ('{ payer(id: "\\uD800") { id } }', BAD),
}
