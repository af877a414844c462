/**
 * Malla as a library: the domain types of the mesh.
 *
 * @module
 */

export { Fault, type FaultCode, type FaultOptions, type FaultSource } from "./lib/base/fault.ts";
export { formatAddress, parseAddress, type SocketAddress } from "./lib/mesh/address.ts";
