"""Takes the account of each stream that is over to the log and the metrics. A fault here never ends a stream."""

from __future__ import annotations

import logging
from typing import Literal

from penstock.stream.summary import Summary
from penstock.telemetry.log import LogWriter, stream_line
from penstock.telemetry.metrics import Metrics

logger = logging.getLogger("penstock.telemetry")


class TelemetryRecorder:
    """A recorder (see `ports.Recorder`)."""

    def __init__(self, metrics: Metrics, writer: LogWriter, style: Literal["json", "console"]):
        self._metrics = metrics
        self._writer = writer
        self._style = style

    def record(self, summary: Summary) -> None:
        """A stream is over."""
        try:
            self._metrics.record(summary)
            self._writer.write(stream_line(summary, self._style))
        except Exception:
            logger.exception("stream %s was not recorded", summary.stream)
