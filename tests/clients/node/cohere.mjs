// Drives Cohere's SDK: chatStream and chat.
import { CohereClientV2 } from "cohere-ai";
import { MESSAGES, TOOL_NAMES, run } from "./reporting.mjs";

const client = (baseUrl) => new CohereClientV2({ token: "any", environment: baseUrl, baseUrl });
const OPTIONS = { maxRetries: 0, timeoutInSeconds: 15 };

function request(job) {
  const body = { model: job.model, messages: MESSAGES };
  if (job.tools) {
    body.tools = TOOL_NAMES.map((name) => ({
      type: "function",
      function: { name, description: "d", parameters: { type: "object", properties: {} } },
    }));
  }
  return body;
}

const toolOf = (call) => ({ id: call.id, name: call.function.name, arguments: call.function.arguments ?? "" });

function readEnd({ finishReason, usage, error }, report) {
  report.finish = finishReason;
  report.told = error ?? null;
  if (usage) report.usage = { input: usage.tokens.inputTokens, output: usage.tokens.outputTokens };
}

function readEvent(event, report) {
  report.chunks += 1;
  const message = event.delta?.message;
  if (event.type === "content-delta") {
    report.text += message.content.text ?? "";
    report.reasoning += message.content.thinking ?? "";
  } else if (event.type === "tool-call-start") report.tools.push(toolOf(message.toolCalls));
  else if (event.type === "tool-call-delta") report.tools.at(-1).arguments += message.toolCalls.function.arguments;
  else if (event.type === "message-end") readEnd(event.delta, report);
}

await run({
  iterate: async (baseURL, job, report) => {
    for await (const event of await client(baseURL).chatStream(request(job), OPTIONS)) readEvent(event, report);
  },
  whole: async (baseURL, job, report) => {
    const answer = await client(baseURL).chat(request(job), OPTIONS);
    const parts = answer.message.content ?? [];
    report.text = parts.map((part) => part.text ?? "").join("");
    report.reasoning = parts.map((part) => part.thinking ?? "").join("");
    report.tools = (answer.message.toolCalls ?? []).map(toolOf);
    readEnd(answer, report);
  },
});
