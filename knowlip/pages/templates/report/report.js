"use strict";
// Light or dark by hand; without a choice the system's setting holds.
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
// True targets over the sample tiles.
const box = document.getElementById("show-targets");
if (box) box.addEventListener("change", () => document.body.classList.toggle("no-targets", !box.checked));
// Read a curve's value under the pointer.
for (const chart of document.querySelectorAll("[data-points]")) {
  const points = JSON.parse(chart.dataset.points), svg = chart.querySelector("svg"), out = chart.querySelector("output");
  const { width, height } = svg.viewBox.baseVal;
  const mark = (tag, values) => {
    const made = svg.querySelector(`${tag}.cursor`) || svg.appendChild(document.createElementNS(svg.namespaceURI, tag));
    for (const [name, value] of Object.entries({ class: "cursor", ...values })) made.setAttribute(name, value);
  };
  svg.addEventListener("pointermove", (event) => {
    const area = svg.getBoundingClientRect(), x = (event.clientX - area.left) / area.width * width;
    const near = points.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a);
    mark("line", { x1: near[0], x2: near[0], y1: 12, y2: height - 26 });
    mark("circle", { cx: near[0], cy: near[1], r: 3 });
    out.textContent = `step ${Math.round(near[2])}: ${Number(near[3].toPrecision(4))}`;
  });
  svg.addEventListener("pointerleave", () => {
    svg.querySelectorAll(".cursor").forEach((found) => found.remove());
    out.textContent = out.dataset.last;
  });
}
// Print everything that is folded away.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
