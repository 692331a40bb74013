// Ask, and go on after a dropped network or a reload. `show(text, state)` is called with all of the answer so far.
const KEY = "penstock.answer";

async function ask(body, show) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: {"content-type": "application/json", "x-penstock-resume": "on"},
    body: JSON.stringify({...body, stream: true}),
  });
  if (!response.ok) throw new Error(await response.text());
  const place = {stream: response.headers.get("x-penstock-stream"), n: 0, text: ""};
  sessionStorage.setItem(KEY, JSON.stringify(place));
  await follow(place, response, show);
}

async function goOn(show) {
  const place = JSON.parse(sessionStorage.getItem(KEY) || "null");
  if (place) await follow(place, null, show);
}

async function follow(place, response, show) {
  for (let wait = 500; ; wait = Math.min(wait * 2, 10000)) {
    try {
      response ??= await fetch(`/v1/streams/${place.stream}/events?after=${place.n}`);
      if (response.status === 410) {
        show(place.text, "expired");                      // ask again, if the user wants that
        break;
      }
      if (response.ok && await read(response, place, show)) break;
    } catch {}                                            // the network is away
    response = null;
    show(place.text, "waiting");
    await new Promise(done => setTimeout(done, wait));
  }
  sessionStorage.removeItem(KEY);
}

async function read(response, place, show) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "";;) {
    const {value, done} = await reader.read();
    if (done) return false;
    const frames = (rest + value).split("\n\n");
    rest = frames.pop();
    for (const frame of frames) {
      const data = frame.split("\n").filter(line => line.startsWith("data: ")).map(line => line.slice(6)).join("\n");
      if (!data) continue;                                // a comment: it does not count
      place.n += 1;
      if (data === "[DONE]") {
        show(place.text, "done");
        return true;
      }
      const chunk = JSON.parse(data);
      if (chunk.error) {
        show(place.text, chunk.error.message);
        return true;
      }
      place.text += chunk.choices[0]?.delta?.content ?? "";
      sessionStorage.setItem(KEY, JSON.stringify(place));
      show(place.text, "live");
    }
  }
}
