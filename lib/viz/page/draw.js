/**
 * Draws the graph into the page's SVG. Elements are kept and changed in place, so that movement goes
 * on, focus stays where it is and a screen reader is not startled every second.
 */

import { health, milliseconds, percent, perSecond, reasonText } from "./format.js";
import { CARD_HEIGHT, CARD_WIDTH, curve, edgeId, middle, place } from "./layout.js";

/**
 * @import { Graph, GraphEdge, GraphNode } from "../graph.ts"
 * @import { Places } from "./layout.js"
 */

const SVG = "http://www.w3.org/2000/svg";
/** The figures on a card and where their columns begin. */
const FIGURES = /** @type {[string, number][]} */ ([["success", 14], ["rps", 88], ["p95", 146]]);
const SCALE_MIN = 0.65;
const OUTSIDE = new Set(["external", "unmeshed", "service", "serviceaccount"]);

/** @type {Places | undefined} */
let places;
let shape = "";

/**
 * @param {Graph} graph
 * @param {string | undefined} selected
 * @param {(id: string) => void} onSelect
 */
export function drawGraph(graph, selected, onSelect) {
  const svg = element("graph");
  const next = JSON.stringify([
    graph.nodes.map(({ id }) => id),
    graph.edges.map((edge) => edgeId(edge)),
  ]);
  if (places === undefined || next !== shape) {
    places = place(graph.nodes, graph.edges);
    shape = next;
    frame(svg, places);
  }
  const near = neighbours(graph, selected);
  keep(
    element("edges"),
    graph.edges.map((edge) => [edgeId(edge), edge]),
    makeEdge,
    (group, edge) => {
      updateEdge(group, edge);
      const touches = selected === undefined || edge.source === selected ||
        edge.target === selected;
      group.classList.toggle("dimmed", !touches);
    },
  );
  keep(
    element("nodes"),
    graph.nodes.map((node) => [node.id, node]),
    (node) => makeNode(node, onSelect),
    (group, node) => {
      updateNode(group, node, sentBy(graph, node));
      group.classList.toggle("selected", node.id === selected);
      group.classList.toggle("dimmed", selected !== undefined && !near.has(node.id));
      group.setAttribute("aria-pressed", String(node.id === selected));
    },
  );
}

/** Small graphs are not blown up: the frame is never smaller than the panel's usual size. */
function frame(/** @type {HTMLElement} */ svg, /** @type {Places} */ { width, height }) {
  const wide = Math.max(width, 1_000);
  const high = Math.max(height, 300);
  svg.setAttribute("viewBox", `${(width - wide) / 2} ${(height - high) / 2} ${wide} ${high}`);
  svg.style.aspectRatio = `${wide} / ${high}`;
  // Smaller than this nobody could read it: then the panel scrolls.
  svg.style.minWidth = `${Math.round(wide * SCALE_MIN)}px`;
}

function neighbours(/** @type {Graph} */ graph, /** @type {string | undefined} */ selected) {
  const near = new Set(selected === undefined ? [] : [selected]);
  for (const { source, target } of graph.edges) {
    if (source === selected) near.add(target);
    if (target === selected) near.add(source);
  }
  return near;
}

/**
 * Makes, changes and removes the children of a group so that there is one for each item.
 * @template T
 * @param {HTMLElement} parent
 * @param {[string, T][]} items
 * @param {(item: T) => SVGElement} make
 * @param {(group: SVGElement, item: T) => void} update
 */
function keep(parent, items, make, update) {
  const known = new Map();
  for (const child of parent.children) known.set(child.getAttribute("data-id"), child);
  for (const [id, item] of items) {
    let group = known.get(id);
    if (group === undefined) {
      group = make(item);
      group.setAttribute("data-id", id);
      parent.append(group);
    }
    known.delete(id);
    update(group, item);
  }
  for (const gone of known.values()) gone.remove();
}

function makeNode(/** @type {GraphNode} */ node, /** @type {(id: string) => void} */ onSelect) {
  const group = shapeOf("g", { class: "node", tabindex: "0", role: "button" });
  const card = shapeOf("g", { class: "place" });
  const left = -CARD_WIDTH / 2;
  const top = -CARD_HEIGHT / 2;
  card.append(
    shapeOf("rect", {
      class: "card",
      x: left,
      y: top,
      width: CARD_WIDTH,
      height: CARD_HEIGHT,
      rx: 13,
    }),
    shapeOf("rect", { class: "mark", x: left + 12, y: top + 14, width: 5, height: 30, rx: 2.5 }),
    shapeOf("text", { class: "name", x: left + 28, y: top + 27 }),
    shapeOf("text", { class: "kind", x: left + 28, y: top + 43 }),
  );
  for (const [name, x] of FIGURES) {
    card.append(
      shapeOf("text", { class: `value ${name}`, x: left + x, y: top + 68 }),
      shapeOf("text", { class: `label ${name}-label`, x: left + x, y: top + 82 }, name),
    );
  }
  group.append(card, document.createElementNS(SVG, "title"));
  group.addEventListener("click", () => onSelect(node.id));
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    onSelect(node.id);
  });
  return group;
}

/** What a workload sends per second, for one that only calls others. */
function sentBy(/** @type {Graph} */ graph, /** @type {GraphNode} */ node) {
  if (node.rps !== null) return null;
  const rates = graph.edges.filter(({ source }) => source === node.id).flatMap(({ rps }) =>
    rps ?? []
  );
  return rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate, 0);
}

/**
 * @param {SVGElement} group
 * @param {GraphNode} node
 * @param {number | null} sent
 */
function updateNode(group, node, sent) {
  const at = places?.nodes.get(node.id) ?? { x: 0, y: 0 };
  const inner = group.querySelector(".place");
  if (inner instanceof SVGElement) inner.style.transform = `translate(${at.x}px, ${at.y}px)`;
  for (const state of ["good", "poor", "bad", "idle"]) {
    group.classList.toggle(state, state === health(node.successRate));
  }
  group.classList.toggle("outside", OUTSIDE.has(node.kind));
  write(group, ".name", clip(node.name, 20));
  write(group, ".kind", clip(kindLine(node), 32));
  write(group, ".value.success", percent(node.successRate));
  write(group, ".value.rps", perSecond(sent ?? node.rps));
  write(group, ".rps-label", sent === null ? "rps" : "rps sent");
  write(group, ".value.p95", milliseconds(node.p95Ms));
  const words = `${node.name}, ${kindLine(node)}: ` +
    `success ${percent(node.successRate)}, ${perSecond(node.rps)} requests per second, ` +
    `p95 ${milliseconds(node.p95Ms)}`;
  write(group, "title", words);
  group.setAttribute("aria-label", words);
}

function kindLine(/** @type {GraphNode} */ node) {
  if (node.kind === "unmeshed") return "callers without a proxy";
  if (node.kind === "external") return "outside of the mesh";
  const pods = node.runningPods === 1 ? "1 pod" : `${node.runningPods} pods`;
  const meshed = node.meshedPods === node.runningPods
    ? ""
    : node.meshedPods === 0
    ? " · not meshed"
    : ` · ${node.meshedPods} meshed`;
  const ready = node.readyPods === node.runningPods ? "" : ` · ${node.readyPods} ready`;
  const kind = meshed + ready === "" ? ` · ${node.kind}` : "";
  return `${node.namespace}${kind} · ${pods}${meshed}${ready}`;
}

function makeEdge() {
  const group = shapeOf("g", { class: "edge" });
  const chip = shapeOf("g", { class: "label-place" });
  chip.append(
    shapeOf("rect", { class: "chip", y: -12, height: 24, rx: 12 }),
    shapeOf("use", { class: "lock", y: -6.5, width: 13, height: 13 }),
    shapeOf("text", { class: "rate", y: 4 }),
    shapeOf("text", { class: "why", x: 0, y: 25, "text-anchor": "middle" }),
  );
  group.append(
    shapeOf("path", { class: "line", "marker-end": "url(#arrow)" }),
    shapeOf("path", { class: "flow" }),
    chip,
    document.createElementNS(SVG, "title"),
  );
  return group;
}

function updateEdge(/** @type {SVGElement} */ group, /** @type {GraphEdge} */ edge) {
  const points = places?.edges.get(edgeId(edge)) ?? [];
  const origin = { x: 0, y: 0 };
  const from = places?.nodes.get(edge.source) ?? origin;
  const path = curve(points, from, places?.nodes.get(edge.target) ?? origin);
  const rps = edge.rps ?? 0;
  // Ten times the traffic makes a line one step thicker.
  const width = 1.4 + Math.min(3, Math.log10(1 + rps));
  for (const line of group.querySelectorAll("path")) {
    if (line.getAttribute("d") !== path) line.setAttribute("d", path);
  }
  group.querySelector(".line")?.setAttribute("stroke-width", width.toFixed(2));
  group.querySelector(".flow")?.setAttribute("stroke-width", (width + 2.2).toFixed(2));
  for (const state of ["good", "poor", "bad", "idle"]) {
    group.classList.toggle(state, state === health(edge.successRate));
  }
  group.classList.toggle("open", !edge.secured);
  group.classList.toggle("still", rps === 0 && edge.bytesPerSecond < 1);
  const at = middle(points);
  group.querySelector(".label-place")?.setAttribute("transform", `translate(${at.x} ${at.y})`);
  group.querySelector(".lock")?.setAttribute(
    "href",
    edge.secured ? "#lock-shape" : "#open-lock-shape",
  );
  fillChip(group, edge.rps === null ? "TCP" : `${perSecond(edge.rps)} rps`);
  write(group, ".why", edge.secured ? "" : reasonText(edge.reason));
  const security = edge.secured
    ? `mutual TLS as ${edge.clientId || "a proven client"} to ${edge.serverId}`
    : `not secured: ${reasonText(edge.reason)}`;
  write(
    group,
    "title",
    `${security}\nsuccess ${percent(edge.successRate)}, p95 ${milliseconds(edge.p95Ms)}`,
  );
}

/** Lock and text in the middle of a chip that is as wide as they need. */
function fillChip(/** @type {SVGElement} */ group, /** @type {string} */ text) {
  const inner = 13 + 5 + text.length * 6.3;
  const width = inner + 18;
  group.querySelector(".chip")?.setAttribute("x", String(-width / 2));
  group.querySelector(".chip")?.setAttribute("width", String(width));
  group.querySelector(".lock")?.setAttribute("x", String(-inner / 2));
  group.querySelector(".rate")?.setAttribute("x", String(-inner / 2 + 18));
  write(group, ".rate", text);
}

/**
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 * @param {string} [text]
 */
function shapeOf(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  if (text !== undefined) made.textContent = text;
  return /** @type {SVGElement} */ (made);
}

function write(
  /** @type {Element} */ parent,
  /** @type {string} */ selector,
  /** @type {string} */ text,
) {
  const found = parent.querySelector(selector);
  if (found !== null && found.textContent !== text) found.textContent = text;
}

function clip(/** @type {string} */ text, /** @type {number} */ length) {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

function element(/** @type {string} */ id) {
  const found = document.getElementById(id);
  if (found === null) throw new TypeError(`The page has no element ${id}`);
  return found;
}
