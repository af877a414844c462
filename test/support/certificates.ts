/** A throw-away certificate authority and workload certificates for tests, made with openssl. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** PEM texts of one workload, in the shape that TLS options take. */
export interface TestMaterial {
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly trustAnchors: string;
}

/** Makes a root and, for each name, a P-256 certificate with the DNS SAN and a SPIFFE URI after it. */
export function makeMaterials(names: readonly string[]): Map<string, TestMaterial> {
  const folder = mkdtempSync(join(tmpdir(), "malla-certs-"));
  const path = (file: string) => join(folder, file);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const made = new Map<string, TestMaterial>();
  try {
    openssl([
      ...["req", "-x509", "-days", "2", "-subj", "/CN=test root", ...key],
      ...["-addext", "basicConstraints=critical,CA:TRUE"],
      ...["-keyout", path("ca.key"), "-out", path("ca.crt")],
    ]);
    for (const [index, name] of names.entries()) {
      const file = `leaf${index}`;
      writeFileSync(
        path(`${file}.ext`),
        `subjectAltName=DNS:${name},URI:spiffe://cluster.local/test/${index}\n` +
          "extendedKeyUsage=serverAuth,clientAuth\n",
      );
      openssl([
        ...["req", "-subj", `/CN=${file}`, ...key],
        ...["-keyout", path(`${file}.key`), "-out", path(`${file}.csr`)],
      ]);
      openssl([
        ...["x509", "-req", "-days", "2", "-in", path(`${file}.csr`)],
        ...["-CA", path("ca.crt"), "-CAkey", path("ca.key"), "-CAcreateserial"],
        ...["-extfile", path(`${file}.ext`), "-out", path(`${file}.crt`)],
      ]);
      made.set(name, {
        certificateChain: readFileSync(path(`${file}.crt`), "utf8"),
        privateKey: readFileSync(path(`${file}.key`), "utf8"),
        trustAnchors: readFileSync(path("ca.crt"), "utf8"),
      });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return made;
}

function openssl(args: readonly string[]): void {
  const done = Bun.spawnSync(["openssl", ...args], { stdout: "ignore", stderr: "pipe" });
  if (done.exitCode !== 0) throw new Error(`openssl ${args[0]}: ${done.stderr.toString()}`);
}
