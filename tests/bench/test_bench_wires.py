"""The measure by wire: what a row tells, and that it is of one stream."""

import msgspec
import pytest

from penstock.bench.children import Site
from penstock.bench.job import BenchError, Job, Memory, Result
from penstock.bench.spread import Times
from penstock.bench.wires import CASES, case_figures, wires_job, wires_round


def result(frames: int = 5000, cpu: float = 0.1, **more: float) -> Result:
    values = {"seconds": 1.0, "load_cpu": 0.2, "other_cpu": 0.0} | more
    return Result(
        frames=frames, streams=0, cpu=cpu, first=Times(), gaps=Times(), before=Memory(), after=Memory(), **values
    )


def test_a_row_is_the_gateway_against_nginx_on_the_same_stream() -> None:
    found = case_figures("a", result(cpu=0.2, other_cpu=0.3), result(cpu=0.1, load_cpu=0.4))
    assert found == pytest.approx(
        {
            "load_busy": 0.4,
            "others_busy": 0.3,
            "chunks_per_s": 5000,
            "cpu_us_per_chunk": 40,
            "nginx_us_per_chunk": 20,
            "cpu_us_per_chunk_x_nginx": 2,
        }
    )


@pytest.mark.parametrize("frames", [2500, 10_000])
def test_streams_of_unlike_pace_are_not_compared(frames: int) -> None:
    with pytest.raises(BenchError, match=f"a: {frames} chunks/s came through the gateway where nginx passed 5000"):
        case_figures("a", result(frames), result())


def test_nothing_is_no_measurement() -> None:
    with pytest.raises(BenchError, match="a: no chunk came"):
        case_figures("a", result(0), result())


class Place:
    """A site that only writes down."""

    def __init__(self, fail: str = ""):
        self.loads: list[tuple[str, str | None, str]] = []
        self._fail = fail

    def load(self, target: str, job: Job) -> Result:
        if self._fail == job.wire:
            raise BenchError("the gateway: the round failed: a stream ended after 3 of 9 frames")
        self.loads.append((target, job.wire, job.model.partition("?")[0]))
        return result(cpu=0.1 if target == "nginx" else 0.15)


def run(place: Place, number: int) -> dict[str, dict[str, float]]:
    job = wires_job(1, ramp=0.0, settle=0.0, window=0.1)
    site: Site = place  # type: ignore[assignment]
    return wires_round(site, job, number)


def test_a_round_has_nginx_once_a_provider_and_every_case() -> None:
    place = Place()
    found = run(place, 0)
    assert list(found) == [case.label for case in CASES]
    assert [own["cpu_us_per_chunk_x_nginx"] for own in found.values()] == pytest.approx([1.5] * len(CASES))
    nginx = [(wire, model) for target, wire, model in place.loads if target == "nginx"]
    assert sorted(nginx) == sorted({(case.provider, "sim") for case in CASES})
    gateway = [(wire, model) for target, wire, model in place.loads if target == "gateway"]
    assert sorted(gateway) == sorted((case.client, case.provider) for case in CASES)
    assert place.loads[:2] == [("nginx", "openai-chat", "sim"), ("gateway", "openai-chat", "openai-chat")]


def test_the_next_round_goes_the_other_way() -> None:
    place = Place()
    run(place, 1)
    assert place.loads[0][0] == "gateway" and place.loads[4] == ("nginx", "openai-chat", "sim")


def test_a_row_that_fails_is_named() -> None:
    with pytest.raises(BenchError, match="anthropic-messages ← openai-chat: the gateway: the round failed: a stream"):
        run(Place(fail="anthropic-messages"), 0)


def test_figures_go_through_json() -> None:
    found = case_figures("a", result(), result())
    assert msgspec.json.decode(msgspec.json.encode(found)) == found
