/** What HTTP/1 and HTTP/2 have in common: heads and fields as offsets in bytes. */

export { FieldLines, fieldLinesOf, RANGES_PER_HEADER } from "./field-lines.ts";
export { CONNECTION_NAMES, FieldName, isMeshName, TRAILERS_DROPPED } from "./field-name.ts";
export {
  Head,
  MeshFields,
  RequestHead,
  ResponseHead,
  spareRequestHeads,
  spareResponseHeads,
  TargetForm,
} from "./head.ts";
export { isIdempotent, Method, methodCode } from "./method.ts";
