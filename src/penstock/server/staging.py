"""From a route's policies to the stages of one of its streams."""

from __future__ import annotations

import msgspec

from penstock.config.values import Route
from penstock.errors import BadRequest
from penstock.request import StreamRequest
from penstock.stages.contract import StagePolicy
from penstock.stages.guards import MaxCharacters, Repetition, StopSequences
from penstock.stages.pipeline import StagesPlan
from penstock.stages.segments import Segmenting
from penstock.stream.plan import Plan
from penstock.wire.base import ClientSession
from penstock.wire.edit import Asked
from penstock.wire.editors import editor_of
from penstock.wire.stops import stop_sequences


class Staging:
    """The stages of one route, made ready once. ``stages`` is as the route names them."""

    def __init__(self, route: Route, stages: tuple[StagePolicy, ...] = ()):
        self._route = route
        self._stages = stages

    def planned(self, plan: Plan, session: ClientSession) -> Plan:
        """The plan with its stages; as it was where the route has none. Raises BadRequest for a client wire whose
        answers cannot be edited."""
        stages = self._of(plan.client_wire, plan.request)
        if stages is None:
            return plan
        editor = editor_of(plan.client_wire, Asked(plan.request, plan.stream, session, stages.drop_signed))
        if editor is None:
            message = f"this model's answers go through stages, which {plan.client_wire} clients cannot have"
            raise BadRequest(message, code="stages_unsupported", param="model")
        return msgspec.structs.replace(plan, stages=stages, editor=editor)

    def _of(self, wire: str, request: StreamRequest) -> StagesPlan | None:
        guards, delivery = self._route.guards, self._route.delivery
        stages = list(self._stages)
        if guards.stop_sequences and (sequences := stop_sequences(wire, request)):
            stages.append(StopSequences(sequences))
        if guards.repetition is not None:
            stages.append(Repetition(guards.repetition))
        if guards.max_characters is not None:
            stages.append(MaxCharacters(guards.max_characters))
        segments = None
        if delivery.mode == "sentence" or delivery.mode == "paragraph":
            segments = Segmenting(delivery.mode, delivery.segment.delay, delivery.segment.characters)
        whole = delivery.mode == "full"
        if not stages and segments is None and not whole:
            return None
        return StagesPlan(
            stages=tuple(stages),
            segments=segments,
            whole=whole,
            max_held=delivery.max_held,
            drop_signed=bool(self._stages) and delivery.signed_reasoning == "drop",
        )
