import { describe, expect, test } from "bun:test";
import { change, controlOf, listen } from "../../test/support/control.ts";
import { service, serviceProfile } from "../../test/support/objects.ts";
import type { Profile } from "../mesh/policy.ts";
import { profileConfiguration } from "./service-profile.ts";

const NAME = "web.shop.svc.cluster.local";
const WEB = service("shop/web", [80, 81], { clusterIP: "10.43.0.7" });

function configurationOf(spec: Parameters<typeof serviceProfile>[1]) {
  return profileConfiguration(serviceProfile(`shop/${NAME}`, spec));
}

describe("what a profile says", () => {
  test("routes with conditions, classes, timeouts and retries, and a budget", () => {
    expect(configurationOf({
      routes: [
        {
          name: "GET /books/{id}",
          condition: { method: "get", pathRegex: " /books/\\d+ " },
          isRetryable: true,
          timeout: "300ms",
          responseClasses: [
            { condition: { status: { min: 500, max: 599 } }, isFailure: true },
            { condition: { any: [{ status: { min: 404 } }, { not: { status: { max: 200 } } }] } },
          ],
        },
        { name: "rest", condition: { all: [{ not: { method: "PUT" } }, { pathRegex: "/.*" }] } },
      ],
      retryBudget: { retryRatio: 0.3, minRetriesPerSecond: 5, ttl: "20s" },
      opaquePorts: ["3306", "4000-4010"],
      dstOverrides: [
        { authority: "web-v2.shop.svc.cluster.local:80", weight: "500m" },
        { authority: "web.shop.svc.cluster.local", weight: 1 },
        { authority: "none.shop.svc.cluster.local", weight: 0 },
      ],
    })).toEqual({
      routes: [
        {
          labels: { route: "GET /books/{id}" },
          match: {
            kind: "all",
            of: [{ kind: "method", method: "GET" }, { kind: "path", pattern: "/books/\\d+" }],
          },
          isRetryable: true,
          timeoutMs: 300,
          classes: [
            { match: { kind: "status", from: 500, to: 599 }, isFailure: true },
            {
              match: {
                kind: "any",
                of: [
                  { kind: "status", from: 404, to: 404 },
                  { kind: "not", of: { kind: "status", from: 200, to: 200 } },
                ],
              },
              isFailure: false,
            },
          ],
        },
        {
          labels: { route: "rest" },
          match: {
            kind: "all",
            of: [
              { kind: "not", of: { kind: "method", method: "PUT" } },
              { kind: "path", pattern: "/.*" },
            ],
          },
          isRetryable: false,
          timeoutMs: 0,
          classes: [],
        },
      ],
      budget: { ratio: 0.3, minPerSecond: 5, ttlMs: 20_000 },
      opaquePorts: [{ first: 3306, last: 3306 }, { first: 4000, last: 4010 }],
      overrides: [
        { authority: "web-v2.shop.svc.cluster.local:80", weight: 5_000 },
        { authority: "web.shop.svc.cluster.local", weight: 10_000 },
      ],
      problems: [],
    });
  });

  const good = { name: "good", condition: { pathRegex: "/good" } };
  const wrong = (route: object) => ({ name: "bad", condition: { pathRegex: "/" }, ...route });

  test.each<[string, unknown, string]>([
    ["an unknown pattern", wrong({ condition: { pathRegex: "/(?=x)" } }), "pathRegex: Cannot read"],
    ["a pattern too large", wrong({ condition: { pathRegex: "(a{99}){99}" } }), "possibilities"],
    ["no condition", wrong({ condition: undefined }), "condition is nothing: expected an object"],
    ["an empty one", wrong({ condition: {} }), "expected method, pathRegex, all, any or not"],
    ["an empty list", wrong({ condition: { all: [] } }), "expected at least one condition"],
    ["a wrong method", wrong({ condition: { method: "G T" } }), "expected a method such as GET"],
    ["a wrong part", wrong({ condition: { any: [{ method: "GET" }, 5] } }), "any[1] is 5"],
    ["no name", { condition: { method: "GET" } }, "name is nothing: expected a name"],
    ["no object", "all", 'spec.routes[1] is "all": expected an object'],
  ])("%s takes its route with it, and no other", (_, route, problem) => {
    const { routes, problems } = configurationOf({ routes: [good, route, good] });
    expect(routes.map(({ labels }) => labels["route"])).toEqual(["good", "good"]);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(problem);
    expect(problems[0]).toStartWith("spec.routes[1]");
  });

  test.each<[string, object, string]>([
    ["a timeout of 0", { timeout: "0s" }, 'timeout is "0s": expected a duration'],
    ["a timeout without unit", { timeout: "5" }, 'timeout is "5": expected a duration'],
    ["isRetryable", { isRetryable: "yes" }, 'isRetryable is "yes": expected true or false'],
    ["a class", { responseClasses: [{ condition: {} }] }, "expected status, all, any or not"],
    [
      "a status",
      { responseClasses: [{ condition: { status: { min: 700 } } }] },
      "status is 700: expected statuses from 100 to 599",
    ],
    [
      "statuses that do not rise",
      { responseClasses: [{ condition: { status: { min: 599, max: 500 } } }] },
      "status.max is 500: expected at least min",
    ],
  ])("%s is left out of its route, which holds", (_, part, problem) => {
    const { routes, problems } = configurationOf({ routes: [wrong(part)] });
    expect(routes).toMatchObject([{ isRetryable: false, timeoutMs: 0, classes: [] }]);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(problem);
    expect(problems[0]).toContain("bad");
  });

  test.each<[unknown, string]>([
    [{ retryRatio: -1, minRetriesPerSecond: 1, ttl: "10s" }, "retryRatio is -1"],
    [{ retryRatio: 1, minRetriesPerSecond: 1.5, ttl: "10s" }, "expected a whole number"],
    [{ retryRatio: 1, minRetriesPerSecond: 1, ttl: "0s" }, "expected a duration"],
    [{ retryRatio: 1, minRetriesPerSecond: 1, ttl: "2m" }, "from 1s to 60s"],
    [{ retryRatio: 1 }, "minRetriesPerSecond is nothing"],
    ["much", "expected an object"],
  ])("the budget %j is left out, and the usual one holds", (retryBudget, problem) => {
    const { routes, budget, problems } = configurationOf({ routes: [good], retryBudget });
    expect([routes.length, budget, problems.length]).toEqual([1, undefined, 1]);
    expect(problems[0]).toContain(problem);
  });

  test("a budget of nothing is kept, since more would be worse, and named", () => {
    const retryBudget = { retryRatio: 0, minRetriesPerSecond: 0, ttl: "10s" };
    const { budget, problems } = configurationOf({ routes: [good], retryBudget });
    expect(budget).toEqual({ ratio: 0, minPerSecond: 0, ttlMs: 10_000 });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toEndWith("nothing is sent again");
  });

  test("wrong ports and parts of the traffic are left out", () => {
    const { opaquePorts, overrides, problems } = configurationOf({
      opaquePorts: ["3306", "mysql", "0"],
      dstOverrides: [{ authority: "a b", weight: 1 }, { authority: "a.b", weight: "-1" }],
    });
    expect([opaquePorts.length, overrides.length, problems.length]).toEqual([1, 0, 4]);
  });
});

describe("what proxies are told", () => {
  const profile = (namespace: string, timeout: string) =>
    serviceProfile(`${namespace}/${NAME}`, {
      routes: [{ name: "all", condition: { pathRegex: "/.*" }, timeout }],
      opaquePorts: ["81"],
      dstOverrides: [{ authority: "b.shop.svc.cluster.local", weight: 1 }],
    });

  function ask(control: ReturnType<typeof controlOf>, namespace: string, port = 80) {
    const asker = { context: `{"ns":"${namespace}"}`, workload: "" };
    return listen<Profile>((sink) => control.watchProfile(asker, `10.43.0.7:${port}`, sink));
  }

  test("a client's own profile comes before that of the Service's namespace", () => {
    const [theirs, own] = [profile("shop", "1s"), profile("client", "2s")];
    const control = controlOf([WEB, theirs]);
    const [client, other] = [ask(control, "client"), ask(control, "other")];
    const timeouts = (heard: typeof client) =>
      heard.news().map(({ routes, source }) => [routes?.[0]?.timeoutMs, source?.namespace]);
    expect(timeouts(client)).toEqual([[1_000, "shop"]]);
    expect(timeouts(other)).toEqual([[1_000, "shop"]]);
    change(control, [own]);
    expect([timeouts(client), timeouts(other)]).toEqual([[[2_000, "client"]], []]);
    change(control, [], [theirs]);
    expect([timeouts(client), timeouts(other)]).toEqual([[], [[undefined, undefined]]]);
    change(control, [], [own]);
    expect(timeouts(client)).toEqual([[undefined, undefined]]);
  });

  test("its opaque ports add to the others, and a part of the traffic goes to the same port", () => {
    const control = controlOf([WEB, profile("shop", "1s")]);
    expect(ask(control, "x").values[0]).toMatchObject({
      opaque: false,
      overrides: [{ authority: "b.shop.svc.cluster.local:80", weight: 10_000 }],
      source: { group: "linkerd.io", kind: "ServiceProfile", name: NAME },
    });
    expect(ask(control, "x", 81).values[0]?.opaque).toBe(true);
  });
});
