/** The page: puts the form, the stream, the state and the views together. */
import { JobAddress, Problem, submitJob } from "./api.js";
import { ConnectionView } from "./connection.js";
import { byId, setData, setText } from "./elements.js";
import { JobForm } from "./form.js";
import { EventLog } from "./log.js";
import { MenuView } from "./menu.js";
import { PromptView } from "./prompt.js";
import { JobState } from "./state.js";
import { JobStream } from "./stagecast.js";

const VIEWS = { menu: MenuView, prompt: PromptView };

function formatDuration(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 10_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

class Page {
  #connection = new ConnectionView();
  #log = new EventLog();
  #form = new JobForm((body) => this.#submit(body));
  #address = null;
  #stream = null;
  #state = null;
  #view = null;
  #frame = 0;

  async start() {
    byId("drop").addEventListener("click", () => this.#toggleConnection());
    byId("cancel").addEventListener("click", () => this.#cancel());
    byId("new-job").addEventListener("click", () => this.#leave());
    byId("skip").addEventListener("click", (event) => {
      // The fragment is the job's address: following the link would lose it.
      event.preventDefault();
      byId("main").focus();
    });
    byId("results").addEventListener("click", (event) => this.#clickResult(event));
    byId("results").addEventListener("animationend", (event) => event.target.classList.remove("fresh"));
    addEventListener("popstate", () => this.#follow());
    addEventListener("hashchange", () => this.#follow());
    setInterval(() => this.#tick(), 1000);
    await Promise.all([this.#form.load(), this.#follow()]);
  }

  /** Shows what the address bar says: a job, or the form. */
  async #follow() {
    const address = JobAddress.fromFragment(location.hash);
    if (address?.fragment === this.#address?.fragment) return;
    this.#close();
    this.#show(address);
    if (address) await this.#open();
    else byId("compose-heading").scrollIntoView({ block: "nearest" });
  }

  async #submit(body) {
    const same = byId("same_session").checked ? this.#lastSession() : null;
    if (same) body.session_id = same.id;
    const accepted = await submitJob(body, same?.token);
    const token = accepted.session_token ?? same?.token;
    sessionStorage.setItem("stagecast.session", JSON.stringify({ id: accepted.session_id, token }));
    history.pushState(null, "", new JobAddress(accepted.job_id, token).fragment);
    await this.#follow();
    byId("job-title").focus();
  }

  #lastSession() {
    return JSON.parse(sessionStorage.getItem("stagecast.session") ?? "null");
  }

  #leave() {
    history.pushState(null, "", location.pathname);
    this.#follow();
    byId("sample").focus();
  }

  #show(address) {
    this.#address = address;
    byId("compose").hidden = Boolean(address);
    byId("job").hidden = !address;
    byId("new-job").hidden = !address;
    byId("same_session_row").hidden = !this.#lastSession();
    if (!address) document.title = "Stagecast";
  }

  #close() {
    this.#stream?.close();
    this.#stream = this.#state = this.#view = null;
    this.#log.clear();
    byId("results").replaceChildren();
  }

  /** The job's outline from its snapshot (events do not carry the dishes' names), then its whole log. */
  async #open() {
    const address = this.#address;
    setText(byId("job-title"), "Loading…");
    // Until this job's stream says something, nothing of the last one's may stand there.
    this.#connection.notice(null);
    this.#connection.update(new JobStream({}));
    let snapshot = null;
    let problem = null;
    try {
      snapshot = await address.snapshot();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      problem = error;
    }
    if (this.#address !== address) return;
    const { statusUrl, eventsUrl, token } = address;
    const logUrl = snapshot && JobAddress.logUrl(snapshot.session_id);
    this.#stream = new JobStream({ statusUrl, eventsUrl, logUrl, token }, {
      event: (event) => this.#state.fold(event),
      snapshot: (whole) => this.#state.replace(whole),
      frame: (frame) => this.#log.add(frame),
      change: () => this.#schedule(),
      notice: (text) => this.#connection.notice(text),
    });
    if (problem) return this.#showMissing(problem);
    this.#state = new JobState();
    this.#state.outline(snapshot);
    this.#view = new VIEWS[this.#state.kind](this.#state);
    byId("results").replaceChildren(this.#view.node);
    this.#setLoaded(true);
    this.#stream.open();
  }

  /** Without a job there are no figures to show and nothing to press. */
  #setLoaded(loaded) {
    for (const part of document.querySelectorAll(".job-meta, .actions, .proof, .counters, .log")) part.hidden = !loaded;
  }

  #showMissing(error) {
    const unknown = error.status === 404;
    setText(byId("job-title"), unknown ? "There is no such job" : "The job could not be loaded");
    this.#setLoaded(false);
    this.#stream.giveUp(unknown ? "It does not exist, or the token in the address does not open it." : error.message);
    this.#connection.update(this.#stream);
  }

  /** However many events come, the page is written once per animation frame. */
  #schedule() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#render();
    });
  }

  #render() {
    if (!this.#stream || !this.#state) return;
    const changes = this.#state.takeChanges();
    this.#view.update(changes);
    if (changes.job || changes.rows) this.#renderJob();
    this.#log.flush();
    if (this.#view.busy) this.#schedule();
    // Complete is said when it can also be seen.
    if (!this.#view.busy || this.#stream.state !== "complete") this.#connection.update(this.#stream);
  }

  #renderJob() {
    const { job, rows, done, plan, providers, finished } = this.#state;
    const [first] = rows.values();
    const dishes = `${rows.size} ${rows.size === 1 ? "dish" : "dishes"}`;
    const title = this.#state.kind === "menu" ? job.title || `Menu of ${dishes}` : job.title || first?.title || "Prompt";
    const languages = [job.source_language, job.target_language].filter(Boolean).join(" → ");
    const heading = languages ? `${title}, ${languages}` : title;
    setText(byId("job-title"), heading);
    const words = job.status.replace("_", " ").replace("completed partial", "completed in part");
    setText(byId("job-status"), words);
    setData(byId("job-status"), "status", job.status);
    setText(byId("results-done"), String(done));
    setText(byId("results-total"), String(rows.size * plan.length));
    setText(byId("providers"), providers.size ? `by ${[...providers].join(", ")}` : "");
    byId("providers").classList.toggle("warning", [...providers].some((name) => name === "synthetic"));
    byId("cancel").disabled = finished;
    document.title = `${finished ? words : `${done}/${rows.size * plan.length}`} · ${title} · Stagecast`;
    this.#tick();
  }

  #tick() {
    const job = this.#state?.job;
    if (!job) return;
    const start = Date.parse(job.created_at);
    const end = job.finished_at ? Date.parse(job.finished_at) : Math.max(Date.now(), start);
    setText(byId("elapsed"), Number.isFinite(end - start) ? `in ${formatDuration(end - start)}` : "");
  }

  #toggleConnection() {
    if (!this.#stream) return;
    if (this.#stream.state === "dropped") this.#stream.resume();
    else this.#stream.drop();
  }

  async #cancel() {
    byId("cancel").disabled = true;
    try {
      await this.#address.cancel();
    } catch (error) {
      this.#connection.notice(error.message);
      byId("cancel").disabled = this.#state.finished;
    }
  }

  #clickResult({ target }) {
    const retry = target.closest(".retry");
    if (retry) this.#retry(retry);
    const reference = target.closest(".load-reference");
    if (reference) this.#load(reference);
  }

  async #retry(button) {
    button.disabled = true;
    try {
      await this.#address.retry(button.dataset.stage);
    } catch (error) {
      this.#connection.notice(error.message);
      button.disabled = false;
      return;
    }
    // The open stream may be about to end: the server can have said so before it knew of the retry. A connection made
    // now goes on with what the retry adds to the log, after the last id.
    if (this.#stream.state !== "dropped") this.#stream.resume();
  }

  /** A result that was too large for an event: it is in the snapshot. */
  async #load(button) {
    const { item, stage } = button.closest(".cell").dataset;
    button.disabled = true;
    try {
      const loaded = new JobState();
      loaded.replace(await this.#address.snapshot());
      this.#state.fill(item, stage, loaded.rows.get(item).values.get(stage));
      this.#schedule();
    } catch (error) {
      this.#connection.notice(error.message);
      button.disabled = false;
    }
  }
}

new Page().start();
