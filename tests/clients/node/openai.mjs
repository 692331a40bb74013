// Drives openai-node 6 and 7: iterating over create({stream: true}), and the stream() helper.
import OpenAI6 from "openai-6";
import OpenAI7 from "openai-7";
import { MESSAGES, TOOL_NAMES, enough, run } from "./reporting.mjs";

const client = (OpenAI, baseURL, job) =>
  new OpenAI({ baseURL, apiKey: job.api_key, maxRetries: 0, timeout: 15_000 }).chat.completions;

function request(job) {
  const body = { model: job.model, messages: MESSAGES };
  if (job.usage) body.stream_options = { include_usage: true };
  if (job.tools) {
    body.tools = TOOL_NAMES.map((name) => ({
      type: "function",
      function: { name, parameters: { type: "object", properties: {} } },
    }));
  }
  return body;
}

function readUsage(usage, report) {
  report.usage = { input: usage.prompt_tokens, output: usage.completion_tokens, total: usage.total_tokens };
}

function readChunk(chunk, report) {
  report.chunks += 1;
  if (chunk.usage) readUsage(chunk.usage, report);
  for (const { delta, finish_reason: finish } of chunk.choices) {
    report.text += delta.content ?? "";
    report.reasoning += delta.reasoning_content ?? "";
    report.finish = finish ?? report.finish;
    for (const call of delta.tool_calls ?? []) {
      const tool = (report.tools[call.index] ??= { id: "", name: "", arguments: "" });
      tool.id += call.id ?? "";
      tool.name += call.function?.name ?? "";
      tool.arguments += call.function?.arguments ?? "";
    }
  }
}

function readWhole(answer, report) {
  const { message, finish_reason: finish } = answer.choices[0];
  report.text = message.content ?? "";
  report.reasoning = message.reasoning_content ?? "";
  report.finish = finish;
  report.tools = (message.tool_calls ?? []).map((call) => ({ id: call.id, ...call.function }));
  if (answer.usage) readUsage(answer.usage, report);
}

const iterate = (OpenAI) => async (baseURL, job, report) => {
  const completions = client(OpenAI, baseURL, job);
  if (!job.stream) return readWhole(await completions.create(request(job)), report);
  for await (const chunk of await completions.create({ ...request(job), stream: true })) {
    readChunk(chunk, report);
    if (enough(job, report)) break;
  }
};

const helper = (OpenAI) => async (baseURL, job, report) => {
  const stream = client(OpenAI, baseURL, job).stream(request(job));
  for await (const chunk of stream) {
    readChunk(chunk, report);
    if (enough(job, report)) {
      stream.abort();
      return;
    }
  }
  const { reasoning } = report; // of fields that it does not know the helper keeps the last piece only
  readWhole(await stream.finalChatCompletion(), report);
  report.reasoning = reasoning;
};

await run({
  "6-iterate": iterate(OpenAI6),
  "6-helper": helper(OpenAI6),
  "7-iterate": iterate(OpenAI7),
  "7-helper": helper(OpenAI7),
});
