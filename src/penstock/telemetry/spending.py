"""Metrics of tokens and money, by row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from penstock import money
from penstock.metering.factors import Drift
from penstock.metering.row import Tokens
from penstock.stream.settlement import Settled

KINDS = Tokens.__struct_fields__


class Spending:
    """Counts settlements."""

    def __init__(self) -> None:
        self._tokens: dict[tuple[str, str, str], int] = defaultdict(int)
        self._cost: dict[str, int] = defaultdict(int)
        self._unpriced: dict[str, int] = defaultdict(int)
        self._estimated: dict[str, int] = defaultdict(int)
        self._drift: dict[str, Drift] = {}

    def book(self, settled: Settled) -> None:
        """One settlement."""
        row = settled.row
        for figure in ("counted", "reported", "delivered"):
            tokens: Tokens = getattr(row, figure)
            for kind in KINDS:
                if count := getattr(tokens, kind):
                    self._tokens[row.route, figure, kind] += count
        if row.cost is None:
            self._unpriced[row.route] += 1
        else:
            self._cost[row.route] += row.cost
        self._estimated[row.route] += row.basis == "estimated"
        if settled.pair is not None:
            self._drift[settled.target] = self._drift.get(settled.target, Drift()).with_one(settled.pair)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        tokens = CounterMetricFamily(
            "penstock_tokens", "Tokens by who counted them and kind.", labels=("route", "figure", "kind")
        )
        for labels, count in self._tokens.items():
            tokens.add_metric(labels, count)
        yield tokens
        cost = CounterMetricFamily("penstock_cost_usd", "US dollars charged.", labels=("route",))
        for route, nanos in self._cost.items():
            cost.add_metric((route,), money.to_dollars(nanos))
        yield cost
        for name, help_text, counts in (
            ("penstock_rows_unpriced", "Rows without a cost, for want of a price.", self._unpriced),
            ("penstock_rows_estimated", "Rows whose charge stands on an estimate.", self._estimated),
        ):
            family = CounterMetricFamily(name, help_text, labels=("route",))
            for route, count in counts.items():
                family.add_metric((route,), count)
            yield family
        ratio = GaugeMetricFamily(
            "penstock_count_drift_ratio",
            "How much more output was counted than reported, over all whole answers; below 0: less.",
            labels=("target",),
        )
        for target, drift in self._drift.items():
            ratio.add_metric((target,), drift.ratio)
        yield ratio
