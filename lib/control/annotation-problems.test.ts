import { expect, test } from "bun:test";
import { service } from "../../test/support/objects.ts";
import { AnnotationProblems } from "./annotation-problems.ts";

test("each wrong annotation is told once, and again when it is wrong in another way", () => {
  const told: string[] = [];
  const problems = new AnnotationProblems((service, problem) =>
    told.push(`${service}: ${problem}`)
  );
  const web = (limit: string) =>
    service("shop/web", [80], {}, {
      "retry.linkerd.io/http": "5xx",
      "retry.linkerd.io/limit": limit,
    });
  problems.applied(web("many"));
  problems.applied(web("many"));
  expect(told).toHaveLength(1);
  expect(told[0]).toStartWith('shop/web: Annotation retry.linkerd.io/limit is "many"');
  problems.applied(web("more"));
  problems.applied(web("2"));
  expect(told).toHaveLength(2);
  problems.applied(web("many"));
  problems.deleted({ kind: "Service", namespace: "shop", name: "web" });
  problems.applied(web("many"));
  expect(told).toHaveLength(4);
});
