// The page: opens the map, then search, window and uploads around it.
import { at, get } from "./api.js";
import { openMap } from "./map.js";
import { Search } from "./search.js";
import { Tile } from "./tile.js";
import { Uploads } from "./upload.js";

function summary(facts) {
  const parts = [`${facts.windows.toLocaleString("en")} windows of ${facts.sources.length} ${facts.sources.length === 1 ? "source" : "sources"}`];
  if (facts.sensors.length) parts.push(facts.sensors.slice(0, 4).join(", ") + (facts.sensors.length > 4 ? " …" : ""));
  if (facts.dates) parts.push(facts.dates[0] === facts.dates[1] ? facts.dates[0] : `${facts.dates[0]} to ${facts.dates[1]}`);
  if (facts.without_place) parts.push(`${facts.without_place.toLocaleString("en")} without a place`);
  return parts.join(" · ");
}

function tabs() {
  const names = ["search", "upload"];
  const choose = name => {
    for (const one of names) {
      at("tab-" + one).setAttribute("aria-selected", String(one === name)); at("tab-" + one).tabIndex = one === name ? 0 : -1;
      at("panel-" + one).hidden = one !== name;
    }
  };
  for (const name of names) {
    at("tab-" + name).addEventListener("click", () => choose(name));
    at("tab-" + name).addEventListener("keydown", event => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = name === "search" ? "upload" : "search";
      if (!at("tab-" + other).hidden) { choose(other); at("tab-" + other).focus(); }
    });
  }
}

async function begin() {
  tabs();
  const facts = await get("/api/archive");
  at("name").textContent = "KnowLIP · " + facts.name; document.title = `${facts.name} – KnowLIP archive`; at("summary").textContent = summary(facts);
  let tile;
  const open = key => tile.open(key);
  const map = await openMap(at("map"), at("map-note"), open);
  const search = new Search(map, open);
  tile = new Tile(map, search, facts);
  new Uploads(map, facts);
  search.describe(facts);
  map.fit(facts.bounds, 9);
  document.documentElement.dataset.map = map.kind;
  await search.run();
  const key = location.hash.slice(1);
  if (/^[0-9a-f]{12}-[0-9]{1,8}$/.test(key)) await open(key);
  document.documentElement.dataset.ready = "true";
}

begin().catch(error => { at("status").textContent = error.message; at("status").classList.add("bad"); });
