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
  const points = JSON.parse(chart.dataset.points), svg = chart.querySelector("svg");
  const line = chart.querySelector("line.cursor"), dot = chart.querySelector("circle.cursor"), out = chart.querySelector("output");
  svg.addEventListener("pointermove", (event) => {
    const area = svg.getBoundingClientRect(), x = (event.clientX - area.left) / area.width * svg.viewBox.baseVal.width;
    const near = points.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a);
    line.setAttribute("x1", near[0]); line.setAttribute("x2", near[0]);
    dot.setAttribute("cx", near[0]); dot.setAttribute("cy", near[1]);
    out.textContent = `step ${Math.round(near[2])}: ${Number(near[3].toPrecision(4))}`;
  });
  svg.addEventListener("pointerleave", () => {
    for (const name of ["x1", "x2"]) line.setAttribute(name, -9);
    dot.setAttribute("cx", -9);
    out.textContent = out.dataset.last;
  });
}
// Print everything that is folded away.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
