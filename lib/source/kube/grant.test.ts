/** The commands that grant what a server refused. */

import { expect, test } from "bun:test";
import { Fault } from "../../base/fault.ts";
import { HttpRefusal } from "../../host/http-json.ts";
import { grantingCommands } from "./grant.ts";

const refused = (text: string) =>
  new HttpRefusal(403, `Cannot ask x: the server answers 403 ${text}`);

const rows: [string, string | undefined][] = [
  [
    'secrets "x" is forbidden: User "eve" cannot get resource "secrets" in API group "" in the namespace "malla"',
    "kubectl create role malla-get-secrets --verb=get --resource=secrets -n malla\n" +
    "kubectl create rolebinding malla-get-secrets --role=malla-get-secrets --user=eve -n malla",
  ],
  [
    'servers.policy.linkerd.io is forbidden: User "system:serviceaccount:ci:deploy" cannot list resource "servers" in API group "policy.linkerd.io" at the cluster scope',
    "kubectl create clusterrole malla-list-servers --verb=list --resource=servers.policy.linkerd.io\n" +
    "kubectl create clusterrolebinding malla-list-servers --clusterrole=malla-list-servers --serviceaccount=ci:deploy",
  ],
  [
    'services "http:malla-viz:8085" is forbidden: User "eve" cannot get resource "services/proxy" in API group "" in the namespace "malla"',
    "kubectl create role malla-get-services-proxy --verb=get --resource=services/proxy -n malla\n" +
    "kubectl create rolebinding malla-get-services-proxy --role=malla-get-services-proxy --user=eve -n malla",
  ],
  [
    'forbidden: User "system:anonymous" cannot get path "/version"',
    "kubectl create clusterrole malla-get-path --verb=get --non-resource-url=/version\n" +
    "kubectl create clusterrolebinding malla-get-path --clusterrole=malla-get-path --user=system:anonymous",
  ],
  [
    'namespaces "malla" is forbidden: User "eve" cannot get resource "namespaces" in API group "" in the namespace "malla"',
    "kubectl create clusterrole malla-get-namespaces --verb=get --resource=namespaces\n" +
    "kubectl create clusterrolebinding malla-get-namespaces --clusterrole=malla-get-namespaces --user=eve",
  ],
  ["namespace is being terminated", undefined],
];

test.each(rows)("%s", (message, commands) => {
  expect(grantingCommands(refused(message))).toBe(commands as string);
  const caused = new Fault("unavailable", "Cannot look", { cause: refused(message) });
  expect(grantingCommands(caused)).toBe(commands as string);
});

test("another failure is no matter of rights", () => {
  expect(grantingCommands(new HttpRefusal(404, rows[0]?.[0] ?? ""))).toBe(undefined);
  expect(grantingCommands("x")).toBe(undefined);
});
