import { describe, expect, test } from "bun:test";
import { parseNetwork } from "./address.ts";
import { admitsProbe, authorize, type ClientFacts } from "./authorize.ts";
import type { ClientMatch, ServerPolicy } from "./policy.ts";

const NAME = "shop.default.serviceaccount.identity.malla.cluster.local";
const resource = { group: "", kind: "default", name: "test", namespace: "", port: 0 };

function policy(
  clients: ClientMatch,
  networks = ["0.0.0.0/0", "::/0"],
  except: string[] = [],
): ServerPolicy {
  return {
    protocol: "detect",
    detectTimeoutMs: 10_000,
    authorizations: [{
      networks: networks.map((text) => ({
        network: parseNetwork(text),
        except: except.map(parseNetwork),
      })),
      clients,
      resource,
    }],
    resource,
    probes: [{ method: "GET", path: "/healthz" }],
    probeNetworks: [parseNetwork("10.42.0.1/32")],
  };
}

function client(facts: Partial<ClientFacts> = {}): ClientFacts {
  return { ip: "10.42.0.9", tls: false, identity: null, ...facts };
}

const meshed = client({ tls: true, identity: NAME });
const unauthenticated: ClientMatch = { kind: "unauthenticated" };

describe("networks", () => {
  test("no authorization admits nobody", () => {
    const none = { ...policy(unauthenticated), authorizations: [] };
    expect(authorize(none, meshed)).toBeNull();
  });

  test("a client from outside is not admitted", () => {
    const narrow = policy(unauthenticated, ["10.42.0.0/16"]);
    expect(authorize(narrow, client())).toBe(narrow.authorizations[0]!);
    expect(authorize(narrow, client({ ip: "10.43.0.9" }))).toBeNull();
    expect(authorize(narrow, client({ ip: "fd00::9" }))).toBeNull();
  });

  test("an excepted network is not admitted", () => {
    const holed = policy(unauthenticated, ["10.0.0.0/8"], ["10.42.0.8/30"]);
    expect(authorize(holed, client())).toBeNull();
    expect(authorize(holed, client({ ip: "10.42.0.12" }))).not.toBeNull();
  });

  test("the first that admits is the one that is named", () => {
    const both = policy({ kind: "identities", names: [NAME], suffixes: [] });
    const open = policy(unauthenticated);
    const merged = {
      ...both,
      authorizations: [...both.authorizations, ...open.authorizations],
    };
    expect(authorize(merged, client())).toBe(open.authorizations[0]!);
    expect(authorize(merged, meshed)).toBe(both.authorizations[0]!);
  });
});

describe("clients", () => {
  test.each(
    [
      [{ kind: "unauthenticated" }, true, true, true],
      [{ kind: "tls" }, false, true, true],
      [{ kind: "identities", names: [NAME], suffixes: [] }, false, false, true],
      [{ kind: "identities", names: [], suffixes: [[]] }, false, false, true],
      [{ kind: "identities", names: [], suffixes: [] }, false, false, false],
      [{ kind: "identities", names: [`x${NAME}`], suffixes: [] }, false, false, false],
      [
        {
          kind: "identities",
          names: [],
          suffixes: [["default", ...NAME.split(".").slice(2)]],
        },
        false,
        false,
        true,
      ],
      [
        { kind: "identities", names: [], suffixes: [["lt", "cluster", "local"]] },
        false,
        false,
        false,
      ],
      [{ kind: "identities", names: [], suffixes: [NAME.split(".")] }, false, false, false],
    ] as [ClientMatch, boolean, boolean, boolean][],
  )("client match %#", (match, plain, tls, mutual) => {
    const made = policy(match);
    expect(authorize(made, client()) !== null).toBe(plain);
    expect(authorize(made, client({ tls: true })) !== null).toBe(tls);
    expect(authorize(made, meshed) !== null).toBe(mutual);
  });
});

describe("probes", () => {
  const denying = { ...policy(unauthenticated), authorizations: [] };
  const agent = client({ ip: "10.42.0.1" });

  test("exactly the path, with any query", () => {
    expect(admitsProbe(denying, agent, "GET", "/healthz")).toBe(true);
    expect(admitsProbe(denying, agent, "GET", "/healthz?full=1")).toBe(true);
    expect(admitsProbe(denying, agent, "GET", "/healthz/")).toBe(false);
    expect(admitsProbe(denying, agent, "GET", "/")).toBe(false);
  });

  test("by gRPC", () => {
    const path = "/grpc.health.v1.Health/Check";
    const asking = { ...denying, probes: [{ method: "POST", path } as const] };
    expect(admitsProbe(asking, agent, "POST", path)).toBe(true);
    expect(admitsProbe(asking, agent, "GET", path)).toBe(false);
    expect(admitsProbe(asking, agent, "POST", "/grpc.health.v1.Health/Watch")).toBe(false);
  });

  test("only its method, only from the probes' networks, only where there are probes", () => {
    expect(admitsProbe(denying, agent, "POST", "/healthz")).toBe(false);
    expect(admitsProbe(denying, client(), "GET", "/healthz")).toBe(false);
    const none = { ...denying, probes: [] };
    expect(admitsProbe(none, agent, "GET", "/healthz")).toBe(false);
  });
});
