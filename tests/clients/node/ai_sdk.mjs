// Drives the Vercel AI SDK with its providers @ai-sdk/openai (chat and Responses), @ai-sdk/openai-compatible,
// @ai-sdk/anthropic, @ai-sdk/google and @ai-sdk/cohere.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createCohere } from "@ai-sdk/cohere";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, streamText } from "ai";
import { TOOL_NAMES, describe, enough, run } from "./reporting.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

const at = (baseURL, version) => baseURL.replace(/v1$/, version);

const MODELS = {
  openai: (baseURL, job) => createOpenAI({ baseURL, apiKey: job.api_key }).chat(job.model),
  compatible: (baseURL, job) =>
    createOpenAICompatible({ name: "penstock", baseURL, apiKey: job.api_key, includeUsage: job.usage })(job.model),
  responses: (baseURL, job) => createOpenAI({ baseURL, apiKey: job.api_key }).responses(job.model),
  anthropic: (baseURL, job) => createAnthropic({ baseURL, apiKey: job.api_key })(job.model),
  google: (baseURL, job) => createGoogleGenerativeAI({ baseURL: at(baseURL, "v1beta"), apiKey: job.api_key })(job.model),
  cohere: (baseURL, job) => createCohere({ baseURL: at(baseURL, "v2"), apiKey: job.api_key })(job.model),
};

function request(baseURL, job) {
  const inputSchema = jsonSchema({ type: "object", properties: {} });
  const tools = Object.fromEntries(TOOL_NAMES.map((name) => [name, { inputSchema }]));
  return { model: MODELS[job.mode](baseURL, job), prompt: "Hello", maxRetries: 0, ...(job.tools ? { tools } : {}) };
}

function readUsage(usage, report) {
  if (usage?.totalTokens !== undefined) {
    report.usage = { input: usage.inputTokens, output: usage.outputTokens, total: usage.totalTokens };
  }
}

const toolOf = (call) => ({ id: call.toolCallId, name: call.toolName, arguments: JSON.stringify(call.input) });

async function ask(baseURL, job, report) {
  if (!job.stream) {
    const answer = await generateText(request(baseURL, job));
    report.text = answer.text;
    report.reasoning = answer.reasoningText ?? "";
    report.finish = answer.finishReason;
    report.tools = answer.toolCalls.map(toolOf);
    return readUsage(answer.usage, report);
  }
  const leave = new AbortController();
  const result = streamText({ ...request(baseURL, job), abortSignal: leave.signal, onError() {} });
  for await (const part of result.fullStream) {
    if (part.type === "text-delta") {
      report.text += part.text;
      report.chunks += 1;
      if (enough(job, report)) return leave.abort();
    } else if (part.type === "reasoning-delta") report.reasoning += part.text;
    else if (part.type === "tool-call") report.tools.push(toolOf(part));
    else if (part.type === "error") report.error = describe(part.error);
    else if (part.type === "finish") {
      report.finish = part.finishReason;
      readUsage(part.totalUsage, report);
    }
  }
}

await run(Object.fromEntries(Object.keys(MODELS).map((mode) => [mode, ask])));
