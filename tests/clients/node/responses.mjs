// Drives openai-node 6 and 7 on the Responses wire: iterating over create({stream: true}), and the stream() helper.
import OpenAI6 from "openai-6";
import OpenAI7 from "openai-7";
import { TOOL_NAMES, run } from "./reporting.mjs";

const client = (OpenAI, origin) =>
  new OpenAI({ baseURL: `${origin}/v1`, apiKey: "any", maxRetries: 0, timeout: 15_000 }).responses;

function request(job) {
  const body = { model: job.model, input: "Hello" };
  if (job.tools) {
    const parameters = { type: "object", properties: {} };
    body.tools = TOOL_NAMES.map((name) => ({ type: "function", name, parameters, strict: false }));
  }
  return body;
}

function readWhole(response, report) {
  const of = (type) => response.output.filter((item) => item.type === type);
  report.text = of("message").flatMap((item) => item.content.map((part) => part.text ?? "")).join("");
  report.reasoning = of("reasoning").flatMap((item) => item.summary.map((part) => part.text)).join("");
  report.tools = of("function_call").map((item) => ({ id: item.call_id, name: item.name, arguments: item.arguments }));
  report.finish = response.incomplete_details?.reason ?? response.status;
  if (response.usage) report.usage = { input: response.usage.input_tokens, output: response.usage.output_tokens };
}

function readEvent(event, report) {
  report.chunks += 1;
  if (event.type === "response.output_text.delta") report.text += event.delta;
  else if (event.type === "response.reasoning_summary_text.delta") report.reasoning += event.delta;
  else if (["response.completed", "response.incomplete"].includes(event.type)) readWhole(event.response, report);
}

const iterate = (OpenAI) => async (origin, job, report) => {
  const stream = await client(OpenAI, origin).create({ ...request(job), stream: true });
  for await (const event of stream) readEvent(event, report);
};
const helper = (OpenAI) => async (origin, job, report) => {
  const stream = client(OpenAI, origin).stream(request(job));
  for await (const event of stream) readEvent(event, report);
  readWhole(await stream.finalResponse(), report);
};
const whole = (OpenAI) => async (origin, job, report) =>
  readWhole(await client(OpenAI, origin).create(request(job)), report);

await run({
  "6-iterate": iterate(OpenAI6),
  "6-helper": helper(OpenAI6),
  "6-whole": whole(OpenAI6),
  "7-iterate": iterate(OpenAI7),
  "7-helper": helper(OpenAI7),
  "7-whole": whole(OpenAI7),
});
