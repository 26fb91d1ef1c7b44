"""Measures what docs/faults.md states: `pytest -m figures`.

FIGURES_TIMES: repetitions of each fault (20). FIGURES_DIR: a folder for the JSON and the table.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_figures import HEAD, Figures, repeat
from fault_play import HARD
from fault_world import world
from redis.crc import key_slot
from redis_processes import ClusterDeployment, RedisProcess, SentinelDeployment, Standalone

from gateway.kernel.keys import bucket_key, bucket_of


pytestmark = [
    pytest.mark.figures, pytest.mark.timeout(3600), pytest.mark.asyncio(loop_scope="module"),
]  # fmt: skip

TIMES = int(os.environ.get("FIGURES_TIMES", "20"))
FOLDER = os.environ.get("FIGURES_DIR")
SLOT = key_slot(bucket_key("meta", bucket_of(HARD.customer)).encode())


@pytest.fixture(scope="module")
def table() -> Iterator[list[Figures]]:
    """Collects figures, and shows them at the end."""
    rows: list[Figures] = []
    yield rows
    print("\n" + _text(rows))  # noqa: T201 - what it is for


def _text(rows: list[Figures]) -> str:
    return "\n".join([HEAD, *[each.row() for each in rows], ""])


def check(found: Figures, table: list[Figures]) -> None:
    """Keeps the figures; what must be zero is."""
    table.append(found)
    if FOLDER:
        Path(FOLDER).mkdir(parents=True, exist_ok=True)
        (Path(FOLDER) / "faults.json").write_text(json.dumps([each.document() for each in table], indent=1))
        (Path(FOLDER) / "faults.md").write_text(_text(table))
    assert 0 == found.false_reclaims
    assert 0 == found.orphans_after_quiesce + found.missing_after_quiesce
    assert 0 == found.peak_missing


async def nothing() -> None:
    """Heals by itself."""


async def test_figures_of_a_redis_that_is_killed_and_started_again(table: list[Figures]) -> None:
    """On its append-only file."""
    async with Standalone() as store, world(store, name="fig-store") as scene:

        async def port() -> list[int]:
            return [store.port]

        check(await repeat("Redis killed, started again", scene, store.restart, nothing, port, times=TIMES), table)


async def test_figures_of_a_redis_that_lost_everything(table: list[Figures]) -> None:
    """Killed, its folder emptied, started again."""
    async with Standalone() as store, world(store, name="fig-store") as scene:

        async def lose() -> None:
            store.kill()
            shutil.rmtree(store.folder / "appendonlydir")
            await store.start()

        async def port() -> list[int]:
            return [store.port]

        found = await repeat("Redis started empty", scene, lose, nothing, port, times=TIMES, loses_all=True)
        check(found, table)


@pytest.mark.parametrize("kind", ["SENTINEL FAILOVER", "master killed"])
async def test_figures_of_failovers_by_sentinels(table: list[Figures], kind: str) -> None:
    """With two replicas and three sentinels; a master is down after one second."""
    async with (
        SentinelDeployment(min_replicas=True) as deployment,
        world(lambda _: deployment.url, name=f"fig-{kind}") as scene,
    ):

        async def fault() -> None:
            if kind == "master killed":
                (await deployment.master()).kill()
            else:
                await deployment.failover()

        async def port() -> list[int]:
            return [(await deployment.master()).port]

        check(await repeat(kind, scene, fault, deployment.heal, port, times=TIMES), table)


@pytest.mark.parametrize("kind", ["CLUSTER FAILOVER", "primary killed"])
async def test_figures_of_failovers_in_a_cluster(table: list[Figures], kind: str) -> None:
    """Three primaries with a replica each, node timeout two seconds; the fault is at the primary of a customer in use."""
    async with ClusterDeployment() as cluster, world(lambda _: cluster.url) as scene:

        async def fault() -> None:
            owner = await cluster.owner(SLOT)
            if kind == "primary killed":
                owner.kill()
            else:
                await (await cluster.replica_of(owner)).command("CLUSTER", "FAILOVER")

        async def heal() -> None:
            for node in cluster.nodes:
                if not node.runs:
                    await node.start()
            await cluster.settled()

        async def ports() -> list[int]:
            return [node.port for node in cluster.nodes if await is_primary(node)]

        check(await repeat(f"Cluster: {kind}", scene, fault, heal, ports, times=TIMES), table)


async def is_primary(node: RedisProcess) -> bool:
    """Whether a node has slots."""
    return bool((await node.command("ROLE"))[0] == "master")
