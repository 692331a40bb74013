// Google's @google/genai through a gateway: `npm i @google/genai && node google_genai.mjs ORIGIN [MODEL…]`.
// Prints one line of JSON for each model: what arrived, and what was thrown. The routes are those of
// test_gemini_sdk.py; run by hand, since the package is not among those that the other clients need.
import { GoogleGenAI } from "@google/genai";

const [origin, ...models] = process.argv.slice(2);
const ai = new GoogleGenAI({ apiKey: "team-key", httpOptions: { baseUrl: origin } });

async function streamed(model) {
  const heard = { model, chunks: 0, text: "", thoughts: "", calls: [], finish: null, tokens: null, thrown: null };
  try {
    for await (const chunk of await ai.models.generateContentStream({ model, contents: "Hello" })) {
      heard.chunks += 1;
      const candidate = chunk.candidates?.[0];
      heard.finish = candidate?.finishReason ?? heard.finish;
      heard.tokens = chunk.usageMetadata?.candidatesTokenCount ?? heard.tokens;
      for (const part of candidate?.content?.parts ?? []) {
        if (part.functionCall) heard.calls.push([part.functionCall.name, part.functionCall.args]);
        else if (part.thought) heard.thoughts += part.text ?? "";
        else heard.text += part.text ?? "";
      }
    }
  } catch (error) {
    heard.thrown = { name: error.constructor.name, status: error.status, message: error.message };
  }
  return heard;
}

for (const model of models.length ? models : ["plain", "thoughts", "tools", "error", "cut", "stall", "429"]) {
  console.log(JSON.stringify(await streamed(model)));
}
