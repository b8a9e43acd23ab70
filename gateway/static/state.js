/**
 * What the page knows of a job: snapshots replace it, events are folded into it.
 *
 * Changes are collected, so that a view can write many of them in one animation frame.
 */
import { TERMINAL_EVENTS, TERMINAL_STATUSES } from "./stagecast.js";
import { STAGES, isUnknown, valueOf } from "./stages.js";

function freshStage() {
  return { status: "queued", attempt: 0, done: 0, total: 0, error: null, delay: 0, reason: null };
}

function emptyChanges() {
  return { cells: new Map(), stages: new Set(), rows: false, job: false };
}

export class JobState {
  kind = "menu";
  stages = new Map();
  /** By item id, in order of position: {item_id, position, name, ..., values: Map of stage name to value}. */
  rows = new Map();
  job = {};
  providers = new Set();
  #changes = emptyChanges();

  get finished() {
    return TERMINAL_STATUSES.has(this.job.status);
  }

  get plan() {
    return STAGES[this.kind];
  }

  get done() {
    return [...this.stages.values()].reduce((sum, stage) => sum + stage.done, 0);
  }

  /** The job's items without any result, as it was when accepted: what a replay is folded into. */
  outline(snapshot) {
    this.#take(snapshot);
    this.job.status = "queued";
    this.job.started_at = null;
    this.job.finished_at = null;
    for (const stage of this.stages.values()) Object.assign(stage, freshStage(), { total: this.rows.size });
    for (const row of this.rows.values()) row.values.clear();
    this.providers.clear();
  }

  /** The job as the snapshot has it, results and all. */
  replace(snapshot) {
    this.#take(snapshot);
  }

  #take({ rows, stages, ...job }) {
    this.kind = job.kind;
    this.job = job;
    this.providers = new Set();
    this.stages = new Map(this.plan.map(({ name }) => [name, { ...freshStage(), ...stages?.[name] }]));
    this.rows = new Map();
    for (const row of [...(rows ?? [])].sort((one, other) => one.position - other.position)) {
      const values = new Map();
      for (const stage of this.plan) {
        const value = valueOf(row, stage);
        if (value) values.set(stage.name, value);
        if (value?.provider) this.providers.add(value.provider);
      }
      this.rows.set(row.item_id, { ...row, values });
    }
    this.#changes.rows = true;
    this.#changes.job = true;
  }

  fold({ type, data }) {
    const stage = this.stages.get(data.stage);
    if (TERMINAL_EVENTS.has(type)) {
      this.#end(type.slice("job.".length), data);
    } else if (type === "job.accepted") {
      this.#setJob({ status: "queued", created_at: this.job.created_at ?? data.at });
    } else if (type === "job.started") {
      this.#setJob({ status: "running", started_at: data.at, finished_at: null });
    } else if (type === "item.updated" && stage) {
      this.#setValue(stage, data);
    } else if (stage) {
      this.#setStage(stage, type, data);
    }
  }

  #setJob(fields) {
    Object.assign(this.job, fields);
    this.#changes.job = true;
  }

  #setStage(stage, type, data) {
    const { attempt = stage.attempt, done = stage.done, total = stage.total, error = null } = data;
    const common = { attempt, done, total, error, delay: 0, reason: null };
    switch (type) {
      case "stage.started": Object.assign(stage, common, { status: "running" }); break;
      case "stage.completed": Object.assign(stage, common, { status: "completed" }); break;
      case "stage.failed": Object.assign(stage, common, { status: "failed" }); break;
      case "stage.cancelled": Object.assign(stage, common, { status: "cancelled" }); break;
      case "stage.recovering": Object.assign(stage, common, { status: "queued", reason: data.reason }); break;
      case "stage.retrying":
        // Without a delay it is somebody's wish: the stage is queued anew, and so is a job that had already ended.
        Object.assign(stage, common, { status: data.delay_ms ? "retry_wait" : "queued", delay: data.delay_ms ?? 0 });
        if (this.finished) this.#setJob({ status: "queued", finished_at: null });
        break;
      default: return;
    }
    this.#touchStage(data.stage);
  }

  #touchStage(name) {
    this.#changes.stages.add(name);
    this.#changes.job = true;
  }

  #setValue(stage, { item_id: itemId, position, stage: name, value }) {
    let row = this.rows.get(itemId);
    if (!row) {
      row = { item_id: itemId, position, name: `#${position + 1}`, values: new Map() };
      this.rows.set(itemId, row);
      this.#changes.rows = true;
    }
    if (!row.values.has(name)) stage.done += 1;
    row.values.set(name, value);
    if (value.provider) this.providers.add(value.provider);
    this.#touchCell(itemId, name);
    this.#touchStage(name);
  }

  /** A value that the event only referred to, now that it was fetched. */
  fill(itemId, name, value) {
    this.rows.get(itemId)?.values.set(name, value);
    this.#touchCell(itemId, name);
  }

  #touchCell(itemId, name) {
    const names = this.#changes.cells.get(itemId) ?? new Set();
    this.#changes.cells.set(itemId, names.add(name));
  }

  #end(status, data) {
    for (const [name, stageStatus] of Object.entries(data.stages ?? {})) {
      const stage = this.stages.get(name);
      if (!stage || stage.status === stageStatus) continue;
      stage.status = stageStatus;
      this.#touchStage(name);
    }
    this.#setJob({ status, finished_at: data.at });
  }

  /** pending, value, unknown, failed or cancelled. */
  cellStatus(row, stage) {
    const value = row.values.get(stage.name);
    if (value) return isUnknown(value, stage) ? "unknown" : "value";
    switch (this.stages.get(stage.name).status) {
      case "failed":
      case "completed": return "failed";
      case "cancelled": return "cancelled";
      default: return "pending";
    }
  }

  /** Everything that changed since the last call. */
  takeChanges() {
    const changes = this.#changes;
    this.#changes = emptyChanges();
    return changes;
  }
}
