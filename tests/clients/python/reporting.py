"""What the Python drivers share. They run in several environments: only the standard library and the client itself."""

import asyncio
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

AT_ONCE = 16
"""Jobs under way at the same time, so that the waits of the slow ones overlap."""
PROMPT = [{"role": "user", "content": "Hello"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "strict": True,
            "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
        },
    }
    for name in ("get_weather", "get_time")
]
_lock = threading.Lock()


class Report:
    """What one job showed, as the application behind the client would have seen it."""

    def __init__(self, job):
        self.id = job["id"]
        self.text = self.reasoning = ""
        self.tools = []
        self.finish = self.usage = self.error = None
        self.chunks = 0
        self.left_at = None

    def enough(self, job):
        """Whether the job wants the client to leave now, which then is noted."""
        if job["close_after"] is None or self.chunks < job["close_after"]:
            return False
        self.left_at = time.time()
        return True

    def failed(self, error):
        """Note an exception: ``kinds`` are its classes, most specific first."""
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
        self.error = {
            "kinds": [kind.__name__ for kind in type(error).__mro__],
            "status": getattr(error, "status_code", None),
            "type": getattr(error, "type", None),
            "code": getattr(error, "code", None),
            "message": str(error),
            "retry_after": headers.get("retry-after"),
        }

    def print(self):
        with _lock:
            sys.stdout.write(json.dumps(vars(self)) + "\n")
            sys.stdout.flush()


def run(sync_modes, async_modes):
    """Do the jobs on standard input with functions ``(base_url, job, report)``, by mode; print a line for each."""
    task = json.load(sys.stdin)

    def one(job):
        report = Report(job)
        try:
            sync_modes[job["mode"]](task["base_url"], job, report)
        except Exception as error:
            report.failed(error)
        report.print()

    async def all_async():
        room = asyncio.Semaphore(AT_ONCE)

        async def one_async(job):
            report = Report(job)
            async with room:
                try:
                    await async_modes[job["mode"]](task["base_url"], job, report)
                except Exception as error:
                    report.failed(error)
            report.print()

        await asyncio.gather(*(one_async(job) for job in task["jobs"] if job["mode"] in async_modes))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, [job for job in task["jobs"] if job["mode"] in sync_modes]))
    asyncio.run(all_async())
