/** Places of the graph's boxes and lines: callers left of callees, computed by dagre. */

import { Graph, layout } from "./dagre.js";

/**
 * @import { GraphEdge, GraphNode } from "../graph.ts"
 * @typedef {{ x: number, y: number }} Point
 * @typedef {{ width: number, height: number, nodes: Map<string, Point>, edges: Map<string, Point[]> }} Places
 */

export const CARD_WIDTH = 212;
export const CARD_HEIGHT = 92;
const CHIP_WIDTH = 92;

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

/** A smooth line through the points: the corners are rounded by quadratic curves. */
export function curve(/** @type {readonly Point[]} */ points) {
  const [first, ...rest] = points;
  if (first === undefined) return "";
  let path = `M${first.x} ${first.y}`;
  rest.forEach((point, index) => {
    const next = rest[index + 1];
    if (next === undefined) path += ` L${point.x} ${point.y}`;
    else path += ` Q${point.x} ${point.y} ${(point.x + next.x) / 2} ${(point.y + next.y) / 2}`;
  });
  return path;
}

/** The point half way along a line. */
export function middle(/** @type {readonly Point[]} */ points) {
  return points[Math.floor(points.length / 2)] ?? { x: 0, y: 0 };
}
