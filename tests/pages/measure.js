// What is wrong with a page as it stands: an object of lists, all empty where nothing is. Everything is measured on what
// the browser has laid out, not read from the sources.
(() => {
  "use strict";
  const root = document.documentElement, wide = root.clientWidth;
  const found = {side: [], outside: [], cut: [], contrast: [], graphics: [], small: [], alt: [], twice: [], head: []};
  const say = (list, words) => { if (found[list].length < 6) found[list].push(words); };
  const named = e => `${e.tagName}.${e.getAttribute("class") || ""} ${(e.textContent || "").trim().slice(0, 50)}`;
  const seen = e => e.getClientRects().length > 0 && e.checkVisibility({visibilityProperty: true});

  // ---- the head, pictures, names
  if (!root.lang) say("head", "no language");
  if (!document.title.trim()) say("head", "no title");
  if (!document.querySelector("meta[name=viewport]")) say("head", "no viewport");
  for (const e of document.images) if (!e.hasAttribute("alt")) say("alt", named(e));
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) say("twice", id);

  // ---- places
  if (root.scrollWidth > wide) say("side", `${root.scrollWidth} px on a screen of ${wide}`);
  const skipped = e => e.closest(".skip, .maplibregl-map, #map");
  for (const e of document.querySelectorAll("body *")) {
    if (!seen(e) || skipped(e)) continue;
    const box = e.getBoundingClientRect(), style = getComputedStyle(e), frame = e.ownerSVGElement;
    if (!frame && (box.right > wide + 1 || box.left < -1)) say("outside", named(e));
    // A chart cuts at its frame: what it writes lies inside.
    if (frame && e.tagName === "text") {
      const edge = frame.getBoundingClientRect();
      if (box.left < edge.left - 1 || box.right > edge.right + 1 || box.top < edge.top - 1 || box.bottom > edge.bottom + 1) say("cut", named(e));
    }
    if (frame || e.matches("input, textarea, select, pre") || !e.textContent.trim()) continue;
    const hides = value => ["hidden", "clip", "auto", "scroll"].includes(value);
    const told = style.textOverflow === "ellipsis" || style.webkitLineClamp !== "none" ? e.title || e.closest("[title]") : null;
    if (hides(style.overflowX) && e.scrollWidth > e.clientWidth + 1 && !told) say("cut", named(e));
    if (["hidden", "clip"].includes(style.overflowY) && e.scrollHeight > e.clientHeight + 2 && !told) say("cut", named(e));
  }

  // ---- colours: WCAG 2.2, 1.4.3
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const known = new Map();
  const colour = words => {  // any notation -> red, green, blue (0 to 1), alpha
    if (!known.has(words)) {
      const rgb = words.match(/^rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)$/), plain = words.match(/^color\(srgb ([\d.e-]+) ([\d.e-]+) ([\d.e-]+)(?: \/ ([\d.]+))?\)$/);
      const m = rgb || plain, by = rgb ? 255 : 1;
      known.set(words, m ? [m[1] / by, m[2] / by, m[3] / by, m[4] === undefined ? 1 : +m[4]] : [0, 0, 0, 0]);
    }
    return known.get(words);
  };
  const over = (top, below) => [0, 1, 2].map(k => top[3] * top[k] + (1 - top[3]) * below[k]);
  const light = c => { const [r, g, b] = c.map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)]; return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05); };
  const kept = make => { const by = new Map(); return e => { if (!by.has(e)) by.set(e, make(e)); return by.get(e); }; };
  const styled = kept(e => { const s = getComputedStyle(e); return {opacity: +s.opacity, position: s.position, fill: s.fill, fillOpacity: +s.fillOpacity, stroke: s.stroke, wide: parseFloat(s.strokeWidth), image: s.backgroundImage, back: s.backgroundColor}; });
  const fades = kept(e => e ? styled(e).opacity * fades(e.parentElement) : 1);
  const floats = kept(e => Boolean(e) && (e.ownerSVGElement || ["absolute", "fixed"].includes(styled(e).position) || floats(e.parentElement)));
  // What lies below a point of an element, as one colour; null where it is a picture. Of a mark neither itself nor what
  // has its own colour (a dot on its line) is ground.
  const ground = (e, x, y, own = null) => {
    let pile = floats(e) ? document.elementsFromPoint(x, y) : [];
    const at = pile.indexOf(e);
    if (at < 0 && e.ownerSVGElement && !(pile.length && e.ownerSVGElement.contains(pile[0]))) return "covered";
    if (at >= 0) pile = pile.slice(at);
    else if (getComputedStyle(e).pointerEvents !== "none" || !pile.length) { pile = []; for (let up = e; up; up = up.parentElement) pile.push(up); }
    if (own) pile = pile.filter(one => one !== e && !(one instanceof SVGGeometryElement && own.has(styled(one).fill)));
    const layers = [];
    for (const one of pile) {
      const style = styled(one);
      if (one.matches("img, canvas, video, image")) return null;
      let fill = null;
      if (one instanceof SVGElement && one.tagName !== "svg") {
        if (one instanceof SVGGeometryElement && style.fill !== "none") { const c = colour(style.fill); fill = [c[0], c[1], c[2], c[3] * style.fillOpacity]; }
        else if (own && one instanceof SVGGeometryElement && style.stroke !== "none" && style.wide >= 3) fill = colour(style.stroke);
      } else { if (style.image !== "none") return null; fill = colour(style.back); }
      if (fill && fill[3] > 0) { layers.push([fill[0], fill[1], fill[2], fill[3] * (one === e ? 1 : fades(one))]); if (fill[3] === 1) break; }
    }
    const dark = matchMedia("(prefers-color-scheme: dark)").matches && /dark/.test(getComputedStyle(root).colorScheme);
    let result = dark ? [0.07, 0.07, 0.07] : [1, 1, 1];
    for (const layer of layers.reverse()) result = over(layer, result);
    return result;
  };
  const judge = (e, box, ink, words) => {
    const style = getComputedStyle(e), frame = e.ownerSVGElement;
    const size = parseFloat(style.fontSize) * (frame ? frame.getScreenCTM().a : 1);
    if (size < 9.5) say("small", `${size.toFixed(1)} px: ${words}`);
    const below = ground(e, box.left + box.width / 2, box.top + box.height / 2);
    if (below === "covered") return;
    if (below === null) {  // on a picture a rim or a ground of its own must part it from whatever lies there
      if (style.textShadow === "none" && style.stroke === "none") say("contrast", `on a picture: ${words}`);
      return;
    }
    const large = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700), c = colour(ink);
    const own = over([c[0], c[1], c[2], c[3] * fades(e)], below), rim = style.stroke !== "none" && style.paintOrder.startsWith("stroke");
    const got = ratio(own, below);
    if (got < (large ? 3 : 4.5) - 0.005 && !rim) say("contrast", `${got.toFixed(2)}: ${words} (${named(e).slice(0, 40)})`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const e = node.parentElement, words = node.data.trim().slice(0, 40);
    if (!words || e.closest("script, style, title, option, noscript, .skip, :disabled") || !seen(e)) continue;
    range.selectNodeContents(node);
    const box = [...range.getClientRects()].find(one => one.width > 0 && one.height > 0);
    if (box) judge(e, box, e.ownerSVGElement ? getComputedStyle(e).fill : getComputedStyle(e).color, words);
  }
  for (const e of document.querySelectorAll("input:not([type=checkbox], [type=radio], [type=hidden], [type=file]), textarea")) {
    if (!seen(e)) continue;
    judge(e, e.getBoundingClientRect(), getComputedStyle(e).color, `value of ${e.id}`);
    if (e.placeholder) judge(e, e.getBoundingClientRect(), getComputedStyle(e, "::placeholder").color, e.placeholder);
  }

  // ---- lines, bars and marks: WCAG 2.2, 1.4.11. What the page calls a ground (nets, tracks, land) carries nothing; a
  // wash repeats what a solid line beside it says.
  const grounds = new Set();
  for (const name of ["paper", "card", "line", "fill", "land", "sea", "bg", "panel", "soft"]) {
    const value = getComputedStyle(root).getPropertyValue(`--${name}`).trim();
    if (!value) continue;
    const probe = root.appendChild(document.createElement("i"));
    probe.style.color = value;
    grounds.add(getComputedStyle(probe).color);
    probe.remove();
  }
  const paint = (words, opacity) => {  // null where nothing is seen, or a ground
    const c = colour(words);
    return c[3] * opacity === 0 || grounds.has(words) ? null : [c[0], c[1], c[2], c[3] * opacity];
  };
  // Contrast of paints with what lies below a point; null where that cannot be said: on a picture, outside, covered.
  const stands = (e, paints, own, {x, y}) => {
    if (x < 0 || y < 0 || x >= innerWidth || y >= innerHeight) return null;
    const below = ground(e, x, y, own);
    return below === null || below === "covered" ? null : Math.max(...paints.map(one => ratio(over(one, below), below)));
  };
  for (const e of document.querySelectorAll("svg *")) {
    if (!(e instanceof SVGGeometryElement) || !seen(e) || skipped(e) || e.closest("defs, clipPath, symbol, .wash, button")) continue;
    const s = getComputedStyle(e), box = e.getBoundingClientRect(), whole = fades(e), own = new Set([s.fill, s.stroke].filter(one => one !== "none"));
    const rim = s.stroke !== "none" && parseFloat(s.strokeWidth) >= 0.7 && grounds.has(s.stroke);
    const stroke = s.stroke === "none" || !parseFloat(s.strokeWidth) ? null : paint(s.stroke, whole * +s.strokeOpacity);
    const fill = s.fill === "none" ? null : paint(s.fill, whole * +s.fillOpacity);
    if ((!box.width && !box.height) || !(fill || stroke)) continue;
    let got = [];
    if (rim && fill) got = [ratio(over(fill, colour(s.stroke)), colour(s.stroke))];  // its rim parts it from what lies there
    else if (fill) {  // most of an area must stand out
      const places = [0.5, 0.25, 0.75, 0.1, 0.9].flatMap(u => [0.5, 0.25, 0.75, 0.1, 0.9].map(v => ({x: box.left + u * box.width, y: box.top + v * box.height})));
      const inside = places.filter(at => document.elementFromPoint(at.x, at.y) === e);
      got = inside.map(at => stands(e, [fill, stroke].filter(Boolean), own, at)).filter(one => one !== null).sort((a, b) => a - b);
      got = got.length ? [got[Math.floor(got.length / 2)]] : [];
    } else {  // and all of a line
      const matrix = e.getScreenCTM(), length = e.getTotalLength();
      got = [0.1, 0.3, 0.5, 0.7, 0.9].map(t => e.getPointAtLength(t * length).matrixTransform(matrix)).map(at => stands(e, [stroke], own, at)).filter(one => one !== null);
    }
    const of = e.closest("svg").getAttribute("aria-label") || named(e.closest("svg"));
    if (got.length && Math.min(...got) < 2.995) say("graphics", `${Math.min(...got).toFixed(2)}: ${e.tagName} ${s.stroke} ${s.fill} of ${of.slice(0, 40)}`);
  }
  for (const e of document.querySelectorAll("body i, body b, body u, body span, body div")) {
    if (!seen(e) || skipped(e) || e.ownerSVGElement || e.children.length || e.textContent.trim() || e.closest("button, .wash")) continue;
    const box = e.getBoundingClientRect(), at = {x: box.left + box.width / 2, y: box.top + box.height / 2};
    for (const part of [null, "::before"]) {
      const s = getComputedStyle(e, part);
      if ((part && s.content === "none") || (!part && (!box.width || !box.height))) continue;
      const edge = ["Left", "Bottom"].map(side => parseFloat(s[`border${side}Width`]) ? paint(s[`border${side}Color`], fades(e)) : null);
      const paints = [paint(s.backgroundColor, fades(e) * (part ? +s.opacity : 1)), ...edge].filter(Boolean);
      const one = part ? e.appendChild(document.createElement("s")) : e;
      const cased = s.outlineStyle === "solid" && grounds.has(s.outlineColor);
      const got = !paints.length ? null : cased ? Math.max(...paints.map(ink => ratio(over(ink, colour(s.outlineColor)), colour(s.outlineColor)))) : stands(one, paints, new Set(), at);
      if (part) one.remove();
      if (got !== null && got < 2.995) say("graphics", `${got.toFixed(2)}: ${named(e)}${part || ""} ${s.backgroundColor}`);
    }
  }
  return JSON.stringify(found);
})()
