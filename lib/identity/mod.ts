/** The identity service: tokens in, certificates out. */

export {
  createLocalReviewer,
  createTokenIssuer,
  generateTokenKeys,
  type TokenGrant,
  type TokenIssuer,
  type TokenKeys,
} from "./local-token.ts";
export {
  IDENTITY_SERVICE_ACCOUNT,
  type IdentityService,
  type IdentityServiceOptions,
  startIdentityService,
} from "./service.ts";
export { clusterTokenReview, createTokenReviewer } from "./token-review.ts";
export { type TokenOwner, type TokenReviewer } from "./token.ts";
