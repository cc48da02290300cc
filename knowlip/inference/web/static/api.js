// Requests to the server this page came from. The key, where there is one, is kept in this tab and sent as a header.
const STORE = "knowlip-key";
let asking = null;

export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter(one => one !== null && one !== undefined));
  return made;
}

export const at = id => document.getElementById(id);

export function keyHeader() {
  const key = sessionStorage.getItem(STORE);
  return key ? { Authorization: "Bearer " + key } : {};
}

// One dialog for all requests that wait for the key.
export function askForKey(wrong) {
  asking ??= new Promise(resolve => {
    const dialog = at("key-dialog");
    at("key-wrong").textContent = wrong ? "That key is wrong." : "";
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(STORE, at("key").value.trim());
      at("key").value = ""; asking = null; resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

export class Failed extends Error {}

export async function send(path, options = {}) {
  for (;;) {
    let reply;
    try {
      reply = await fetch(path, { ...options, headers: { ...options.headers, ...keyHeader() } });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Failed("The server does not answer.");
    }
    if (reply.status === 401) { await askForKey("Authorization" in keyHeader()); continue; }
    if (reply.ok) return reply;
    throw new Failed(await sentence(reply));
  }
}

export async function sentence(reply) {
  try { return (await reply.json()).error ?? `The server answered ${reply.status}.`; }
  catch { return `The server answered ${reply.status}.`; }
}

const json = value => ({ method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });
export const get = async path => (await send(path)).json();
export const post = async (path, value, signal) => (await send(path, { ...json(value), signal })).json();
export const postBlob = async (path, value) => (await send(path, json(value))).blob();

// Pictures are fetched once and kept as addresses of this page.
const pictures = new Map();
export function picture(key) {
  if (!pictures.has(key)) {
    pictures.set(key, send(`/api/tiles/${key}/picture`).then(reply => reply.blob()).then(blob => URL.createObjectURL(blob)));
    pictures.get(key).catch(() => pictures.delete(key));
    if (pictures.size > 400) {
      const [oldest, url] = pictures.entries().next().value;
      pictures.delete(oldest); url.then(URL.revokeObjectURL, () => {});
    }
  }
  return pictures.get(key);
}

export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

export const percent = share => share === null || share === undefined ? "–" : `${(100 * share).toFixed(share > 0.995 || share < 0.1 ? 1 : 0)} %`;
export const metres = value => value === null ? "" : value >= 1000 ? `${(value / 1000).toFixed(1)} km` : `${value < 10 ? +value.toFixed(2) : Math.round(value)} m`;
export const place = (lat, lon) => lat === null ? "place unknown" : `${Math.abs(lat).toFixed(4)}° ${lat < 0 ? "S" : "N"}, ${Math.abs(lon).toFixed(4)}° ${lon < 0 ? "W" : "E"}`;
