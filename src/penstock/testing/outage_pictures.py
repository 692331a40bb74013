"""The pictures of docs/failover.md: ``python -m penstock.testing.outage_pictures docs/failover`` draws them.

Each is a simulation with a fixed seed (see `outages`), so that the same policies draw the same curves.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from penstock.policy.hedge import HedgeAfter
from penstock.policy.retry_budget import RetryLimits
from penstock.testing.outages import Outage, Result, Scenario, Second, Target, Trouble, simulate
from penstock.testing.picture import Curve, Panel, picture

LENGTH = 150
"""Seconds that are drawn."""
TWO = (Target(name="first/m"), Target(name="second/m", rank=1))
UNLIMITED = RetryLimits(minimum=1e9)


def _scenario(*outages: Outage, **fields: object) -> Scenario:
    return Scenario(**{"targets": TWO, "outages": outages, "streams": LENGTH * 50, "departures": 0.0, **fields})  # type: ignore[arg-type]


def _drawn(result: Result) -> list[Second]:
    return result.seconds[:LENGTH]


def quantile(seconds: Sequence[Second], share: float, *, around: int = 1) -> list[float | None]:
    """A quantile of the first-token times that fall into each second and those ``around`` it; None where there are
    none."""
    found: list[float | None] = []
    for place in range(len(seconds)):
        near = seconds[max(0, place - around) : place + around + 1]
        waits = sorted(wait for second in near for wait in second.waits)
        found.append(waits[min(len(waits) - 1, int(share * len(waits)))] if waits else None)
    return found


def hangs() -> str:
    """The first of two targets hangs for a minute."""
    outage = Outage(target="first/m", start=30, end=90, trouble=Trouble.HANGS)
    seconds = _drawn(simulate(_scenario(outage, first_token=5.0)))
    shaded = outage.start, outage.end, "the first target hangs"
    asked = [
        Curve(f"{name} target", [second.by_target[f"{name}/m"] for second in seconds]) for name in ("first", "second")
    ]
    waits = [Curve("median", quantile(seconds, 0.5)), Curve("p99", quantile(seconds, 0.99))]
    return picture(
        [
            Panel(title="Attempts by target", unit="1/s", curves=asked, shaded=shaded),
            Panel(title="First token of answered streams (first_token: 5s)", unit="s", curves=waits, shaded=shaded),
        ]
    )


def everybody_fails() -> str:
    """Both targets answer 503 for forty seconds: with the retry budget, and without one."""
    outages = [Outage(target=target.name, start=40, end=80, trouble=Trouble.FAILS) for target in TWO]
    # Health alone would hide what the budget does: a third of the attempts goes well.
    outages = [msgspec.structs.replace(outage, share=0.65) for outage in outages]
    common = _scenario(*outages, per_second=100.0, streams=LENGTH * 100, rounds=4)
    kept, let = (_drawn(simulate(each)) for each in (common, msgspec.structs.replace(common, retries=UNLIMITED)))
    shaded = 40.0, 80.0, "65 of 100 attempts fail, at both targets"
    load = [
        Curve("requests", [second.requests for second in kept]),
        Curve("attempts without a budget", [second.attempts for second in let]),
        Curve("attempts", [second.attempts for second in kept]),
    ]
    paid = [
        Curve("retries that were paid for", [sum(second.paid.values()) for second in kept]),
        Curve("retries that were not made", [second.unhelped for second in kept]),
    ]
    return picture(
        [
            Panel(title="Load on the providers (retries: 3)", unit="1/s", curves=load, shaded=shaded),
            Panel(title="The retry budget", unit="1/s", curves=paid, shaded=shaded),
        ]
    )


def hedging() -> str:
    """Of 100 attempts three hang, for forty seconds; with ``hedge: 1500ms`` and without."""
    outage = Outage(target="first/m", start=60, end=100, trouble=Trouble.HANGS, share=0.03)
    common = _scenario(outage, first_token=5.0)
    plain, result = simulate(common), simulate(msgspec.structs.replace(common, hedge=HedgeAfter(fixed=1.5)))
    seconds = _drawn(result)
    shaded = outage.start, outage.end, "3 of 100 attempts at the first target hang"
    waits = [
        Curve("without hedging", quantile(_drawn(plain), 0.99, around=2)),
        Curve("hedge: 1500ms", quantile(seconds, 0.99, around=2)),
    ]
    allowed = [common.hedge_burst + common.hedge_ratio * sum_ for sum_ in _sums(second.requests for second in seconds)]
    spent = [Curve("hedges", _sums(second.hedges for second in seconds)), Curve("budget", allowed)]
    return picture(
        [
            Panel(title="First token, p99", unit="s", curves=waits, shaded=shaded),
            Panel(
                title="Hedges since the start, and what the budget allows", unit="hedges", curves=spent, shaded=shaded
            ),
        ]
    )


def _sums(values: Iterable[int]) -> list[float]:
    return [float(each) for each in itertools.accumulate(values)]


PICTURES = {"hangs": hangs, "everybody-fails": everybody_fails, "hedging": hedging}
"""By the file's name."""


def main(folder: Path) -> None:
    """Draw all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        (folder / f"{name}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
