import { describe, expect, test } from "bun:test";
import { applicationEnvironment } from "./application-environment.ts";
import { expand, type PodContext, quantity, resolveEnvironment } from "./environment.ts";
import { readPod } from "./pod-model.ts";
import { Reader } from "./reader.ts";
import { volumeFiles } from "./volume-files.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

function context(container: Record<string, unknown>, volumes: unknown[] = []): PodContext {
  const pod = readPod(
    new Reader({
      metadata: {
        name: "web-0",
        namespace: "shop",
        uid: "u-1",
        labels: { app: "web", tier: "front" },
        annotations: { owner: "team" },
      },
      spec: {
        serviceAccountName: "seller",
        containers: [{ name: "app", command: ["x"], ...container }],
        volumes,
      },
    }),
  );
  const entries = new Map([["MODE", bytes("fast")], ["LEVEL", bytes("7")]]);
  return {
    pod,
    podIps: ["10.42.1.5", "fd42::5"],
    nodeName: "laptop",
    hostIps: ["10.42.0.1", "fd42::1"],
    machine: { cores: 4, memoryBytes: 8_000 },
    objects: {
      entries: (kind, namespace, name) =>
        namespace === "shop" && name === (kind === "secret" ? "keys" : "settings")
          ? entries
          : undefined,
    },
  };
}

function environmentOf(container: Record<string, unknown>): Record<string, string> {
  const made = context(container);
  return resolveEnvironment(made.pod.containers[0]!, made);
}

describe("$(NAME)", () => {
  const env = { A: "one", B: "" };
  const cases: readonly (readonly [string, string])[] = [
    ["$(A)", "one"],
    ["x$(A)y$(B)z", "xoneyz"],
    ["$(MISSING)", "$(MISSING)"],
    ["$$(A)", "$(A)"],
    ["$$$(A)", "$one"],
    ["$A ${A} $", "$A ${A} $"],
    ["$(toString)", "$(toString)"],
  ];
  for (const [text, result] of cases) {
    test(text, () => expect(expand(text, env)).toBe(result));
  }
});

describe("a container's environment", () => {
  test("later variables see earlier ones, not the other way round", () => {
    const env = [
      { name: "BEFORE", value: "$(AFTER)" },
      { name: "AFTER", value: "1" },
      { name: "SUM", value: "$(BEFORE)+$(AFTER)" },
    ];
    expect(environmentOf({ env })).toEqual({
      BEFORE: "$(AFTER)",
      AFTER: "1",
      SUM: "$(AFTER)+1",
    });
  });

  test("takes ConfigMaps and Secrets, whole and by key; env wins over envFrom", () => {
    expect(environmentOf({
      envFrom: [{ configMapRef: { name: "settings" } }, {
        prefix: "S_",
        secretRef: { name: "keys" },
      }],
      env: [
        { name: "MODE", value: "slow" },
        { name: "KEY", valueFrom: { secretKeyRef: { name: "keys", key: "LEVEL" } } },
        {
          name: "NONE",
          valueFrom: { configMapKeyRef: { name: "settings", key: "no", optional: true } },
        },
      ],
    })).toEqual({ MODE: "slow", LEVEL: "7", S_MODE: "fast", S_LEVEL: "7", KEY: "7" });
  });

  test("takes fields of the pod and resources", () => {
    const field = (name: string, fieldPath: string) => ({
      name,
      valueFrom: { fieldRef: { fieldPath } },
    });
    expect(environmentOf({
      resources: { limits: { cpu: "1500m" }, requests: { memory: "1Ki" } },
      env: [
        field("IP", "status.podIP"),
        field("IPS", "status.podIPs"),
        field("HOST", "status.hostIP"),
        field("HOSTS", "status.hostIPs"),
        field("NAME", "metadata.name"),
        field("SA", "spec.serviceAccountName"),
        field("TIER", "metadata.labels['tier']"),
        { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
        { name: "MEMORY", valueFrom: { resourceFieldRef: { resource: "limits.memory" } } },
        { name: "ASKED", valueFrom: { resourceFieldRef: { resource: "requests.memory" } } },
      ],
    })).toEqual({
      IP: "10.42.1.5",
      IPS: "10.42.1.5,fd42::5",
      HOST: "10.42.0.1",
      HOSTS: "10.42.0.1,fd42::1",
      NAME: "web-0",
      SA: "seller",
      TIER: "front",
      CPU: "2",
      MEMORY: "8000",
      ASKED: "1024",
    });
  });

  test("names what is missing", () => {
    const byKey = (name: string, key: string) => ({
      env: [{ name: "X", valueFrom: { secretKeyRef: { name, key } } }],
    });
    expect(() => environmentOf(byKey("keys", "no"))).toThrow(
      'there is no key "no" in Secret "keys" of namespace shop',
    );
    expect(() => environmentOf({ envFrom: [{ configMapRef: { name: "other" } }] })).toThrow(
      'there is no ConfigMap "other" in namespace shop',
    );
    expect(() =>
      environmentOf({ env: [{ name: "X", valueFrom: { fieldRef: { fieldPath: "spec" } } }] })
    )
      .toThrow('Cannot resolve field "spec"');
  });
});

test("quantities", () => {
  expect([quantity("500m"), quantity("2"), quantity("1Gi"), quantity("3k")])
    .toEqual([0.5, 2, 2 ** 30, 3_000]);
  expect(() => quantity("1 apple")).toThrow('Cannot read quantity "1 apple"');
});

test("what means the machine's network or the mesh itself is not handed to applications", () => {
  const env = { HOME: "/h", HTTP_PROXY: "x", no_proxy: "y", LINKERD2_PROXY_LOG: "z", PATH: "/bin" };
  expect(applicationEnvironment(env)).toEqual({
    HOME: "/h",
    PATH: "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin",
  });
});

describe("files of volumes", () => {
  const token = () => Promise.resolve("a-token");

  async function filesOf(volume: Record<string, unknown>): Promise<Record<string, string>> {
    const made = context({}, [{ name: "v", ...volume }]);
    const found = made.pod.volumes.get("v");
    if (found?.kind !== "files") throw new Error("expected files");
    const files = await volumeFiles(found, made, token);
    return Object.fromEntries(files.map(({ path, contents, mode }) => [
      path,
      `${mode.toString(8)} ${new TextDecoder().decode(contents)}`,
    ]));
  }

  test("a ConfigMap as a whole and by items", async () => {
    expect(await filesOf({ configMap: { name: "settings", defaultMode: 0o400 } }))
      .toEqual({ MODE: "400 fast", LEVEL: "400 7" });
    expect(
      await filesOf({
        secret: { secretName: "keys", items: [{ key: "MODE", path: "deep/mode", mode: 0o600 }] },
      }),
    ).toEqual({ "deep/mode": "600 fast" });
  });

  test("projected: token, fields and later sources over earlier ones", async () => {
    expect(
      await filesOf({
        projected: {
          sources: [
            { serviceAccountToken: { path: "token", expirationSeconds: 3600 } },
            {
              downwardAPI: { items: [{ path: "LEVEL", fieldRef: { fieldPath: "metadata.name" } }] },
            },
            { configMap: { name: "settings", items: [{ key: "LEVEL", path: "LEVEL" }] } },
          ],
        },
      }),
    ).toEqual({ token: "644 a-token", LEVEL: "644 7" });
  });

  test("a missing ConfigMap is named, an optional one is not missed", async () => {
    expect(await filesOf({ configMap: { name: "other", optional: true } })).toEqual({});
    await expect(filesOf({ configMap: { name: "other" } })).rejects.toThrow(
      'there is no ConfigMap "other" in namespace shop',
    );
  });

  test("a file cannot leave its volume", () => {
    expect(() =>
      context({}, [{ name: "v", configMap: { name: "c", items: [{ key: "a", path: "../b" }] } }])
    ).toThrow("a path within the volume");
  });
});
