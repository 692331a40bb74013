"""Hypothesis profiles: quick by default, ``HYPOTHESIS_PROFILE=thorough`` for a long look, ``mutants`` for mutants.
And the services that tests start when they need them."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from penstock.store.postgres import Postgres
from penstock.testing.postgres import PostgresServer

# Streams are built from many small draws: how long that takes says nothing about a test.
SLOW_IS_FINE = (HealthCheck.too_slow, HealthCheck.data_too_large)

settings.register_profile("quick", max_examples=40, deadline=None, suppress_health_check=SLOW_IS_FINE)
settings.register_profile("thorough", max_examples=3000, deadline=None, suppress_health_check=SLOW_IS_FINE)
settings.register_profile(  # The first failure is enough: nobody reads the smallest one of a mutant.
    "mutants",
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=SLOW_IS_FINE,
    report_multiple_bugs=False,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


LONG = (
    "mutants/test_mutants", "clients/test_node_sdks", "cases/test_N_restart", "cases/test_B_pace", "laws/test_laws",
    "cases/test_B_timeouts", "cases/test_K_pressure", "cases/test_H_rows", "clients/test_official_clients",
    "cases/test_D_by_wire", "cases/test_L_asgi", "cases/test_N_operations", "cases/test_C_failover",
    "clients/test_anthropic_sdk", "clients/test_bedrock_sdk",
)  # fmt: skip
"""Files that take longest, longest first. They begin first, or the last one would be waited for alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    rank = {tests / f"{name}.py": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    # Not below pytest's own folder: another run of pytest closes that to the user that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder, PostgresServer(Path(folder)) as server:
        yield server


@pytest.fixture
def clean(postgres: PostgresServer) -> PostgresServer:
    """With nothing in its database."""
    emptying = Postgres(postgres.url)
    emptying.run("DROP SCHEMA public CASCADE", ())
    emptying.run("CREATE SCHEMA public", ())
    emptying.close()
    return postgres
