/** Malla as the data plane (written once its modes are there). */
import type { DataPlane, Place } from "./place.ts";
/** Starts it. */
export function startMalla(_place: Place, _executable: string): Promise<DataPlane> {
  throw new Error("later");
}
