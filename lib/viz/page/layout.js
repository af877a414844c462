/** Places of the graph's boxes and lines: callers left of callees, computed by dagre. */

import { Graph, layout } from "./dagre.js";

/**
 * @import { GraphEdge, GraphNode } from "../graph.ts"
 * @typedef {{ x: number, y: number }} Point
 * @typedef {{ width: number, height: number, nodes: Map<string, Point>, edges: Map<string, Point[]> }} Places
 */

export const CARD_WIDTH = 212;
export const CARD_HEIGHT = 92;
const CHIP_WIDTH = 104;
/** The arrow's tip stands off the card by so much. */
const ARROW_GAP = 3;

/** A name for the line between two boxes. */
export function edgeId(/** @type {GraphEdge} */ edge) {
  return `${edge.source}>${edge.target}`;
}

/**
 * @param {readonly GraphNode[]} nodes
 * @param {readonly GraphEdge[]} edges
 * @returns {Places}
 */
export function place(nodes, edges) {
  const graph = new Graph({ multigraph: true });
  graph.setGraph({
    rankdir: "LR",
    nodesep: 34,
    ranksep: 74,
    edgesep: 26,
    marginx: 28,
    marginy: 28,
  });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id } of nodes) graph.setNode(id, { width: CARD_WIDTH, height: CARD_HEIGHT });
  for (const edge of edges) {
    graph.setEdge(edge.source, edge.target, { width: CHIP_WIDTH, height: 34, labelpos: "c" });
  }
  layout(graph);
  const box = graph.graph();
  return {
    width: box.width ?? 0,
    height: box.height ?? 0,
    nodes: new Map(nodes.map(({ id }) => [id, graph.node(id)])),
    edges: new Map(
      edges.map((edge) => [edgeId(edge), graph.edge(edge.source, edge.target).points]),
    ),
  };
}

/**
 * A smooth line from the right side of the caller to the left side of the callee, through the points
 * between. A call back to the left keeps dagre's own way around, its corners rounded.
 * @param {readonly Point[]} points
 * @param {Point} from the caller's middle
 * @param {Point} to the callee's middle
 */
export function curve(points, from, to) {
  if (points.length === 0) return "";
  if (to.x - from.x < CARD_WIDTH) return rounded(points);
  const way = [
    { x: from.x + CARD_WIDTH / 2, y: from.y },
    ...points.slice(1, -1),
    { x: to.x - CARD_WIDTH / 2 - ARROW_GAP, y: to.y },
  ];
  return way.reduce((path, point, index) => {
    const before = way[index - 1];
    if (before === undefined) return `M${point.x} ${point.y}`;
    const half = (before.x + point.x) / 2;
    return `${path} C${half} ${before.y} ${half} ${point.y} ${point.x} ${point.y}`;
  }, "");
}

function rounded(/** @type {readonly Point[]} */ points) {
  return points.reduce((path, point, index) => {
    const next = points[index + 1];
    if (index === 0) return `M${point.x} ${point.y}`;
    if (next === undefined) return `${path} L${point.x} ${point.y}`;
    return `${path} Q${point.x} ${point.y} ${(point.x + next.x) / 2} ${(point.y + next.y) / 2}`;
  }, "");
}

/** The point half way along a line. */
export function middle(/** @type {readonly Point[]} */ points) {
  return points[Math.floor(points.length / 2)] ?? { x: 0, y: 0 };
}
