/** `malla run`, the caller's half: adds a process to a running mesh and shows what it writes. */

import { Fault } from "../base/fault.ts";
import { textAt } from "../host/directory.ts";
import { connectLines, type LinePeer } from "../host/unix-lines.ts";
import type { NodeEvent, NodeRequest } from "./node-spec.ts";
import { meshStatePath, parseMeshState } from "./state.ts";

/** What to add. */
export interface RunOptions {
  readonly name: string;
  readonly namespace: string;
  readonly port: number | null;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDir: string;
}

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

/** The control socket of this user's mesh. Throws `failed_precondition` when there is none. */
export function findMesh(env: Readonly<Record<string, string>>, uid: number): string {
  const state = parseMeshState(textAt(meshStatePath(env, uid)) ?? "");
  if (state === undefined) throw noMesh();
  return state.controlSocket;
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
  } catch {
    // The file of the mesh is there, but the mesh is not.
    throw noMesh();
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

function noMesh(): Fault {
  return new Fault(
    "failed_precondition",
    'Cannot find a running mesh of this user: start one with "malla up -f DIR" first',
  );
}
