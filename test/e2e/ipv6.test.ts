/**
 * IPv6 in the laptop mesh, with nginx and curl: addresses, names and the way through two sidecars; and
 * a machine without it.
 */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { freePorts, until } from "../support/malla.ts";
import { Laptop, USERS, whyNoIpv6, whyNoMesh } from "../support/laptop.ts";

const LONG_MS = 90_000;
const CLIENT = "default.default.serviceaccount.identity.malla.cluster.local";

const WEB = `apiVersion: v1
kind: Pod
metadata: { name: web, labels: { app: web } }
spec:
  serviceAccountName: web
  containers:
    - name: nginx
      command: [nginx, -e, /dev/stderr, -c, /etc/web/nginx.conf, -g, daemon off;]
      ports: [{ name: http, containerPort: 80 }]
      readinessProbe: { tcpSocket: { port: http }, periodSeconds: 1 }
      volumeMounts:
        - { name: config, mountPath: /etc/web }
        - { name: scratch, mountPath: /scratch }
  volumes:
    - { name: config, configMap: { name: web } }
    - { name: scratch, emptyDir: {} }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: web }
data:
  nginx.conf: |
    pid /scratch/pid;
    events {}
    http {
      access_log off;
      client_body_temp_path /scratch/1;
      proxy_temp_path /scratch/2;
      fastcgi_temp_path /scratch/3;
      uwsgi_temp_path /scratch/4;
      scgi_temp_path /scratch/5;
      server {
        listen 80;
        listen [::]:80;
        location / { return 200 "$server_addr $http_l5d_client_id\\n"; }
      }
    }
`;

const SERVICE = (name: string, spec: string) =>
  `apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec: { selector: { app: web }, ports: [{ port: 80 }], ${spec} }
`;

const noMesh = whyNoMesh("nginx", "curl", "python3");
const reason = noMesh ?? whyNoIpv6();
if (reason !== undefined) console.warn(`skipped: ${reason}`);

describe.skipIf(reason !== undefined).each([...USERS])("IPv6 as %s", (user) => {
  let laptop: Laptop;
  beforeEach(() => void (laptop = new Laptop(user)));
  afterEach(() => laptop.clean());

  test("leads through two sidecars, by name and by address, in and out", async () => {
    const [published = 0] = await freePorts(1);
    laptop.write("web.yaml", WEB);
    laptop.write("both.yaml", SERVICE("both", "ipFamilyPolicy: PreferDualStack"));
    laptop.write("six.yaml", SERVICE("six", "ipFamilies: [IPv6]"));
    laptop.write("four.yaml", SERVICE("four", ""));
    laptop.write(
      "pods.yaml",
      SERVICE("pods", "clusterIP: None, ipFamilies: [IPv6], ipFamilyPolicy: SingleStack"),
    );
    await laptop.up("--publish", `six:80=${published}`);
    const shell = async (script: string) => {
      const { out, err, code } = await laptop.run("run", "client", "--", "sh", "-c", script);
      if (code !== 0) throw new Error(`${script}: exit code ${code}: ${err}`);
      return out;
    };
    const names = JSON.parse(await shell(`python3 -c '${LOOK_UP}'`)) as Record<string, string[]>;
    expect(names["both"]).toEqual(["10.43", "fd6d:616c:6c61:43"]);
    expect(names["six"]).toEqual(["fd6d:616c:6c61:43"]);
    expect(names["four"]).toEqual(["10.43"]);
    expect(names["pods"]).toEqual(["fd6d:616c:6c61:42"]);

    // The identity that the server hears of was proven to its proxy by ours.
    const six = new RegExp(`^fd6d:616c:6c61:42::\\S+ ${CLIENT}$`);
    const four = new RegExp(`^10\\.42\\.\\S+ ${CLIENT}$`);
    const answers = (await shell([
      "curl -6 -sS http://six/",
      "curl -6 -sS http://pods/",
      "curl -6 -sS http://both/",
      "curl -4 -sS http://both/",
      'curl -sS "http://[$(getent ahostsv6 pods | head -1 | cut -d " " -f 1)]/"',
    ].join("; "))).trim().split("\n");
    expect(answers).toHaveLength(5);
    expect(answers[0]).toMatch(six);
    expect(answers[1]).toMatch(six);
    // Its first family is IPv4: so its pods are reached, whichever address a client took.
    expect(answers[2]).toMatch(four);
    expect(answers[3]).toMatch(four);
    expect(answers[4]).toMatch(six);
    expect(await (await fetch(`http://127.0.0.1:${published}/`)).text()).toStartWith("fd6d:");

    // Nobody is found by an address that no rule redirects.
    expect(await shell("cat /proc/net/if_inet6")).not.toContain("fe80");
    expect(await laptop.end()).toBe(0);
    expect(laptop.leftovers()).toEqual([]);
  }, LONG_MS);
});

describe.skipIf(noMesh !== undefined)("a machine without IPv6", () => {
  const laptop = new Laptop("self");
  afterEach(() => laptop.clean());

  test("has a mesh of IPv4 alone, and says so", async () => {
    // What a kernel without the module says.
    const bin = `${laptop.home}/bin`;
    mkdirSync(bin);
    for (const name of ["ip6tables", "ip6tables-save"]) {
      writeFileSync(`${bin}/${name}`, "#!/bin/sh\necho no table nat >&2\nexit 3\n");
      chmodSync(`${bin}/${name}`, 0o755);
    }
    laptop.programs = bin;
    laptop.write("web.yaml", WEB);
    laptop.write("both.yaml", SERVICE("both", "ipFamilyPolicy: RequireDualStack"));
    await laptop.up();
    await laptop.says(
      "the mesh has IPv4 alone: this kernel or machine has no IPv6 NAT: no table nat",
    );
    const { out } = await laptop.run("run", "client", "--", "sh", "-c", "curl -sS http://both/");
    expect(out).toMatch(new RegExp(`^10\\.42\\.\\S+ ${CLIENT}\\n$`));
    const listed = await laptop.run("run", "look", "--", "cat", "/proc/net/if_inet6");
    expect(listed.out).not.toContain("eth0");
    const check = await laptop.run("check");
    expect(check.out).toContain("‼ IPv6 works in a namespace\n    no table nat\n");
    expect(check.out).toContain("a mesh has IPv4 alone here");
    expect(check.code).toBe(0);
    await until(async () => (await laptop.run("edges", "pod", "-o", "json")).out.includes("true"));
  }, LONG_MS);
});

/** The beginning of each address that a program finds, up to the part that is a Service's or pod's. */
const LOOK_UP = [
  "import json, re, socket",
  "def look(name):",
  "    found = {each[4][0] for each in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)}",
  '    cut = lambda ip: ip.split("::")[0] if ":" in ip else ".".join(ip.split(".")[:2])',
  "    return sorted({cut(ip) for ip in found})",
  'print(json.dumps({name: look(name) for name in ["both", "six", "four", "pods"]}))',
].join("\n");
