/** Every limit of the mesh, each with its reason. Relations between them are asserted at load. */

/**
 * Label sets that a proxy lists at once. A listed HTTP series with two statuses takes some 3 KB, so this
 * bounds a proxy that is made to meet ever new addresses to about 30 MB; what comes above is counted
 * under `overflow="true"`.
 */
export const METRIC_SERIES_MAX = 10_000;
