/** Asks the agent of a node, through its unix socket. */

import { existsSync } from "node:fs";
import type { NodeStatus } from "./node.ts";
import { agentSocket } from "./plan.ts";

/** What an agent answers to a GET; null while it does not listen. */
export async function askAgent(nodeFolder: string, path: "status"): Promise<NodeStatus | null> {
  const unix = agentSocket(nodeFolder);
  if (!existsSync(unix)) return null;
  try {
    return await (await fetch(`http://agent/${path}`, { unix })).json() as NodeStatus;
  } catch {
    // The socket is there, but nobody listens yet or any more.
    return null;
  }
}

/** Tells an agent to stop or start one of its programs; rejects with what it answers otherwise. */
export async function tellAgent(nodeFolder: string, path: string): Promise<void> {
  const answer = await fetch(`http://agent/${path}`, {
    unix: agentSocket(nodeFolder),
    method: "POST",
  });
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
}
