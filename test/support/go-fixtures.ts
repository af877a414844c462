/** Programs in Go for tests, built from `test/fixtures/go` where there is a compiler. */

import { mkdirSync } from "node:fs";

const SOURCES = new URL("../fixtures/go", import.meta.url).pathname;
const EXAMPLES = "google.golang.org/grpc/examples/helloworld";
const FOLDER = new URL("../../dist/fixtures", import.meta.url).pathname;

/** The executables. */
export interface GoFixtures {
  /** `h2spec`: what the RFCs demand of an HTTP/2 server, as a client. */
  readonly h2spec: string;
  /** A plain HTTP/2 server. */
  readonly h2c: string;
  /** gRPC, client and server. */
  readonly rpc: string;
  /** The example of gRPC's library for Go, as its authors wrote it: a server and its client. */
  readonly greeterServer: string;
  readonly greeterClient: string;
  /** Takes OpenTelemetry's traces, and writes them as JSON. */
  readonly collector: string;
}

/** Where they are once `goFixtures` has built them. */
export const GO_FIXTURES: GoFixtures = {
  h2spec: `${FOLDER}/h2spec`,
  h2c: `${FOLDER}/h2c`,
  rpc: `${FOLDER}/rpc`,
  greeterServer: `${FOLDER}/greeter_server`,
  greeterClient: `${FOLDER}/greeter_client`,
  collector: `${FOLDER}/collector`,
};

/** Why these programs cannot be built here, or undefined. */
export function whyNoGo(): string | undefined {
  return Bun.which("go") === null ? "not installed: go" : undefined;
}

/** Builds them; takes a minute the first time on a machine, then the compiler's cache answers. */
export async function goFixtures(): Promise<GoFixtures> {
  mkdirSync(FOLDER, { recursive: true });
  const packages = [
    ...["./h2c", "./rpc", "./collector", "github.com/summerwind/h2spec/cmd/h2spec"],
    ...["server", "client"].map((end) => `${EXAMPLES}/greeter_${end}`),
  ];
  const words = ["go", "build", "-mod=readonly", "-trimpath", "-o", `${FOLDER}/`, ...packages];
  const env = { ...process.env, CGO_ENABLED: "0", GOWORK: "off", GOFLAGS: "" };
  const build = Bun.spawn(words, { cwd: SOURCES, env, stdout: "ignore", stderr: "pipe" });
  const errors = await new Response(build.stderr).text();
  if (await build.exited !== 0) throw new Error(`cannot build the Go programs:\n${errors}`);
  return GO_FIXTURES;
}
