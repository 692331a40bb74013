"""From a route's policies to the stages of one of its streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from penstock.config.values import Route
from penstock.errors import BadRequest
from penstock.ports import Checker
from penstock.request import StreamRequest
from penstock.server.checking import Checking, StreamChecks
from penstock.server.word_lists import read_words
from penstock.stages.contract import Block, Stage, StagePolicy
from penstock.stages.guards import MaxCharacters, Repetition, StopSequences
from penstock.stages.moderate.moderator import Moderator
from penstock.stages.moderate.policy import CheckPolicy, ModeratePolicy
from penstock.stages.own import OwnStage
from penstock.stages.pipeline import Prompted, StagesPlan
from penstock.stages.redact.policy import RedactPolicy
from penstock.stages.redact.redactor import Redactor
from penstock.stages.segments import Segmenting
from penstock.stream.plan import Plan
from penstock.upstream.pool import Pool
from penstock.wire.edit import Asked
from penstock.wire.editors import editor_of
from penstock.wire.prompt import PromptTexts
from penstock.wire.registry import UPSTREAM_WIRES
from penstock.wire.stops import stop_sequences


class Shared:
    """What is compiled, by policy."""

    def __init__(self) -> None:
        self._stages: dict[RedactPolicy | ModeratePolicy, StagePolicy | None] = {}
        self._checkings: dict[CheckPolicy, Checking] = {}

    def stage(self, policy: RedactPolicy | ModeratePolicy | OwnStage) -> StagePolicy | None:
        """The stage of a policy; None for one that only asks a service. Raises ListError."""
        if isinstance(policy, OwnStage):
            return policy.policy
        if policy not in self._stages:
            self._stages[policy] = _compiled(policy)
        return self._stages[policy]

    def checking(self, policy: CheckPolicy) -> Checking:
        """The service of a policy: what it has said for one route holds for all."""
        if policy not in self._checkings:
            self._checkings[policy] = Checking(policy)
        return self._checkings[policy]


class Prompts(NamedTuple):
    """What each stage has read of a request, and these stages themselves."""

    read: tuple[tuple[str, ...], ...] = ()
    readers: Sequence[Stage | None] = ()


class Staging:
    """The stages of one route, compiled once for all of its streams; ``shared`` holds those of other routes, so that
    routes of one policy have it once."""

    def __init__(self, route: Route, shared: Shared):
        self._route = route
        self._stages = tuple(stage for policy in route.stages if (stage := shared.stage(policy)) is not None)
        checks = [policy.check for policy in route.stages if isinstance(policy, ModeratePolicy)]
        self._check = next((check for check in checks if check is not None), None)
        self._checking = None if self._check is None else shared.checking(self._check)

    def checker(self, pool: Pool) -> Checker | None:
        """Asks the route's moderation service for one stream, where there is one."""
        return None if self._checking is None else StreamChecks(self._checking, pool)

    def prompted(self, request: StreamRequest) -> tuple[StreamRequest, Prompts]:
        """The request as its stages let it pass, and what each of them has read of it: the stages of an answer are to
        read the same. Raises BadRequest for one that they block."""
        asked = self._check is not None and self._check.prompt
        if not asked and not any(map(_prompts, self._stages)):
            return request, Prompts()
        prompt = PromptTexts(request)
        texts, read, readers = prompt.texts, [], list[Stage | None]()
        for stage in self._stages:
            reader = stage.open() if _prompts(stage) else None
            read.append(tuple(texts) if reader is not None else ())
            readers.append(reader if texts else None)
            if not isinstance(reader, Prompted):
                continue
            said = reader.prompt(texts)
            if isinstance(said, Block):
                message = f"the request was blocked: {said.reason}; leave it out, and send the request again"
                raise BadRequest(message, code="blocked")
            texts = list(said)
        if asked:
            read.append(tuple(texts))
        return prompt.request(texts), Prompts(tuple(read), readers)

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

    def planned(self, plan: Plan, prompts: Prompts) -> Plan:
        """The plan with its stages; as it was where the route has none. Raises BadRequest for a client wire whose
        answers cannot be edited."""
        stages = self._of(plan.client_wire, plan.request, prompts)
        if stages is None:
            return plan
        editor = editor_of(plan.client_wire, Asked(plan.request, plan.stream, plan.client, stages.drop_signed))
        if editor is None:
            message = f"this model's answers go through stages, which {plan.client_wire} clients cannot have"
            raise BadRequest(message, code="stages_unsupported", param="model")
        return msgspec.structs.replace(plan, stages=stages, editor=editor, read_as=UPSTREAM_WIRES[plan.client_wire])

    def _of(self, wire: str, request: StreamRequest, prompts: Prompts) -> StagesPlan | None:
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
        if not stages and segments is None and not whole and self._check is None:
            return None
        return StagesPlan(
            stages=tuple(stages),
            segments=segments,
            whole=whole,
            max_held=delivery.max_held,
            prompts=prompts.read[: len(self._stages)],
            readers=list(prompts.readers),
            check=self._check,
            asked=prompts.read[-1] if prompts.read and self._check is not None and self._check.prompt else (),
            drop_signed=bool(self._stages or self._check) and delivery.signed_reasoning == "drop",
        )


def _compiled(policy: RedactPolicy | ModeratePolicy) -> StagePolicy | None:
    if isinstance(policy, RedactPolicy):
        return Redactor(policy)
    moderator = Moderator(policy, {name: read_words(path) for name, path in policy.lists})
    return None if moderator.idle else moderator


def _prompts(stage: StagePolicy) -> bool:
    """Whether a stage reads requests: one that does says so by ``prompts``."""
    return bool(getattr(stage, "prompts", False))
