"""Drives openai-python, 1.x and newest: iterating over ``create(stream=True)``, and the ``stream()`` helper."""

import functools

import openai
import reporting

# One client for all requests, as applications have it: what follows a failure uses the same connections.
sync_client = functools.cache(functools.partial(openai.OpenAI, max_retries=0, timeout=15))
async_client = functools.cache(functools.partial(openai.AsyncOpenAI, max_retries=0, timeout=15))


def arguments(job):
    """The request, as an application would write it."""
    request = {"model": job["model"], "messages": reporting.PROMPT}
    if job["usage"]:
        request["stream_options"] = {"include_usage": True}
    if job["tools"]:
        request["tools"] = reporting.TOOLS
    return request


def read_chunk(chunk, report):
    report.chunks += 1
    if chunk.usage:
        read_usage(chunk.usage, report)
    for choice in chunk.choices:
        delta = choice.delta
        report.text += delta.content or ""
        report.reasoning += getattr(delta, "reasoning_content", None) or ""
        report.finish = choice.finish_reason or report.finish
        for call in delta.tool_calls or ():
            while len(report.tools) <= call.index:
                report.tools.append({"id": "", "name": "", "arguments": ""})
            tool = report.tools[call.index]
            tool["id"] += call.id or ""
            tool["name"] += call.function.name or ""
            tool["arguments"] += call.function.arguments or ""


def read_usage(usage, report):
    report.usage = {"input": usage.prompt_tokens, "output": usage.completion_tokens, "total": usage.total_tokens}


def read_whole(answer, report):
    choice = answer.choices[0]
    report.text = choice.message.content or ""
    report.reasoning = getattr(choice.message, "reasoning_content", None) or ""
    report.finish = choice.finish_reason
    for call in choice.message.tool_calls or ():
        report.tools.append({"id": call.id, "name": call.function.name, "arguments": call.function.arguments})
    if answer.usage:
        read_usage(answer.usage, report)


def read_event(event, report):
    if event.type == "chunk":
        report.chunks += 1
    elif event.type == "content.delta":
        report.text += event.delta


def iterate(base_url, job, report):
    completions = sync_client(base_url=base_url, api_key=job["api_key"]).chat.completions
    if not job["stream"]:
        read_whole(completions.create(**arguments(job)), report)
        return
    stream = completions.create(stream=True, **arguments(job))
    for chunk in stream:
        read_chunk(chunk, report)
        if report.enough(job):
            stream.close()
            break


async def iterate_async(base_url, job, report):
    completions = async_client(base_url=base_url, api_key=job["api_key"]).chat.completions
    if not job["stream"]:
        read_whole(await completions.create(**arguments(job)), report)
        return
    stream = await completions.create(stream=True, **arguments(job))
    async for chunk in stream:
        read_chunk(chunk, report)
        if report.enough(job):
            await stream.close()
            break


def helper(base_url, job, report):
    completions = sync_client(base_url=base_url, api_key=job["api_key"]).chat.completions
    with completions.stream(**arguments(job)) as stream:
        for event in stream:
            read_event(event, report)
            if report.enough(job):
                return
        read_whole(stream.get_final_completion(), report)


async def helper_async(base_url, job, report):
    completions = async_client(base_url=base_url, api_key=job["api_key"]).chat.completions
    async with completions.stream(**arguments(job)) as stream:
        async for event in stream:
            read_event(event, report)
            if report.enough(job):
                return
        read_whole(await stream.get_final_completion(), report)


reporting.run({"sync": iterate, "helper": helper}, {"async": iterate_async, "helper-async": helper_async})
