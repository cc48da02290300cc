// The map without WebGL: longitude and latitude as they are, in SVG, moved and zoomed by its viewBox.
import { el } from "./api.js";

const SVG = "http://www.w3.org/2000/svg";
function shape(tag, properties = {}) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) made.setAttribute(name, value);
  return made;
}
const line = ring => ring.map(([x, y], at) => `${at ? "L" : "M"}${x} ${-y}`).join("");
function path(geometry) {
  if (geometry.type === "Polygon") return geometry.coordinates.map(ring => line(ring) + "Z").join("");
  if (geometry.type === "MultiPolygon") return geometry.coordinates.flat().map(ring => line(ring) + "Z").join("");
  if (geometry.type === "MultiLineString") return geometry.coordinates.map(line).join("");
  return geometry.type === "LineString" ? line(geometry.coordinates) : "";
}

export class PlainMap {
  kind = "plain";

  constructor(container, world, pick) {
    this.pick = pick; this.view = [-180, -85, 360, 150];
    this.svg = shape("svg", { class: "plain", preserveAspectRatio: "xMidYMid meet", role: "img", "aria-label": "Map of the archive" });
    for (const one of world.features) this.svg.append(shape("path", { class: one.properties.kind, d: path(one.geometry) }));
    this.layers = Object.fromEntries(["points", "upload", "feet", "chosen", "boxes", "dots"].map(name => {
      const layer = shape("g"); this.svg.append(layer); return [name, layer];
    }));
    this.svg.addEventListener("click", event => { const key = event.target.dataset?.key; if (key && !this.moved) this.pick(key); });
    this.svg.addEventListener("wheel", event => { event.preventDefault(); this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.at(event)); }, { passive: false });
    this.svg.addEventListener("pointerdown", event => { this.from = this.at(event); this.moved = false; });
    this.svg.addEventListener("pointermove", event => this.drag(event));
    for (const name of ["pointerup", "pointerleave"]) this.svg.addEventListener(name, () => { this.from = null; });
    const button = (text, label, share) => el("button", { type: "button", "aria-label": label, onclick: () => this.zoom(share) }, text);
    container.append(this.svg, el("div", { class: "zoom" }, button("+", "Zoom in", 0.5), button("−", "Zoom out", 2)));
    new ResizeObserver(() => this.show()).observe(container);
    this.show();
  }

  at(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    return [point.x, point.y];
  }

  drag(event) {
    if (!this.from) return;
    const [x, y] = this.at(event), dx = this.from[0] - x, dy = this.from[1] - y;
    if (Math.hypot(dx, dy) > 4 * this.pixel) this.moved = true;
    if (this.moved) { this.view[0] += dx; this.view[1] += dy; this.show(); }
  }

  zoom(share, [x, y] = [this.view[0] + this.view[2] / 2, this.view[1] + this.view[3] / 2]) {
    const wide = Math.min(360, Math.max(0.002, this.view[2] * share)), by = wide / this.view[2];
    this.view = [x - (x - this.view[0]) * by, y - (y - this.view[1]) * by, wide, this.view[3] * by];
    this.show();
  }

  // Marks keep their size on the screen, whatever the map's scale.
  show() {
    this.svg.setAttribute("viewBox", this.view.join(" "));
    const box = this.svg.getBoundingClientRect();
    this.pixel = Math.max(this.view[2] / Math.max(box.width, 1), this.view[3] / Math.max(box.height, 1));
    for (const one of this.svg.querySelectorAll("circle")) one.setAttribute("r", Number(one.dataset.size) * this.pixel);
    for (const one of this.svg.querySelectorAll("text")) one.setAttribute("font-size", 11 * this.pixel);
  }

  fill(name, made) { this.layers[name].replaceChildren(...made); this.show(); }

  setPoints(points) {
    this.fill("points", points.map(one => shape("circle", { class: "point", cx: one.lon, cy: -one.lat, r: 1, "data-size": 3, "data-key": one.key })));
  }

  setHits(hits) {
    this.hits = hits;
    this.fill("feet", hits.filter(hit => hit.footprint).map(hit => shape("path", { class: "foot", d: path(hit.footprint) })));
    const placed = hits.map((hit, at) => [hit, at + 1]).filter(([hit]) => hit.lat !== null).reverse();
    this.fill("dots", placed.flatMap(([hit, number]) => {
      const text = shape("text", { x: hit.lon, y: -hit.lat }); text.textContent = number;
      return [shape("circle", { class: "dot pin", cx: hit.lon, cy: -hit.lat, r: 1, "data-size": 10, "data-key": hit.key }), text];
    }));
  }

  choose(tile) {
    this.fill("chosen", tile?.footprint ? [shape("path", { class: "foot on", d: path(tile.footprint) })] : []);
    for (const dot of this.layers.dots.querySelectorAll("circle")) dot.classList.toggle("on", dot.dataset.key === tile?.key);
  }

  setHeat() {}

  setBoxes(features) {
    this.fill("boxes", features.filter(one => one.geometry).map(one => shape("path", { class: "box", d: path(one.geometry) })));
  }

  setUpload(features) {
    this.fill("upload", features.filter(one => one.geometry).map(one => shape("path", { class: "foot", d: path(one.geometry) })));
  }

  fit(bounds) {
    if (!bounds) return;
    const wide = Math.max(bounds[2] - bounds[0], 0.02) * 1.3, high = Math.max(bounds[3] - bounds[1], 0.02) * 1.3;
    this.view = [(bounds[0] + bounds[2] - wide) / 2, -(bounds[1] + bounds[3] + high) / 2, wide, high];
    this.show();
  }
}
