/**
 * The live page: takes one picture of the mesh per second from `/events` and shows it. States:
 * connecting → live ⇄ lost; the browser connects again by itself, we only say so.
 */

import { drawGraph } from "./draw.js";
import { health, percent, perSecond } from "./format.js";
import { fillConnections, fillWorkloads } from "./tables.js";

/** @import { Graph, GraphNode } from "../graph.ts" */

const TREND_LENGTH = 60;

/** @type {Graph | undefined} */
let latest;
/** @type {string | undefined} */
let selected;
/** @type {EventSource | undefined} */
let source;
let lastEventMs = 0;
/** @type {Map<string, number[]>} */
const trends = new Map();

start();

function start() {
  applyTheme(localStorage.getItem("theme"));
  byId("theme").addEventListener("click", () => {
    const next = document.documentElement.dataset["theme"] === "dark" ? "light" : "dark";
    localStorage.setItem("theme", next);
    applyTheme(next);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    applyTheme(localStorage.getItem("theme"));
  });
  byId("window").addEventListener("change", connect);
  byId("namespace").addEventListener("change", show);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") select(undefined);
  });
  connect();
  // A connection that is cut without a word gives no error event for minutes.
  setInterval(() => {
    if (document.body.dataset["state"] === "live" && Date.now() - lastEventMs > 5_000) connect();
  }, 1_000);
}

function connect() {
  source?.close();
  source = new EventSource(`/events?window=${choice("window")}`);
  source.addEventListener("message", (event) => {
    lastEventMs = Date.now();
    setState("live", "Live");
    take(JSON.parse(event.data));
  });
  source.addEventListener("error", () => {
    setState("lost", "Connection lost, trying again");
    // After an answer that is no event stream the browser gives up; we do not.
    if (source?.readyState === EventSource.CLOSED) setTimeout(connect, 2_000);
  });
}

function take(/** @type {Graph} */ graph) {
  latest = graph;
  const present = new Set(graph.nodes.map(({ id }) => id));
  for (const id of trends.keys()) if (!present.has(id)) trends.delete(id);
  for (const { id, recentRps } of graph.nodes) {
    if (recentRps === null) continue;
    const trend = trends.get(id) ?? [];
    trend.push(recentRps);
    if (trend.length > TREND_LENGTH) trend.shift();
    trends.set(id, trend);
  }
  offerNamespaces(graph.nodes);
  show();
}

function show() {
  if (latest === undefined) return;
  const graph = inNamespace(latest, choice("namespace"));
  if (selected !== undefined && !graph.nodes.some(({ id }) => id === selected)) {
    selected = undefined;
  }
  drawGraph(graph, selected, toggle);
  fillWorkloads(graph, trends, selected, toggle);
  fillConnections(graph, selected);
  showTotals(graph);
  showHint(graph);
  showFilter(graph);
}

function toggle(/** @type {string} */ id) {
  select(id === selected ? undefined : id);
}

function select(/** @type {string | undefined} */ id) {
  selected = id;
  show();
}

/** The workloads of a namespace and whoever they talk with. */
function inNamespace(/** @type {Graph} */ graph, /** @type {string} */ namespace) {
  if (namespace === "") return graph;
  const home = new Set(
    graph.nodes.filter((node) => node.namespace === namespace).map(({ id }) => id),
  );
  const edges = graph.edges.filter(({ source, target }) => home.has(source) || home.has(target));
  const near = new Set([...home, ...edges.flatMap(({ source, target }) => [source, target])]);
  return { ...graph, edges, nodes: graph.nodes.filter(({ id }) => near.has(id)) };
}

function offerNamespaces(/** @type {readonly GraphNode[]} */ nodes) {
  const names = [...new Set(nodes.map(({ namespace }) => namespace))].filter((name) => name !== "");
  names.sort();
  const list = /** @type {HTMLSelectElement} */ (byId("namespace"));
  const known = [...list.options].slice(1).map(({ value }) => value);
  if (JSON.stringify(known) === JSON.stringify(names)) return;
  const chosen = list.value;
  list.replaceChildren(new Option("All", ""), ...names.map((name) => new Option(name, name)));
  list.value = names.includes(chosen) ? chosen : "";
}

function showTotals(/** @type {Graph} */ graph) {
  const inside = graph.nodes.filter(({ rps, kind }) => rps !== null && kind !== "external");
  const rps = inside.reduce((sum, node) => sum + (node.rps ?? 0), 0);
  const good = inside.reduce((sum, node) => sum + (node.rps ?? 0) * (node.successRate ?? 0), 0);
  const rate = rps > 0 ? Math.min(1, good / rps) : null;
  setText("total-rps", inside.length === 0 ? "–" : perSecond(rps));
  setText("total-success", percent(rate === null || rate > 0.999_999 ? rate && 1 : rate));
  byId("total-success").className = `figure ${health(rate)}`;
  const secured = graph.edges.filter((edge) => edge.secured).length;
  setFraction("total-secured", secured, graph.edges.length);
  const meshed = graph.nodes.reduce((sum, node) => sum + node.meshedPods, 0);
  const running = graph.nodes.reduce((sum, node) => sum + node.runningPods, 0);
  setFraction("total-meshed", meshed, running);
}

function showHint(/** @type {Graph} */ graph) {
  const hint = byId("hint");
  hint.hidden = graph.edges.length > 0;
  if (hint.hidden) return;
  const isEmpty = graph.nodes.length === 0;
  hint.classList.toggle("corner", !isEmpty);
  setText("hint-title", isEmpty ? "No workloads yet" : "Waiting for traffic");
  setText(
    "hint-text",
    isEmpty
      ? "Pods appear here as soon as they start."
      : "Requests between pods appear here within a second or two.",
  );
}

function showFilter(/** @type {Graph} */ graph) {
  const holder = byId("filter");
  const node = graph.nodes.find(({ id }) => id === selected);
  if ((holder.textContent ?? "") === (node === undefined ? "" : `of ${node.name} ×`)) return;
  holder.replaceChildren();
  if (node === undefined) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = `of ${node.name} ×`;
  button.setAttribute(
    "aria-label",
    `Show the connections of all workloads, not only of ${node.name}`,
  );
  button.addEventListener("click", () => select(undefined));
  holder.append(button);
}

function setState(/** @type {string} */ state, /** @type {string} */ text) {
  document.body.dataset["state"] = state;
  setText("status-text", text);
}

function setFraction(
  /** @type {string} */ id,
  /** @type {number} */ part,
  /** @type {number} */ whole,
) {
  const text = whole === 0 ? "–" : `${part} of ${whole}`;
  setText(id, text);
  byId(id).className = `figure ${whole === 0 ? "" : part === whole ? "good" : "poor"}`;
}

function applyTheme(/** @type {string | null} */ wanted) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset["theme"] = wanted ?? (dark ? "dark" : "light");
}

function setText(/** @type {string} */ id, /** @type {string} */ text) {
  const found = byId(id);
  if (found.textContent !== text) found.textContent = text;
}

function choice(/** @type {string} */ id) {
  return /** @type {HTMLSelectElement} */ (byId(id)).value;
}

function byId(/** @type {string} */ id) {
  const found = document.getElementById(id);
  if (found === null) throw new TypeError(`The page has no element ${id}`);
  return found;
}
