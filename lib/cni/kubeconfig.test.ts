/** The plugin's login: written, read again, and understood by kubectl's library. */

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kubeconfigAccess } from "../source/kube/access.ts";
import { formatKubeconfig, loginAccess, loginOf, readKubeconfig } from "./kubeconfig.ts";

const LOGIN = { server: "https://10.0.0.1:443", ca: "PEM\n", token: "abc" };

test("is read as it was written", async () => {
  expect(readKubeconfig(formatKubeconfig(LOGIN))).toEqual(LOGIN);
  const { server, token } = LOGIN;
  expect(readKubeconfig(formatKubeconfig({ server, token }))).toEqual({ server, token });
  const access = loginAccess(LOGIN);
  expect(await access.target("/version")).toEqual({
    url: "https://10.0.0.1:443/version",
    headers: { authorization: "Bearer abc" },
    ca: "PEM\n",
  });
  expect(await loginOf(access)).toEqual(LOGIN);
});

test("leads others to the same place", async () => {
  const folder = mkdtempSync(join(tmpdir(), "malla-login-"));
  writeFileSync(`${folder}/login`, formatKubeconfig(LOGIN));
  const access = await kubeconfigAccess(`${folder}/login`);
  expect(await access.target("/version")).toMatchObject({
    url: "https://10.0.0.1:443/version",
    headers: expect.objectContaining({ Authorization: "Bearer abc" }),
    ca: "PEM\n",
  });
  expect(await loginOf(access)).toEqual(LOGIN);
  rmSync(folder, { recursive: true });
});

test.each([
  ["apiVersion: v1", "expected JSON"],
  ["{}", "expected a server and a token"],
  ['{"clusters":[{"cluster":{"server":"x"}}],"users":[{"user":{}}]}', "a server and a token"],
  [
    formatKubeconfig(LOGIN).replace(/(authority-data": ")[^"]*/, "$1!!"),
    "authority: expected Base64",
  ],
])("%p is refused", (text, message) => {
  expect(() => readKubeconfig(text)).toThrow(message);
});

test("a way without a token is none", async () => {
  const access = { server: "x", target: () => Promise.resolve({ url: "x", headers: {} }) };
  await expect(loginOf(access)).rejects.toThrow("Cannot log in to x without a token");
});
