// The graph layout library, as the page loads it from its own server.
export { Graph, layout } from "@dagrejs/dagre";
