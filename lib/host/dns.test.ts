import { expect, test } from "bun:test";
import { Fault } from "../base/fault.ts";
import { type DnsQueries, resolveHost, resolveWith } from "./dns.ts";

/** A resolver that knows a few names and writes down what it was asked. */
function fake(
  srv: Record<string, { name: string; port: number }[]>,
  addresses: Record<string, string[]>,
): DnsQueries & { readonly asked: string[] } {
  const asked: string[] = [];
  const look = <T>(kind: string, table: Record<string, T[]>, name: string): Promise<T[]> => {
    asked.push(`${kind} ${name}`);
    const found = table[name];
    return found === undefined ? Promise.reject(new Error(`no ${kind}`)) : Promise.resolve(found);
  };
  return {
    asked,
    srv: (name) => look("SRV", srv, name),
    addresses: (name) => look("A", addresses, name),
  };
}

test("an address and localhost are their own answer", async () => {
  const queries = fake({}, {});
  expect(await resolveWith(queries, "10.0.0.1", 80)).toEqual([{ ip: "10.0.0.1", port: 80 }]);
  expect(await resolveWith(queries, "fd00::1", 80)).toEqual([{ ip: "fd00::1", port: 80 }]);
  expect(await resolveHost("localhost.", 80)).toEqual([{ ip: "127.0.0.1", port: 80 }]);
  expect(queries.asked).toEqual([]);
});

test("SRV records tell every pod, those of other ports are left out", async () => {
  const queries = fake({
    "policy.malla.": [
      { name: "a.policy.malla", port: 8090 },
      { name: "b.policy.malla", port: 8090 },
      { name: "b.policy.malla", port: 9990 },
    ],
  }, { "a.policy.malla.": ["10.0.0.1"], "b.policy.malla.": ["10.0.0.2", "fd00::2"] });
  expect(await resolveWith(queries, "policy.malla.", 8090)).toEqual([
    { ip: "10.0.0.1", port: 8090 },
    { ip: "10.0.0.2", port: 8090 },
    { ip: "fd00::2", port: 8090 },
  ]);
});

test("the pods' port counts when no SRV record has the Service's", async () => {
  const queries = fake({ "x.": [{ name: "pod.", port: 18_080 }] }, { "pod.": ["10.0.0.1"] });
  expect(await resolveWith(queries, "x.", 8080)).toEqual([{ ip: "10.0.0.1", port: 18_080 }]);
});

test("without SRV records the name's own addresses count", async () => {
  const queries = fake({}, { x: ["10.0.0.9"] });
  expect(await resolveWith(queries, "x", 8080)).toEqual([{ ip: "10.0.0.9", port: 8080 }]);
  expect(queries.asked).toEqual(["SRV x", "A x"]);
});

test("a name without any address is unavailable, with the resolver's reason", async () => {
  const fault = await resolveWith(fake({}, {}), "nosuch.", 1).catch((thrown) => thrown);
  expect(fault).toBeInstanceOf(Fault);
  expect(fault.code).toBe("unavailable");
  expect(fault.message).toContain('"nosuch."');
  expect(fault.cause.message).toBe("no A");
});
