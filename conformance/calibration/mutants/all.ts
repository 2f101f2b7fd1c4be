import type { Mutant } from '../mutant.ts';
import { authorizationAnswerMutants } from './authorization-answers.ts';
import { authorizationRequestMutants } from './authorization-requests.ts';
import { idTokenMutants } from './id-tokens.ts';
import { logoutMutants } from './logout.ts';
import { tokenEndpointMutants } from './token-endpoint.ts';
import { userinfoAndMetadataMutants } from './userinfo-and-metadata.ts';

/** Every fault that the modules have to find. */
export const mutants: readonly Mutant[] = [
  ...idTokenMutants,
  ...authorizationAnswerMutants,
  ...authorizationRequestMutants,
  ...tokenEndpointMutants,
  ...userinfoAndMetadataMutants,
  ...logoutMutants,
];
