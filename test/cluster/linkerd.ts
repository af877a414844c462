/** What Malla looks for of a Linkerd in the cluster: its injector, configuration, anchors and issuer. */

import { makeIdentity } from "../../lib/install/identity-material.ts";

/** Its namespace. */
export const LINKERD = "linkerd";
/** The configuration of its injector's webhook. */
export const LINKERD_WEBHOOK = "linkerd-proxy-injector-webhook-config";

/** The objects, with certificates of their own. */
export async function linkerdObjects(): Promise<readonly unknown[]> {
  const { material } = await makeIdentity("linkerd.cluster.local", Date.now());
  const metadata = (name: string) => ({ name, namespace: LINKERD });
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: LINKERD } },
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: metadata("linkerd-config"),
      data: { values: "clusterDomain: cluster.local\nidentityTrustDomain: cluster.local\n" },
    },
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: metadata("linkerd-identity-trust-roots"),
      data: { "ca-bundle.crt": material.trustAnchors },
    },
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: metadata("linkerd-identity-issuer"),
      stringData: { "crt.pem": material.issuerCertificate, "key.pem": material.issuerKey },
    },
    {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "MutatingWebhookConfiguration",
      metadata: { name: LINKERD_WEBHOOK },
    },
  ];
}
