"""One stage for the whole run, and each client driven once, when its first test asks for it."""

from collections.abc import Callable, Iterator

import pytest
from client_fleet import Client, Report, run
from client_stage import Stage, stage

Reports = dict[tuple[str, str], Report]


@pytest.fixture(scope="session")
def the_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("stage")) as running:
        yield running


@pytest.fixture(scope="session")
def reports(the_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Client], Reports]:
    """What a client reports, by mode and scenario."""
    known: dict[str, Reports | BaseException] = {}

    def of(client: Client) -> Reports:
        if client.name not in known:
            try:
                known[client.name] = run(client, the_stage.gateway.base_url, tmp_path_factory.mktemp(client.name))
            except Exception as error:
                known[client.name] = error
        found = known[client.name]
        if isinstance(found, BaseException):
            pytest.fail(str(found), pytrace=False)
        return found

    return of
