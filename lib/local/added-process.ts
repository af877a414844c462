/** A process that `malla run` adds to a running mesh: a pod with its command, and a Service. */

import { Fault } from "../base/fault.ts";
import type { LinePeer } from "../host/unix-lines.ts";
import type { Mesh } from "./mesh.ts";
import type { MeshObjects } from "./mesh-objects.ts";
import type { NodeEvent, NodeRequest } from "./node-spec.ts";
import { isPodReady } from "./status.ts";
import { type Manifest, readWorkload, type Workload } from "./workloads.ts";

/** What `malla run` asks for. */
export type RunRequest = Extract<NodeRequest, { readonly type: "run" }>;

/** What a process is added to. */
export interface AddedProcessPlace {
  readonly mesh: Mesh;
  readonly objects: MeshObjects;
  /** Its caller, who is told of it. */
  readonly peer: LinePeer;
  /** Whether Services lead to the ready pod of this address already. */
  readonly isReachable: (ip: string) => boolean;
}

/** The process at work; it goes when its caller goes. */
export class AddedProcess {
  readonly #mesh: Mesh;
  readonly #objects: MeshObjects;
  readonly #peer: LinePeer;
  readonly #isReachable: (ip: string) => boolean;
  readonly #workload: Workload;
  readonly #service: readonly Manifest[];
  #told = false;
  #over = false;

  /** Adds it. Throws `already_exists` when the name is taken. */
  constructor(request: RunRequest, { mesh, objects, peer, isReachable }: AddedProcessPlace) {
    const { name, namespace, port } = request;
    for (const kind of ["Pod", "Deployment", "StatefulSet", "DaemonSet", "Job", "Service"]) {
      if (!objects.has(kind, namespace, name)) continue;
      throw new Fault(
        "already_exists",
        `Cannot add "${name}": namespace ${namespace} has a ${kind} of that name; ` +
          "choose another name",
      );
    }
    const pod = podManifest(request);
    const workload = readWorkload(pod, namespace);
    if (workload === null) throw new Fault("internal", "a Pod is no workload");
    this.#mesh = mesh;
    this.#objects = objects;
    this.#peer = peer;
    this.#isReachable = isReachable;
    this.#workload = workload;
    this.#service = [pod, ...(port === null ? [] : [serviceManifest(name, namespace, port)])];
    objects.add(this.#service);
    const off = mesh.changes.listen(() => {
      this.#look();
      if (this.#over) off();
    });
    mesh.add(workload, {
      output: (_container, stream, chunk) =>
        this.#send({ type: "output", stream, data: chunk.toBase64() }),
      workingDir: request.workingDir,
      environment: request.environment,
    });
  }

  /** Ends the program; its exit code is told, then it is taken away. */
  end(): void {
    for (const run of this.#mesh.podsOf(this.#workload)) void run.stop(this.#mesh.graceMs);
  }

  /** Takes it away; its program gets SIGTERM. */
  remove(): void {
    if (this.#over) return;
    this.#over = true;
    this.#mesh.remove(this.#workload);
    this.#objects.remove(this.#service);
  }

  #look(): void {
    const [run] = this.#mesh.podsOf(this.#workload);
    if (run === undefined || this.#over) return;
    const shot = run.snapshot();
    if (!this.#told && isPodReady(shot) && this.#isReachable(run.ip)) {
      this.#told = true;
      this.#send({ type: "running", ip: run.ip });
    }
    if (shot.failure !== "") this.#send({ type: "failed", message: shot.failure });
    const [program] = shot.containers;
    const ended = program?.phase === "terminated" ? program.lastExit : null;
    if (ended === null && shot.failure === "") return;
    this.#send({ type: "exit", code: ended?.code ?? 1 });
    this.remove();
  }

  #send(event: NodeEvent): void {
    this.#peer.send(event);
  }
}

/** The label that the Service finds the pod by. */
const LABEL = "malla.dev/run";

function podManifest({ name, namespace, port, command }: RunRequest): Manifest {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { app: name, [LABEL]: name } },
    spec: {
      restartPolicy: "Never",
      containers: [{
        name: "run",
        image: command[0],
        // The caller's shell has replaced what it wanted to be replaced.
        command: command.map((word) => word.replaceAll("$", "$$$$")),
        ...(port === null ? {} : {
          ports: [{ containerPort: port }],
          readinessProbe: { tcpSocket: { port }, periodSeconds: 1 },
        }),
      }],
    },
  };
}

function serviceManifest(name: string, namespace: string, port: number): Manifest {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: { selector: { [LABEL]: name }, ports: [{ port }] },
  };
}
