/** Placeholder of the balancer's type until the room is built. */
export interface Balancer {
  readonly size: number;
}
