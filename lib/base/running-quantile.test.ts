import { expect, test } from "bun:test";
import { Prng } from "./prng.ts";
import { RunningQuantile } from "./running-quantile.ts";

test("knows nothing at first", () => {
  const quantile = new RunningQuantile(0.9);
  for (let i = 0; i < 49; i++) quantile.observe(5);
  expect(quantile.value).toBe(0);
});

for (const wanted of [0.5, 0.9, 0.95, 0.99]) {
  test(`the share above the estimate is what it should be: ${wanted}, also after a change`, () => {
    const random = new Prng(17);
    const quantile = new RunningQuantile(wanted);
    for (const scale of [1, 20, 0.5]) {
      const next = () => -Math.log(1 - random.float()) * scale;
      for (let i = 0; i < 5_000; i++) quantile.observe(next());
      let above = 0;
      for (let i = 0; i < 20_000; i++) {
        const value = next();
        if (value > quantile.value) above++;
        quantile.observe(value);
      }
      expect(above / 20_000).toBeGreaterThan(0.8 * (1 - wanted));
      expect(above / 20_000).toBeLessThan(1.2 * (1 - wanted));
    }
  });
}
