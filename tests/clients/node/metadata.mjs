// The official Node SDKs with metadata in the stream: node metadata.mjs ORIGIN prints one JSON line for each, with the
// text, and how many of its events showed the gateway's field.
import Anthropic from "@anthropic-ai/sdk";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { GoogleGenAI } from "@google/genai";
import { generateText, streamText } from "ai";
import OpenAI6 from "openai-6";
import OpenAI7 from "openai-7";
import { MESSAGES } from "./reporting.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const origin = process.argv[2];
const headers = { "x-penstock-metadata": "live" };
const options = { apiKey: "any", maxRetries: 0, timeout: 15_000, defaultHeaders: headers };

const chat = (OpenAI) => async (seen) => {
  const client = new OpenAI({ ...options, baseURL: `${origin}/v1` }).chat.completions;
  const asked = { model: "openai-chat", messages: MESSAGES };
  let text = "";
  for await (const chunk of await client.create({ ...asked, stream: true })) {
    seen(chunk);
    text += chunk.choices[0]?.delta.content ?? "";
  }
  const helped = await client.stream(asked).finalChatCompletion();
  const whole = await client.create(asked);
  return [text, helped.choices[0].message.content, whole.choices[0].message.content];
};

const responses = (OpenAI) => async (seen) => {
  const client = new OpenAI({ ...options, baseURL: `${origin}/v1` }).responses;
  const asked = { model: "openai-responses", input: "Hello" };
  let text = "";
  for await (const event of await client.create({ ...asked, stream: true })) {
    seen(event);
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  const helped = await client.stream(asked).finalResponse();
  const whole = await client.create(asked);
  return [text, helped.output_text, whole.output_text];
};

async function anthropic(seen) {
  const client = new Anthropic({ ...options, baseURL: origin }).messages;
  const asked = { model: "anthropic-messages", max_tokens: 99, messages: MESSAGES };
  let text = "";
  for await (const event of await client.create({ ...asked, stream: true })) {
    seen(event);
    if (event.type === "content_block_delta") text += event.delta.text;
  }
  const helped = await client.stream(asked).finalMessage();
  const whole = await client.create(asked);
  return [text, helped.content[0].text, whole.content[0].text];
}

async function google(seen) {
  const { models } = new GoogleGenAI({ apiKey: "any", httpOptions: { baseUrl: origin, headers } });
  const asked = { model: "gemini", contents: "Hello" };
  let text = "";
  for await (const chunk of await models.generateContentStream(asked)) {
    seen(chunk);
    text += chunk.text ?? "";
  }
  return [text, (await models.generateContent(asked)).text];
}

const ai = (model) => async () => {
  let text = "";
  const failed = (error) => { throw error; };
  for await (const part of streamText({ model, prompt: "Hello", maxRetries: 0, onError() {} }).fullStream) {
    if (part.type === "text-delta") text += part.text;
    if (part.type === "error") failed(part.error);
  }
  return [text, (await generateText({ model, prompt: "Hello", maxRetries: 0 })).text];
};

const shared = { baseURL: `${origin}/v1`, apiKey: "any", headers };
const clients = {
  "openai-6 chat": chat(OpenAI6),
  "openai-7 chat": chat(OpenAI7),
  "openai-6 responses": responses(OpenAI6),
  "openai-7 responses": responses(OpenAI7),
  anthropic,
  google,
  "ai-sdk chat": ai(createOpenAI(shared).chat("openai-chat")),
  "ai-sdk responses": ai(createOpenAI(shared).responses("openai-responses")),
  "ai-sdk compatible": ai(createOpenAICompatible({ ...shared, name: "penstock" })("openai-chat")),
};
for (const [name, client] of Object.entries(clients)) {
  let told = 0;
  const report = { name, texts: [], error: null };
  try {
    report.texts = await client((event) => { told += "penstock" in event ? 1 : 0; });
  } catch (error) {
    report.error = String(error);
  }
  console.log(JSON.stringify({ ...report, told }));
}
