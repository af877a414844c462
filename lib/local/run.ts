/** `malla run`, the caller's half: adds a process to a running mesh and shows what it writes. */

import { Fault } from "../base/fault.ts";
import { connectLines, type LinePeer } from "../host/unix-lines.ts";
import type { NodeEvent, NodeRequest } from "./node-spec.ts";

/** What to add. */
export type RunOptions = Omit<Extract<NodeRequest, { readonly type: "run" }>, "type">;

/** What the caller shows of it. */
export interface RunOutput {
  write(stream: "out" | "err", bytes: Uint8Array): void;
  /** The process runs, and its port takes connections. */
  running(ip: string): void;
}

/** An added process. */
export interface RemoteProcess {
  /** Resolves with its exit code; rejects with a fault when it could not be added. */
  readonly exited: Promise<number>;
  /** Asks it to end; what it still writes is shown. */
  stop(): void;
  /** Leaves at once; the mesh then ends it. */
  abandon(): void;
}

/** Adds a process to the mesh behind the socket. */
export async function runInMesh(
  socket: string,
  options: RunOptions,
  output: RunOutput,
): Promise<RemoteProcess> {
  const exited = Promise.withResolvers<number>();
  const handler = {
    message: (value: unknown) => take(value as NodeEvent, output, exited),
    closed: () => exited.reject(new Fault("unavailable", "The mesh has ended")),
  };
  let peer: LinePeer;
  try {
    peer = await connectLines(socket, handler);
  } catch (cause) {
    throw new Fault("failed_precondition", `Cannot reach the mesh at "${socket}": has it ended?`, {
      cause,
    });
  }
  const send = (request: NodeRequest) => peer.send(request);
  send({ type: "run", ...options });
  return {
    exited: exited.promise,
    stop: () => send({ type: "end" }),
    abandon: () => peer.close(),
  };
}

function take(
  event: NodeEvent,
  output: RunOutput,
  exited: { resolve(code: number): void; reject(error: unknown): void },
): void {
  switch (event.type) {
    case "output":
      return output.write(event.stream, Uint8Array.fromBase64(event.data));
    case "running":
      return output.running(event.ip);
    case "exit":
      return exited.resolve(event.code);
    case "failed":
      return exited.reject(new Fault("failed_precondition", event.message));
    case "ready":
  }
}
