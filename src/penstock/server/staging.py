"""From a route's policies to the stages of one of its streams."""

from __future__ import annotations

import msgspec

from penstock.config.values import Route
from penstock.errors import BadRequest
from penstock.request import StreamRequest
from penstock.stages.contract import Block, StagePolicy
from penstock.stages.guards import MaxCharacters, Repetition, StopSequences
from penstock.stages.pipeline import StagesPlan
from penstock.stages.redact.redactor import Redactor
from penstock.stages.segments import Segmenting
from penstock.stream.plan import Plan
from penstock.wire.edit import Asked
from penstock.wire.editors import editor_of
from penstock.wire.prompt import PromptTexts
from penstock.wire.stops import stop_sequences


class Staging:
    """The stages of one route, compiled once for all of its streams."""

    def __init__(self, route: Route):
        self._route = route
        self._stages = tuple(Redactor(policy) for policy in route.stages)

    def prompted(self, request: StreamRequest) -> tuple[StreamRequest, tuple[tuple[str, ...], ...]]:
        """The request as its stages let it pass, and what each of them has read of it: the stages of an answer are to
        read the same. Raises BadRequest for one that they block."""
        if not any(stage.policy.prompt for stage in self._stages):
            return request, ()
        prompt = PromptTexts(request)
        texts, read = prompt.texts, []
        for stage in self._stages:
            read.append(tuple(texts) if stage.policy.prompt else ())
            said = stage.open().prompt(texts) if stage.policy.prompt else texts
            if isinstance(said, Block):
                message = f"the request was blocked: {said.reason}; leave it out, and send the request again"
                raise BadRequest(message, code="blocked")
            texts = said
        return prompt.request(texts), tuple(read)

    def redacted(self, request: StreamRequest) -> StreamRequest | None:
        """The request behind the route's detectors, for a copy: also where the provider gets it as it is. None where
        it holds what they block."""
        stages = [stage for stage in self._stages if isinstance(stage, Redactor)]
        if not stages:
            return request
        prompt = PromptTexts(request)
        texts = prompt.texts
        for stage in stages:
            said = stage.open().prompt(texts)
            if isinstance(said, Block):
                return None
            texts = said
        return prompt.request(texts)

    def planned(self, plan: Plan, prompts: tuple[tuple[str, ...], ...]) -> Plan:
        """The plan with its stages; as it was where the route has none. Raises BadRequest for a client wire whose
        answers cannot be edited."""
        stages = self._of(plan.client_wire, plan.request, prompts)
        if stages is None:
            return plan
        editor = editor_of(plan.client_wire, Asked(plan.request, plan.stream, plan.client, stages.drop_signed))
        if editor is None:
            message = f"this model's answers go through stages, which {plan.client_wire} clients cannot have"
            raise BadRequest(message, code="stages_unsupported", param="model")
        return msgspec.structs.replace(plan, stages=stages, editor=editor)

    def _of(self, wire: str, request: StreamRequest, prompts: tuple[tuple[str, ...], ...]) -> StagesPlan | None:
        guards, delivery = self._route.guards, self._route.delivery
        stages: list[StagePolicy] = list(self._stages)
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
            prompts=prompts,
            drop_signed=bool(self._stages) and delivery.signed_reasoning == "drop",
        )
