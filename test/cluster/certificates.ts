/**
 * The keys and certificates of a cluster: one authority, and below it what the API server shows and
 * what each part logs in with.
 */

import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { generateKey, type KeyPair } from "../../lib/pki/key.ts";
import { toPem } from "../../lib/pki/pem.ts";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "../../lib/pki/x509.ts";
import type { ClusterPlan } from "./plan.ts";

/** Longer than any cluster of tests runs. */
const LIFETIME_MS = 30 * 24 * 3_600_000;
const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const;

/** A subject below the authority. */
interface Subject {
  /** The name of its files, `<file>.crt` and `<file>.key`. */
  readonly file: string;
  /** In Kubernetes the common name is the user, each organization one of its groups. */
  readonly subject: string;
  readonly names?: readonly { readonly type: "dns" | "ip"; readonly value: string }[];
}

/** The folder of a cluster's keys and certificates. */
export function pkiFolder(plan: ClusterPlan): string {
  return `${plan.folder}/pki`;
}

/** Writes everything that a cluster needs; who logs in gets a kubeconfig in the cluster's folder. */
export async function writeCertificates(plan: ClusterPlan): Promise<void> {
  const folder = pkiFolder(plan);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const authority = await generateKey();
  const ca = toPem(
    "CERTIFICATE",
    await sign(authority, authority, "CN=test cluster", [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.digitalSignature, true),
    ]),
  );
  write(`${folder}/ca.crt`, ca);
  write(`${folder}/ca.key`, authority.privatePem);
  for (const { file, subject, names } of subjectsOf(plan)) {
    const keys = await generateKey();
    const { clientAuth, serverAuth } = ExtendedKeyUsage;
    const certificate = await sign(keys, authority, subject, [
      new ExtendedKeyUsageExtension([clientAuth, serverAuth]),
      ...(names === undefined ? [] : [new SubjectAlternativeNameExtension([...names])]),
    ]);
    write(`${folder}/${file}.crt`, toPem("CERTIFICATE", certificate));
    write(`${folder}/${file}.key`, keys.privatePem);
  }
  const accounts = await generateKey();
  write(`${folder}/accounts.key`, accounts.privatePem);
  write(`${folder}/accounts.pub`, toPem("PUBLIC KEY", accounts.publicDer));
}

/** A kubeconfig with everything in it, so that it can be moved. */
export function kubeconfigText(server: string, ca: string, certificate: string, key: string) {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  return JSON.stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      clusters: [
        { name: "test", cluster: { server, "certificate-authority-data": base64(ca) } },
      ],
      users: [
        {
          name: "test",
          user: {
            "client-certificate-data": base64(certificate),
            "client-key-data": base64(key),
          },
        },
      ],
      contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
      "current-context": "test",
    },
    null,
    2,
  );
}

function subjectsOf(plan: ClusterPlan): Subject[] {
  const dns = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
    .concat("kubernetes.default.svc.cluster.local")
    .map((value) => ({ type: "dns", value }) as const);
  const ips = [plan.nodes[0]?.ip ?? "", plan.apiServiceIp, "127.0.0.1"]
    .map((value) => ({ type: "ip", value }) as const);
  return [
    { file: "apiserver", subject: "CN=kube-apiserver", names: [...dns, ...ips] },
    { file: "admin", subject: "CN=admin,O=system:masters" },
    { file: "front-proxy", subject: "CN=front-proxy" },
    { file: "controller-manager", subject: "CN=system:kube-controller-manager" },
    { file: "scheduler", subject: "CN=system:kube-scheduler" },
    { file: "proxy", subject: "CN=system:kube-proxy" },
    ...plan.nodes.map(({ name }) => ({
      file: `kubelet-${name}`,
      subject: `CN=system:node:${name},O=system:nodes`,
    })),
  ];
}

async function sign(
  keys: KeyPair,
  authority: KeyPair,
  subject: string,
  extensions: Extension[],
): Promise<Uint8Array> {
  const nowMs = Date.now();
  const certificate = await X509CertificateGenerator.create({
    subject,
    issuer: "CN=test cluster",
    notBefore: new Date(nowMs - 60_000),
    notAfter: new Date(nowMs + LIFETIME_MS),
    publicKey: keys.publicKey,
    signingKey: authority.privateKey,
    signingAlgorithm: SIGNING,
    extensions,
  });
  return new Uint8Array(certificate.rawData);
}

function write(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
  chmodSync(path, 0o600);
}
