/**
 * The laptop mesh with programs that we did not write, as this user and (when this is root) as an
 * ordinary one: nginx, python, curl, sh. After the end nothing may be left.
 */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { freePorts, until } from "../support/malla.ts";
import { Laptop, USERS, whyNoMesh } from "../support/laptop.ts";

/** Long enough for a loaded machine; nothing is measured. */
const LONG_MS = 90_000;

const WEB = (replicas: number, greeting = "hello") =>
  `apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: ${replicas}
  selector: { matchLabels: { app: web } }
  template:
    metadata:
      labels: { app: web }
      annotations: { greeting: ${greeting} }
    spec:
      serviceAccountName: web
      containers:
        - name: nginx
          image: nginx
          command: [nginx, -e, /dev/stderr, -c, /etc/web/nginx.conf, -g, daemon off;]
          ports: [{ name: http, containerPort: 80 }]
          readinessProbe: { httpGet: { path: /, port: http } }
          livenessProbe: { tcpSocket: { port: http } }
          volumeMounts:
            - { name: config, mountPath: /etc/web }
            - { name: scratch, mountPath: /scratch/nginx }
      volumes:
        - { name: config, configMap: { name: web } }
        - { name: scratch, emptyDir: {} }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: web }
data:
  nginx.conf: |
    pid /scratch/nginx/pid;
    events {}
    http {
      access_log off;
      client_body_temp_path /scratch/nginx/1;
      proxy_temp_path /scratch/nginx/2;
      fastcgi_temp_path /scratch/nginx/3;
      uwsgi_temp_path /scratch/nginx/4;
      scgi_temp_path /scratch/nginx/5;
      server { listen 80; location / { return 200 "${greeting} from $hostname as $http_l5d_client_id\\n"; } }
    }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  selector: { app: web }
  ports: [{ port: 8080, targetPort: http }]
`;

const CLIENT = `apiVersion: v1
kind: Pod
metadata: { name: client, labels: { app: client } }
spec:
  containers:
    - name: shell
      image: any
      command: [sh, -c, "trap 'echo goodbye; exit 0' TERM; while :; do sleep 0.1; done"]
`;

/** A pod that uses what manifests can ask for; each line that it prints is one thing checked. */
const SURROUNDINGS = `apiVersion: v1
kind: Secret
metadata: { name: keys }
stringData: { password: s3cret }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: settings }
data: { mode: fast, extra.conf: "line one" }
---
apiVersion: batch/v1
kind: Job
metadata: { name: look }
spec:
  template:
    metadata: { labels: { app: look } }
    spec:
      restartPolicy: Never
      initContainers:
        - name: prepare
          command: [sh, -c, "echo from-init > /shared/file; stat -c %a /keys/password"]
          volumeMounts:
            - { name: shared, mountPath: /shared }
            - { name: keys, mountPath: /keys, readOnly: true }
      containers:
        - name: one
          command: [sh, -c]
          args:
            - |
              echo "a $MODE $PASSWORD $(POD_NAMESPACE) $GREETING"
              echo "b $(cat /shared/file) $(cat /keys/password) $(cat /opt/deep/er/extra.conf)"
              echo "c $(cat /etc/podinfo/labels)"
              echo "d $(ls -d /usr/share /opt /tmp | tr '\\n' ' ')"
              (touch /keys/new 2>/dev/null && echo "e written") || echo "e read-only"
              echo "f $(cat /etc/os-release | wc -l) $(getent hosts kubernetes || echo no-such-name)"
              sleep 1000 & echo "g $!"
          workingDir: /shared
          envFrom: [{ secretRef: { name: keys, optional: true } }]
          env:
            - { name: MODE, valueFrom: { configMapKeyRef: { name: settings, key: mode } } }
            - { name: PASSWORD, valueFrom: { secretKeyRef: { name: keys, key: password } } }
            - { name: POD_NAMESPACE, valueFrom: { fieldRef: { fieldPath: metadata.namespace } } }
            - { name: GREETING, value: "hi $(MODE) $$(MODE)" }
          volumeMounts:
            - { name: shared, mountPath: /shared }
            - { name: keys, mountPath: /keys, readOnly: true }
            - { name: settings, mountPath: /opt/deep/er/extra.conf, subPath: extra.conf }
            - { name: podinfo, mountPath: /etc/podinfo }
      volumes:
        - { name: shared, emptyDir: {} }
        - { name: keys, secret: { secretName: keys, defaultMode: 256 } }
        - { name: settings, configMap: { name: settings } }
        - { name: podinfo, downwardAPI: { items: [{ path: labels, fieldRef: { fieldPath: metadata.labels } }] } }
`;

const reason = whyNoMesh();
if (reason !== undefined) console.warn(`skipped: ${reason}`);

describe.skipIf(reason !== undefined).each([...USERS])("malla up as %s", (user) => {
  let laptop: Laptop;
  beforeEach(() => void (laptop = new Laptop(user)));
  afterEach(() => laptop.clean());

  test("runs programs in the mesh: names, mTLS, files, and a clean end", async () => {
    laptop.write("web.yaml", WEB(2));
    laptop.write("client.yaml", CLIENT);
    await laptop.up();
    const answers = new Set<string>();
    const many = "for i in 1 2 3 4 5 6 7 8 9; do curl -sS http://web:8080/ & done; wait";
    await until(async () => {
      const { out } = await laptop.run("run", "probe", "--", "sh", "-c", many);
      for (const line of out.trim().split("\n")) answers.add(line);
      return answers.size >= 2;
    });
    for (const answer of answers) {
      expect(answer).toMatch(/^hello from web-\w{9}-\w{5} as default\.default\./);
    }
    await until(async () => {
      await laptop.run("run", "probe", "--", "curl", "-sS", "http://web:8080/");
      const edges = (await laptop.run("edges", "pod", "-o", "json")).out;
      return edges.includes('"client_id": "default.default.') && edges.includes('"secured": true');
    });
    expect(await laptop.end()).toBe(0);
    await laptop.says("goodbye");
    expect(laptop.leftovers()).toEqual([]);
  }, LONG_MS);

  test("gives applications an ordinary user, no rights, and the pod's surroundings", async () => {
    laptop.write("client.yaml", CLIENT);
    await laptop.up();
    const script = [
      "id -u",
      "grep -E 'CapEff|NoNewPrivs' /proc/self/status",
      "cat /etc/resolv.conf",
      "hostname",
      "pwd",
      "echo $GREETING",
      "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
    ].join("; ");
    const { out, err, code } = await laptop.run(
      "run",
      "look",
      "-e",
      "GREETING=a $(b)",
      "--",
      "sh",
      "-c",
      script,
    );
    expect(err).not.toContain("Cannot");
    expect(code).toBe(0);
    // Of a mesh of root's, applications are an ordinary user.
    const uid = process.getuid?.() || 1_000;
    expect(out.split("\n")).toEqual([
      String(uid),
      "CapEff:\t0000000000000000",
      "NoNewPrivs:\t1",
      "nameserver 10.42.0.1",
      "search default.svc.cluster.local svc.cluster.local cluster.local",
      "options ndots:5",
      "look",
      laptop.home,
      "a $(b)",
      "0",
      "",
    ]);
    // Keys, tokens and sockets of the mesh are nobody's business in a pod.
    const peek = await laptop.run(
      "run",
      "peek",
      "--",
      "sh",
      "-c",
      `ls -A ${laptop.home}/state/malla/mesh-*/`,
    );
    expect(peek).toMatchObject({ code: 0, out: "" });
    const mark = "import socket; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, 36, 2102)";
    const refused = await laptop.run("run", "mark", "--", "python3", "-c", mark);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain("PermissionError");
    await laptop.end();
  }, LONG_MS);

  test("gives pods their volumes, variables and init containers, and lets a Job end", async () => {
    laptop.write("look.yaml", SURROUNDINGS);
    await laptop.up();
    await laptop.says(/\| g \d+/);
    const lines = laptop.output.split("\n").filter((line) => line.startsWith("look-"))
      .map((line) => line.replace(/^\S+\s+\| /, ""));
    expect(lines).toContain("400");
    expect(lines).toContain("a fast s3cret default hi fast $(MODE)");
    expect(lines).toContain("b from-init s3cret line one");
    expect(lines.find((line) => line.startsWith("c "))).toContain('app="look"');
    expect(lines).toContain("d /opt /tmp /usr/share ");
    expect(lines).toContain("e read-only");
    expect(lines.find((line) => line.startsWith("f "))).toMatch(/^f [1-9]\d* no-such-name$/);
    // The program left a process behind: it goes with its container, and the proxy after it. Of the
    // two that ask there is one proxy.
    const list = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '";
    await until(async () => {
      const { out } = await laptop.run("run", "ps", "--", "sh", "-c", list);
      return !out.includes("sleep 1000") && out.split(" proxy ").length === 2;
    });
    await laptop.end();
    expect(laptop.leftovers()).toEqual([]);
  }, LONG_MS);

  test("follows the folder: scales, adds, replaces and removes", async () => {
    laptop.write("web.yaml", WEB(1));
    await laptop.up();
    const greetings = async () => {
      const { out } = await laptop.run(
        "run",
        "ask",
        "--",
        "curl",
        "-sS",
        "-m",
        "5",
        "http://web:8080/",
      );
      return out;
    };
    expect(await greetings()).toStartWith("hello from");
    // Somebody goes on asking while pods are replaced: that must cost no request.
    const stop = `${laptop.app}/stop`;
    const ask = `curl -s -m 20 -o /dev/null -w 'code %{http_code}\\n' http://web:8080/; sleep 0.02`;
    const script = `until [ -e ${stop} ]; do ${ask}; done`;
    const load = laptop.start(["run", "load", "--", "sh", "-c", script]);
    const codes = () => [...load.text().matchAll(/^code (.*)$/gm)].map(([, code]) => code);
    await until(() => codes().length > 0);
    laptop.write("web.yaml", WEB(3, "welcome"));
    await until(async () => (await greetings()).startsWith("welcome"));
    const stat = async () => (await laptop.run("stat", "deploy")).out;
    await until(async () => /web\s+3\/3/.test(await stat()));
    laptop.write("web.yaml", WEB(1, "welcome"));
    await until(async () => /web\s+1\/1/.test(await stat()));
    // Some come after the last change too.
    const before = codes().length;
    await until(() => codes().length > before + 20);
    laptop.write("stop", "");
    expect(await load.ended).toBe(0);
    expect(codes().filter((code) => code !== "200")).toEqual([]);
    laptop.write("web.yaml", "kind: [broken\n");
    await laptop.says(/app\/web\.yaml:\d+: /);
    expect(await greetings()).toStartWith("welcome");
    laptop.write("client.yaml", CLIENT);
    laptop.remove("web.yaml");
    await until(async () => !(await stat()).includes("web"));
    await laptop.end();
  }, LONG_MS);

  test("starts again what ends, and counts it", async () => {
    laptop.write(
      "client.yaml",
      CLIENT.replace(
        "trap 'echo goodbye; exit 0' TERM; while :; do sleep 0.1; done",
        "echo once more; sleep 0.2; exit 3",
      ),
    );
    const up = laptop.start(["up", "-f", laptop.app, "--page-port", "0"]);
    await until(() => up.text().split("once more").length > 3);
    expect(up.text()).toContain("client: shell ended (exit code 3); it starts again in 1 s");
    expect(up.text()).toContain("client: shell ended (exit code 3); it starts again in 2 s");
    up.child.kill("SIGINT");
    await up.child.exited;
    expect(laptop.leftovers()).toEqual([]);
  }, LONG_MS);

  test(
    "leaves nothing behind when it is killed, and the next start removes its folder",
    async () => {
      laptop.write("web.yaml", WEB(1));
      await laptop.up();
      await laptop.end("SIGKILL");
      const processes = () => laptop.leftovers().filter((each) => !each.startsWith("file"));
      await until(() => processes().length === 0);
      laptop.write("web.yaml", WEB(0));
      laptop.write("client.yaml", CLIENT);
      await laptop.up();
      const folders = laptop.leftovers().filter((each) => /^file malla\/mesh-\w+$/.test(each));
      expect(folders).toHaveLength(1);
      // A second Ctrl-C does not wait for anybody.
      laptop.signal("SIGINT");
      laptop.signal("SIGTERM");
      expect(await laptop.end()).toBeOneOf([0, 130]);
      expect(laptop.leftovers()).toEqual([]);
    },
    LONG_MS,
  );

  test("adds a server to a running mesh, and takes it away with its caller", async () => {
    laptop.write("client.yaml", CLIENT);
    await laptop.up();
    const server = laptop.start([
      "run",
      "files",
      "--port",
      "8000",
      "--",
      "python3",
      "-m",
      "http.server",
      "8000",
    ]);
    await until(() => server.text().includes("files is in the mesh as http://files.default:8000"));
    const asked = await laptop.run(
      "run",
      "ask",
      "--",
      "curl",
      "-sS",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      "http://files:8000/",
    );
    expect(asked.out).toBe("200");
    const taken = await laptop.run("run", "files", "--", "true");
    expect(taken.err).toContain("namespace default has a Pod of that name");
    server.child.kill("SIGKILL");
    await until(async () => (await laptop.run("run", "files", "--", "true")).code === 0);
    expect((await laptop.run("run", "seven", "--", "sh", "-c", "exit 7")).code).toBe(7);
    await laptop.end();
  }, LONG_MS);
});

describe.skipIf(reason !== undefined)("malla up refuses", () => {
  let laptop: Laptop;
  beforeEach(() => void (laptop = new Laptop("self")));
  afterEach(() => laptop.clean());

  const refused = async (...args: string[]) => {
    const { code, err } = await laptop.run("up", "-f", laptop.app, ...args);
    expect(laptop.leftovers()).toEqual([]);
    return `${code} ${err}`;
  };

  test("an image without a command, with what to write", async () => {
    laptop.write("web.yaml", CLIENT.replace(/command: .*/, "args: [x]"));
    expect(await refused()).toMatch(
      /^64 app\/web\.yaml:6: Pod "client": container shell has image "any" but no command/,
    );
    expect(await refused("--exec", "clint=true")).toContain("--exec clint: there is no workload");
  });

  test("a manifest with errors, all of them, before anything starts", async () => {
    laptop.write("web.yaml", `${CLIENT}---\n${CLIENT}---\n{ kind: Service }\n`);
    const text = await refused();
    expect(text).toMatch(/^64 /);
    expect(text).toMatch(/app\/web\.yaml:10: Pod "client" is already defined in app\/web\.yaml:1/);
    expect(text).toMatch(/app\/web\.yaml:\d+: apiVersion: expected/);
  });

  test("what cannot be parsed or lacks a field, by file, line and field", async () => {
    laptop.write("broken.yaml", "apiVersion: v1\nkind: Pod\nmetadata: { name: web\nspec: {}\n");
    laptop.write("nameless.yaml", "apiVersion: v1\nkind: Pod\nspec: { containers: [] }\n");
    const portless = WEB(2).replace("[{ port: 8080, targetPort: http }]", "[{}]");
    laptop.write("portless.yaml", portless);
    const [broken, nameless, service, ...rest] = (await refused()).trimEnd().split("\n");
    expect(broken).toMatch(/^64 app\/broken\.yaml:4: \w/);
    expect(nameless).toBe("app/nameless.yaml:1: Pod: metadata: expected an object, found nothing");
    const line = portless.split("\n").findIndex((each) => each.includes("[{}]")) + 1;
    expect(service).toBe(
      `app/portless.yaml:${line}: Service "web": spec.ports[0].port: ` +
        "expected a port number (1-65535), found nothing",
    );
    expect(rest).toEqual([]);
  });

  test("two Services on one published port, by their names", async () => {
    laptop.write("web.yaml", WEB(1));
    const [port = 0] = await freePorts(1);
    const publish = ["--publish", `web:8080=${port}`, "--publish", `api.shop:80=${port}`];
    expect(await refused("--page-port", "0", ...publish)).toContain(
      `64 Cannot publish api.shop:80 on 127.0.0.1:${port}: web.default:8080 has that port; `,
    );
    expect(await refused("--page-port", String(port), ...publish.slice(0, 2))).toContain(
      `Cannot publish web.default:8080 on 127.0.0.1:${port}: malla-viz.malla:8084 has that port; `,
    );
  });

  test("a port that is in use", async () => {
    laptop.write("client.yaml", CLIENT);
    using server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    expect(await refused("--page-port", String(server.port))).toMatch(
      /^1 Cannot serve the live page on 127\.0\.0\.1:\d+: is the port in use.*--page-port/,
    );
    expect(await refused("--page-port", "0", "--publish", `web:80=${server.port}`)).toMatch(
      /^1 Cannot publish web\.default:80 on 127\.0\.0\.1:\d+/,
    );
  });

  test("flags that it does not know, and folders that do not exist", async () => {
    expect(await refused("--nonsense")).toMatch(/^64 malla up: .*--nonsense/);
    expect((await laptop.run("up", "-f", "nowhere")).err).toContain('"nowhere"');
    expect((await laptop.run("up")).err).toContain("Expected -f");
    const run = await laptop.run("run", "one", "--", "true");
    expect(run.err).toContain('start one with "malla up -f DIR"');
  });
});
