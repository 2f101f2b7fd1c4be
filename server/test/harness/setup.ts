import fc from 'fast-check';
import { isSoak, scaled } from './scale.ts';

// The same cases in every CI run, so that a failure there is a failure of the change; soak runs look further.
fc.configureGlobal({ numRuns: scaled(100, 2_000), ...(isSoak ? {} : { seed: 20_261_121 }) });
