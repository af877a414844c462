/**
 * Two laws of the index, held against random histories: whatever the order of changes, its answers are
 * those of an index that was given only the last state; and whoever followed the updates knows it.
 */

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { change, controlOf, listen } from "../../test/support/control.ts";
import {
  namespace,
  pod,
  podEndpoint,
  service,
  serviceProfile,
  slice,
} from "../../test/support/objects.ts";
import { formatAddress } from "../mesh/address.ts";
import type { Endpoint, EndpointUpdate } from "../mesh/endpoint.ts";
import { type MeshObject, refKey, refOf, type StringMap } from "../source/objects.ts";
import type { Control } from "./discovery.ts";

const NAMES = ["a", "b", "c"] as const;
const IPS = ["10.42.0.1", "10.42.0.2", "10.42.0.3", "9.9.9.9"] as const;
const CONTEXT = `{"ns":"shop","pod":"a","nodeName":"n1"}`;

const name = fc.constantFrom(...NAMES);
const ip = fc.constantFrom(...IPS);
const opaque = fc.constantFrom<StringMap[]>({}, { "config.linkerd.io/opaque-ports": "80,8080" });

const somePod = fc.record({ name, ip, meshed: fc.boolean(), opaque, ended: fc.boolean() }).map((
  it,
) =>
  pod(`shop/${it.name}`, {
    ip: it.ip,
    meshed: it.meshed,
    annotations: it.opaque,
    status: it.ended ? { phase: "Failed" } : {},
  })
);

const someService = fc.record({
  name,
  port: fc.constantFrom(80, 81),
  clusterIP: fc.constantFrom("None", "10.43.0.1", "10.43.0.2"),
  local: fc.boolean(),
  opaque,
}).map((it) =>
  service(
    `shop/${it.name}`,
    [it.port],
    { clusterIP: it.clusterIP, internalTrafficPolicy: it.local ? "Local" : "Cluster" },
    it.opaque,
  )
);

const someSlice = fc.record({
  name,
  owner: name,
  members: fc.array(
    fc.record({ name, ip, ready: fc.boolean(), node: fc.constantFrom("n1", "n2") }),
    {
      maxLength: 4,
    },
  ),
}).map((it) =>
  slice(
    `shop/${it.name}`,
    it.owner,
    [{ name: "", port: 8080 }],
    it.members.map((member) =>
      podEndpoint(`shop/${member.name}`, member.ip, {
        conditions: { ready: member.ready },
        nodeName: member.node,
      })
    ),
  )
);

const someNamespace = fc.record({
  opaque,
  policy: fc.constantFrom("deny", "audit", "nonsense"),
}).map((it) =>
  namespace("shop", { ...it.opaque, "config.linkerd.io/default-inbound-policy": it.policy })
);

const someProfile = fc.record({
  name,
  namespace: fc.constantFrom("shop", "other"),
  timeout: fc.constantFrom("1s", "2s", "never"),
}).map((it) =>
  serviceProfile(`${it.namespace}/${it.name}.shop.svc.cluster.local`, {
    routes: [{ name: "all", condition: { pathRegex: "/.*" }, timeout: it.timeout }],
  })
);

const step = fc.record({
  object: fc.oneof(somePod, someService, someSlice, someNamespace, someProfile),
  kept: fc.oneof({ arbitrary: fc.constant(true), weight: 3 }, fc.constant(false)),
  flushed: fc.boolean(),
});

/** Every question that the small world above can be asked. */
function askAll(control: Control) {
  const asker = { context: CONTEXT, workload: CONTEXT };
  const endpoints = NAMES.flatMap((each) =>
    [80, 81].map((port) => `${each}.shop.svc.cluster.local:${port}`)
  );
  const addresses = [...IPS, "10.43.0.1", "10.43.0.2"];
  return {
    endpoints: new Map(
      endpoints.map((path) => [
        path,
        listen<EndpointUpdate>((sink) => control.watchEndpoints(asker, path, sink)),
      ]),
    ),
    others: new Map<string, ReturnType<typeof listen<unknown>>>([
      ...addresses.map((address) =>
        [
          `profile ${address}`,
          listen<unknown>((sink) => control.watchProfile(asker, `${address}:80`, sink)),
        ] as const
      ),
      ...addresses.map((address) =>
        [
          `client ${address}`,
          listen<unknown>((sink) =>
            control.watchClientPolicy(asker, { ip: address, port: 80 }, sink)
          ),
        ] as const
      ),
      [
        "server",
        listen<unknown>((sink) => control.watchServerPolicy(asker, 8080, sink)),
      ] as const,
    ]),
  };
}

/** What an asker knows that took every update in turn. */
function accumulate(updates: readonly EndpointUpdate[]) {
  let endpoints = new Map<string, Endpoint>();
  let exists: boolean | undefined;
  for (const update of updates) {
    switch (update.kind) {
      case "add":
        exists = true;
        for (const one of update.endpoints) endpoints.set(formatAddress(one.address), one);
        break;
      case "remove":
        for (const address of update.addresses) {
          // Nobody is told to forget what he was never told of.
          expect(endpoints.delete(formatAddress(address))).toBe(true);
        }
        break;
      case "none":
        endpoints = new Map();
        exists = update.exists;
    }
  }
  return { exists, endpoints: Object.fromEntries([...endpoints].sort()) };
}

describe("after any history", () => {
  test("answers are those of the last state, and followers know them", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
        const control = controlOf();
        // Services that are there from the start, so that their watches are not refused.
        const start = NAMES.map((each) => service(`shop/${each}`, [80], { clusterIP: "None" }));
        change(control, start);
        const followed = askAll(control);
        const last = new Map<string, MeshObject>(
          start.map((object) => [refKey(refOf(object)), object]),
        );
        for (const { object, kept, flushed } of steps) {
          if (kept) control.applied(object);
          else control.deleted(refOf(object));
          if (kept) last.set(refKey(refOf(object)), object);
          else last.delete(refKey(refOf(object)));
          if (flushed) control.flush();
        }
        control.flush();

        const fresh = askAll(controlOf([...last.values()]));
        const again = askAll(control);
        for (const [path, heard] of fresh.endpoints) {
          const known = accumulate(followed.endpoints.get(path)?.values ?? []);
          const wanted = accumulate(heard.values);
          // A new asker is refused where a follower is told that the service is gone.
          expect(known).toEqual({ ...wanted, exists: wanted.exists ?? false });
          // Compared by what is known: the order of endpoints in a step has no meaning.
          expect(accumulate(again.endpoints.get(path)?.values ?? [])).toEqual(wanted);
        }
        for (const [question, heard] of fresh.others) {
          expect(again.others.get(question)?.values).toEqual(heard.values);
          const follower = followed.others.get(question);
          if (follower?.faults.length === 0) {
            expect(follower.values.at(-1)).toEqual(heard.values.at(-1));
          }
        }
      }),
      { numRuns: 150 },
    );
  });

  test("a follower is never told the same twice, and the end frees everything", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const control = controlOf();
        const asked = askAll(control);
        for (const { object, kept } of steps) {
          change(control, kept ? [object] : [], kept ? [] : [object]);
        }
        for (const { values } of asked.others.values()) {
          values.forEach((value, index) => {
            if (index > 0) expect(Bun.deepEquals(value, values[index - 1])).toBe(false);
          });
        }
        for (const { stop } of [...asked.endpoints.values(), ...asked.others.values()]) stop();
        expect(control.sizes()).toMatchObject({ topics: 0, keys: 0, waiting: 0 });
      }),
      { numRuns: 100 },
    );
  });
});
