/** The requests that the page makes besides the stream. */

/** A refused request: what the problem+json said, with the fields it named. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || `The server answered ${status}.`);
    this.status = status;
    this.fields = Array.isArray(body?.errors) ? body.errors : [];
  }
}

async function request(method, url, token, body) {
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(url, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new Problem(0, { detail: "The server could not be reached." });
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Problem(response.status, answer);
  return answer;
}

export function submitJob(body, token) {
  return request("POST", "/v1/jobs", token, body);
}

/** Where a job's things are, and the token that opens them. */
export class JobAddress {
  constructor(id, token) {
    this.id = id;
    this.token = token;
    this.statusUrl = `/v1/jobs/${encodeURIComponent(id)}`;
    this.eventsUrl = `${this.statusUrl}/events?token=${encodeURIComponent(token)}`;
  }

  /** The log of the session, for checking ids that a job's stream skips. */
  static logUrl(sessionId) {
    return `/v1/sessions/${encodeURIComponent(sessionId)}/events.json`;
  }

  /** From `#job=...&token=...`. A fragment stays in the browser: no server, log or referrer ever sees the token. */
  static fromFragment(fragment) {
    const parts = new URLSearchParams(fragment.replace(/^#/, ""));
    const [id, token] = [parts.get("job"), parts.get("token")];
    return id && token ? new JobAddress(id, token) : null;
  }

  get fragment() {
    return `#${new URLSearchParams({ job: this.id, token: this.token })}`;
  }

  snapshot() {
    return request("GET", this.statusUrl, this.token);
  }

  cancel() {
    return request("POST", `${this.statusUrl}/cancel`, this.token);
  }

  retry(stage) {
    return request("POST", `${this.statusUrl}/stages/${encodeURIComponent(stage)}/retry`, this.token);
  }
}
