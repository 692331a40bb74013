"""A configuration in place of another, while streams are under way."""

from __future__ import annotations

import msgspec

from penstock.config.values import Config


def renewed(old: Config, new: Config) -> tuple[Config, tuple[str, ...]]:
    """The configuration that is to serve from now on, and the keys whose change waits for a restart: it has the old
    values of those."""
    at_once = {name: getattr(new.server, name) for name in ("drain", "max_body", "max_buffered")}
    server = msgspec.structs.replace(old.server, **at_once)
    telemetry = msgspec.structs.replace(old.telemetry, prometheus=new.telemetry.prometheus)
    waiting = [
        f"{section}.{name}"
        for section, kept, said in (("server", server, new.server), ("telemetry", telemetry, new.telemetry))
        for name in kept.__struct_fields__
        if getattr(kept, name) != getattr(said, name)
    ]
    kept = {name: getattr(old, name) for name in ("journal", "limits", "ledger", "metering", "prices", "capture")}
    waiting += [name for name, value in kept.items() if value != getattr(new, name)]
    return msgspec.structs.replace(new, server=server, telemetry=telemetry, **kept), tuple(waiting)
