/** Malla as a library: a mesh and a mode started by a program, with the executable under test. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault, type Mesh, startMesh, startMode } from "../../mod.ts";
import { whyNoMesh } from "../support/laptop.ts";
import { freePorts, MALLA, until } from "../support/malla.ts";

const LONG_MS = 60_000;

const FILES = `apiVersion: v1
kind: Pod
metadata: { name: files, labels: { app: files } }
spec:
  containers:
    - name: python
      command: [python3, -m, http.server, "8000"]
      workingDir: FOLDER
      ports: [{ containerPort: 8000 }]
      readinessProbe: { tcpSocket: { port: 8000 }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: files }
spec: { selector: { app: files }, ports: [{ port: 80, targetPort: 8000 }] }
`;

const reason = whyNoMesh();
if (reason !== undefined) console.warn(`skipped: ${reason}`);

let folder: string;
const ownState = process.env["MALLA_STATE"];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "malla-library-"));
  writeFileSync(join(folder, "files.yaml"), FILES.replace("FOLDER", folder));
  // The note of a mesh that the user runs must stay.
  process.env["MALLA_STATE"] = join(folder, "state", "mesh.json");
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
  if (ownState === undefined) delete process.env["MALLA_STATE"];
  else process.env["MALLA_STATE"] = ownState;
});

describe.skipIf(reason !== undefined)("startMesh", () => {
  test("a published port answers as soon as the mesh is ready", async () => {
    const [port = 0] = await freePorts(1);
    const lines: Uint8Array[] = [];
    const mesh: Mesh = await startMesh({
      manifests: [folder],
      publish: [`files:80=${port}`],
      pagePort: 0,
      log: (chunk) => void lines.push(chunk),
      executable: MALLA,
    });
    try {
      await mesh.ready;
      const answer = await fetch(`http://127.0.0.1:${port}/files.yaml`);
      expect(await answer.text()).toContain("metadata: { name: files }");
      expect(await (await fetch(mesh.pageUrl)).text()).toContain("<title>Malla</title>");
      expect(Buffer.concat(lines).toString()).toContain(`page ${mesh.pageUrl}`);
    } finally {
      expect(await mesh.stop()).toBe(0);
    }
    expect(await mesh.ended).toBe(0);
    await expect(fetch(mesh.pageUrl)).rejects.toThrow();
  }, LONG_MS);

  test("what cannot be is a fault before anything runs", async () => {
    const start = (manifest: string) => startMesh({ manifests: [join(folder, manifest)] });
    await expect(start("nowhere")).rejects.toThrow(Fault);
    writeFileSync(join(folder, "bad.yaml"), "kind: [\n");
    await expect(start("bad.yaml")).rejects.toThrow(/bad\.yaml:\d+: /);
  });
});

test("startMode runs a mode until it is stopped", async () => {
  const [api = 0, page = 0] = await freePorts(2);
  const mode = startMode("viz", {
    args: [`--source=files:${folder}`, `--page-listen=127.0.0.1:${page}`],
    env: { MALLA_VIZ_API_LISTEN: `127.0.0.1:${api}` },
    executable: MALLA,
  });
  try {
    await until(() => fetch(`http://127.0.0.1:${page}/`).then(({ ok }) => ok, () => false));
  } finally {
    expect(await mode.stop()).toBe(0);
  }
}, LONG_MS);
