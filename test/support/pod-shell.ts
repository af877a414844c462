/**
 * A shell in a pod that stays: scripts come by a unix socket in the laptop mesh's folder, so that many
 * clients run behind one proxy, whose counters then tell of all of them.
 */

import { existsSync } from "node:fs";
import { connect } from "node:net";
import { until } from "./malla.ts";

/** How a script went. */
export interface ScriptResult {
  readonly code: number;
  /** Standard output and error. */
  readonly out: string;
}

/** The shell of the pod `name` in the mesh at `home`. */
export class PodShell {
  readonly name: string;
  readonly #path: string;

  constructor(home: string, name: string) {
    this.name = name;
    this.#path = `${home}/${name}.sock`;
  }

  /** The manifest of its pod; `annotations` may keep the proxy out of it. */
  manifest(annotations: Readonly<Record<string, string>> = {}): string {
    const listen = `UNIX-LISTEN:${this.#path},fork`;
    return JSON.stringify({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: this.name, annotations },
      spec: {
        containers: [{ name: "sh", image: "any", command: ["socat", "-t600", listen, "EXEC:sh"] }],
      },
    });
  }

  /** Runs a script to its end, in the folder of `malla up`. */
  async run(script: string): Promise<ScriptResult> {
    await until(() => existsSync(this.#path));
    const text = await new Promise<string>((resolve, reject) => {
      let out = "";
      const socket = connect({ path: this.#path, allowHalfOpen: true });
      socket.on("data", (chunk) => void (out += chunk.toString("utf8")));
      socket.on("error", reject);
      socket.on("close", () => resolve(out));
      socket.on("end", () => void socket.end());
      socket.end(`exec 2>&1\n(\n${script}\n)\necho; echo "exit $?"\n`);
    });
    const match = /^([^]*)\nexit (\d+)\n$/.exec(text);
    if (match === null) throw new Error(`the shell of ${this.name} broke off: ${text}`);
    return { code: Number(match[2]), out: match[1] ?? "" };
  }
}
