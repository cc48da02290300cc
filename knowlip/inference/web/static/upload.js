// Uploads: the file goes up, then its progress is asked for until there is a result.
import { Failed, askForKey, at, el, get, keyHeader, metres, save, send } from "./api.js";
import { boundsOf } from "./map.js";

const STORE = "knowlip-jobs";
const TASKS = { caption: "Describe every window", ask: "Ask every window", detect: "Detect objects", segment: "Segment land cover" };
const MOST_MAP_BYTES = 30e6, MOST_LISTED = 200;

export class Uploads {
  constructor(map, facts) {
    this.map = map; this.limits = facts.upload; this.cards = new Map();
    at("tab-upload").hidden = !facts.upload;
    if (!facts.upload) return;
    at("upload-limits").textContent = `Up to ${facts.upload.max_mb.toLocaleString("en")} MB and ${facts.upload.max_megapixels.toLocaleString("en")} megapixels. Results are deleted after ${facts.upload.hours} hours.`;
    at("task").append(...facts.tasks.map(task => el("option", { value: task }, TASKS[task])));
    at("task").addEventListener("change", () => { at("upload-question-label").hidden = at("task").value !== "ask"; });
    at("file").addEventListener("change", () => this.named());
    const drop = at("drop");
    for (const name of ["dragover", "dragleave", "drop"]) drop.addEventListener(name, event => { event.preventDefault(); drop.classList.toggle("over", name === "dragover"); });
    drop.addEventListener("drop", event => { if (event.dataTransfer.files.length) { at("file").files = event.dataTransfer.files; this.named(); } });
    at("upload").addEventListener("submit", event => { event.preventDefault(); this.start(); });
    for (const id of this.known()) this.follow(id);
  }

  known() { try { return JSON.parse(sessionStorage.getItem(STORE)) ?? []; } catch { return []; } }
  keep(ids) { sessionStorage.setItem(STORE, JSON.stringify(ids)); }
  say(text, bad = false) { at("upload-status").textContent = text; at("upload-status").classList.toggle("bad", bad); }
  named() { at("drop-name").textContent = at("file").files[0]?.name ?? "Choose a GeoTIFF or a zipped SAFE product, or drop it here"; }

  async start() {
    const [file] = at("file").files, button = at("upload").querySelector("button");
    if (!file) return this.say("Choose a file first.", true);
    if (file.size > this.limits.max_mb * 1e6) return this.say(`The file has ${(file.size / 1e6).toFixed(0)} MB: at most ${this.limits.max_mb} are taken.`, true);
    const asked = new URLSearchParams({ task: at("task").value, file: file.name });
    if (at("task").value === "ask") asked.set("question", at("upload-question").value.trim());
    button.disabled = true;
    try {
      const job = await this.put("/api/jobs?" + asked, file);
      this.say(""); at("file").value = ""; this.named();
      this.keep([job.id, ...this.known()]); this.follow(job.id, job);
    } catch (error) { this.say(error.message, true); }
    button.disabled = false;
  }

  // XMLHttpRequest alone tells how much of a body has gone up.
  put(path, file) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", path);
      for (const [name, value] of Object.entries({ "Content-Type": "application/octet-stream", ...keyHeader() })) request.setRequestHeader(name, value);
      request.upload.onprogress = event => this.say(event.loaded < event.total ? `Uploading: ${Math.floor(100 * event.loaded / event.total)} %` : "Reading its header …");
      request.onerror = () => reject(new Failed("The upload broke off."));
      request.onload = () => {
        let told = {};
        try { told = JSON.parse(request.responseText); } catch { /* told below */ }
        if (request.status === 202) resolve(told);
        else if (request.status === 401) askForKey(true).then(() => this.put(path, file)).then(resolve, reject);
        else reject(new Failed(told.error ?? `The server answered ${request.status}.`));
      };
      request.send(file);
    });
  }

  async follow(id, first) {
    const card = el("li", { class: "job", "data-job": id });
    at("jobs").prepend(card); this.cards.set(id, card);
    let job = first;
    while (this.cards.has(id)) {
      try { job ??= await get("/api/jobs/" + id); }
      catch (error) { card.replaceChildren(el("span", { class: "bad" }, error.message)); this.forget(id); return; }
      this.show(card, job);
      if (job.state === "done" || job.state === "failed") return;
      job = null;
      await new Promise(resolve => setTimeout(resolve, 1000));
    }
  }

  forget(id) { this.cards.delete(id); this.keep(this.known().filter(one => one !== id)); }

  show(card, job) {
    const size = job.facts.size_px ? `${job.facts.size_px.join(" × ")} pixels of ${metres(job.facts.resolution_m)}` : "";
    const drop = el("button", { type: "button", onclick: async () => { this.forget(job.id); card.remove(); this.map.setUpload([]); try { await send("/api/jobs/" + job.id, { method: "DELETE" }); } catch { /* it is gone */ } } }, "Delete");
    const parts = [el("b", {}, job.file), el("span", { class: "muted small" }, [TASKS[job.task], job.question, size].filter(Boolean).join(" · "))];
    if (job.state === "waiting" || job.state === "running") {
      const bar = el("progress", { "aria-label": "Progress" });
      if (job.total) { bar.max = job.total; bar.value = job.done; }
      const left = job.seconds_left === null ? "" : `, ${job.seconds_left} s left`;
      parts.push(bar, el("span", { class: "muted small" }, job.total ? `${job.stage}: ${job.done} of ${job.total}${left}` : job.stage));
    }
    if (job.state === "failed") parts.push(el("span", { class: "bad" }, job.error));
    if (job.state === "done") parts.push(el("span", {}, counts(job)));
    for (const note of [...(job.facts.notes ?? []), ...job.notes].filter((one, at, all) => all.indexOf(one) === at)) parts.push(el("span", { class: "muted small" }, note));
    const list = el("ol", { hidden: true });
    const row = el("span", { class: "row" });
    for (const file of job.files) row.append(el("button", { type: "button", onclick: () => this.fetch(job, file.name) }, `${file.name.replace(job.task, "").replace(/^[.-]/, "")} (${(file.bytes / 1000).toFixed(0)} kB)`));
    const map = job.files.find(file => file.name.endsWith(".geojson") && file.bytes < MOST_MAP_BYTES);
    if (map) row.prepend(el("button", { type: "button", onclick: () => this.onMap(job, map.name, list) }, "Show on map"));
    row.append(drop);
    card.replaceChildren(...parts, row, list);
    if (job.facts.footprint && !map) this.map.setUpload([{ type: "Feature", geometry: job.facts.footprint, properties: {} }]);
  }

  async fetch(job, name) {
    try { save(await (await send(`/api/jobs/${job.id}/files/${name}`)).blob(), name); } catch (error) { this.say(error.message, true); }
  }

  async onMap(job, name, list) {
    try {
      const found = await get(`/api/jobs/${job.id}/files/${name}`);
      const objects = job.task === "detect";
      this.map.setUpload(objects ? (job.facts.footprint ? [{ type: "Feature", geometry: job.facts.footprint, properties: {} }] : []) : found.features);
      this.map.setBoxes(objects ? found.features : []);
      this.map.fit(boundsOf([job.facts.footprint, ...found.features.map(one => one.geometry)]), 16);
      const answer = ({ answer: words, reason }) => words === undefined ? undefined : words || `no answer: ${reason ?? "no words"}`;
      const told = one => one.properties.caption ?? answer(one.properties) ?? `${one.properties.category} ${(100 * one.properties.score).toFixed(0)} %`;
      const share = one => {
        const sure = one.properties.confidence ?? one.properties.probability ?? null;
        return sure === null || !one.properties.answer ? "" : ` (${(100 * sure).toFixed(0)} %)`;
      };
      list.replaceChildren(...found.features.slice(0, MOST_LISTED).map(one => el("li", {}, told(one) + share(one))));
      if (found.features.length > MOST_LISTED) list.append(el("li", {}, `… and ${found.features.length - MOST_LISTED} more in the file`));
      list.hidden = false;
    } catch (error) { this.say(error.message, true); }
  }
}

function counts(job) {
  const { objects, km2, said_of: said, left_out_without_data: empty } = job.result;
  if (objects) return Object.entries(objects).map(([name, count]) => `${count} ${name}`).join(", ") || "Nothing was found.";
  if (km2) return Object.entries(km2).filter(([, area]) => area > 0).map(([name, area]) => `${name} ${area.toFixed(2)} km²`).join(", ");
  return `${said} windows${empty ? `, ${empty} without data` : ""}`;
}
