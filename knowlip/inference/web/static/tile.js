// One window: picture, description, questions with their evidence, objects.
import { at, el, get, metres, percent, picture, place, post, postBlob, save } from "./api.js";
import { boundsOf } from "./map.js";

const EXAMPLES = ["How many ships are visible?", "Where are the ships?", "What type of ship is visible?", "What is the main landform?"];
const SVG = "http://www.w3.org/2000/svg";

export class Tile {
  constructor(map, search, facts) {
    this.map = map; this.search = search; this.tile = null;
    at("tile-close").addEventListener("click", () => this.close());
    at("tile-like").addEventListener("click", () => { search.setLike(this.tile); search.run(); if (innerWidth <= 1100) this.close(); });
    at("tile-detect").addEventListener("click", () => this.detect());
    at("tile-detect").hidden = !facts.detector.length;
    at("ask").addEventListener("submit", event => { event.preventDefault(); this.ask(at("question").value.trim()); });
    at("examples").append(...EXAMPLES.map(text => el("button", { type: "button", onclick: () => { at("question").value = text; this.ask(text); } }, text)));
    document.addEventListener("keydown", event => { if (event.key === "Escape" && this.tile && !at("key-dialog").open) this.close(); });
  }

  async open(key) {
    let tile;
    try { tile = await get(`/api/tiles/${key}`); } catch (error) { return this.search.say(error.message, true); }
    this.tile = tile;
    document.querySelector(".desk").classList.add("open");
    at("tile").hidden = false; at("tile").scrollTop = 0;
    at("tile-name").textContent = tile.item; at("tile-name").focus({ preventScroll: true });
    at("answer").hidden = true; at("tile-detections").hidden = true;
    this.heat(null); this.boxes([]);
    this.describe(tile);
    this.map.choose(tile); this.search.mark(key);
    // The panel has taken room from the map: it is fitted once that is drawn.
    requestAnimationFrame(() => requestAnimationFrame(() => { if (this.tile === tile && tile.footprint) this.map.fit(boundsOf([tile.footprint]), 14.2); }));
    history.replaceState(null, "", "#" + key);
    picture(key).then(url => { if (this.tile === tile) { at("tile-picture").src = url; at("tile-save").href = url; at("tile-save").setAttribute("download", `${tile.item}.png`); } }, () => {});
    this.caption(tile);
  }

  close() {
    this.tile = null; at("tile").hidden = true; document.querySelector(".desk").classList.remove("open");
    this.heat(null); this.boxes([]); this.map.choose(null); this.search.mark("");
    history.replaceState(null, "", location.pathname);
  }

  describe(tile) {
    const rows = {
      Place: place(tile.lat, tile.lon), "Nearest town": tile.town || "not known", Date: tile.date.replace("T", " ").slice(0, 19) || "not known",
      Sensor: [tile.sensor || "not known", tile.band && `${tile.band} band`, tile.polarisation, tile.orbit].filter(Boolean).join(", "),
      Window: tile.window_m === null ? "not known" : `${metres(tile.window_m)} wide`,
      "Scene pixels": tile.resolution_m === null ? "not known" : metres(tile.resolution_m),
      Picture: tile.metres_per_pixel === null ? "size of pixels not known" : `${metres(tile.metres_per_pixel)} a pixel, as the model sees it`,
      Scene: tile.scene, Source: tile.source,
    };
    at("facts").replaceChildren(...Object.entries(rows).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  }

  async caption(tile) {
    at("caption").textContent = "Looking …"; at("caption-more").textContent = "";
    try {
      const found = await get(`/api/tiles/${tile.key}/caption`);
      if (this.tile !== tile) return;
      at("caption").textContent = found.caption; at("caption").classList.remove("muted");
      at("caption-more").textContent = [`Written by the model; mean probability of a word ${percent(found.token_probability)}.`, ...found.notes].join(" ");
    } catch (error) { if (this.tile === tile) at("caption").textContent = error.message; }
  }

  async ask(question) {
    const tile = this.tile, box = at("answer");
    if (!question || !tile) return;
    this.heat(null); box.hidden = false; box.replaceChildren(el("span", { class: "muted" }, "Looking …"));
    try {
      const found = await post(`/api/tiles/${tile.key}/ask`, { question });
      if (this.tile !== tile) return;
      const notes = found.notes.map(note => el("span", { class: "muted small" }, note));
      const asked = el("span", { class: "muted small" }, question);
      if (found.refused) return box.replaceChildren(asked, el("span", { class: "big muted" }, "No answer"), el("span", { class: "warn" }, found.reason), ...notes);
      const show = el("button", { type: "button", onclick: () => this.evidence(tile, question, found.answer, show) }, "Show evidence");
      const share = found.confidence ?? found.probability;
      const meter = el("span", { class: "meter" }, el("i"), found.confidence === null ? `probability ${percent(share)}, the model's own` : `such answers are right ${percent(share)} of the time`);
      meter.firstChild.style.setProperty("--share", `${100 * share}%`);
      box.replaceChildren(asked, el("span", { class: "big" }, found.answer || "(no words)"), meter, ...notes, el("span", { class: "row" }, found.answer ? show : null));
    } catch (error) { if (this.tile === tile) box.replaceChildren(el("span", { class: "bad" }, error.message)); }
  }

  async evidence(tile, question, answer, button) {
    if (!at("tile-heat").hidden) { button.textContent = "Show evidence"; return this.heat(null); }
    button.disabled = true;
    try {
      const blob = await postBlob(`/api/tiles/${tile.key}/evidence`, { question, answer });
      if (this.tile === tile) { this.heat(URL.createObjectURL(blob)); button.textContent = "Hide evidence"; }
    } catch (error) { at("answer").append(el("span", { class: "bad" }, error.message)); }
    button.disabled = false;
  }

  heat(url) {
    const heat = at("tile-heat");
    heat.hidden = !url;
    if (url) heat.src = url; else heat.removeAttribute("src");
    this.map.setHeat(this.tile, url);
  }

  async detect() {
    const tile = this.tile, box = at("tile-detections");
    box.hidden = false; box.replaceChildren(el("span", { class: "muted" }, "Looking …"));
    try {
      const found = await get(`/api/tiles/${tile.key}/detections`);
      if (this.tile !== tile) return;
      this.boxes(found.features);
      const counts = {};
      for (const one of found.features) counts[one.properties.category] = (counts[one.properties.category] ?? 0) + 1;
      const told = Object.entries(counts).map(([name, count]) => `${count} ${name}`).join(", ") || "nothing";
      const file = () => save(new Blob([JSON.stringify({ type: "FeatureCollection", features: found.features })], { type: "application/geo+json" }), `${tile.item}-objects.geojson`);
      box.replaceChildren(el("span", { class: "big" }, told), el("span", { class: "muted small" }, `by the detector, from a score of ${found.min_score}`),
        ...found.notes.map(note => el("span", { class: "warn" }, note)),
        el("span", { class: "row" }, found.features.length ? el("button", { type: "button", onclick: file }, "GeoJSON") : null));
    } catch (error) { if (this.tile === tile) box.replaceChildren(el("span", { class: "bad" }, error.message)); }
  }

  boxes(features) {
    at("tile-boxes").replaceChildren(...features.map(one => {
      const made = document.createElementNS(SVG, "polygon");
      made.setAttribute("points", one.properties.pixels.map(point => point.join(",")).join(" "));
      const title = document.createElementNS(SVG, "title");
      title.textContent = `${one.properties.category} ${percent(one.properties.score)}`; made.append(title);
      return made;
    }));
    this.map.setBoxes(features);
  }
}
