"""Drives LangChain: ``stream``, ``astream``, ``invoke`` and ``ainvoke`` of langchain-openai's chat model."""

import contextlib

import reporting
from langchain_openai import ChatOpenAI


def model(base_url, job):
    """The chat model, as an application would make it."""
    chat = ChatOpenAI(
        base_url=base_url,
        api_key=job["api_key"],
        model=job["model"],
        max_retries=0,
        timeout=15,
        stream_usage=job["usage"],
    )
    return chat.bind_tools(reporting.TOOLS) if job["tools"] else chat


def read(message, report):
    """The account of a message: of the chunks so far, added up, or of a whole answer."""
    report.text = message.text if isinstance(message.text, str) else message.text()
    report.finish = message.response_metadata.get("finish_reason")
    report.tools = [{"id": call["id"], "name": call["name"], "arguments": call["args"]} for call in message.tool_calls]
    usage = message.usage_metadata
    if usage:
        report.usage = {
            "input": usage["input_tokens"],
            "output": usage["output_tokens"],
            "total": usage["total_tokens"],
        }


def sync(base_url, job, report):
    chat = model(base_url, job)
    if not job["stream"]:
        read(chat.invoke("Hello"), report)
        return
    whole = None
    with contextlib.closing(chat.stream("Hello")) as stream:
        for chunk in stream:
            whole = chunk if whole is None else whole + chunk
            report.chunks += 1
            read(whole, report)
            if report.enough(job):
                break


async def asynchronous(base_url, job, report):
    chat = model(base_url, job)
    if not job["stream"]:
        read(await chat.ainvoke("Hello"), report)
        return
    whole = None
    async with contextlib.aclosing(chat.astream("Hello")) as stream:
        async for chunk in stream:
            whole = chunk if whole is None else whole + chunk
            report.chunks += 1
            read(whole, report)
            if report.enough(job):
                break


reporting.run({"sync": sync}, {"async": asynchronous})
