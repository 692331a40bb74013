// Drives Ollama's SDK: chat, streamed and whole.
import { Ollama } from "ollama";
import { MESSAGES, TOOL_NAMES, run } from "./reporting.mjs";

function request(job) {
  const body = { model: job.model, messages: MESSAGES, think: true };
  if (job.tools) {
    body.tools = TOOL_NAMES.map((name) => ({
      type: "function",
      function: { name, description: "d", parameters: { type: "object", properties: {} } },
    }));
  }
  return body;
}

function read(part, report) {
  report.chunks += 1;
  report.text += part.message.content ?? "";
  report.reasoning += part.message.thinking ?? "";
  for (const { function: call } of part.message.tool_calls ?? []) {
    report.tools.push({ id: null, name: call.name, arguments: JSON.stringify(call.arguments) });
  }
  if (part.done) {
    report.finish = part.done_reason;
    report.usage = { input: part.prompt_eval_count, output: part.eval_count };
  }
}

await run({
  iterate: async (host, job, report) => {
    for await (const part of await new Ollama({ host }).chat({ ...request(job), stream: true })) read(part, report);
  },
  whole: async (host, job, report) => read(await new Ollama({ host }).chat(request(job)), report),
});
