// Ask, and go on when the connection breaks: node resume.mjs http://127.0.0.1:8080 "Hello"
const [base, prompt] = process.argv.slice(2);

async function* answer(body) {
  let response = await fetch(`${base}/v1/chat/completions`, {
    method: "POST",
    headers: {"content-type": "application/json", "x-penstock-resume": "on"},
    body: JSON.stringify({...body, stream: true}),
  });
  if (!response.ok) throw new Error(await response.text());
  const stream = response.headers.get("x-penstock-stream");
  for (let seen = 0, wait = 0; ; wait = Math.min(wait * 2 || 500, 10000)) {
    try {
      response ??= await fetch(`${base}/v1/streams/${stream}/events?after=${seen}`);
    } catch {}                                            // the network is away
    if (response && !response.ok) throw new Error(await response.text());
    for await (const data of response ? events(response.body) : []) {
      seen += 1;
      wait = 0;
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      yield chunk.choices[0]?.delta?.content ?? "";
    }
    response = null;
    await new Promise(done => setTimeout(done, wait));
  }
}

// The data of each event that is whole; comments have none. Ends where the connection does.
async function* events(body) {
  let rest = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const {value, done} = await reader.read().catch(() => ({done: true}));
    if (done) return;
    const frames = (rest + value).split("\n\n");
    rest = frames.pop();
    for (const frame of frames) {
      const lines = frame.split("\n").filter(line => line.startsWith("data: "));
      if (lines.length) yield lines.map(line => line.slice(6)).join("\n");
    }
  }
}

for await (const piece of answer({model: "gpt-4o", messages: [{role: "user", content: prompt}]})) process.stdout.write(piece);
console.log();
