// What the Node drivers share: jobs from standard input, a JSON line on standard output for each.

const AT_ONCE = 32; // jobs under way at the same time, so that the waits of the slow ones overlap

// What one job showed, as the application behind the client would have seen it.
function emptyReport(job) {
  const nothing = { finish: null, usage: null, told: null, error: null, left_at: null };
  return { id: job.id, text: "", reasoning: "", tools: [], chunks: 0, ...nothing };
}

// Whether the job wants the client to leave now, which then is noted.
export function enough(job, report) {
  if (job.close_after === null || report.chunks < job.close_after) return false;
  report.left_at = Date.now() / 1000;
  return true;
}

// Names of an error's classes, most specific first.
function kindsOf(error) {
  const kinds = typeof error?.name === "string" ? [error.name] : [];
  for (let at = Object.getPrototypeOf(error ?? {}); at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    kinds.push(at.constructor.name);
  }
  return [...new Set(kinds)];
}

export function describe(error) {
  const headers = error?.responseHeaders ?? error?.headers;
  const inner = error?.data?.error ?? error?.data ?? error?.error ?? error?.body;
  return {
    kinds: kindsOf(error),
    status: error?.status ?? error?.statusCode ?? error?.status_code ?? null,
    type: error?.type ?? inner?.type ?? null,
    code: error?.code ?? inner?.code ?? null,
    message: String(error?.message ?? error),
    retry_after: (typeof headers?.get === "function" ? headers.get("retry-after") : headers?.["retry-after"]) ?? null,
  };
}

// Do all jobs with `modes[job.mode](baseURL, job, report)`.
export async function run(modes) {
  let input = "";
  for await (const piece of process.stdin) input += piece;
  const { base_url: baseURL, jobs } = JSON.parse(input);
  const waiting = [...jobs];
  async function work() {
    for (let job = waiting.shift(); job; job = waiting.shift()) {
      const report = emptyReport(job);
      try {
        await modes[job.mode](baseURL, job, report);
      } catch (error) {
        report.error = describe(error);
      }
      process.stdout.write(JSON.stringify(report) + "\n");
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

export const MESSAGES = [{ role: "user", content: "Hello" }];
export const TOOL_NAMES = ["get_weather", "get_time"];
