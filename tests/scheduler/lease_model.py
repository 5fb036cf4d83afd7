"""A model of the lease protocol, small enough that every state it can reach is looked at.

Three instances share two slots, two of them from the beginning. At any moment any of them may do its next step, or
none: so each may be slow, paused, or dead, which is to do nothing ever again. The server may be emptied, or replaced by
a replica that lags. Time passes in ticks; times are what is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

INSTANCES, SLOTS = 3, 2
LEASE, HOLD, LAG = 3, 3, 1
"""In ticks: how long a lease lasts, how long the vendor counts a call, how much of the latest a replica may lack."""
LOSSES = 1
"""How often the server is emptied or replaced."""


class Rules(NamedTuple):
    """What makes the protocol safe; each can be left out, to see that it is missed."""

    epochs: bool = True
    """After a loss nothing is granted until a lease's time has passed, or everybody was heard."""
    whole_roster: bool = True
    """Having heard everybody counts only where everybody is known."""
    joining: bool = True
    """An instance is granted nothing until its joining cannot be lost."""
    long_leases: bool = True
    """A lease lasts for as long as the vendor may count the call."""


class Row(NamedTuple):
    """What a server knows of one instance."""

    lease: int = 0
    listed: bool = False
    """Whether it is on the roster."""
    silent: int = 0
    """Ticks since it was heard of, as far as they count."""
    joined: int = 0
    """Ticks since it joined, as far as they count."""
    unheard: bool = False


class Server(NamedTuple):
    """Who holds what; `wait` is how long nothing is granted unless everybody was heard."""

    rows: tuple[Row, ...]
    wait: int
    known: bool


class Instance(NamedTuple):
    """What an instance knows, and what the vendor knows of its call."""

    met: bool = False
    """Whether it has registered in this epoch."""
    lease: int = 0
    """What is left of its lease, by its own clock; 0 without a call."""
    sent: bool = False
    counted: int = 0
    """How long the vendor goes on counting its call."""


class World(NamedTuple):
    instances: tuple[Instance, ...]
    server: Server
    replica: Server
    lag: int
    losses: int


EMPTY = Server((Row(),) * INSTANCES, LEASE, False)


def beginning() -> World:
    """Two have been at work for long, the third is new."""
    old = Row(listed=True, joined=LAG + 1)
    server = Server((Row(), old, old), 0, False)
    return World((Instance(), Instance(met=True), Instance(met=True)), server, server, 0, LOSSES)


def in_flight(world: World) -> int:
    """What the vendor counts."""
    return sum(one.counted > 0 for one in world.instances)


def steps(world: World, rules: Rules) -> Iterator[World]:
    """Everything that can happen next."""
    for index in range(INSTANCES):
        yield from steps_of(world, index, rules)
        row = world.server.rows[index]
        if row.listed and row.silent == LEASE:
            yield with_row(world, index, Row(lease=row.lease))  # whoever is silent for so long holds nothing any more
    yield world._replace(replica=world.server, lag=0)
    if world.lag < LAG:
        yield tick(world)
    if world.losses:
        yield lost(world, EMPTY._replace(known=False), rules)
        taken_over = world.replica._replace(known=world.replica.known or world.replica.wait == 0)
        yield lost(world, taken_over, rules)


def steps_of(world: World, index: int, rules: Rules) -> Iterator[World]:
    """What one instance can do."""
    one, row = world.instances[index], world.server.rows[index]
    if not one.met:
        lease = max(row.lease, one.lease)
        row = row._replace(lease=lease, listed=row.listed or one.lease > 0, silent=0, unheard=False)
        yield with_row(with_instance(world, index, one._replace(met=True)), index, row)
        return
    if not row.listed:
        yield with_row(world, index, row._replace(listed=True))
    elif row.silent:
        yield with_row(world, index, row._replace(silent=0))
    if one.lease == 0 and one.counted == 0 and may_grant(world.server, index, rules):
        lease = LEASE if rules.long_leases else HOLD - 1
        granted = with_row(world, index, row._replace(lease=lease, silent=0))
        yield with_instance(granted, index, one._replace(lease=lease))
    if one.lease and not one.sent and (one.lease >= HOLD or not rules.long_leases):
        yield with_instance(world, index, one._replace(sent=True, counted=HOLD))
    if one.lease and one.sent:
        settled = with_row(world, index, row._replace(lease=0))
        yield with_instance(settled, index, one._replace(lease=0, sent=False, counted=0))


def may_grant(server: Server, index: int, rules: Rules) -> bool:
    """Whether the server grants a slot to this instance now."""
    rows = server.rows
    if sum(row.lease > 0 for row in rows) >= SLOTS or not rows[index].listed or rows[index].lease:
        return False
    if rules.joining and rows[index].joined <= LAG:
        return False
    heard = not any(row.unheard for row in rows)
    whole = server.known or not rules.whole_roster
    return server.wait == 0 or not rules.epochs or (whole and heard)


def tick(world: World) -> World:
    """Time passes for everybody. The replica's leases end as well; how long it would wait is what it last heard."""
    server, replica = aged(world.server), aged(world.replica)._replace(wait=world.replica.wait)
    instances = tuple(
        Instance(one.met, max(one.lease - 1, 0), one.sent and one.lease > 1, max(one.counted - 1, 0))
        for one in world.instances
    )
    return World(instances, server, replica, world.lag + 1, world.losses)


def aged(server: Server) -> Server:
    rows = tuple(
        Row(
            lease=max(row.lease - 1, 0),
            listed=row.listed,
            silent=min(row.silent + 1, LEASE) if row.listed else 0,
            joined=min(row.joined + 1, LAG + 1) if row.listed else 0,
            unheard=row.unheard,
        )
        for row in server.rows
    )
    return Server(rows, max(server.wait - 1, 0), server.known)


def lost(world: World, left: Server, rules: Rules) -> World:
    """Another server, or an empty one: what is left of the state begins an epoch that nobody has met."""
    rows = tuple(Row(row.lease, row.listed, 0, row.joined, unheard=row.listed) for row in left.rows)
    server = Server(rows, LEASE, left.known)
    instances = tuple(Instance(False, one.lease, one.sent, one.counted) for one in world.instances)
    return World(instances, server, server, 0, world.losses - 1)


def with_instance(world: World, index: int, one: Instance) -> World:
    instances = (*world.instances[:index], one, *world.instances[index + 1 :])
    return World(instances, world.server, world.replica, world.lag, world.losses)


def with_row(world: World, index: int, row: Row) -> World:
    rows, wait, known = world.server
    server = Server((*rows[:index], row, *rows[index + 1 :]), wait, known)
    return World(world.instances, server, world.replica, world.lag, world.losses)


def canonical(world: World) -> World:
    """The same world whoever is called first: instances are alike. Once no loss is left to come, the replica is never
    asked, so that what it lacks makes no difference either."""
    replica, lag = (world.replica, world.lag) if world.losses else (EMPTY, 0)
    columns = sorted(zip(world.instances, world.server.rows, replica.rows, strict=True))
    instances, rows, replicas = zip(*columns, strict=True)
    server = Server(rows, world.server.wait, world.server.known)
    return World(instances, server, Server(replicas, replica.wait, replica.known), lag, world.losses)


class Explored(NamedTuple):
    """What was found: a world with more in flight than there are slots, if there is one."""

    worlds: int
    broken: World | None
    resumed: bool
    """Whether slots were granted in a later epoch before the lease's time had passed."""


def explore(rules: Rules) -> Explored:
    """Every world that can be reached, the nearest first; ends at the first that is broken."""
    first = canonical(beginning())
    seen, frontier, resumed = {first}, [first], False
    while frontier:
        following = []
        for world in frontier:
            for after in steps(world, rules):
                found = canonical(after)
                if found in seen:
                    continue
                if in_flight(found) > SLOTS:
                    return Explored(len(seen), found, resumed)
                resumed |= found.server.wait > 0 and in_flight(found) > in_flight(world)
                seen.add(found)
                following.append(found)
        frontier = following
    return Explored(len(seen), None, resumed)
