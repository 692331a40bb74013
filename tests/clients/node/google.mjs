// Drives Google's @google/genai: generateContentStream and generateContent.
import { GoogleGenAI } from "@google/genai";
import { TOOL_NAMES, run } from "./reporting.mjs";

const client = (baseUrl) => new GoogleGenAI({ apiKey: "any", httpOptions: { baseUrl, timeout: 15_000 } }).models;

function request(job) {
  const functionDeclarations = TOOL_NAMES.map((name) => ({ name, description: "d" }));
  return { model: job.model, contents: "Hello", config: job.tools ? { tools: [{ functionDeclarations }] } : {} };
}

function read(chunk, report) {
  report.chunks += 1;
  const [candidate] = chunk.candidates ?? [];
  report.finish = candidate?.finishReason ?? report.finish;
  for (const { functionCall: call, thought, text } of candidate?.content?.parts ?? []) {
    if (call) report.tools.push({ id: call.id ?? null, name: call.name, arguments: JSON.stringify(call.args) });
    else if (thought) report.reasoning += text ?? "";
    else report.text += text ?? "";
  }
  const usage = chunk.usageMetadata;
  if (usage) report.usage = { input: usage.promptTokenCount, output: usage.candidatesTokenCount };
}

await run({
  iterate: async (baseURL, job, report) => {
    for await (const chunk of await client(baseURL).generateContentStream(request(job))) read(chunk, report);
  },
  whole: async (baseURL, job, report) => read(await client(baseURL).generateContent(request(job)), report),
});
