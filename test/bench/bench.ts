/** What all scenarios share: the laboratory, the control plane, the data planes and the report. */

import { Lab } from "../support/lab.ts";
import { Mesh } from "../support/mesh.ts";
import { startEnvoy } from "./envoy.ts";
import { startFloor } from "./floor.ts";
import { RELIABLE, type Sidecar, startMeshed } from "./meshed.ts";
import { type Cores, Place, type TwoHops } from "./place.ts";

/** How scenarios are run. */
export interface BenchOptions {
  readonly rounds: number;
  /** Of one sample. */
  readonly seconds: number;
  readonly connections: readonly number[];
  /** Names of the data planes. */
  readonly peers: readonly string[];
  /** Programs. */
  readonly executable: string;
  readonly envoy: string;
  readonly vegeta: string;
  readonly stock: string;
  readonly floor: string;
}

/** One run of the benchmark, inside its laboratory. */
export class Bench {
  readonly options: BenchOptions;
  readonly lab: Lab = new Lab();
  #mesh: Mesh | undefined;
  #started = 0;

  constructor(options: BenchOptions) {
    this.options = options;
  }

  /** Starts a new pair of proxies of every peer. */
  async startPlanes(): Promise<TwoHops[]> {
    const planes: TwoHops[] = [];
    for (const peer of this.options.peers) planes.push(await this.startPlane(peer));
    return planes;
  }

  /** Starts a new pair of proxies of one peer, between namespaces of their own. */
  async startPlane(peer: string, cores: Cores = 1): Promise<TwoHops> {
    const number = this.number();
    const place = await Place.start(this.lab, `p${number}`);
    switch (peer) {
      case "none":
        return { name: peer, place, ways: place.direct, proxies: [] };
      case "floor":
        return await startFloor(place, this.options.floor);
      case "envoy":
        return await startEnvoy(place, this.options.envoy, cores);
      default:
        return await startMeshed(
          place,
          await this.mesh(),
          this.sidecar(peer),
          this.serviceIp(number),
          cores,
        );
    }
  }

  /** Malla with everything configured that makes calls reliable. */
  async startReliable(): Promise<TwoHops> {
    const number = this.number();
    const place = await Place.start(this.lab, `p${number}`);
    const ip = this.serviceIp(number);
    const plane = await startMeshed(place, await this.mesh(), "malla", ip, 1, RELIABLE);
    return { ...plane, name: "malla, reliable" };
  }

  /** Which program a peer's sidecars are. */
  sidecar(peer: string): Sidecar {
    if (peer === "malla") return "malla";
    if (peer === "linkerd2-proxy") return { stock: this.options.stock };
    throw new Error(`unknown peer "${peer}": expected none, floor, malla, envoy or linkerd2-proxy`);
  }

  /** The control plane, started when it is first needed. */
  async mesh(): Promise<Mesh> {
    return this.#mesh ??= await Mesh.start(this.lab, this.options.executable);
  }

  /** A number that nothing else has, for names and addresses. */
  number(): number {
    return ++this.#started;
  }

  /** The address of a Service by its number. */
  serviceIp(number: number): string {
    return `10.43.${number >> 8}.${number & 0xff}`;
  }

  async stopPlanes(planes: readonly TwoHops[]): Promise<void> {
    for (const { place } of planes) await place.stop();
  }

  report(text: string): void {
    console.log(text);
  }
}
