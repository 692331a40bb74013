// Drives openai-node 6 and 7 (iterating, the stream() helper) and the AI SDK on the Responses wire:
// node openai_responses.mjs BASE_URL ROUTE… prints one JSON line for each client and route.
import { streamText, generateText, tool } from "ai";
import { createOpenAI } from "@ai-sdk/openai";
import OpenAI6 from "openai-6";
import OpenAI7 from "openai-7";
import { z } from "zod";

const [baseURL, ...routes] = process.argv.slice(2);
const TOOLS = ["get_weather", "get_time"].map((name) => ({
  type: "function",
  name,
  parameters: { type: "object", properties: {} },
  strict: false,
}));

function seen(event, report) {
  report.events += 1;
  report.last = event.type;
  if (event.type === "response.output_text.delta") report.text += event.delta;
  if (event.type === "response.reasoning_summary_text.delta") report.reasoning += event.delta;
  if (event.response) readWhole(event.response, report);
}

function readWhole(response, report) {
  report.status = response.status;
  report.output = response.output_text ?? undefined;
  report.usage = response.usage?.output_tokens;
  report.tools = response.output.filter((item) => item.type === "function_call").map((item) => item.arguments);
}

const client = (OpenAI) => new OpenAI({ baseURL, apiKey: "any", maxRetries: 0, timeout: 15_000 }).responses;
const request = (model) => ({ model, input: "Hello", ...(model.endsWith("tools") ? { tools: TOOLS } : {}) });

const iterate = (OpenAI) => async (model, report) => {
  for await (const event of await client(OpenAI).create({ ...request(model), stream: true })) seen(event, report);
};
const helper = (OpenAI) => async (model, report) => {
  const stream = client(OpenAI).stream(request(model));
  for await (const event of stream) seen(event, report);
  readWhole(await stream.finalResponse(), report);
};
const whole = (OpenAI) => async (model, report) => readWhole(await client(OpenAI).create(request(model)), report);

const tools = Object.fromEntries(TOOLS.map(({ name }) => [name, tool({ inputSchema: z.looseObject({}) })]));
const ask = (model) => ({
  model: createOpenAI({ baseURL, apiKey: "any" }).responses(model),
  messages: [{ role: "user", content: "Hello" }],
  maxRetries: 0,
  ...(model.endsWith("tools") ? { tools } : {}),
});
async function aiStream(model, report) {
  for await (const part of streamText({ ...ask(model), onError() {} }).fullStream) {
    report.events += 1;
    if (part.type === "text-delta") report.text += part.text;
    if (part.type === "reasoning-delta") report.reasoning += part.text;
    if (part.type === "tool-call") (report.tools ??= []).push(JSON.stringify(part.input));
    if (part.type === "error") report.error = String(part.error?.message ?? JSON.stringify(part.error));
    if (part.type === "finish") [report.status, report.usage] = [part.finishReason, part.totalUsage.outputTokens];
  }
}
async function aiWhole(model, report) {
  const answer = await generateText(ask(model));
  [report.text, report.status, report.usage] = [answer.text, answer.finishReason, answer.usage.outputTokens];
}

const clients = {
  "openai-6 iterate": iterate(OpenAI6),
  "openai-6 helper": helper(OpenAI6),
  "openai-6 whole": whole(OpenAI6),
  "openai-7 iterate": iterate(OpenAI7),
  "openai-7 helper": helper(OpenAI7),
  "openai-7 whole": whole(OpenAI7),
  "ai-sdk stream": aiStream,
  "ai-sdk whole": aiWhole,
};
for (const route of routes) {
  for (const [name, drive] of Object.entries(clients)) {
    const report = { route, client: name, events: 0, text: "", reasoning: "" };
    try {
      await drive(route, report);
    } catch (error) {
      report.error = `${error.constructor.name} ${error.status ?? error.statusCode ?? ""} ${error.code ?? ""} ${error.message}`;
    }
    console.log(JSON.stringify(report));
  }
}
