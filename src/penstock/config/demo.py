"""The configuration of ``penstock demo``."""

from __future__ import annotations

from urllib.parse import quote_plus

from penstock.config.values import Config, Provider, Route, Target
from penstock.stages.redact.policy import KINDS, RedactPolicy

SAMPLES = {
    "personal data": (
        "Write to jane.doe@example.com, or call +44 20 7946 0958 before noon. The refund goes to the account "
        "DE89 3704 0044 0532 0130 00, and the card was 4111 1111 1111 1111. Ask for Jane."
    ),
    "secrets": (
        "Set the key sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH and the address "
        "https://admin:hunter2@db.example.com/prod, then restart 10.20.30.40. Never log either of them."
    ),
    "nothing to find": (
        "At 10:30 on 2024-05-01 we counted 1,000 of 4,096 pages; version 3.14.1 is out. Meet me @ the caf\u00e9, "
        "section 4.2.1, and bring 16 sheets of paper: 1234 5678 is not a card."
    ),
}
"""Texts of the page that shows redaction, by name."""


def demo_config(base_url: str) -> Config:
    """Every model goes to the simulated provider at ``base_url`` (openai-chat); open, and on loopback only."""
    return Config(
        providers=(Provider(name="sim", wire="openai-chat", base_url=base_url),),
        routes=(
            Route(name="gpt-4o", targets=(Target("sim", "sim"),)),
            Route(name="*", targets=(Target("sim", "*"),)),
        ),
    )


def redaction_routes() -> tuple[Route, ...]:
    """For each sample a route to what the provider says, and one with every detector."""
    policy = RedactPolicy(detectors=tuple(kind for kind in KINDS if kind != "national_id"))
    routes: list[Route] = []
    for name, text in SAMPLES.items():
        target = Target("sim", f"sim?first=400ms&gap=150ms&text={quote_plus(text)}")
        routes.append(Route(name=f"demo/{name}/provider", targets=(target,)))
        routes.append(Route(name=f"demo/{name}/client", targets=(target,), stages=(policy,)))
    return tuple(routes)
