// npm install cohere-ai ollama ai @ai-sdk/cohere; one line for each client and case is printed.
// node drive_cohere_ollama.mjs <gateway origin> : Cohere's and Ollama's SDKs and the AI SDK against a gateway whose
// route "*" is a cohere-chat simulator, and whose routes ollama-<case> and chat-<case> are those wires with its options.
import { createCohere } from "@ai-sdk/cohere";
import { streamText } from "ai";
import { CohereClientV2 } from "cohere-ai";
import { Ollama } from "ollama";
const origin = process.argv[2];
const cohere = new CohereClientV2({ token: "any", environment: origin, baseUrl: origin });
const ollama = new Ollama({ host: origin });
const ai = createCohere({ baseURL: origin + "/v2", apiKey: "any" });
const messages = [{ role: "user", content: "Hello" }];
const tools = [{ type: "function", function: { name: "get_weather", description: "d", parameters: { type: "object", properties: {} } } }];
const cases = {
  plain: "tokens=20", tools: "tool=2", reasoning: "reasoning=5&tokens=5", crlf: "crlf=1&tokens=5", split: "split=3&tokens=5",
  error: "error_at=5", cut: "cut_at=5", drop: "drop_at=5", reset: "reset_at=5", stall: "stall_at=5", status: "status=429",
  first: "error_at=0",
};
for (const [name, options] of Object.entries(cases)) {
  const model = `sim?first=0&gap=2ms&${options}`;
  let text = "", last = null;
  try {
    for await (const event of await cohere.chatStream({ model, messages, tools: name === "tools" ? tools : undefined }, { maxRetries: 0 })) {
      if (event.type === "content-delta") text += event.delta.message.content.text ?? "";
      if (event.type === "message-end") last = event.delta;
    }
    console.log("cohere", name, "END", text.length, last.finishReason, JSON.stringify(last.usage.tokens));
  } catch (error) {
    console.log("cohere", name, "RAISED", error.constructor.name, error.statusCode, text.length, last?.finishReason);
  }
  const seen = {};
  try {
    for await (const part of streamText({ model: ai(model), messages, maxRetries: 0, onError() {} }).fullStream) {
      seen[part.type] = (seen[part.type] ?? 0) + 1;
      if (part.type === "error") seen.message = String(part.error?.message ?? part.error).slice(0, 80);
      if (part.type === "finish") seen.reason = part.finishReason;
    }
  } catch (error) { seen.thrown = String(error).slice(0, 80); }
  console.log("ai", name, JSON.stringify(seen));
  for (const provider of ["ollama", "chat"]) {
    let calls = 0, end = null;
    text = "";
    try {
      const asked = { model: `${provider}-${name}`, messages, stream: true, tools: name === "tools" ? tools : undefined };
      for await (const part of await ollama.chat(asked)) {
        text += part.message.content;
        calls += part.message.tool_calls?.length ?? 0;
        end = part;
      }
      console.log("ollama", provider, name, "END", text.length, calls, end.done, end.done_reason, end.eval_count);
    } catch (error) {
      console.log("ollama", provider, name, "RAISED", error.constructor.name, error.status_code, String(error.message).slice(0, 80), text.length);
    }
  }
}
const whole = await cohere.chat({ model: "sim?first=0&gap=0", messages });
console.log("cohere whole", whole.message.content[0].text.length, whole.finishReason);
