// Search: what is asked, the list of results, files of them.
import { at, el, get, metres, percent, picture, place, post, postBlob, save } from "./api.js";
import { boundsOf } from "./map.js";

const FORMATS = { geojson: "GeoJSON", csv: "Table (CSV)", parquet: "GeoParquet", html: "Page (HTML)" };
const FILTERS = ["near", "km", "after", "before", "sensor", "orbit", "resolution"];
const TYPED = ["near", "after", "before", "sensor", "orbit", "finest", "coarsest"];

export class Search {
  constructor(map, open) {
    this.map = map; this.open = open; this.like = null; this.image = ""; this.asked = null; this.running = null;
    at("search").addEventListener("submit", event => { event.preventDefault(); this.run(); });
    at("search").addEventListener("reset", () => setTimeout(() => { this.setLike(null); this.run(); }));
    at("fit").addEventListener("click", () => this.map.fit(this.bounds));
    at("filters").addEventListener("change", () => this.count());
    at("image").addEventListener("change", () => this.readImage());
    at("like-drop").addEventListener("click", () => { this.setLike(null); at("image").value = ""; this.run(); });
    at("download-list").append(...Object.entries(FORMATS).map(([format, name]) =>
      el("button", { type: "button", onclick: () => this.download(format) }, name)));
  }

  describe(facts) {
    const options = [...facts.sensors, ...facts.bands.filter(band => !facts.sensors.includes(band)).map(band => band)];
    at("sensor").append(...options.map(name => el("option", { value: name }, facts.bands.includes(name) ? `${name} band` : name)));
    if (facts.dates) { at("after").min = at("before").min = facts.dates[0]; }
  }

  wanted() {
    const value = id => at(id).value.trim();
    const asked = { text: value("text"), top: Number(value("top")) || 12 };
    for (const name of ["near", "after", "before", "sensor", "orbit"]) if (value(name)) asked[name] = value(name);
    if (asked.near) asked.km = Number(value("km")) || 50;
    if (value("finest") || value("coarsest")) asked.resolution = [Number(value("finest")) || 0, Number(value("coarsest")) || 1e6];
    if (this.like) asked.like = this.like.key;
    if (this.image) { asked.image = this.image; if (value("image-metres")) asked.metres_per_pixel = Number(value("image-metres")); }
    return asked;
  }

  count() {
    const set = TYPED.filter(id => at(id).value.trim()).length;
    at("filters-set").hidden = !set; at("filters-set").textContent = `${set} set`;
  }

  async readImage() {
    const [file] = at("image").files;
    if (!file) return this.setLike(null);
    if (file.size > 12e6) { at("image").value = ""; return this.say("The image is larger than 12 MB.", true); }
    const url = await new Promise(resolve => { const reader = new FileReader(); reader.onload = () => resolve(reader.result); reader.readAsDataURL(file); });
    this.setLike(null); this.image = url.split(",")[1] ?? "";
    at("like-name").textContent = "like " + file.name; at("like-picture").src = url; at("like").hidden = false; at("image-metres-label").hidden = false;
  }

  setLike(tile) {
    this.like = tile; this.image = ""; at("like").hidden = !tile; at("image-metres-label").hidden = true;
    if (!tile) return;
    at("image").value = ""; at("like-name").textContent = "like " + tile.item;
    picture(tile.key).then(url => { at("like-picture").src = url; }, () => {});
  }

  say(text, bad = false) { at("status").textContent = text; at("status").classList.toggle("bad", bad); }

  async run() {
    this.running?.abort();
    const running = this.running = new AbortController();
    const asked = this.wanted();
    this.count(); this.say("Searching …"); at("hits").setAttribute("aria-busy", "true");
    try {
      const found = await post("/api/search", asked, running.signal);
      this.asked = asked;
      this.show(found, Boolean(asked.text || asked.like || asked.image));
      const filters = Object.fromEntries(FILTERS.filter(name => name in asked).map(name => [name, asked[name]]));
      const { points, of, without_place: without } = await post("/api/points", filters, running.signal);
      this.map.setPoints(points);
      const drawn = points.length < of - without ? [`${points.length.toLocaleString("en")} of ${of.toLocaleString("en")} windows are drawn`] : [];
      if (without) drawn.push(`${without.toLocaleString("en")} have no place`);
      if (drawn.length) this.say(`${at("status").textContent}; on the map ${drawn.join(", ")}`);
    } catch (error) {
      if (error.name !== "AbortError") this.say(error.message, true);
    } finally {
      if (this.running === running) at("hits").removeAttribute("aria-busy");
    }
  }

  show(found, ranked) {
    const near = found.near ? ` within ${found.near.km} km of ${found.near.name}` : "";
    const passing = found.searched === found.of ? `${found.of.toLocaleString("en")} windows` : `${found.searched.toLocaleString("en")} of ${found.of.toLocaleString("en")} windows pass`;
    this.say([`${passing}${near}`, ranked ? `best ${found.hits.length} first` : `${found.hits.length} shown, in no order`, ...found.notes].join("; "));
    at("download").hidden = !found.hits.length; at("download").open = false;
    at("hits").replaceChildren(...found.hits.map((hit, number) => el("li", {}, this.card(hit, number + 1))));
    this.map.setHits(found.hits);
    this.bounds = boundsOf(found.hits.map(hit => hit.footprint));
    at("fit").hidden = !this.bounds;
    this.map.fit(this.bounds);
  }

  card(hit, number) {
    const image = el("img", { alt: "", width: "84", height: "84", loading: "lazy" });
    picture(hit.key).then(url => { image.src = url; }, () => { image.alt = "no picture"; });
    const score = hit.match ?? hit.similarity;
    const meter = score === null ? null : el("span", { class: "meter" }, el("i"),
      hit.match !== null ? `match ${percent(hit.match)}` : `similarity ${hit.similarity.toFixed(2)}`);
    meter?.firstChild.style.setProperty("--share", `${100 * Math.max(0, Math.min(1, score))}%`);
    const facts = [hit.sensor, hit.date.slice(0, 10) || "no date", hit.resolution_m === null ? null : `${metres(hit.resolution_m)}/px`];
    return el("button", { type: "button", class: "hit", "data-key": hit.key, onclick: () => this.open(hit.key) }, image,
      el("span", {}, el("b", { title: hit.item }, el("span", { class: "rank" }, String(number)), hit.item), meter,
        el("small", { title: facts.filter(Boolean).join(" · ") }, facts.filter(Boolean).join(" · ")), el("small", { title: place(hit.lat, hit.lon) }, hit.town ? "near " + hit.town.replace(/ \([^(]*\)$/, "") : place(hit.lat, hit.lon))));
  }

  mark(key) {
    for (const card of document.querySelectorAll(".hit")) card.setAttribute("aria-current", String(card.dataset.key === key));
  }

  async download(format) {
    at("download").open = false;
    try { save(await postBlob("/api/export", { ...this.asked, format }), `search.${format}`); }
    catch (error) { this.say(error.message, true); }
  }
}

export const facts = () => get("/api/archive");
