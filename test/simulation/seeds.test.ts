import { testSeeds } from './run-seeds.js';

/** In one process: it gets fast only after some seeds. `npm run sim` goes on from there. */
testSeeds(1, 50);
