/** The tables below the graph: the same figures, for reading, copying and the keyboard. */

import {
  bytes,
  health,
  milliseconds,
  percent,
  perSecond,
  reasonText,
  shortIdentity,
} from "./format.js";

/**
 * @import { Graph, GraphEdge, GraphNode } from "../graph.ts"
 * @typedef {{ text: string, className?: string, title?: string, child?: Element }} Cell
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {Graph} graph
 * @param {ReadonlyMap<string, readonly number[]>} trends requests per second of the last minute
 * @param {string | undefined} selected
 * @param {(id: string) => void} onSelect
 */
export function fillWorkloads(graph, trends, selected, onSelect) {
  const nodes = graph.nodes.filter(({ kind }) => kind !== "unmeshed" && kind !== "external");
  const rows = nodes.map((node) => ({
    id: node.id,
    cells: workloadCells(node, trends.get(node.id) ?? []),
  }));
  fill("workloads", rows, "No workloads yet", selected, onSelect);
}

/**
 * @param {Graph} graph
 * @param {string | undefined} selected
 */
export function fillConnections(graph, selected) {
  const names = new Map(graph.nodes.map(({ id, name }) => [id, name]));
  const rows = graph.edges
    .filter(({ source, target }) => selected === undefined || [source, target].includes(selected))
    .map((edge) => ({ id: `${edge.source}>${edge.target}`, cells: connectionCells(edge, names) }));
  fill("connections", rows, "No connections in this window", undefined, undefined);
}

/** @returns {Cell[]} */
function workloadCells(/** @type {GraphNode} */ node, /** @type {readonly number[]} */ trend) {
  return [
    { text: node.name, className: "name", title: node.services.join(", ") },
    { text: node.namespace, className: "quiet" },
    { text: `${node.meshedPods}/${node.runningPods}`, className: "number" },
    { text: percent(node.successRate), className: `number ${health(node.successRate)}` },
    { text: perSecond(node.rps), className: "number" },
    { text: "", className: "trend", child: spark(trend) },
    { text: milliseconds(node.p50Ms), className: "number" },
    { text: milliseconds(node.p95Ms), className: "number" },
    { text: milliseconds(node.p99Ms), className: "number" },
    { text: String(node.tcpConnections), className: "number" },
  ];
}

/** @returns {Cell[]} */
function connectionCells(
  /** @type {GraphEdge} */ edge,
  /** @type {ReadonlyMap<string, string>} */ names,
) {
  return [
    { text: names.get(edge.source) ?? edge.source, className: "name" },
    { text: names.get(edge.target) ?? edge.target, className: "name" },
    { text: "", child: lock(edge) },
    { text: shortIdentity(edge.clientId) || "–", className: "identity", title: edge.clientId },
    { text: shortIdentity(edge.serverId) || "–", className: "identity", title: edge.serverId },
    { text: percent(edge.successRate), className: `number ${health(edge.successRate)}` },
    { text: perSecond(edge.rps), className: "number" },
    { text: milliseconds(edge.p95Ms), className: "number" },
    { text: bytes(edge.bytesPerSecond), className: "number" },
  ];
}

/**
 * @param {string} table
 * @param {{ id: string, cells: Cell[] }[]} rows
 * @param {string} empty
 * @param {string | undefined} selected
 * @param {((id: string) => void) | undefined} onSelect
 */
function fill(table, rows, empty, selected, onSelect) {
  const body = document.querySelector(`#${table} tbody`);
  if (body === null) return;
  const known = new Map();
  for (const row of body.children) known.set(row.getAttribute("data-id"), row);
  const kept = rows.map(({ id, cells }) => {
    const row = known.get(id) ?? makeRow(id, onSelect);
    row.classList.toggle("selected", id === selected);
    cells.forEach((cell, index) => updateCell(row, index, cell));
    return row;
  });
  if (kept.length === 0) kept.push(known.get("") ?? emptyRow(empty));
  const same = kept.length === body.children.length &&
    kept.every((row, index) => row === body.children[index]);
  // Moving a row would take the keyboard's focus from it, so rows move only when they must.
  if (!same) body.replaceChildren(...kept);
}

function makeRow(
  /** @type {string} */ id,
  /** @type {((id: string) => void) | undefined} */ onSelect,
) {
  const row = document.createElement("tr");
  row.setAttribute("data-id", id);
  if (onSelect !== undefined) {
    row.tabIndex = 0;
    row.addEventListener("click", () => onSelect(id));
    row.addEventListener("keydown", (event) => {
      if (event.key === "Enter") onSelect(id);
    });
  }
  return row;
}

function emptyRow(/** @type {string} */ text) {
  const row = document.createElement("tr");
  row.className = "empty";
  row.setAttribute("data-id", "");
  const cell = document.createElement("td");
  cell.colSpan = 20;
  cell.textContent = text;
  row.append(cell);
  return row;
}

function updateCell(
  /** @type {HTMLTableRowElement} */ row,
  /** @type {number} */ index,
  /** @type {Cell} */ { text, className = "", title = "", child },
) {
  const cell = row.cells[index] ?? row.insertCell();
  if (cell.className !== className) cell.className = className;
  if (cell.title !== title) cell.title = title;
  if (child !== undefined) cell.replaceChildren(child);
  else if (cell.textContent !== text) cell.textContent = text;
}

function lock(/** @type {GraphEdge} */ { secured, reason }) {
  const holder = document.createElement("span");
  holder.className = secured ? "lock" : "lock open";
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("width", "13");
  picture.setAttribute("height", "13");
  picture.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", secured ? "#lock-shape" : "#open-lock-shape");
  picture.append(use);
  holder.append(picture, secured ? "mutual TLS" : reasonText(reason));
  return holder;
}

/** A line of the last minute, scaled to its own largest value. */
function spark(/** @type {readonly number[]} */ values) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("class", "spark");
  picture.setAttribute("viewBox", "0 0 59 20");
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("aria-hidden", "true");
  const top = Math.max(...values, 0.001);
  const line = document.createElementNS(SVG, "path");
  const start = 60 - values.length;
  const points = values.map((value, index) =>
    `${start + index} ${(19 - (value / top) * 17).toFixed(1)}`
  );
  line.setAttribute("d", points.length < 2 ? "" : `M${points.join(" L")}`);
  picture.append(line);
  return picture;
}
