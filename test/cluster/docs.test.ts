/**
 * What the pages of the documentation tell to do in a cluster, done in one, page by page, by the
 * compiled executable and kubectl as an operator has them.
 */

import { afterAll, beforeAll, describe } from "bun:test";
import { followPages } from "../docs/follow.ts";
import { TOP } from "../docs/pages.ts";
import { Terminal } from "../docs/terminal.ts";
import { CNI_BIN_FOLDER, CNI_NET_FOLDER } from "./node-files.ts";
import { docsObstacle, DocsWorld, needObstacle } from "./docs-world.ts";
import { nodesObstacle } from "./requirements.ts";

const obstacle = docsObstacle();
if (obstacle !== null) console.warn(`skipped: pages in a cluster: ${obstacle}`);

/** Building Kubernetes, Helm and cert-manager included, on a machine that has never done it. */
const START_MS = 2_400_000;
const STEP_MS = 240_000;

describe.skipIf(obstacle !== null)("in a cluster", () => {
  let world: DocsWorld;
  beforeAll(async () => {
    world = await DocsWorld.start();
  }, START_MS);
  afterAll(async () => await world?.stop(), STEP_MS);

  followPages({
    place: "cluster",
    stepMs: STEP_MS,
    needObstacle,
    // It puts the plugin into folders of the nodes.
    pageObstacle: (page) => page === "docs/cni.md" ? nodesObstacle() : null,
    async open(page) {
      await world.prepare(page);
      return new Terminal(world.programs, {
        KUBECONFIG: world.cluster.kubeconfig,
        MALLA_SOURCE: TOP.replace(/\/$/, ""),
        CNI_NET_DIR: CNI_NET_FOLDER,
        CNI_BIN_DIR: CNI_BIN_FOLDER,
      });
    },
  });
});
