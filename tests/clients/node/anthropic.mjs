// Drives Anthropic's SDK: iterating over create({stream: true}), and the stream() helper.
import Anthropic from "@anthropic-ai/sdk";
import { MESSAGES, TOOL_NAMES, run } from "./reporting.mjs";

const client = (baseURL) => new Anthropic({ baseURL, apiKey: "any", maxRetries: 0, timeout: 15_000 }).messages;

function request(job) {
  const body = { model: job.model, max_tokens: 2000, messages: MESSAGES };
  if (job.tools) {
    body.tools = TOOL_NAMES.map((name) => ({ name, description: "d", input_schema: { type: "object", properties: {} } }));
  }
  return body;
}

function readWhole(message, report) {
  const of = (type) => message.content.filter((block) => block.type === type);
  report.text = of("text").map((block) => block.text).join("");
  report.reasoning = of("thinking").map((block) => block.thinking).join("");
  report.tools = of("tool_use").map(({ id, name, input }) => ({ id, name, arguments: JSON.stringify(input) }));
  report.finish = message.stop_reason;
  readUsage(message.usage, report);
}

function readUsage(usage, report) {
  report.usage = { input: usage.input_tokens ?? report.usage?.input, output: usage.output_tokens };
}

function readEvent(event, report) {
  report.chunks += 1;
  if (event.type === "message_start") readUsage(event.message.usage, report);
  if (event.type === "message_delta") {
    report.finish = event.delta.stop_reason;
    readUsage(event.usage, report);
  }
  const { content_block: block, delta } = event;
  if (block?.type === "tool_use") report.tools.push({ id: block.id, name: block.name, arguments: "" });
  if (delta?.type === "text_delta") report.text += delta.text;
  if (delta?.type === "thinking_delta") report.reasoning += delta.thinking;
  if (delta?.type === "input_json_delta") report.tools.at(-1).arguments += delta.partial_json;
}

await run({
  iterate: async (baseURL, job, report) => {
    for await (const event of await client(baseURL).create({ ...request(job), stream: true })) readEvent(event, report);
  },
  helper: async (baseURL, job, report) => {
    const stream = client(baseURL).stream(request(job));
    for await (const event of stream) readEvent(event, report);
    readWhole(await stream.finalMessage(), report);
  },
  whole: async (baseURL, job, report) => readWhole(await client(baseURL).create(request(job)), report),
});
