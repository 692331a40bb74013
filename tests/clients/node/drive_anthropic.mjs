// npm install @anthropic-ai/sdk ai @ai-sdk/anthropic; one line for each client and case is printed.
// node drive.mjs <gateway origin> : Anthropic's SDK and the AI SDK against a gateway whose model "*" is the simulator.
import Anthropic from "@anthropic-ai/sdk";
import { createAnthropic } from "@ai-sdk/anthropic";
import { streamText, tool, jsonSchema } from "ai";
const origin = process.argv[2];
const client = new Anthropic({ baseURL: origin, apiKey: "any", maxRetries: 0 });
const ai = createAnthropic({ baseURL: origin + "/v1", apiKey: "any" });
const messages = [{ role: "user", content: "Hello" }];
const tools = [{ name: "get_weather", description: "d", input_schema: { type: "object", properties: {} } }];
const cases = {
  plain: "", reasoning: "reasoning=5&tokens=4", tools: "tool=2&tokens=3", slow: "first=900ms&ping=50ms&tokens=3",
  crlf: "crlf=1&tokens=3", split: "split=1&tokens=3", nodone: "done=no&tokens=3", nousage: "usage=no&tokens=3",
  error: "error_at=3", cut: "cut_at=3", reset: "reset_at=3", stall: "stall_at=3", status: "status=429", first: "error_at=0",
};
for (const [name, options] of Object.entries(cases)) {
  const model = `sim?gap=1ms&${options.includes("first") ? "" : "first=10ms&"}${options}`.replace(/&$/, "");
  try {
    const message = await client.messages.stream({ model, max_tokens: 500, messages, tools }).finalMessage();
    console.log("sdk", name, message.stop_reason, message.usage.output_tokens, JSON.stringify(message.content).slice(0, 160));
  } catch (error) {
    console.log("sdk", name, "RAISED", error.constructor.name, error.status, JSON.stringify(error.error).slice(0, 200));
  }
  try {
    const whole = await client.messages.create({ model, max_tokens: 500, messages, tools });
    console.log("whole", name, whole.stop_reason, whole.content.map((b) => b.type).join());
  } catch (error) {
    console.log("whole", name, "RAISED", error.constructor.name, error.status);
  }
  const seen = {};
  try {
    const result = streamText({ model: ai(model), messages, maxRetries: 0, onError() {},
      tools: { get_weather: tool({ inputSchema: jsonSchema({ type: "object" }) }) } });
    for await (const part of result.fullStream) {
      seen[part.type] = (seen[part.type] ?? 0) + 1;
      if (part.type === "error") seen.message = String(part.error?.message ?? part.error).slice(0, 80);
      if (part.type === "finish") seen.reason = part.finishReason;
    }
  } catch (error) { seen.thrown = String(error).slice(0, 80); }
  console.log("ai", name, JSON.stringify(seen));
}
