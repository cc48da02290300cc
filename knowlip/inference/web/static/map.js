// The map: MapLibre where there is WebGL, else the same in SVG (plainmap.js). Nothing is loaded from elsewhere.
import { el, picture } from "./api.js";
import { PlainMap } from "./plainmap.js";

const NONE = { type: "FeatureCollection", features: [] };
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const feature = (geometry, properties = {}) => ({ type: "Feature", geometry, properties });
export const collected = features => ({ type: "FeatureCollection", features });

function hasWebGL() {
  try { return Boolean(document.createElement("canvas").getContext("webgl2")); } catch { return false; }
}

export async function openMap(container, note, pick) {
  const world = await (await fetch("/static/world.json")).json();
  if (hasWebGL()) {
    try {
      const lib = await import("./maplibre-gl.mjs");
      lib.setWorkerUrl("/static/maplibre-gl-worker.mjs");
      const map = new GlMap(lib, container, world, pick);
      await map.ready;
      return map;
    } catch (error) {
      console.warn(error);
      container.replaceChildren(); container.className = "";
    }
  }
  note.textContent = "This browser offers no WebGL: a plain map is shown, without pictures on it.";
  note.hidden = false;
  return new PlainMap(container, world, pick);
}

class GlMap {
  kind = "webgl";

  constructor(lib, container, world, pick) {
    this.lib = lib; this.pick = pick; this.pins = []; this.pictures = []; this.hits = [];
    this.map = new lib.Map({
      container, center: [10, 25], zoom: 0.9, maxZoom: 18, dragRotate: false, pitchWithRotate: false, fadeDuration: 0,
      attributionControl: { compact: true, customAttribution: "Natural Earth" },
      style: { version: 8, sources: { world: { type: "geojson", data: world }, ...Object.fromEntries(
        ["points", "feet", "chosen", "boxes", "upload"].map(name => [name, { type: "geojson", data: NONE }])) },
        layers: [
          { id: "sea", type: "background" },
          { id: "land", type: "fill", source: "world", filter: ["==", ["get", "kind"], "land"] },
          { id: "coast", type: "line", source: "world", filter: ["==", ["get", "kind"], "land"], paint: { "line-width": 0.7 } },
          { id: "border", type: "line", source: "world", filter: ["==", ["get", "kind"], "border"], paint: { "line-width": 0.6 } },
          { id: "upload-fill", type: "fill", source: "upload", filter: ["==", ["geometry-type"], "Polygon"], paint: { "fill-opacity": 0.08 } },
          { id: "points", type: "circle", source: "points", paint: { "circle-radius": ["interpolate", ["linear"], ["zoom"], 1, 2.6, 8, 4, 14, 6], "circle-opacity": 0.5 } },
          { id: "upload", type: "line", source: "upload", paint: { "line-width": 1.6 } },
          { id: "feet", type: "line", source: "feet", paint: { "line-width": 1.6 } },
          { id: "chosen", type: "line", source: "chosen", paint: { "line-width": 2.8 } },
          { id: "boxes", type: "line", source: "boxes", paint: { "line-width": 1.8, "line-color": "#ffd23f" } },
        ] },
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.addControl(new lib.NavigationControl({ showCompass: false }), "top-right");
    this.map.addControl(new lib.ScaleControl({ maxWidth: 110 }), "bottom-left");
    this.map.on("click", "points", event => pick(event.features[0].properties.key));
    this.map.on("mouseenter", "points", () => { this.map.getCanvas().style.cursor = "pointer"; });
    this.map.on("mouseleave", "points", () => { this.map.getCanvas().style.cursor = ""; });
    this.ready = new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("The map did not load.")), 20000);
      this.map.once("load", () => { clearTimeout(late); this.paint(); resolve(); });
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    new ResizeObserver(() => this.map.resize()).observe(container);
  }

  paint() {
    for (const [layer, property, name] of [
      ["sea", "background-color", "--sea"], ["land", "fill-color", "--land"], ["coast", "line-color", "--coast"],
      ["border", "line-color", "--border"], ["points", "circle-color", "--accent"], ["feet", "line-color", "--hit"],
      ["chosen", "line-color", "--accent"], ["upload", "line-color", "--hit"], ["upload-fill", "fill-color", "--hit"],
    ]) this.map.setPaintProperty(layer, property, colour(name));
  }

  set(name, features) { this.map.getSource(name).setData(collected(features)); }

  setPoints(points) {
    this.set("points", points.map(one => feature({ type: "Point", coordinates: [one.lon, one.lat] }, { key: one.key })));
  }

  setHits(hits) {
    for (const pin of this.pins) pin.remove();
    for (const id of this.pictures) { this.map.removeLayer(id); this.map.removeSource(id); }
    this.hits = hits; this.pictures = [];
    this.set("feet", hits.filter(hit => hit.footprint).map(hit => feature(hit.footprint)));
    this.pins = hits.map((hit, number) => ({ hit, number })).filter(one => one.hit.lat !== null).reverse().map(({ hit, number }) => {
      const element = el("button", { class: "pin", type: "button", "aria-label": `Result ${number + 1}`, "data-key": hit.key,
        onclick: event => { event.stopPropagation(); this.pick(hit.key); } }, String(number + 1));
      return new this.lib.Marker({ element, anchor: "bottom" }).setLngLat([hit.lon, hit.lat]).addTo(this.map);
    });
    for (const hit of hits) if (hit.corners) this.addPicture(hit);
  }

  // The windows lie on the map as pictures: what stands for them at a distance is their place.
  async addPicture(hit) {
    let url;
    try { url = await picture(hit.key); } catch { return; }
    const id = "picture-" + hit.key;
    if (!this.hits.includes(hit) || this.map.getSource(id)) return;
    this.map.addSource(id, { type: "image", url, coordinates: hit.corners });
    this.map.addLayer({ id, type: "raster", source: id, minzoom: 8, paint: { "raster-fade-duration": 0 } }, "upload");
    this.pictures.push(id);
  }

  choose(tile) {
    this.set("chosen", tile?.footprint ? [feature(tile.footprint)] : []);
    for (const pin of this.pins) pin.getElement().setAttribute("aria-current", String(pin.getElement().dataset.key === tile?.key));
  }

  setHeat(tile, url) {
    if (this.map.getLayer("heat")) { this.map.removeLayer("heat"); this.map.removeSource("heat"); }
    if (!url || !tile.corners) return;
    this.map.addSource("heat", { type: "image", url, coordinates: tile.corners });
    this.map.addLayer({ id: "heat", type: "raster", source: "heat", paint: { "raster-fade-duration": 0 } }, "chosen");
  }

  setBoxes(features) { this.set("boxes", features.filter(one => one.geometry)); }

  setUpload(features) { this.set("upload", features.filter(one => one.geometry)); }

  fit(bounds, far = 13) {
    if (bounds) this.map.fitBounds([[bounds[0], bounds[1]], [bounds[2], bounds[3]]], { padding: 60, maxZoom: far, animate: false });
  }
}

export function boundsOf(geometries) {
  const found = [Infinity, Infinity, -Infinity, -Infinity];
  const walk = value => {
    if (typeof value[0] === "number") {
      found[0] = Math.min(found[0], value[0]); found[1] = Math.min(found[1], value[1]);
      found[2] = Math.max(found[2], value[0]); found[3] = Math.max(found[3], value[1]);
    } else for (const one of value) walk(one);
  };
  for (const geometry of geometries) if (geometry) walk(geometry.coordinates);
  return Number.isFinite(found[0]) ? found : null;
}
